"""The gradient Kᵀ Φ(K u) of a learned energy as an operator of torch: fused on the CPU, and the way back likewise.

Nothing but the image is kept for the way back, which computes K u again: a network of many blocks takes the memory of
its images, not of as many images as filters.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from microlocal.core.arrays import to_numpy
from microlocal.dictionary import nonlinearity
from microlocal.kernels.diffusivities import CLOSED, Kind
from microlocal.kernels.filter_bank import filter_force, filter_force_back
from microlocal.networks.mixture import Parts

Images = Float[Tensor, "batch row col"]
Filters = Float[Tensor, "filter down right"]
Each = Float[Tensor, "batch filter part"]


@torch.library.custom_op("microlocal::bank_force", mutates_args=(), device_types="cpu")
def bank_force(images: Tensor, filters: Tensor, shares: Tensor, contrasts: Tensor, dilation: int, row: str) -> Tensor:
    u, bank, *mixtures = (_array(x) for x in (images, filters, shares, contrasts.pow(-2)))
    return torch.from_numpy(filter_force(_kind(row, u), u, bank, (mixtures[0], mixtures[1]), dilation))


@torch.library.custom_op("microlocal::bank_force_back", mutates_args=(), device_types="cpu")
def bank_force_back(
    pull: Tensor, images: Tensor, filters: Tensor, shares: Tensor, contrasts: Tensor, dilation: int, row: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    u, v, bank, *mixtures = (_array(x) for x in (images, pull, filters, shares, contrasts.pow(-2)))
    found = filter_force_back(_kind(row, u), u, v, bank, (mixtures[0], mixtures[1]), dilation)
    back, by_filters, by_shares, by_scales = (torch.from_numpy(slope) for slope in found)
    return back, by_filters, by_shares, -2 * contrasts.pow(-3) * by_scales


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(to_numpy(x))


def _kind(row: str, like: np.ndarray) -> Kind:
    kind: Kind = CLOSED[row](like.dtype.type(1))
    return kind


@bank_force.register_fake
def _(images: Tensor, filters: Tensor, shares: Tensor, contrasts: Tensor, dilation: int, row: str) -> Tensor:
    del filters, shares, contrasts, dilation, row
    return images.new_empty(images.shape)


@bank_force_back.register_fake
def _(
    pull: Tensor, images: Tensor, filters: Tensor, shares: Tensor, contrasts: Tensor, dilation: int, row: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    del pull, dilation, row
    images, filters, shares, contrasts = (x.new_empty(x.shape) for x in (images, filters, shares, contrasts))
    return images, filters, shares, contrasts


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    *tensors, ctx.dilation, ctx.row = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, pull):  # type: ignore[no-untyped-def]
    images, filters, shares, contrasts = tensors = ctx.saved_tensors
    if not torch.is_grad_enabled():
        return *bank_force_back(pull, *tensors, ctx.dilation, ctx.row), None, None
    needed = ctx.needs_input_grad[:4]  # for derivatives of derivatives
    wanted = [x for x, needs in zip(tensors, needed, strict=True) if needs]
    force = plain_force(images, filters, shares, contrasts, ctx.dilation, ctx.row)
    slopes = iter(torch.autograd.grad(force, wanted, pull, create_graph=True))
    return *(next(slopes) if needs else None for needs in needed), None, None


bank_force.register_autograd(_backward, setup_context=_save)


def plain_force(images: Images, filters: Filters, shares: Each, contrasts: Each, dilation: int, row: str) -> Images:
    """Return Kᵀ Φ(K u) in plain torch, Φ(s) = Σ_j share_j λ_j φ(s/λ_j) for every image and filter."""
    bank = filters[:, None]
    s, activation = conv2d(images[:, None], bank, dilation=dilation), nonlinearity(row).activation
    pairs = zip(shares.unbind(-1), contrasts[..., None, None, :].unbind(-1), strict=True)
    parts = [share[..., None, None] * size * activation(s / size) for share, size in pairs]
    return conv_transpose2d(torch.stack(parts).sum(dim=0), bank, dilation=dilation)[:, 0]


def fuses(u: Float[Tensor, "batch channel row col"]) -> bool:
    """Return whether the kernels take such images: of one channel, on the CPU, in single or double precision."""
    known = u.dtype in (torch.float32, torch.float64)
    return known and u.device.type == "cpu" and u.shape[1] == 1 and u.numel() > 0


def fused_force(images: Images, filters: Filters, mixture: Parts, dilation: int) -> Images:
    """Return Kᵀ Φ(K u) of images no smaller than a filter, differentiably, any number of times."""
    each = (len(images), *mixture.shares.shape)
    shares, contrasts = (x.to(images).expand(each) for x in (mixture.shares, mixture.contrasts))
    return bank_force(images, filters, shares, contrasts, dilation, mixture.row)

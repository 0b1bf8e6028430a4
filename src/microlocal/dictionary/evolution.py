"""Steps of two-dimensional diffusion as two operators of torch: the steps, and the way back through them.

Nothing but the image is kept for the way back, which goes through the states again (kernels/diffusion.py).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.dictionary.nonlinearity import Nonlinearity
from microlocal.dictionary.tabulated import kind_of, tabulated
from microlocal.kernels import diffusion, diffusion_torch

Images = Float[Tensor, "*batch row col"]


# Images are (batch, row, col), weights (batch, step, 3); the diffusivity is the formula's, or that of the cubics.
@torch.library.custom_op("microlocal::evolve", mutates_args=(), device_types="cpu")
def evolve(
    image: Tensor, weights: Tensor, coupled: bool, formula: str, scale: float, cubics: Tensor, bits: int
) -> Tensor:
    kind = kind_of(formula, scale, cubics, bits)
    return torch.from_numpy(diffusion.evolve(kind, coupled, _array(image), _array(weights)))


@torch.library.custom_op("microlocal::evolve_back", mutates_args=(), device_types="cpu")
def evolve_back(
    slope: Tensor,
    image: Tensor,
    weights: Tensor,
    coupled: bool,
    formula: str,
    scale: float,
    cubics: Tensor,
    bits: int,
    summed: bool,
) -> tuple[Tensor, Tensor]:
    kind = kind_of(formula, scale, cubics, bits)
    back, sums = diffusion.evolve_back(kind, coupled, _array(image), _array(weights), _array(slope), summed)
    return torch.from_numpy(back), torch.from_numpy(sums)


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(to_numpy(x))


@evolve.register_fake
def _(image: Tensor, weights: Tensor, coupled: bool, formula: str, scale: float, cubics: Tensor, bits: int) -> Tensor:
    del weights, coupled, formula, scale, cubics, bits
    return image.new_empty(image.shape)


@evolve_back.register_fake
def _(
    slope: Tensor,
    image: Tensor,
    weights: Tensor,
    coupled: bool,
    formula: str,
    scale: float,
    cubics: Tensor,
    bits: int,
    summed: bool,
) -> tuple[Tensor, Tensor]:
    del slope, coupled, formula, scale, cubics, bits, summed
    return image.new_empty(image.shape), weights.new_empty(weights.shape)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    image, weights, *ctx.rest, cubics, ctx.bits = inputs
    ctx.save_for_backward(image, weights, cubics)


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    image, weights, cubics = ctx.saved_tensors
    summed = ctx.needs_input_grad[1]
    back, sums = evolve_back(grad, image, weights, *ctx.rest, cubics, ctx.bits, summed)
    return back, sums if summed else None, None, None, None, None, None


evolve.register_autograd(_backward, setup_context=_save)


def evolved(image: Images, entry: Nonlinearity, weights: Float[Tensor, "*#batch step 3"], coupled: bool) -> Images:
    """Return u after the steps u_{l+1} = α_l u_l + β_l u_{l-1} + γ_l D(u_l), u_{-1} = u_0, differentiably.

    By kernels on the CPU, for which the diffusivity is a formula or a table; by plain torch on other devices, and for
    nonlinearities that no table describes or that are being trained. Results agree to rounding, or to the table's
    tolerance.
    """
    batch = image.shape[:-2]
    weights = weights.to(image).expand(*batch, *weights.shape[-2:])
    found = tabulated(entry, image.dtype) if image.device.type == "cpu" else None
    if found is None:
        return diffusion_torch.evolve(image, weights, entry.activation, entry.diffusivity, coupled)
    if image.numel() == 0:
        return image.clone()
    flat, steps = image.reshape(-1, *image.shape[-2:]), weights.reshape(-1, *weights.shape[-2:])
    result = evolve(flat, steps, coupled, found.formula, found.scale, found.cubics, found.bits)
    return result.reshape(image.shape)

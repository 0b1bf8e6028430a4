"""Deblurring by a stopped flow that was trained for it and states what is proved of it.

    y = k * x + n,      x = a + s N((y - a)/s, σ/s)

N is a ``DeblurringFlow``: a fixed number of steps, which takes as long for every picture, where plug-and-play iterates
until it has converged. Its filters and its stopping time are those learned for one blur; behind another what is proved
holds all the same, and a note says so. a and s as for ``denoise_network``.

Reference: Effland, Kobler, Kunisch, Pock (2020).
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.deblurring_flow import DeblurringFlow, load_deblurring
from microlocal.operators.convolution import Convolution, gaussian_kernel
from microlocal.reconstruction.images.by_flow import record, run_flow
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.scale import trained_range, unlike
from microlocal.reconstruction.images.tiles import in_tiles, reach_of
from microlocal.reconstruction.images.trial import ImageTrial, cartoon

WHO = "deblur_network"
LEAST_NOISE = 1e-3  # of an image's range: what noise is taken to be at least
ALIKE = 1e-3  # by which kernels may differ, in the sum of their weights
OTHER = "The flow was trained for another blur than this one: what is proved holds, how well it does is not tested."


def _trials() -> list[ImageTrial]:
    kernel, truth = gaussian_kernel(1.5).float(), cartoon()
    blurred = Convolution(kernel, (truth.shape[0], truth.shape[1]))(truth)
    data = blurred + 0.01 * torch.randn(truth.shape, generator=generator(0))
    network = untrained_flow()

    def run(y: Tensor) -> ImageEstimate:
        return deblur_network(y, kernel, network)

    return [ImageTrial("deblur-network, against the data", run, data, truth, lambda y: y, 0.97)]


@register("image-method", "deblur-network", samples=_trials, reference="effland2020")
def deblur_network(
    image: Float[Tensor, "*batch row col"],
    kernel: Float[Tensor, "krow kcol"] | None,
    weights: str | Path | nn.Module,
    *,
    noise: float | None = None,
    card: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Undo a known blur of images (*batch, row, col) with a trained flow that is left in time.

    ``kernel`` as for ``deblur``, None for the one that the flow was trained for; ``weights``, a file that
    ``microlocal train`` wrote, or a ``DeblurringFlow``; ``noise``, its standard deviation, estimated for every image
    unless given, and at least 1e-3 of an image's range; ``card`` of a flow that is given as an object. Large images are
    treated in tiles with the result of the whole. ``certificates`` hold how far two images can get apart.

    Raises InputError for images, kernels or weights that cannot be used, and where the result is not finite.

    >>> image = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    >>> found = deblur_network(image, gaussian_kernel(1.0), untrained_flow(), noise=0.02)
    >>> [(c.kind.value, c.holds) for c in found.certificates]
    [('proved', True)]
    """
    y = checked_image(image, WHO)
    network, known = (deepcopy(weights), card or {}) if isinstance(weights, nn.Module) else load_deblurring(weights)
    if not isinstance(network, DeblurringFlow):
        do = "Give weights of the task deblurring, or a DeblurringFlow."
        raise InputError(WHO, expected="a network that undoes blurs", got=type(network).__name__, do=do)
    kind = y.dtype if y.dtype == torch.float64 else torch.float32
    own = network.kernel
    network = network.to(y.device, kind)
    network = network if kernel is None else network.undoing(kernel.to(y.device))
    sigma, said = given_or_estimated(noise, y, WHO)
    planes = y.reshape(-1, *y.shape[-2:]).to(kind)
    least = [LEAST_NOISE * float(plane.max() - plane.min()) for plane in planes]
    levels = list(map(max, sigma.flatten().tolist(), least))
    trained = trained_range(known)

    def apply(plane: Float[Tensor, "row col"], level: float, _: int) -> Float[Tensor, "row col"]:
        def sharp(part: Float[Tensor, "row col"]) -> Float[Tensor, "row col"]:
            found: Tensor = network(part[None, None], level)
            return found[0, 0]

        return in_tiles(sharp, plane, reach_of(network), progress=progress)

    found, scales, certificates = run_flow(network, apply, planes, levels, trained, WHO)
    rest = torch.stack([left(plane, image, network.kernel) for plane, image in zip(planes, found, strict=True)])
    others = (OTHER,) if _unlike(own, network.kernel) else ()
    return ImageEstimate(
        found.to(y.dtype).reshape(y.shape),
        rest.to(y.dtype).reshape(y.shape),
        sigma,
        config=record(network, weights, known, scales),
        notes=(said, *others, *unlike(scales, trained)),
        certificates=certificates,
    )


def left(
    data: Float[Tensor, "row col"], image: Float[Tensor, "row col"], kernel: Float[Tensor, "krow kcol"]
) -> Float[Tensor, "row col"]:
    """Return y - k * x, x continued by its mirror image, computed in tiles where the images are large."""

    def again(part: Float[Tensor, "row col"]) -> Float[Tensor, "row col"]:
        return Convolution(kernel, (part.shape[0], part.shape[1])).to(part.device)(part)

    return data - in_tiles(again, image, max(kernel.shape))


def untrained_flow() -> DeblurringFlow:
    """Return a flow of seed 0 that has learned nothing, for trials."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return DeblurringFlow([1, 1], 6, 3, steps=12)


def _unlike(one: Float[Tensor, "krow kcol"], other: Float[Tensor, "krow kcol"]) -> bool:
    """Return whether two kernels are not the same."""
    return one.shape != other.shape or float((one - other).abs().sum()) > ALIKE

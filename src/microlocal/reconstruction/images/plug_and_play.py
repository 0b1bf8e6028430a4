"""Deblurring and inpainting by plug-and-play: the iteration of ``reconstruction.fixed_point`` with another operator.

    y = k * x + n   or   y = M x + n,      x a fixed point of  P(D(G(x)))

The denoiser knows images between 0 and 1: every image is moved and scaled so that its 0.5 and 99.5 % quantiles get
there, and pixels are kept within one such range beyond them on either side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from microlocal.core.checks import at_least, positive, tensor
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.denoisers import load_denoiser
from microlocal.operators.base import LinearOperator
from microlocal.operators.convolution import Convolution, gaussian_kernel
from microlocal.operators.mask import Mask
from microlocal.operators.padding import Pad
from microlocal.reconstruction.data_step import DataStep
from microlocal.reconstruction.fixed_point import (
    Iteration,
    certificate_of,
    in_precision,
    iterate,
    refuse_unproved,
    tiny_denoiser,
    trained_range,
)
from microlocal.reconstruction.images.estimate import MARGIN, ImageEstimate, checked_image, per_image
from microlocal.reconstruction.images.inpaint import checked_mask
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.trial import SIZE, ImageTrial, cartoon
from microlocal.solvers.driver import Driver

BOX = (-1.0, 2.0)  # in images whose usual values are 0 to 1
LOW, HIGH = 0.005, 0.995  # quantiles that stand for 0 and 1
DATA_STEPS = 3
TOLERANCE = 1e-6
LEAST = 1e-3  # noise level of the denoiser, in images of size one
GAPS = 0.03  # noise level of the denoiser where pixels are missing and no noise is given

Denoiser = nn.Module | str | Path


def _deblur_trials() -> list[ImageTrial]:
    kernel, truth = gaussian_kernel(1.5).float(), cartoon()
    blurred = Convolution(kernel, (truth.shape[0], truth.shape[1]))(truth)
    data = blurred + 0.01 * torch.randn(truth.shape, generator=generator(0))

    def run(y: Tensor) -> ImageEstimate:
        return deblur_plug_and_play(y, kernel, tiny_denoiser(), iterations=40)

    return [ImageTrial("deblur-plug-and-play, against the data", run, data, truth, lambda y: y, 0.85)]


@register("image-method", "deblur-plug-and-play", samples=_deblur_trials, reference="ryu2019")
def deblur_plug_and_play(
    image: Float[Tensor, "*batch row col"],
    kernel: Float[Tensor, "krow kcol"],
    denoiser: Denoiser = "nonexpansive",
    *,
    noise: float | None = None,
    iterations: int = 300,
    scheme: str = "plug-and-play",
    force: bool = False,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Undo a known blur of images (*batch, row, col) with a denoiser for a prior.

    ``kernel`` as for ``deblur``; ``denoiser``, the name or file of weights, or a network D(u, noise), or D(u) where
    it takes none; ``noise``, its standard deviation, estimated for every image unless given, and what the denoiser is
    told; ``scheme``, "plug-and-play" or "red". Raises InputError for images and kernels that cannot be used, and for
    denoisers of which convergence is not proved, unless forced.
    """
    y = checked_image(image, "deblur_plug_and_play")
    if not bool((tensor(kernel, "deblur_plug_and_play") != 0).any()):
        do = "Give a blur, such as gaussian_kernel(2.0)."
        raise InputError("deblur_plug_and_play", expected="a kernel that is not zero", got="zeros only", do=do)
    rows, cols = int(y.shape[-2]), int(y.shape[-1])
    margin = min(MARGIN, rows - 1, cols - 1)
    wide = (rows + 2 * margin, cols + 2 * margin)
    operator = Pad((rows, cols), ((margin, margin), (margin, margin)), "zero").H @ Convolution(kernel.detach(), wide)
    sigma, note = given_or_estimated(noise, y, "deblur_plug_and_play")
    planes = y.reshape(-1, 1, rows, cols)
    scale = _Scale.of(planes)
    start = nn.functional.pad(scale.into(planes), (margin,) * 4, mode="reflect")
    level = (sigma.flatten() / scale.size.flatten()).clamp_min(LEAST)
    settings = _Settings("deblur_plug_and_play", denoiser, iterations, scheme, force, progress)
    found, estimate = _restored(operator, planes, start, scale, level, settings)
    result = found[..., margin : margin + rows, margin : margin + cols].reshape(y.shape)
    residual = y - operator(found).reshape(y.shape)
    return estimate(result, residual, sigma, (note,))


def _inpaint_trials() -> list[ImageTrial]:
    mask = torch.rand((SIZE, SIZE), generator=generator(3)) > 0.5
    truth = cartoon()

    def run(y: Tensor) -> ImageEstimate:
        return inpaint_plug_and_play(y, mask, tiny_denoiser(), iterations=60)

    def fill_with_mean(data: Tensor) -> Tensor:
        return torch.where(mask, data, data[mask].mean())

    return [ImageTrial("inpaint-plug-and-play, against the mean", run, truth * mask, truth, fill_with_mean, 0.5)]


@register("image-method", "inpaint-plug-and-play", samples=_inpaint_trials, reference="ryu2019")
def inpaint_plug_and_play(
    image: Float[Tensor, "*batch row col"],
    mask: Bool[Tensor, "row col"],
    denoiser: Denoiser = "nonexpansive",
    *,
    noise: float | None = None,
    iterations: int = 300,
    scheme: str = "plug-and-play",
    force: bool = False,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Fill in the pixels of images (*batch, row, col) where ``mask`` (row, col) is False, with a denoiser for a prior.

    ``noise`` in the known pixels is what the denoiser is told; without it the known pixels are kept as they are, and it
    is told 3 % of the image's range. The other arguments and errors are those of ``deblur_plug_and_play``; masks as for
    ``inpaint``.
    """
    known = checked_mask(mask, tensor(image, "inpaint_plug_and_play"))
    y = checked_image(torch.where(known, image.detach(), torch.zeros_like(image)), "inpaint_plug_and_play")
    rows, cols = int(y.shape[-2]), int(y.shape[-1])
    planes = y.reshape(-1, 1, rows, cols)
    scale = _Scale.of(planes[..., known][..., None])
    sigma = y.new_full(y.shape[:-2], 0.0 if noise is None else positive(noise, "noise", "inpaint_plug_and_play"))
    given = (sigma.flatten() / scale.size.flatten()).clamp_min(LEAST)
    level = given if noise is not None else torch.full_like(given, GAPS)
    inside = scale.into(planes)
    start = torch.where(known, inside, per_image(inside[..., known].mean(dim=-1), 2))
    settings = _Settings("inpaint_plug_and_play", denoiser, iterations, scheme, force, progress)
    operator = Mask(known.to(y.dtype))
    found, estimate = _restored(operator, planes, start, scale, level, settings)
    whole = found.reshape(y.shape)
    result = whole if noise is not None else torch.where(known, y, whole)
    note = f"{100 * (1 - float(known.double().mean())):.3g} % of the pixels were filled in."
    kept = "The known pixels were denoised." if noise is not None else "The known pixels were kept."
    return estimate(result, torch.where(known, y - whole, 0.0), sigma, (note, kept))


@dataclass(frozen=True)
class _Settings:
    who: str
    denoiser: Denoiser
    iterations: int
    scheme: str
    force: bool
    progress: Progress


@dataclass(frozen=True, eq=False)
class _Scale:
    """x = low + size v for every image, (image, 1, 1, 1) each."""

    low: Float[Tensor, "image 1 1 1"]
    size: Float[Tensor, "image 1 1 1"]

    @classmethod
    def of(cls, planes: Float[Tensor, "image 1 row col"]) -> "_Scale":
        """Return the scale that takes the usual range of values to 0 to 1."""
        values = planes.flatten(1).sort(dim=1).values
        places = [round(share * (values.shape[1] - 1)) for share in (LOW, HIGH)]
        low, high = (per_image(values[:, place], 3) for place in places)
        size = high - low
        return cls(low, torch.where(size > 0, size, torch.ones_like(size)))

    def into(self, x: Tensor) -> Tensor:
        return (x - self.low) / self.size

    def back(self, v: Tensor) -> Tensor:
        return self.low + self.size * v


def _restored(
    operator: LinearOperator, planes: Tensor, start: Tensor, scale: _Scale, level: Tensor, settings: _Settings
) -> tuple[Tensor, Callable[..., ImageEstimate]]:
    """Return the fixed point for data ``planes`` from ``start``, in the unit of the data, and what is said of it."""
    at_least(settings.iterations, 1, "iterations", settings.who)
    given = settings.denoiser
    denoiser, card = (given, {}) if isinstance(given, nn.Module) else load_denoiser(given)
    flat = operator(scale.low.expand(len(start), 1, *operator.domain_shape))
    step = DataStep(operator, (planes - flat) / scale.size, DATA_STEPS)
    network, trained = in_precision(denoiser, start), trained_range(card)
    iteration = Iteration(step, network, level, settings.scheme, BOX, trained=trained)
    refuse_unproved(iteration, settings.who, force=settings.force)
    driver = Driver(settings.iterations, every=1, tolerance=TOLERANCE, progress=settings.progress)
    solution = iterate(iteration, start, driver)
    config = {
        "denoiser": type(denoiser).__name__ if isinstance(given, nn.Module) else str(given),
        "scheme": settings.scheme,
        "noise level of the denoiser": level.tolist(),
        "iterations": int(solution.stats["iterations"]),
        "status": solution.status.name.lower(),
        "averaged": iteration.guarantee().averaged,
    }
    certificates = certificate_of(iteration, solution)

    def estimate(result: Tensor, residual: Tensor, sigma: Tensor, notes: tuple[str, ...]) -> ImageEstimate:
        said = (*notes, solution.status.value)
        return ImageEstimate(
            result, residual, sigma, config=config, notes=said, history=solution.history, certificates=certificates
        )

    return scale.back(solution.value), estimate

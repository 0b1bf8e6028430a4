"""Deblurring and super-resolution by the sparsity of the image in a frame.

    y = k * x + n   or   y = (k * x) on every n-th pixel,     x by thresholded descent with a decreasing threshold

The margin around the image is unknown and reconstructed with it, so that nothing is assumed beyond the edge.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from microlocal.core.checks import at_least, tensor
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.base import Frame
from microlocal.operators.base import LinearOperator
from microlocal.operators.convolution import Convolution, gaussian_kernel
from microlocal.operators.cropped_blur import CroppedBlur
from microlocal.operators.downsampling import Downsampling, box_kernel
from microlocal.operators.padding import Pad
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image
from microlocal.reconstruction.images.framed import framed
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.thresholding import Schedule, thresholded_descent
from microlocal.reconstruction.images.trial import ImageTrial, cartoon

OF_NOISE = 0.5  # the last threshold in units of the noise: blurred noise is weaker than the noise of the data
MOMENTUM = 0.8  # for blurs, whose descent is slow; without for means over pixels, where it brings ringing


def _deblur_trials() -> list[ImageTrial]:
    kernel, truth = gaussian_kernel(1.5).float(), cartoon()
    blurred = Convolution(kernel, (truth.shape[0], truth.shape[1]))(truth)
    data = blurred + 0.01 * torch.randn(truth.shape, generator=generator(0))
    return [
        ImageTrial(
            "deblur, against the data", lambda y: deblur(y, kernel, iterations=15), data, truth, lambda y: y, 0.85
        )
    ]


@register("image-method", "deblur", samples=_deblur_trials, reference="elad2005")
def deblur(
    image: Float[Tensor, "*batch row col"],
    kernel: Float[Tensor, "krow kcol"],
    frame: Frame | str = "compact-shearlet",
    *,
    noise: float | None = None,
    iterations: int = 60,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Undo a known blur of images (*batch, row, col).

    ``kernel`` (row, col), centred at (rows // 2, cols // 2), of sum one; ``frame``, a registered name or a frame of the
    image's shape; ``noise``, its standard deviation, estimated for every image unless given. Raises InputError for
    images and kernels that cannot be used.
    """
    y = checked_image(image, "deblur")
    if not bool((tensor(kernel, "deblur") != 0).any()):
        do = "Give a blur, such as gaussian_kernel(2.0)."
        raise InputError("deblur", expected="a kernel that is not zero", got="zeros only", do=do)
    operator = CroppedBlur(kernel.detach(), (int(y.shape[-2]), int(y.shape[-1])), ((0, 0), (0, 0)))
    settings = _Settings("deblur", noise, iterations, MOMENTUM, progress)
    return _restored(operator, y, y, frame, settings)


def _upsample_trials() -> list[ImageTrial]:
    truth = cartoon()
    data = Downsampling((truth.shape[0], truth.shape[1]), 2, kernel=box_kernel(2))(truth)
    return [
        ImageTrial(
            "upsample, against bicubic interpolation",
            lambda y: upsample(y, 2),
            data,
            truth,
            lambda y: _larger(y, 2),
            0.9,
        )
    ]


@register("image-method", "upsample", samples=_upsample_trials, reference="elad2005")
def upsample(
    image: Float[Tensor, "*batch row col"],
    factor: int = 2,
    frame: Frame | str = "compact-shearlet",
    *,
    noise: float | None = None,
    iterations: int = 20,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Return images of ``factor`` times the rows and columns whose means over factor x factor pixels are the data.

    ``frame``, a registered name or a frame of the fine shape; ``noise`` of the data, estimated for every image unless
    given. Raises InputError for images that cannot be used.
    """
    y = checked_image(image, "upsample")
    at_least(factor, 2, "factor", "upsample")
    shape = (factor * int(y.shape[-2]), factor * int(y.shape[-1]))
    operator = Downsampling(shape, factor, kernel=box_kernel(factor))
    settings = _Settings("upsample", noise, iterations, 0.0, progress)
    return _restored(operator, y, _larger(y, factor), frame, settings)


def _larger(image: Tensor, factor: int) -> Tensor:
    """Return the bicubic interpolation."""
    flat = image.reshape(-1, 1, *image.shape[-2:])
    fine = interpolate(flat, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return fine.reshape(*image.shape[:-2], *fine.shape[-2:])


@dataclass(frozen=True)
class _Settings:
    who: str
    noise: float | None
    iterations: int
    momentum: float
    progress: Progress


def _restored(
    operator: LinearOperator, data: Tensor, start: Tensor, frame: Frame | str, settings: _Settings
) -> ImageEstimate:
    """Run the thresholded descent on the image with a free margin."""
    at_least(settings.iterations, 1, "iterations", settings.who)
    sigma, note = given_or_estimated(settings.noise, data, settings.who)
    wide, system, cut = framed(start, frame, settings.who, settings.progress)
    margins = [(big - small) // 2 for big, small in zip(wide.shape[-2:], start.shape[-2:], strict=True)]
    crop = Pad((int(start.shape[-2]), int(start.shape[-1])), ((margins[0],) * 2, (margins[1],) * 2), "zero").H
    measured = operator @ crop if any(margins) else operator
    last = (OF_NOISE * sigma).clamp_min(torch.finfo(data.dtype).tiny)
    found, residuals = thresholded_descent(
        measured, data, system, wide, Schedule(last, settings.iterations), settings.momentum, settings.progress
    )
    result = cut(found)
    config = {"frame": system.name, "iterations": settings.iterations, "last threshold": last.tolist()}
    return ImageEstimate(
        result, data - operator(result), sigma, config=config, notes=(note,), history={"residual": residuals}
    )

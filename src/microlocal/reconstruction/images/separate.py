"""Separation of curves from points: each is sparse in a frame of its own.

    y = curves + points + noise,      argmin |W_1 curves|_0 + |W_2 points|_0

Shearlets need few coefficients for a curve and many for a point, isotropic wavelets the other way round. With a
threshold that falls from the largest coefficient, each part in turn takes from what the other leaves whatever
exceeds it, the best match first. Reference: Starck, Elad and Donoho's morphological component analysis, as in Elad,
Starck, Querre and Donoho (2005); Donoho and Kutyniok (2013) prove that curves and points separate at fine scales.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.base import Frame
from microlocal.frames.undecimated_wavelet import UndecimatedWaveletFrame
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_frame, checked_image, with_mirror_margin
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.shrinkage import hard, shrink
from microlocal.reconstruction.images.thresholding import Schedule, image_spread, largest_size
from microlocal.reconstruction.images.trial import ImageTrial

OF_NOISE = 3.0  # the last threshold in units of the noise
FAINT = 0.02  # of the image's standard deviation: the last threshold is not below it


def curves_and_points(
    size: int, points: int, width: float = 1.2
) -> tuple[Float[Tensor, "row col"], Float[Tensor, "row col"]]:
    """Return two arcs and ``points`` round spots, each image (size, size) with values up to one."""
    r, c = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    curves = torch.zeros(size, size)
    for middle, radius in ((0.3, 0.45), (0.85, 0.5)):
        distance = ((r - middle * size) ** 2 + (c - 0.5 * size) ** 2).sqrt() - radius * size
        curves = torch.maximum(curves, torch.exp(-((distance / width) ** 2) / 2))
    spots, places = torch.zeros(size, size), torch.rand(points, 2, generator=generator(5)) * (size - 8) + 4
    for row, col in places.tolist():
        spots = torch.maximum(spots, torch.exp(-((r - row) ** 2 + (c - col) ** 2) / (2 * width**2)))
    return curves, spots


def _trials() -> list[ImageTrial]:
    curves, spots = curves_and_points(64, 12, 0.8)
    data = curves + spots + 0.02 * torch.randn(curves.shape, generator=generator(0))
    return [ImageTrial("separate, the curves, against the sum", _curves_of, data, curves, lambda y: y, 0.8)]


def _curves_of(data: Tensor) -> ImageEstimate:
    found = separate(data, iterations=16)
    return ImageEstimate(found.parts["curves"], found.residual, found.noise, found.parts)


@register("image-method", "separate", samples=_trials, reference="donoho2013")
def separate(
    image: Float[Tensor, "*batch row col"],
    curves: Frame | str = "compact-shearlet",
    points: Frame | str | None = None,
    *,
    noise: float | None = None,
    iterations: int = 40,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Split images (*batch, row, col) into ``parts`` "curves" and "points"; ``image`` is their sum.

    ``curves`` and ``points``, the frames of either part, registered names or frames of the image's shape (for points
    undecimated wavelets "bior4.4" unless given: symmetric, like points); ``noise``, its standard deviation, estimated
    for every image unless given. What is too coarse to be either belongs to the curves. Raises InputError for images
    that cannot be used.

    >>> line = torch.zeros(32, 32)
    >>> line[:, 15:17] = 1.0
    >>> parts = separate(line, noise=0.01).parts
    >>> bool(parts["curves"].norm() > 4 * parts["points"].norm())
    True
    """
    y = checked_image(image, "separate")
    at_least(iterations, 1, "iterations", "separate")
    sigma, note = given_or_estimated(noise, y, "separate")
    wide, first, cut = with_mirror_margin(y, curves, "separate")
    shape = (int(wide.shape[-2]), int(wide.shape[-1]))
    second = UndecimatedWaveletFrame(shape, "bior4.4") if points is None else checked_frame(points, shape, "separate")
    coefficients = first(wide)
    start = torch.maximum(largest_size(first, coefficients), largest_size(second, second(wide)))
    schedule = Schedule(_last(wide, sigma), iterations)
    along, spots = torch.zeros_like(wide), torch.zeros_like(wide)
    progress.start("separating", iterations)
    for k in range(iterations):
        size = schedule.size(start, k)
        along = first.inverse(shrink(first, first(wide - spots), size, hard))
        spots = second.inverse(_without_low_pass(second, shrink(second, second(wide - along), size, hard)))
        progress.advance("separating")
    progress.finish("separating")
    parts = {"curves": cut(along), "points": cut(spots)}
    total = parts["curves"] + parts["points"]
    config = {"curves": type(first).__name__, "points": type(second).__name__, "iterations": iterations}
    return ImageEstimate(total, y - total, sigma, parts, config, (note,))


def _last(wide: Tensor, sigma: Tensor) -> Tensor:
    """Return the last threshold of every image."""
    return torch.maximum(OF_NOISE * sigma, FAINT * image_spread(wide))


def _without_low_pass(frame: Frame, coefficients: Tensor) -> Tensor:
    for band, record in zip(frame.bands(coefficients), frame.filters, strict=True):
        if record.scale < 0:
            band.zero_()
    return coefficients

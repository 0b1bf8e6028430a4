"""Dual steps of primal-dual methods in one pass over memory: y + σ K x, projected on a ball, written over K x.

For 49 bands of 512 x 512 pixels this is limited by memory: three passes of a straightforward formula take 50 ms.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]

_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract"}}


@numba.njit(**_OPTIONS)
def _clipped(y: Floats, image: Floats, sigma: float, limits: Floats) -> None:
    """y, image (lane, pixel), limits (lane,): image <- min(max(y + σ image, -limit), limit)."""
    step = image.dtype.type(sigma)
    for lane in numba.prange(y.shape[0]):
        limit = limits[lane]
        for k in range(y.shape[1]):
            image[lane, k] = min(max(y[lane, k] + step * image[lane, k], -limit), limit)


@numba.njit(**_OPTIONS)
def _shortened(y: Floats, image: Floats, sigma: float, limit: float) -> None:
    """y, image (row, component, pixel): the vectors of components are shortened to ``limit``."""
    step, longest = image.dtype.type(sigma), image.dtype.type(limit)
    for row in numba.prange(y.shape[0]):
        scale = np.zeros(y.shape[2], image.dtype)
        for c in range(y.shape[1]):
            for k in range(y.shape[2]):
                image[row, c, k] = y[row, c, k] + step * image[row, c, k]
                scale[k] += image[row, c, k] * image[row, c, k]
        for k in range(y.shape[2]):
            scale[k] = longest / max(np.sqrt(scale[k]), longest) if longest > 0 else longest
        for c in range(y.shape[1]):
            for k in range(y.shape[2]):
                image[row, c, k] *= scale[k]


@numba.njit(**_OPTIONS)
def _into_stadium(y: Floats, image: Floats, sigma: float, radii: Floats, down: float, right: float) -> None:
    """y, image (row, component, pixel): vectors go to the nearest point of a segment along v with a disc around it."""
    step, isotropic, directional = image.dtype.type(sigma), radii[0], radii[1]
    v, w = image.dtype.type(down), image.dtype.type(right)
    for row in numba.prange(y.shape[0]):
        for k in range(y.shape[2]):
            a, b = y[row, 0, k] + step * image[row, 0, k], y[row, 1, k] + step * image[row, 1, k]
            along = min(max(v * a + w * b, -directional), directional)
            c, d = a - along * v, b - along * w
            scale = isotropic / max(np.sqrt(c * c + d * d), isotropic)
            image[row, 0, k], image[row, 1, k] = along * v + scale * c, along * w + scale * d


@numba.njit(**_OPTIONS)
def _shrunk_pairs(y: Floats, image: Floats, sigma: float, limits: Floats) -> None:
    """y, image (batch, 2 pair), limits (2 pair,): adjacent numbers are vectors, shortened to their limit."""
    step, zero = image.dtype.type(sigma), image.dtype.type(0)
    for k in numba.prange(limits.size // 2):
        limit = limits[2 * k]
        for row in range(y.shape[0]):
            a = y[row, 2 * k] + step * image[row, 2 * k]
            b = y[row, 2 * k + 1] + step * image[row, 2 * k + 1]
            size = np.sqrt(a * a + b * b)
            scale = limit / max(size, limit) if limit > 0 else zero
            image[row, 2 * k] = a * scale
            image[row, 2 * k + 1] = b * scale


def clip_step(y: Floats, image: Floats, sigma: float, limits: Floats) -> None:
    """Overwrite ``image`` (lane, pixel) by y + σ image, clipped to ±limits (lane,)."""
    with threads_for(image.size):
        _clipped(y, image, sigma, limits)


def shorten_step(y: Floats, image: Floats, sigma: float, limit: float) -> None:
    """Overwrite ``image`` (component, row, pixel) by y + σ image with every vector shortened to at most ``limit``."""
    with threads_for(4 * image.size):
        _shortened(y.swapaxes(0, 1), image.swapaxes(0, 1), sigma, limit)


def stadium_step(
    y: Floats, image: Floats, sigma: float, radii: tuple[float, float], normal: tuple[float, float]
) -> None:
    """Overwrite ``image`` (2, row, pixel) by y + σ image, projected on the stadium of ``radii``: disc, half segment.

    The segment lies along the unit vector ``normal`` (down, right).
    """
    with threads_for(4 * image.size):
        sizes = np.asarray(radii, image.dtype)
        _into_stadium(y.swapaxes(0, 1), image.swapaxes(0, 1), sigma, sizes, *normal)


def shorten_pairs_step(y: Floats, image: Floats, sigma: float, limits: Floats) -> None:
    """Overwrite ``image`` (batch, 2 pair) by y + σ image, adjacent pairs shortened to at most ``limits`` (2 pair,)."""
    with threads_for(2 * image.size):
        _shrunk_pairs(y, image, sigma, limits)

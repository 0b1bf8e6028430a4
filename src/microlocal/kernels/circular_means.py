"""Sums of an image over rings around detectors, and their exact transpose.

    forward:  g[d, j] = Σ_pixels f 1/4 Σ_q w_j(ρ_q),    w_j(ρ) = max(0, 1 - |ρ - j|)

The four quarters q of a pixel are shared linearly between the two rings next to their distances ρ_q from the detector,
in ring widths: ρ ± s (|cos| ± |sin|)/4 to first order, for a pixel of side s. With whole pixels the pixel lattice shows
in the result wherever a diagonal of it is tangent to a ring, and the time derivative of a wave makes 10 % of that.
Both directions compute the same weights, so one is the transpose of the other.
"""

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]


def gather(images: Floats, places: Floats, step: float, rings: int) -> Floats:
    """(image, row, col) -> (image, detector, ring).

    ``places``, (detector, 2), the row and column of every detector, fractional; ``step``, the pixel side in ring
    widths.
    """
    result = np.zeros((len(images), len(places), rings), images.dtype)
    with threads_for(images.size * len(places)):
        _gather(images, places, step, result)
    return result


def scatter(sums: Floats, places: Floats, step: float, shape: tuple[int, int]) -> Floats:
    """(image, detector, ring) -> (image, row, col): the transpose of ``gather``."""
    result = np.zeros((len(sums), *shape), sums.dtype)
    with threads_for(result.size * len(places)):
        _scatter(sums, places, step, result)
    return result


@njit(cache=True, inline="always")
def _quarters(down, along, step):  # type: ignore[no-untyped-def]
    """The distances of the four quarters of the pixel that lies ``down`` and ``along`` from the detector."""
    rho = math.sqrt(down * down + along * along)
    scale = 0.25 * step / max(rho, 0.25 * step)
    wide, narrow = scale * (abs(down) + abs(along)), scale * (abs(down) - abs(along))
    return abs(rho - wide), abs(rho - narrow), rho + narrow, rho + wide


@njit(cache=True, parallel=True)
def _gather(images, places, step, result):  # type: ignore[no-untyped-def]
    last = result.shape[2] - 1
    for d in prange(places.shape[0]):
        for k in range(images.shape[0]):
            for r in range(images.shape[1]):
                down = (r - places[d, 0]) * step
                for c in range(images.shape[2]):
                    quarter = images[k, r, c] * 0.25
                    for rho in _quarters(down, (c - places[d, 1]) * step, step):
                        j = int(rho)
                        if j <= last:
                            share = (rho - j) * quarter
                            result[k, d, j] += quarter - share
                            if j < last:
                                result[k, d, j + 1] += share


@njit(cache=True, parallel=True)
def _scatter(sums, places, step, result):  # type: ignore[no-untyped-def]
    last = sums.shape[2] - 1
    for r in prange(result.shape[1]):
        for k in range(result.shape[0]):
            for d in range(places.shape[0]):
                down = (r - places[d, 0]) * step
                for c in range(result.shape[2]):
                    total = 0.0
                    for rho in _quarters(down, (c - places[d, 1]) * step, step):
                        j = int(rho)
                        if j <= last:
                            total += (1 - (rho - j)) * sums[k, d, j]
                            if j < last:
                                total += (rho - j) * sums[k, d, j + 1]
                    result[k, r, c] += 0.25 * total

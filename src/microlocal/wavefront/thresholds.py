"""Thresholds that an image sets for itself: Otsu's, and the noise level of a gradient."""

import math

import numpy as np

from microlocal.core.geometry import Array


def otsu(values: Array, bins: int = 256) -> float:
    """Return the threshold t that maximises the variance between the classes {v <= t} and {v > t}.

    Computed from a histogram of ``bins`` bins; a constant array gives its value. Otsu, IEEE Trans. Syst. Man Cybern.
    9, 1979.

    >>> 1.0 < otsu(np.array([0.0, 1.0, 9.0, 10.0])) < 9.0
    True
    """
    counts, edges = np.histogram(values, bins=bins)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * middles)
    mean_below = sums[:-1] / np.maximum(below, 1)
    mean_above = (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    spread = below * above * (mean_above - mean_below) ** 2
    # All thresholds inside an empty gap are equally good: take the middle one.
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-12))
    return float(edges[1:-1][best].mean())


def gradient_noise(magnitude: Array) -> float:
    """Return the standard deviation of one gradient component where the image is noise.

    The magnitude of a Gaussian gradient is Rayleigh distributed with median σ sqrt(2 ln 2); edges are taken to fill
    less than half of the image, so that the median sees the noise.

    >>> gradient_noise(np.hypot(*np.random.default_rng(0).normal(size=(2, 100000)))).__round__(2)
    1.0
    """
    return float(np.median(magnitude)) / math.sqrt(2 * math.log(2))

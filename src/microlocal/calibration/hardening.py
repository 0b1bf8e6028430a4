"""The attenuation of a one-material object and its beam hardening, from the rays that meet no hole.

A ray of length L inside the outline reads at most P(L) = μ L (1 - κ L): exactly that where the material is whole, less
where it meets holes. So the upper envelope of g/L over L is the line μ (1 - κ L). κ > 0 is beam hardening: long paths
read too little. Inverting P turns the data into path lengths, on which the linear model is right.

The envelope is the 90th percentile of g/L in bins of L, the line an asymmetric l1 fit that treats bins with holes in
every ray (which lie below) as outliers.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

PERCENTILE = 90.0
ABOVE, BELOW = 0.85, 0.15  # weights of bins above and below the line
BINS, SHORTEST, LEAST_RAYS = 16, 0.2, 20  # bins from 20 % of the longest path on, each with at least so many rays


@dataclass(frozen=True)
class Hardening:
    """P(L) = μ L (1 - κ L): ``mu`` in 1/length, ``kappa`` >= 0 in 1/length."""

    mu: float
    kappa: float

    def path_length(self, data: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the path through material of every line integral, in length units; the inverse of P."""
        root = (1 - 4 * self.kappa * data / self.mu).clamp_min(0.05).sqrt()
        return 2 * data / self.mu / (1 + root)

    def linearised(self, data: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return μ times the path length: the line integrals that a beam without hardening would give."""
        return self.mu * self.path_length(data)


def upper_envelope(lengths: NDArray[np.floating], data: NDArray[np.floating]) -> Hardening | None:
    """Return μ and κ from the lengths of rays inside of the outline and their readings, both (angle, detector).

    None where no bin of lengths holds enough rays.
    """
    edges = np.linspace(SHORTEST, 1.0, BINS + 1) * np.percentile(lengths, 99.9)
    middles, levels = [], []
    for low, high in pairwise(edges):
        chosen = (lengths > low) & (lengths <= high)
        if chosen.sum() >= LEAST_RAYS:
            middles.append(float(lengths[chosen].mean()))
            levels.append(float(np.percentile(data[chosen] / lengths[chosen], PERCENTILE)))
    if len(levels) < 2 or max(levels) <= 0:
        return None
    return _asymmetric_line(np.array(middles), np.array(levels))


def _asymmetric_line(length: Array, level: Array) -> Hardening:
    """Fit level = μ (1 - κ length), κ >= 0, by iteratively reweighted least squares for an asymmetric l1 norm."""
    design = np.column_stack((np.ones_like(length), -length))
    line, smoothing = np.array([level.max(), 0.0]), 0.002 * level.max()
    for _ in range(200):
        gap = level - design @ line
        weight = np.where(gap > 0, ABOVE, BELOW) / np.sqrt(gap**2 + smoothing**2)
        normal = (design * weight[:, None]).T
        line = np.linalg.solve(normal @ design, normal @ level)
        if line[1] < 0:
            line = np.array([(weight * level).sum() / weight.sum(), 0.0])
    return Hardening(float(line[0]), float(line[1] / line[0]))

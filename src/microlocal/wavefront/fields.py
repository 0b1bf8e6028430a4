"""What an edge model says about every pixel, and how lines one pixel wide are found in it.

A model gives a strength and the direction of the normal everywhere. An edge runs where the strength is greatest along
the normal (non-maximum suppression) and above two thresholds that the image sets itself (hysteresis); its place
between the pixels is where the model's phase vanishes, or the top of a parabola.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from microlocal.core.brief import Brief
from microlocal.core.geometry import Array
from microlocal.wavefront.thresholds import otsu

Mask = NDArray[np.bool_]

# Pure noise passes 4.5 standard deviations of a gradient component at 4 pixels in 100 000, and 3 at 1 in 90.
STRONG, WEAK = 4.5, 3.0
# Canny's advice: the lower threshold is two to three times smaller.
HYSTERESIS = 0.4
FAINTEST = 0.01
TINY = np.finfo(np.float64).tiny
# Maxima sampled one pixel apart lie at most this far from the pixel they were found in, in either axis and diagonally.
FARTHEST = 0.75


@dataclass(frozen=True, eq=False, repr=False)
class Field(Brief):
    """One kind of singularity, all arrays (row, col).

    ``strength``, how strong it is, in grey levels or a probability; ``normal_rad``, its normal, in [0, 2π) where the
    model knows the bright side (the normal points there), else in [0, π), x right and y up; ``thin``, where the
    strength is greatest along the normal; ``offset``, pixels along the normal from there to the singularity;
    ``width``, of ridges, pixels, else NaN; ``noise``, the standard deviation of the strength that noise alone makes;
    ``blur``, the variance along the edge, pixels², of the smoothing behind ``offset``, which pulls curved edges in;
    ``thresholds``, the (upper, lower) strength of lines where the model knows them, as of probabilities.
    """

    strength: Array
    normal_rad: Array
    thin: Mask
    offset: Array
    width: Array
    noise: float
    blur: float = 0.0
    thresholds: tuple[float, float] | None = None

    def mask(self, shortest: int = 3) -> Mask:
        """Return the pixels of singularities by the model's thresholds, or the image's own: see ``find_edges``."""
        if self.thresholds is not None:
            high, low = self.thresholds
            return hysteresis(self.thin & (self.strength > low), self.strength > high, shortest)
        high = max(parting(self.strength[self.thin], WEAK * self.noise), STRONG * self.noise)
        low = max(HYSTERESIS * high, WEAK * self.noise)
        return hysteresis(self.thin & (self.strength > low), self.strength > high, shortest)


def less_surround(strength: Array, width: float) -> Array:
    """Return what a map has more than its surround, a Gaussian mean of ``width`` pixels, and zero where that is less.

    Textures have as much around them as at their lines; a single contour has not.
    """
    return np.maximum(strength - ndimage.gaussian_filter(strength, width, mode="reflect"), 0.0)


def thinned(strength: Array, normal_rad: Array) -> tuple[Mask, Array]:
    """Return where the strength is greatest along the normal, one pixel to either side, and the parabola's top there.

    The top is an offset along the normal in pixels, within ±``FARTHEST``.
    """
    ahead, behind = beside(strength, normal_rad)
    thin = (strength > ahead) & (strength >= behind) & (strength > 0)
    bend = np.where(thin, 2 * strength - ahead - behind, 1.0)
    top = np.where(thin, (ahead - behind) / (2 * np.maximum(bend, TINY)), 0.0)
    return thin, np.clip(top, -FARTHEST, FARTHEST)


def beside(values: Array, normal_rad: Array) -> tuple[Array, Array]:
    """Return the values one pixel ahead along the normal (x right, y up) and one behind, bilinear."""
    step = np.stack([-np.sin(normal_rad), np.cos(normal_rad)])
    place = np.indices(values.shape, dtype=np.float64)
    ahead = ndimage.map_coordinates(values, place + step, order=1, mode="nearest")
    behind = ndimage.map_coordinates(values, place - step, order=1, mode="nearest")
    return ahead, behind


def parting(ridges: Array, floor: float) -> float:
    """Return Otsu's threshold between faint and strong ridges on a logarithmic scale, all below a floor being alike.

    The floor is the noise, and at least a hundredth of the strongest ridge: what is fainter is no structure.
    """
    if ridges.size == 0:
        return 0.0
    return math.exp(otsu(np.log(np.maximum(ridges, max(floor, FAINTEST * float(ridges.max()), TINY)))))


def hysteresis(weak: Mask, strong: Mask, shortest: int) -> Mask:
    """Return the pieces of ``weak`` that are strong somewhere and have ``shortest`` pixels or more.

    Pixels, or voxels, that share a corner belong together.
    """
    pieces, _ = ndimage.label(weak, structure=np.ones((3,) * weak.ndim))
    lengths = np.bincount(pieces.ravel())
    kept = np.zeros(lengths.shape, dtype=bool)
    kept[np.unique(pieces[weak & strong])] = True
    kept[0] = False
    mask: Mask = (kept & (lengths >= shortest))[pieces]
    return mask

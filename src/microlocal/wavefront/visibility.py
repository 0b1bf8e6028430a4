"""What a scan can see, before any reconstruction: the edge directions it measures at every point.

    (x, φ) is visible  iff  the line through x with normal φ is among the measured lines.

Directions are those of edge normals, radians modulo π, x right and y up. All answers but the sampled tables
(``measured_directions``, ``rose``) are exact for the lines that ``Geometry.arcs`` says were measured.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.geometry import Array, Geometry
from microlocal.core.grid import Grid
from microlocal.wavefront.segments import direction_segments, is_measured, position_free

# Points that are looked at together: keeps the working arrays of a map near 30 MB.
CHUNK = 1 << 16
# Intervals of directions shorter than this (radians) are rounding.
SLIVER = 1e-7


def direction_samples(count: int) -> Array:
    """Return ``count`` directions (k + 1/2) π / count, the middles of equal bins of [0, π)."""
    return (np.arange(at_least(count, 1, "count", "direction_samples")) + 0.5) * np.pi / count


def grid_radius(grid: Grid) -> float:
    """Return the greatest distance of a pixel centre from the axis of rotation, in the grid's unit."""
    x, y = grid.coordinates()
    return float(np.hypot(np.abs(x).max(), np.abs(y).max()))


def row_chunks(grid: Grid) -> list[slice]:
    """Return slices of rows that hold about ``CHUNK`` pixels each."""
    rows, cols = grid.shape
    step = max(CHUNK // cols, 1)
    return [slice(first, first + step) for first in range(0, rows, step)]


def measured_directions(geometry: Geometry, grid: Grid, directions: int = 180) -> Bool[Tensor, "direction row col"]:
    """Return, for ``directions`` sampled directions (bin middles), whether each is measured at each pixel centre.

    One byte a value: 47 MB for 180 directions of 512 x 512 pixels.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam((0.0, 0.1), Detector(9, 1.0))
    >>> measured_directions(beam, Grid((2, 2), 1.0), 4)[:, 0, 0].tolist()
    [False, False, False, False]
    """
    x, y = grid.coordinates()
    samples = direction_samples(directions)
    table = torch.empty((directions, *grid.shape), dtype=torch.bool)
    for k, phi in enumerate(samples):
        table[k] = torch.from_numpy(is_measured(geometry, x, y[:, None], phi))
    return table


def fraction_at(geometry: Geometry, x: Array, y: Array) -> Array:
    """Return the fraction in [0, 1] of all edge directions that are measured at the points (x, y), broadcast."""
    breaks, measured = direction_segments(geometry, x, y)
    share: Array = np.sum(np.diff(breaks, axis=0), axis=0, where=measured) / np.pi
    return np.minimum(share, 1.0)


def measured_fraction(geometry: Geometry, grid: Grid) -> Float[Tensor, "row col"]:
    """Return the fraction of edge directions that is measured at each pixel centre: 1 everything, 0 nothing.

    It answers "what could be missing here?", whatever the image is. Exact up to float32 rounding.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam(tuple(np.radians(np.arange(0.5, 90.0))), Detector(9, 1.0))
    >>> measured_fraction(beam, Grid((2, 2), 1.0)).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    if position_free(geometry, grid_radius(grid)):
        return torch.full(grid.shape, float(fraction_at(geometry, np.zeros(()), np.zeros(()))))
    x, y = grid.coordinates()
    fraction = torch.empty(grid.shape)
    for rows in row_chunks(grid):
        fraction[rows] = torch.from_numpy(fraction_at(geometry, x, y[rows, None])).to(fraction.dtype)
    return fraction


def measured_range(geometry: Geometry, x: float, y: float) -> list[tuple[float, float]]:
    """Return the measured directions at one point as disjoint intervals (low, high), 0 <= low < π, radians.

    High exceeds π where an interval passes the direction π ≡ 0; [(0, π)] is everything, [] nothing. Ends are exact.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam(tuple(np.radians(np.arange(-29.5, 30.0))), Detector(9, 1.0))
    >>> [[round(float(np.degrees(end)), 6) for end in interval] for interval in measured_range(beam, 0.0, 0.0)]
    [[150.0, 210.0]]
    """
    breaks, measured = direction_segments(geometry, np.asarray(x), np.asarray(y))
    # Arcs that close on each other meet at 0 ≡ π up to rounding.
    breaks = np.where(breaks < SLIVER, 0.0, np.where(breaks > np.pi - SLIVER, np.pi, breaks))
    ranges: list[tuple[float, float]] = []
    for low, high, seen in zip(breaks[:-1], breaks[1:], measured, strict=True):
        if not seen or high - low < SLIVER:
            continue
        joins = bool(ranges) and low - ranges[-1][1] < SLIVER
        start = ranges.pop()[0] if joins else float(low)
        ranges.append((start, float(high)))
    if len(ranges) > 1 and ranges[0][0] < SLIVER and ranges[-1][1] > np.pi - SLIVER:
        (_, high), (low, _) = ranges.pop(0), ranges.pop()
        ranges.append((low, high + np.pi))
    return ranges


def missing_wedge(geometry: Geometry) -> float:
    """Return how many degrees of the 180 of edge directions are not measured at the axis of rotation.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> missing_wedge(ParallelBeam(tuple(np.radians(np.arange(-70.0, 71.0, 2.0))), Detector(9, 1.0)))
    38.0
    """
    return round(180 * (1 - float(fraction_at(geometry, np.zeros(()), np.zeros(())))), 6)


def rose(geometry: Geometry, x: float, y: float, bins: int = 180) -> NDArray[np.bool_]:
    """Return for each of ``bins`` equal bins of [0, π) whether the direction in its middle is measured at (x, y)."""
    return is_measured(geometry, x, y, direction_samples(bins))

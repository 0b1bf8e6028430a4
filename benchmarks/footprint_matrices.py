"""Footprints of rays as sparse matrices, written to be read: what ``footprints`` compares.

A view crosses the image line by line: along the rows where its rays are steep, along the columns where they are flat.
Positions on a line are in pixels, pixel k reaching from k to k + 1; a footprint says which share of a ray's step
p / |cos φ| (or p / |sin φ|) falls on which of its pixels:

    joseph            linear interpolation between pixel centres at the ray of the bin's middle
    line lengths      the overlap of pixels with what that ray runs through between the line's two edges (Siddon, 1985)
    distance-driven   the overlap of pixels with what lies between the rays of the bin's two edges, over its width

Distance-driven maps pixel and bin boundaries to a common axis, x or y by the view's central ray, and compares lengths
there (De Man and Basu, Phys. Med. Biol. 49, 2004). The map from a line of the image to a parallel axis is a scaling,
so that shares of lengths are the same on the line itself, where they are taken here.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from microlocal.core import Geometry, Grid

Array = NDArray[np.float64]
Shares = tuple[NDArray[np.int64], Array]  # the first pixel (ray, line), and what it and the next ones get (.., pixel)
Entries = tuple[Array, NDArray[np.int64], NDArray[np.int64]]  # value, bin and pixel
Footprint = Callable[[Array, Grid, bool], Shares]


def positions(lines: Array, grid: Grid, steep: bool, shift: float = 0.0) -> Array:
    """Return where lines (φ, s), (2, ray), cross the middles of rows (or columns), moved by ``shift``: (ray, line)."""
    phi, s = lines[0][:, None], lines[1][:, None]
    x, y = grid.coordinates()
    if steep:
        return ((s - (y - shift * grid.pixel) * np.sin(phi)) / np.cos(phi) - x[0]) / grid.pixel + 0.5
    return (y[0] - (s - (x + shift * grid.pixel) * np.cos(phi)) / np.sin(phi)) / grid.pixel + 0.5


def overlaps(one: Array, other: Array) -> Shares:
    """Return which share of the interval between two positions falls on each pixel."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    high = np.maximum(high, low + 1e-9)  # a ray along a line's pixels
    first = np.floor(low)
    pixel = first[..., None] + np.arange(math.ceil(float((high - low).max())) + 1)
    common = np.minimum(high[..., None], pixel + 1) - np.maximum(low[..., None], pixel)
    return first.astype(np.int64), np.clip(common, 0, None) / (high - low)[..., None]


def joseph(bins: Array, grid: Grid, steep: bool) -> Shares:
    """Interpolate between the two pixel centres beside the ray of the bin's middle."""
    at = positions(bins[0], grid, steep) - 0.5
    first = np.floor(at)
    return first.astype(np.int64), np.stack([1 - (at - first), at - first], axis=-1)


def line_lengths(bins: Array, grid: Grid, steep: bool) -> Shares:
    """Share the step by the lengths of the middle ray in the pixels."""
    return overlaps(positions(bins[0], grid, steep, -0.5), positions(bins[0], grid, steep, 0.5))


def distance_driven(bins: Array, grid: Grid, steep: bool) -> Shares:
    """Share the step by the overlap of pixels and bin."""
    return overlaps(positions(bins[1], grid, steep), positions(bins[2], grid, steep))


FOOTPRINTS: dict[str, Footprint] = {
    "joseph": joseph,
    "distance-driven": distance_driven,
    "line lengths": line_lengths,
}


def finer(geometry: Geometry, parts: int) -> Geometry:
    """Return the geometry with every detector bin cut into ``parts``."""
    detector = geometry.detector
    return replace(geometry, detector=replace(detector, count=parts * detector.count, pitch=detector.pitch / parts))


def bins_of(geometry: Geometry, view: int) -> Array:
    """Return the lines (φ, s) of the middles and of the two edges of a view's bins: (3, 2, bin)."""
    middles, pitch, angle = geometry.detector.positions(), geometry.detector.pitch, geometry.angles[view]
    return np.array([np.broadcast_arrays(*geometry.lines_at(angle, middles + k * pitch / 2)) for k in (0, -1, 1)])


def view_matrix(name: str, geometry: Geometry, grid: Grid, view: int) -> scipy.sparse.csr_array:
    """Return the matrix (bin, pixel) of a view.

    Whether rows or columns are crossed is chosen by the view for distance-driven, and by the ray for the others.
    """
    bins = bins_of(geometry, view)
    phi = np.full(bins.shape[-1], geometry.angles[view]) if name == "distance-driven" else bins[0, 0]
    is_steep = np.abs(np.cos(phi)) >= np.abs(np.sin(phi))
    found = [_entries(name, bins, grid, steep, np.flatnonzero(is_steep == steep)) for steep in (True, False)]
    values, bin_numbers, pixels = (np.concatenate(part) for part in zip(*found, strict=True))
    shape = (bins.shape[-1], grid.shape[0] * grid.shape[1])
    return scipy.sparse.csr_array((values, (bin_numbers, pixels)), shape)


def _entries(name: str, bins: Array, grid: Grid, steep: bool, chosen: NDArray[np.int64]) -> Entries:
    """Return the entries of the ``chosen`` bins."""
    if not chosen.size:
        return np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)
    first, shares = FOOTPRINTS[name](bins[:, :, chosen], grid, steep)
    across = first[..., None] + np.arange(shares.shape[-1])
    line = np.arange(first.shape[1])[None, :, None]
    rows, cols = grid.shape
    pixel = line * cols + across if steep else across * cols + line
    phi = bins[0, 0, chosen]
    step = grid.pixel / np.abs(np.cos(phi) if steep else np.sin(phi))
    kept = (shares > 0) & (across >= 0) & (across < (cols if steep else rows))
    number = np.broadcast_to(chosen[:, None, None], shares.shape)
    return (shares * step[:, None, None])[kept], number[kept], pixel[kept]


def matrices(name: str, geometry: Geometry, grid: Grid) -> Iterator[scipy.sparse.csr_array]:
    """Yield the matrix of every view."""
    for view in range(geometry.shape[0]):
        yield view_matrix(name, geometry, grid, view)

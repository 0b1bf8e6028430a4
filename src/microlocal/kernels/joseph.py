"""Joseph's projector as numba kernels: line sums with linear interpolation, and the exact transpose.

A ray is a table row (A, B): it passes through column ``A + B r`` of row r ("steep" rays, which cross every row) or
through row ``A + B c`` of column c ("flat" rays). One kernel serves every planar geometry, since the geometry is in
the table. Forward runs in parallel over (image, view); the adjoint over (image, row): no two threads write the same
memory, so results do not depend on their number.

Every row is padded by one zero before and two after it, and positions are clamped into the padding: a ray that leaves
the image interpolates between two zeros (and spreads into cells that are cut off) instead of branching.

Reference: P. M. Joseph, IEEE Trans. Med. Imaging 1(3), 1982.
"""

from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

# No reassociation: every weight is rounded alike in forward and adjoint. The other flags let the compiler vectorise:
# inputs are finite (checked above), so NaN and signed zeros need no care.
_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}


@numba.njit(**_OPTIONS)
def _line_sums(rows: Floats, offsets: Floats, slopes: Floats, first: Counts, last: Counts, sums: Floats) -> None:
    """rows (image, row, col + 3); offsets, slopes (view, ray); the rays first..last-1 of each view are summed."""
    images, height, padded = rows.shape
    views = offsets.shape[0]
    number = offsets.dtype.type
    top, zero = number(padded - 2), number(0)
    for job in numba.prange(images * views):
        image, view = job // views, job % views
        begin, end = first[view], last[view]
        out, offset, slope = sums[image, view, begin:end], offsets[view, begin:end], slopes[view, begin:end]
        for r in range(height):
            row = rows[image, r]
            for ray in range(end - begin):
                position = min(max(offset[ray] + slope[ray] * number(r), zero), top)
                j = np.int32(position)
                weight = position - number(j)
                out[ray] += row[j] + weight * (row[j + 1] - row[j])


@numba.njit(**_OPTIONS)
def _spread_lines(rows: Floats, offsets: Floats, slopes: Floats, first: Counts, last: Counts, sums: Floats) -> None:
    """The transpose of ``_line_sums``: spreads sums (image, view, ray) into rows (image, row, col + 3)."""
    images, height, padded = rows.shape
    views = offsets.shape[0]
    number = offsets.dtype.type
    top, zero = number(padded - 2), number(0)
    for job in numba.prange(images * height):
        image, r = job // height, job % height
        row = rows[image, r]
        for view in range(views):
            begin, end = first[view], last[view]
            source, offset, slope = sums[image, view, begin:end], offsets[view, begin:end], slopes[view, begin:end]
            for ray in range(end - begin):
                position = min(max(offset[ray] + slope[ray] * number(r), zero), top)
                j = np.int32(position)
                share = (position - number(j)) * source[ray]
                row[j] += source[ray] - share
                row[j + 1] += share


def _runs(steep: NDArray[np.bool_]) -> Iterator[tuple[bool, Counts, Counts]]:
    """Cut each view's rays into runs of steep and of flat ones; yield (is steep, first, last) over all views.

    Along a detector the direction turns by less than half a circle, so there are at most three runs of a kind.
    """
    for kind in (True, False):
        edges = np.diff(np.pad(steep == kind, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        views, begins = np.nonzero(edges == 1)
        ends = np.nonzero(edges == -1)[1]
        rank = np.arange(views.size) - np.searchsorted(views, views)
        for k in range(int(rank.max()) + 1 if rank.size else 0):
            first = np.zeros(steep.shape[0], np.int64)
            last = np.zeros(steep.shape[0], np.int64)
            first[views[rank == k]], last[views[rank == k]] = begins[rank == k], ends[rank == k]
            yield kind, first, last


def project(image: Floats, offsets: Floats, slopes: Floats, steep: NDArray[np.bool_]) -> Floats:
    """Sum images (image, row, col) along rays (view, ray), in pixel steps; returns (image, view, ray).

    ``offsets`` are positions in pixels counted from the pixel before the first (so 1 is the first pixel's centre).
    """
    sums = np.zeros((image.shape[0], *offsets.shape), image.dtype)
    pad = ((0, 0), (0, 0), (1, 2))
    with threads_for(sums.size * image.shape[1]):
        for is_steep, first, last in _runs(steep):
            rows = np.pad(image if is_steep else np.ascontiguousarray(image.transpose(0, 2, 1)), pad)
            _line_sums(rows, offsets, slopes, first, last, sums)
    return sums


def backproject(
    sums: Floats, offsets: Floats, slopes: Floats, steep: NDArray[np.bool_], shape: tuple[int, int]
) -> Floats:
    """Spread sums (image, view, ray) along the rays into images (image, row, col): the transpose of ``project``."""
    height, width = shape
    images = np.zeros((sums.shape[0], height, width), sums.dtype)
    with threads_for(sums.size * height):
        for is_steep, first, last in _runs(steep):
            lines, across = (height, width) if is_steep else (width, height)
            rows = np.zeros((sums.shape[0], lines, across + 3), sums.dtype)
            _spread_lines(rows, offsets, slopes, first, last, sums)
            inner = rows[:, :, 1:-2]
            images += inner if is_steep else inner.transpose(0, 2, 1)
    return images

"""Joseph's projector for volumes as numba kernels: bilinear interpolation in every plane that a ray crosses.

A ray steps from plane to plane along its main axis a (the one it runs along most); in plane k it passes through

    (m, i) = (m₀ + m₁ k, i₀ + i₁ k)    in the two other axes, middle and inner,

with weights from the four voxels around, times |d|/|d_a|, the length of a step. For each main axis there is a copy of
the volume with that axis first, so that the rays of a detector row read neighbouring memory.

Forward runs in parallel over (volume, view, detector row); the adjoint over (volume, block of planes): no two threads
write the same memory, so results do not depend on their number. Both get the rays from ``_rays_of_row``, hence their
weights agree to the bit. Planes are padded by one zero before and two after, and positions clamped into the padding: a
ray that leaves the volume interpolates between zeros instead of branching.

Reference: P. M. Joseph, IEEE Trans. Med. Imaging 1(3), 1982.
"""

from collections.abc import Iterator

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

# The axes (main, middle, inner) of the copy for each main axis: the inner one stays in the plane of rotation.
ORDERS = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
# A block of planes and its share of the rays should stay in the second-level cache.
_BLOCK_BYTES = 1 << 19
_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}


@numba.njit(cache=True, nogil=True)
def _rays_of_row(view: Floats, diverging: bool, axis: int, v: int, cols: int, table: Floats, pixels: Counts) -> int:
    """Write the rays of detector row v whose main axis is ``axis``; return how many.

    view (4, 3) in the order (main, middle, inner): source or direction, pixel (0, 0), steps u and v, in padded voxels.
    table (5, col): m₀, m₁, i₀, i₁ and the length of a step; pixels (col,): the detector column of each.
    """
    count = 0
    for u in range(cols):
        p0, p1, p2 = (
            view[1, 0] + u * view[2, 0] + v * view[3, 0],
            view[1, 1] + u * view[2, 1] + v * view[3, 1],
            view[1, 2] + u * view[2, 2] + v * view[3, 2],
        )
        d0, d1, d2 = view[0, 0], view[0, 1], view[0, 2]
        if diverging:
            d0, d1, d2 = p0 - d0, p1 - d1, p2 - d2
        main, middle, inner = abs(d0), abs(d1), abs(d2)
        # Equal components: the first axis of (slice, row, col) has the ray, and no other.
        if (main > middle or (axis == 0 and main == middle)) and (main > inner or (axis < 2 and main == inner)):
            m1, i1 = d1 / d0, d2 / d0
            table[0, count], table[1, count] = p1 - p0 * m1, m1
            table[2, count], table[3, count] = p2 - p0 * i1, i1
            table[4, count] = np.sqrt(1.0 + m1 * m1 + i1 * i1)
            pixels[count] = u
            count += 1
    return count


@numba.njit(parallel=True, cache=True, nogil=True)
def _count_rays(views: Floats, diverging: bool, axis: int, rows: int, cols: int, counts: Counts) -> None:
    """counts (view, v): how many rays of each detector row have this main axis."""
    for job in numba.prange(views.shape[0] * rows):
        table, pixels = np.empty((5, cols), np.float32), np.empty(cols, np.int64)
        view, v = job // rows, job % rows
        counts[view, v] = _rays_of_row(views[view], diverging, axis, v, cols, table, pixels)


@numba.njit(**_OPTIONS)
def _line_sums(planes: Floats, views: Floats, diverging: bool, axis: int, jobs: Counts, sums: Floats) -> None:
    """planes (volume, main, middle + 3, inner + 3); jobs (job, 2): the detector rows (view, v) with such rays."""
    volumes, depth, height, width = planes.shape
    number = planes.dtype.type
    zero, high, far = number(0), number(height - 2), number(width - 2)
    cols = sums.shape[3]
    for task in numba.prange(volumes * jobs.shape[0]):
        volume, view, v = task // jobs.shape[0], jobs[task % jobs.shape[0], 0], jobs[task % jobs.shape[0], 1]
        table, pixels = np.empty((5, cols), planes.dtype), np.empty(cols, np.int64)
        count = _rays_of_row(views[view], diverging, axis, v, cols, table, pixels)
        m0, m1, i0, i1 = table[0, :count], table[1, :count], table[2, :count], table[3, :count]
        total = np.zeros(count, planes.dtype)
        for k in range(depth):
            plane = planes[volume, k].reshape(-1)
            for ray in range(count):
                middle = min(max(m0[ray] + m1[ray] * number(k), zero), high)
                inner = min(max(i0[ray] + i1[ray] * number(k), zero), far)
                m, i = np.int32(middle), np.int32(inner)
                wm, wi = middle - number(m), inner - number(i)
                j = m * np.int32(width) + i
                below = plane[j] + wi * (plane[j + 1] - plane[j])
                above = plane[j + width] + wi * (plane[j + width + 1] - plane[j + width])
                total[ray] += below + wm * (above - below)
        for ray in range(count):
            sums[volume, view, v, pixels[ray]] = total[ray] * table[4, ray]


@numba.njit(**_OPTIONS)
def _spread_lines(
    planes: Floats, views: Floats, diverging: bool, axis: int, jobs: Counts, sums: Floats, block: int
) -> None:
    """The transpose of ``_line_sums``: spreads sums (volume, view, v, u) into planes, ``block`` planes a task."""
    volumes, depth, height, width = planes.shape
    number = planes.dtype.type
    zero, high, far = number(0), number(height - 2), number(width - 2)
    cols = sums.shape[3]
    blocks = (depth + block - 1) // block
    for task in numba.prange(volumes * blocks):
        volume, first = task // blocks, (task % blocks) * block
        table, pixels = np.empty((5, cols), planes.dtype), np.empty(cols, np.int64)
        source = np.empty(cols, planes.dtype)
        for job in range(jobs.shape[0]):
            view, v = jobs[job, 0], jobs[job, 1]
            count = _rays_of_row(views[view], diverging, axis, v, cols, table, pixels)
            for ray in range(count):
                source[ray] = sums[volume, view, v, pixels[ray]] * table[4, ray]
            for k in range(first, min(first + block, depth)):
                plane = planes[volume, k].reshape(-1)
                for ray in range(count):
                    middle = min(max(table[0, ray] + table[1, ray] * number(k), zero), high)
                    inner = min(max(table[2, ray] + table[3, ray] * number(k), zero), far)
                    m, i = np.int32(middle), np.int32(inner)
                    j = m * np.int32(width) + i
                    above = (middle - number(m)) * source[ray]
                    below = source[ray] - above
                    wi = inner - number(i)
                    plane[j] += below - wi * below
                    plane[j + 1] += wi * below
                    plane[j + width] += above - wi * above
                    plane[j + width + 1] += wi * above


def _passes(views: Floats, diverging: bool, rows: int, cols: int) -> Iterator[tuple[int, Floats, Counts]]:
    """Yield (main axis, the views in its order and in padded voxels, the detector rows that have such rays)."""
    for axis, order in enumerate(ORDERS):
        ordered = np.ascontiguousarray(views[:, :, order])
        ordered[:, 1, 1:] += 1.0
        if diverging:
            ordered[:, 0, 1:] += 1.0
        counts = np.zeros((views.shape[0], rows), np.int64)
        _count_rays(ordered, diverging, axis, rows, cols, counts)
        if counts.any():
            yield axis, ordered, np.argwhere(counts)


def _empty_planes(count: int, shape: tuple[int, ...], axis: int, dtype: np.dtype[np.floating]) -> Floats:
    """Return zeros (count, main, middle + 3, inner + 3) for volumes (slice, row, col) in the order of ``axis``."""
    main, middle, inner = (shape[a] for a in ORDERS[axis])
    return np.zeros((count, main, middle + 3, inner + 3), dtype)


def project(volume: Floats, views: Floats, diverging: bool, rows: int, cols: int) -> Floats:
    """Sum volumes (volume, slice, row, col) along rays, in voxel steps; returns (volume, view, v, u).

    ``views`` (view, 4, 3), float64: source or direction, pixel (0, 0), step u, step v as fractional (slice, row, col).
    """
    sums = np.zeros((volume.shape[0], views.shape[0], rows, cols), volume.dtype)
    with threads_for(sums.size * max(volume.shape[1:])):
        for axis, ordered, jobs in _passes(views, diverging, rows, cols):
            planes = _empty_planes(volume.shape[0], volume.shape[1:], axis, volume.dtype)
            planes[:, :, 1:-2, 1:-2] = volume.transpose(0, *(1 + a for a in ORDERS[axis]))
            _line_sums(planes, ordered, diverging, axis, jobs, sums)
    return sums


def backproject(sums: Floats, views: Floats, diverging: bool, shape: tuple[int, int, int]) -> Floats:
    """Spread sums (volume, view, v, u) along the rays into volumes (volume, *shape): the transpose of ``project``."""
    count, _, rows, cols = sums.shape
    volumes = np.zeros((count, *shape), sums.dtype)
    with threads_for(sums.size * max(shape)):
        for axis, ordered, jobs in _passes(views, diverging, rows, cols):
            planes = _empty_planes(count, shape, axis, sums.dtype)
            block = max(_BLOCK_BYTES // planes[0, 0].nbytes, 1)
            _spread_lines(planes, ordered, diverging, axis, jobs, sums, block)
            volumes += planes[:, :, 1:-2, 1:-2].transpose(0, *(1 + np.argsort(ORDERS[axis])))
    return volumes

"""Joseph's projector for stacks on any processor: positions are found once per ray and row, for 8 slices.

(For 4 in float64.) Where there is AVX-512, ``joseph_lanes`` is faster.

Arrays have the slice innermost, (row, col, slice), and every group of slices is kept upright and turned, so that the
two neighbours of an update lie side by side in memory, whether a ray is steep or flat:

    sums[ray] += (1 - w) rows[r, j] + w rows[r, j + 1],     w = position - j

The adjoint spreads the same two weights. Rows are taken in strips, so that what the rays of some views share stays in
the cache; in the adjoint no two strips write the same memory.
"""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import empty, lanes_of
from microlocal.kernels.ray_plan import CHUNK, RayPlan
from microlocal.kernels.slices import STRIP, spread_slices, sum_slices
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}
_CELL = 16  # pixels of a side of the squares in which images are copied


def slices_of(itemsize: int) -> int:
    """How many slices of numbers of ``itemsize`` bytes are one group: half of what a register holds."""
    return lanes_of(itemsize) // 2


def _room(groups: int, lines: int, across: int, dtype: np.dtype[Any]) -> Floats:
    """Memory (group, row, col, slice) for rows in whole registers, with one pixel before each row and two after it.

    Rows are 5 pixels longer than a multiple of 16: neighbours of a column are never far in the same set of the cache.
    """
    lanes = lanes_of(dtype.itemsize)
    return empty((groups, -(-lines // lanes) * lanes, -(-(across - 2) // 16) * 16 + 5, lanes // 2), dtype)


@numba.njit(**_OPTIONS)
def _cleared(rows: Floats) -> None:
    for job in numba.prange(rows.shape[0] * rows.shape[1]):
        rows[job // rows.shape[1], job % rows.shape[1]] = 0


@numba.njit(**_OPTIONS)
def _gathered(images: Floats, upright: Floats, turned: Floats) -> None:
    """Copy images (image, row, col) into the inner parts of ``upright`` and, transposed, of ``turned``."""
    count, height, width = images.shape
    slices = upright.shape[3]
    strips = (height + _CELL - 1) // _CELL
    for job in numba.prange(upright.shape[0] * strips):
        group, top = job // strips, job % strips * _CELL
        bottom = min(top + _CELL, height)
        first = group * slices
        for left in range(0, width, _CELL):
            for r in range(top, bottom):
                for s in range(min(slices, count - first)):
                    for c in range(left, min(left + _CELL, width)):
                        upright[group, r, c + 1, s] = images[first + s, r, c]
            for c in range(left, min(left + _CELL, width)):
                for r in range(top, bottom):
                    turned[group, c, r + 1] = upright[group, r, c + 1]


@numba.njit(**_OPTIONS)
def _joined(upright: Floats, turned: Floats, images: Floats) -> None:
    """The transpose of ``_gathered``."""
    count, height, width = images.shape
    slices = upright.shape[3]
    strips = (height + _CELL - 1) // _CELL
    for job in numba.prange(upright.shape[0] * strips):
        group, top = job // strips, job % strips * _CELL
        bottom = min(top + _CELL, height)
        first = group * slices
        for left in range(0, width, _CELL):
            for c in range(left, min(left + _CELL, width)):
                for r in range(top, bottom):
                    for s in range(slices):
                        upright[group, r, c + 1, s] += turned[group, c, r + 1, s]
            for r in range(top, bottom):
                for s in range(min(slices, count - first)):
                    for c in range(left, min(left + _CELL, width)):
                        images[first + s, r, c] = upright[group, r, c + 1, s]


@numba.njit(**_OPTIONS)
def _packed(sums: Floats, lengths: Floats, data: Floats) -> None:
    """Copy sums (image, datum), times the lengths, to data (group, datum, slice)."""
    count, size = sums.shape
    slices = data.shape[2]
    parts = (size + 255) // 256
    for job in numba.prange(data.shape[0] * parts):
        group, begin = job // parts, job % parts * 256
        first = group * slices
        for s in range(min(slices, count - first)):
            for k in range(begin, min(begin + 256, size)):
                data[group, k, s] = sums[first + s, k] * lengths[k]


@numba.njit(**_OPTIONS)
def _sum(
    upright: Floats,
    turned: Floats,
    shift: float,
    offsets: Floats,
    slopes: Floats,
    lengths: Floats,
    blocks: Counts,
    begins: Counts,
    sums: Floats,
) -> None:
    """Write to sums (image, view, ray) what the rays collect from the two copies of the images."""
    groups, height, stride, slices = upright.shape  # at most two groups
    width, turned_stride = turned.shape[1:3]
    up, over = upright.reshape(upright.size), turned.reshape(turned.size)
    count, views, rays = sums.shape
    lanes, tall = 2 * slices, STRIP // groups
    for chunk in numba.prange(begins.size - 1):
        view = chunk * CHUNK
        seen = min(CHUNK, views - view)
        beyond = seen * rays * slices
        here = np.zeros(groups * beyond, sums.dtype)
        for top in range(0, max(height, width), tall):
            for b in range(begins[chunk], begins[chunk + 1]):
                begin, end = max(blocks[b, 4], top) // lanes * lanes, min(blocks[b, 5], top + tall)
                rows = (end - begin + lanes - 1) // lanes * lanes
                for k in range(blocks[b, 3] if begin < end else 0):
                    ray, place = blocks[b, 1] + k, (blocks[b, 2] + k - view * rays) * slices
                    offset, slope = offsets[ray] - shift, slopes[ray]
                    if blocks[b, 0] == 0:
                        step, at = stride * slices, begin * stride * slices
                        limit, apart = stride - 2, height * step
                        sum_slices(up, at, step, limit, begin, rows, offset, slope, here, place, groups, apart, beyond)
                    else:
                        step, at = turned_stride * slices, begin * turned_stride * slices
                        limit, apart = turned_stride - 2, width * step
                        sum_slices(
                            over, at, step, limit, begin, rows, offset, slope, here, place, groups, apart, beyond
                        )
        for s in range(count):
            for v in range(seen):
                for k in range(rays):
                    place = s // slices * beyond + (v * rays + k) * slices + s % slices
                    sums[s, view + v, k] = lengths[(view + v) * rays + k] * here[place]


@numba.njit(**_OPTIONS)
def _spread(
    data: Floats,
    shift: float,
    offsets: Floats,
    slopes: Floats,
    blocks: Counts,
    upright: Floats,
    turned: Floats,
) -> None:
    """Add to the two copies of the images what data (group, datum, slice) spread."""
    groups, height, stride, slices = upright.shape  # at most two groups
    width, turned_stride = turned.shape[1:3]
    up, over, flat = upright.reshape(upright.size), turned.reshape(turned.size), data.reshape(data.size)
    lanes, tall = 2 * slices, STRIP // groups
    strips, turned_strips = (height + tall - 1) // tall, (width + tall - 1) // tall
    beyond = data.shape[1] * slices
    for strip in numba.prange(strips + turned_strips):
        kind = 0 if strip < strips else 1
        top = (strip - kind * strips) * tall
        for b in range(blocks.shape[0]):
            begin, end = max(blocks[b, 4], top) // lanes * lanes, min(blocks[b, 5], top + tall)
            rows = (end - begin + lanes - 1) // lanes * lanes
            for k in range(blocks[b, 3] if begin < end and blocks[b, 0] == kind else 0):
                ray, place = blocks[b, 1] + k, (blocks[b, 2] + k) * slices
                offset, slope = offsets[ray] - shift, slopes[ray]
                if kind == 0:
                    step, at = stride * slices, begin * stride * slices
                    limit, apart = stride - 2, height * step
                    spread_slices(up, at, step, limit, begin, rows, offset, slope, flat, place, groups, apart, beyond)
                else:
                    step, at = turned_stride * slices, begin * turned_stride * slices
                    limit, apart = turned_stride - 2, width * step
                    spread_slices(over, at, step, limit, begin, rows, offset, slope, flat, place, groups, apart, beyond)


def project(images: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Sum images (image, row, col) along the planned rays; returns (image, view, ray), ``shape`` its last two axes."""
    count, height, width = images.shape
    sums = np.empty((count, *shape), images.dtype)
    upright, turned = _rooms(count, height, width, images.dtype)
    with threads_for(sums.size * height):
        _cleared(upright)
        _cleared(turned)
        for now, groups in _turns(count, images.itemsize):
            _gathered(images[now], upright[:groups], turned[:groups])
            _sum(upright[:groups], turned[:groups], *_rays(plan), plan.lengths, plan.blocks, plan.chunks, sums[now])
    return sums


def backproject(sums: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Spread sums (image, view, ray) along the planned rays into images of ``shape``: the transpose of ``project``."""
    count, size = sums.shape[0], sums.shape[1] * sums.shape[2]
    images = np.empty((count, *shape), sums.dtype)
    upright, turned = _rooms(count, *shape, sums.dtype)
    data = empty((upright.shape[0], size, upright.shape[3]), sums.dtype)
    with threads_for(sums.size * shape[0]):
        _cleared(data)
        for now, groups in _turns(count, sums.itemsize):
            _cleared(upright[:groups])
            _cleared(turned[:groups])
            _packed(sums[now].reshape(-1, size), plan.lengths, data[:groups])
            _spread(data[:groups], *_rays(plan), plan.blocks, upright[:groups], turned[:groups])
            _joined(upright[:groups], turned[:groups], images[now])
    return images


def _turns(count: int, itemsize: int) -> Iterator[tuple[slice, int]]:
    """The slices of one turn and the number of their groups: two, and in the last turn perhaps one."""
    slices = slices_of(itemsize)
    for first in range(0, count, 2 * slices):
        last = min(first + 2 * slices, count)
        yield slice(first, last), -(-(last - first) // slices)


def _rooms(count: int, height: int, width: int, dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    groups = min(2, -(-count // slices_of(dtype.itemsize)))
    return _room(groups, height, width, dtype), _room(groups, width, height, dtype)


def _rays(plan: RayPlan) -> tuple[np.floating, Floats, Floats]:
    """By how much the table's positions exceed those here, where pixel 0 is at 1; and the table."""
    number = plan.offsets.dtype.type
    return number(2 * lanes_of(plan.offsets.itemsize) - 1), plan.offsets, plan.slopes

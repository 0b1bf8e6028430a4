"""Joseph's projector for stacks of images: positions are found once per ray and row, slices fill the registers.

Arrays have the slice innermost, (row, col, slice), so that the two neighbours of an update are two plain vector
loads for 16 slices at once (8 in float64):

    sums[ray] += (1 - w) rows[r, j] + w rows[r, j + 1],     w = position - j

The adjoint spreads the same two weights. Rows are taken in strips, so that what the rays of a view share stays in
the cache; in the adjoint no two strips write the same memory.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import lanes_of, zeros
from microlocal.kernels.ray_plan import RayPlan
from microlocal.kernels.slices import spread_slices, sum_slices
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}
_BEFORE, _BOTH = 1, 5  # zero pixels before an image, and before and after it together, since rows come in fours


@numba.njit(**_OPTIONS)
def _gathered(images: Floats, before: int, stack: Floats) -> None:
    """Copy images (image, row, col) into the inner part of stack (group, row, col, slice)."""
    count, height, width = images.shape
    lanes = stack.shape[3]
    for job in numba.prange(stack.shape[0] * height):
        group, r = job // height, job % height
        line = stack[group, r + before]
        for s in range(group * lanes, min(group * lanes + lanes, count)):
            for c in range(width):
                line[c + before, s - group * lanes] = images[s, r, c]


@numba.njit(**_OPTIONS)
def _scattered(stack: Floats, before: int, images: Floats) -> None:
    """Copy the inner part of stack (group, row, col, slice) to images (image, row, col)."""
    count, height, width = images.shape
    lanes = stack.shape[3]
    for job in numba.prange(stack.shape[0] * height):
        group, r = job // height, job % height
        line = stack[group, r + before]
        for s in range(group * lanes, min(group * lanes + lanes, count)):
            for c in range(width):
                images[s, r, c] = line[c + before, s - group * lanes]


@numba.njit(cache=True, nogil=True)
def _fours(begin: int, end: int) -> tuple[int, int]:
    """Widen rows begin..end-1 to whole fours; nothing to nothing."""
    return (begin // 4 * 4, -(-end // 4) * 4) if begin < end else (0, 0)


@numba.njit(**_OPTIONS)
def _sum(
    stack: Floats,
    pad: int,
    offsets: Floats,
    slopes: Floats,
    lengths: Floats,
    blocks: Counts,
    begins: Counts,
    sums: Floats,
) -> None:
    """Add to sums (group, datum, slice) what the rays collect from stack (group, row + ..., col + ..., slice)."""
    groups, height, width, lanes = stack.shape
    pixels, flat = stack.reshape(stack.size), sums.reshape(sums.size)
    shift = offsets.dtype.type(pad - _BEFORE)
    chunks = begins.size - 1
    for job in numba.prange(groups * chunks):
        group, chunk = job // chunks, job % chunks
        first, last = begins[chunk], begins[chunk + 1]
        for top in range(0, max(height, width) - _BOTH, lanes):
            for b in range(first, last):
                begin, end = _fours(max(blocks[b, 4], top), min(blocks[b, 5], top + lanes))
                across, along, limit = lanes * width, lanes, width - 4
                if blocks[b, 0] == 1:
                    across, along, limit = lanes, lanes * width, height - 4
                at = group * height * width * lanes + (begin + _BEFORE) * across
                for k in range(blocks[b, 3] if begin < end else 0):
                    ray, place = blocks[b, 1] + k, (group * sums.shape[1] + blocks[b, 2] + k) * lanes
                    offset = offsets[ray] - shift
                    slope, length = slopes[ray], lengths[blocks[b, 2] + k]
                    sum_slices(
                        pixels, at, across, along, limit, begin, end - begin, offset, slope, length, flat, place
                    )


@numba.njit(**_OPTIONS)
def _spread(
    sums: Floats,
    pad: int,
    offsets: Floats,
    slopes: Floats,
    lengths: Floats,
    blocks: Counts,
    kind: int,
    stack: Floats,
) -> None:
    """The transpose of ``_sum`` for the rays of one kind, steep (0) or flat (1)."""
    groups, height, width, lanes = stack.shape
    pixels, flat = stack.reshape(stack.size), sums.reshape(sums.size)
    shift = offsets.dtype.type(pad - _BEFORE)
    across, along, limit, lines = lanes * width, lanes, width - 4, height - _BOTH
    if kind == 1:
        across, along, limit, lines = lanes, lanes * width, height - 4, width - _BOTH
    strips = (lines + lanes - 1) // lanes
    for job in numba.prange(groups * strips):
        group, top = job // strips, job % strips * lanes
        for b in range(blocks.shape[0]):
            begin, end = _fours(max(blocks[b, 4], top), min(blocks[b, 5], top + lanes))
            at = group * height * width * lanes + (begin + _BEFORE) * across
            for k in range(blocks[b, 3] if begin < end and blocks[b, 0] == kind else 0):
                ray, place = blocks[b, 1] + k, (group * sums.shape[1] + blocks[b, 2] + k) * lanes
                offset = offsets[ray] - shift
                slope, length = slopes[ray], lengths[blocks[b, 2] + k]
                spread_slices(pixels, at, across, along, limit, begin, end - begin, offset, slope, length, flat, place)


def project(images: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Sum images (image, row, col) along the planned rays; returns (image, view, ray), ``shape`` its last two axes."""
    count, height, width = images.shape
    lanes = lanes_of(images.itemsize)
    groups = -(-count // lanes)
    stack = zeros((groups, height + _BOTH, width + _BOTH, lanes), images.dtype)
    sums = zeros((groups, shape[0], shape[1], lanes), images.dtype)
    result = np.empty((count, *shape), images.dtype)
    with threads_for(result.size * height):
        _gathered(images, _BEFORE, stack)
        flat = sums.reshape(groups, -1, lanes)
        _sum(stack, 2 * lanes, plan.offsets, plan.slopes, plan.lengths, plan.blocks, plan.chunks, flat)
        _scattered(sums, 0, result)
    return result


def backproject(sums: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Spread sums (image, view, ray) along the planned rays into images of ``shape``: the transpose of ``project``."""
    count, views, rays = sums.shape
    lanes = lanes_of(sums.itemsize)
    groups = -(-count // lanes)
    stack = zeros((groups, shape[0] + _BOTH, shape[1] + _BOTH, lanes), sums.dtype)
    data = zeros((groups, views, rays, lanes), sums.dtype)
    images = np.empty((count, *shape), sums.dtype)
    with threads_for(sums.size * shape[0]):
        _gathered(sums, 0, data)
        flat = data.reshape(groups, -1, lanes)
        for kind in (0, 1):
            _spread(flat, 2 * lanes, plan.offsets, plan.slopes, plan.lengths, plan.blocks, kind, stack)
        _scattered(stack, _BEFORE, images)
    return images

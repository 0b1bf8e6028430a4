"""Joseph's projector on vector registers: the same sums as ``joseph``, several times faster."""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import add_pixels, add_rays, zeros
from microlocal.kernels.ray_plan import CELL, RayPlan, pixels_of, ray_at
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}
_STRIP = 64  # rows of the image that stay in the second-level cache while all rays of some views pass through


@numba.njit(**_OPTIONS)
def _both_ways(images: Floats, pad: int, upright: Floats, turned: Floats) -> None:
    """Copy images (image, row, col) into the padded rows of ``upright`` and, transposed, of ``turned``."""
    count, height, width = images.shape
    strips = (height + CELL - 1) // CELL
    for job in numba.prange(count * strips):
        image, top = job // strips, job % strips * CELL
        bottom = min(top + CELL, height)
        for r in range(top, bottom):
            upright[image, r, pad : pad + width] = images[image, r]
        for c in range(width):
            for r in range(top, bottom):
                turned[image, c, pad + r] = images[image, r, c]


@numba.njit(**_OPTIONS)
def _line_sums(
    upright: Floats,
    turned: Floats,
    pad: int,
    offsets: Floats,
    slopes: Floats,
    lengths: Floats,
    blocks: Counts,
    begins: Counts,
    sums: Floats,
) -> None:
    """Add to sums (image, datum) what the rays of all blocks collect from the two padded images."""
    count, height, stride = upright.shape
    width, turned_stride = turned.shape[1:]
    up, over = upright.reshape(upright.size), turned.reshape(turned.size)
    chunks = begins.size - 1
    for job in numba.prange(count * chunks):
        image, chunk = job // chunks, job % chunks
        here = np.empty(pad // 2, sums.dtype)
        first, last = begins[chunk], begins[chunk + 1]
        for top in range(0, max(height, width), _STRIP):
            for b in range(first, last):
                begin, end = max(blocks[b, 4], top), min(blocks[b, 5], top + _STRIP)
                if begin < end:
                    ray, datum, rays = blocks[b, 1], blocks[b, 2], blocks[b, 3]
                    if blocks[b, 0] == 0:
                        at, limit = image * height * stride, pad + width
                        add_rays(up, at, stride, limit, begin, end, offsets, slopes, ray, rays, here)
                    else:
                        at, limit = image * width * turned_stride, pad + height
                        add_rays(over, at, turned_stride, limit, begin, end, offsets, slopes, ray, rays, here)
                    for k in range(rays):
                        sums[image, datum + k] += lengths[datum + k] * here[k]


@numba.njit(**_OPTIONS)
def _spread(
    data: Floats,
    pad: int,
    tables: Floats,
    lines_of: Floats,
    runs: Counts,
    slacks: Floats,
    tall: int,
    knots: Floats,
    upright: Floats,
    turned: Floats,
) -> None:
    """Add to the images (image, row, col + lanes) and their transposes what data (image, table) spread."""
    count, height, room = upright.shape
    width, turned_room = turned.shape[1:]
    up, over = upright.reshape(upright.size), turned.reshape(turned.size)
    flat = data.reshape(data.size)
    strips, turned_strips = (height + tall - 1) // tall, (width + tall - 1) // tall
    jobs = strips + turned_strips
    for job in numba.prange(count * jobs):
        image, strip = job // jobs, job % jobs
        at = image * data.shape[1]
        for i in range(runs.shape[0]):
            kind, ray = runs[i, 1], runs[i, 4]
            table, line, k_of = tables[ray : ray + runs[i, 3] + 2 * pad], lines_of[i], knots[i]
            if strip < strips and kind == 0:
                top, bottom = max(strip * tall, runs[i, 5]), min(strip * tall + tall, runs[i, 6])
                place = image * height * room
                _spread_run(flat, at + ray, pad, table, line, k_of, slacks[i], top, bottom, width, up, place, room)
            elif strip >= strips and kind == 1:
                top, bottom = max((strip - strips) * tall, runs[i, 5]), min((strip - strips + 1) * tall, runs[i, 6])
                place = image * width * turned_room
                _spread_run(
                    flat, at + ray, pad, table, line, k_of, slacks[i], top, bottom, height, over, place, turned_room
                )


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _spread_run(
    data: Floats,
    at: int,
    pad: int,
    table: Floats,
    line: Floats,
    k_of: Floats,
    slack: float,
    top: int,
    bottom: int,
    across: int,
    out: Floats,
    place: int,
    room: int,
) -> None:
    """Rows top..bottom-1 of the image at ``place`` from one run, whose data and table begin at ``at`` and at 0."""
    if top >= bottom:
        return
    number = data.dtype.type
    cells, rows = (across + CELL - 1) // CELL, bottom - top
    above, below = np.empty(cells + 1, data.dtype), np.empty(cells + 1, data.dtype)
    ray_at(line, k_of, top, float(pad), above)
    ray_at(line, k_of, bottom - 1, float(pad), below)
    starts, steps = np.empty((rows, cells), data.dtype), np.empty((rows, cells), data.dtype)
    firsts, taps = np.empty((rows, cells), np.int32), np.empty(cells, np.int64)
    densest = number(0)
    for e in range(cells):
        density = max(abs(above[e + 1] - above[e]), abs(below[e + 1] - below[e])) * number(1 / CELL)
        densest = max(densest, density)
        taps[e] = np.int64(number(2) * (density + slack) + number(1 - 1e-5))
    per_block = min(max(pixels_of(pad, densest, slack), 1), pad // 2)
    limit, gap = number(table.size - pad), number(1) / number(max(rows - 1, 1))
    for inner in range(0, CELL, per_block):
        pixels = min(per_block, CELL - inner)
        near, far = number(inner), number(pixels - 1)
        for r in range(rows):
            share = number(r) * gap
            start, step, first = starts[r], steps[r], firsts[r]
            for e in range(cells):
                left, right = (
                    above[e] + share * (below[e] - above[e]),
                    above[e + 1] + share * (below[e + 1] - above[e + 1]),
                )
                change = (right - left) * number(1 / CELL)
                begin = left + change * near + (number(1) - slack)
                first[e] = np.int32(min(max(min(begin, begin + change * far), number(0)), limit))
                start[e], step[e] = begin - number(first[e]), change
        for r in range(rows):
            shift, scale = number(line[0] + line[1] * (top + r)), number(line[2] + line[3] * (top + r))
            one, other = shift + scale * table[pad], shift + scale * table[table.size - pad - 1]
            # Cut off towards zero: math.floor would be a call that spills every vector register.
            begin_cell = int(max(min(one, other) - number(pad), number(0))) // CELL
            end_cell = min(int(max(max(one, other) - number(pad - CELL - 1), number(0))) // CELL, cells)
            target = place + (top + r) * room + inner
            for e in range(begin_cell, end_cell):
                base = shift - number(CELL * e + inner + pad)
                add_pixels(
                    table, base, scale, data, at, firsts, starts, steps, r * cells + e, taps[e], pixels,
                    out, target + CELL * e,
                )  # fmt: skip


@numba.njit(**_OPTIONS)
def _joined(upright: Floats, turned: Floats, images: Floats) -> None:
    count, height, width = images.shape
    strips = (height + CELL - 1) // CELL
    for job in numba.prange(count * strips):
        image, top = job // strips, job % strips * CELL
        bottom = min(top + CELL, height)
        for r in range(top, bottom):
            images[image, r] = upright[image, r, :width]
        for c in range(width):
            for r in range(top, bottom):
                images[image, r, c] += turned[image, c, r]


@numba.njit(**_OPTIONS)
def _packed(sums: Floats, lengths: Floats, pad: int, runs: Counts, views: int, data: Floats) -> None:
    """Copy sums (image, datum), times the lengths, into the layout of the tables, with zeros in the pads."""
    rays = sums.shape[1] // views
    for job in numba.prange(sums.shape[0] * runs.shape[0]):
        image, i = job // runs.shape[0], job % runs.shape[0]
        datum, count, place = runs[i, 0] * rays + runs[i, 2], runs[i, 3], runs[i, 4] + pad
        for k in range(count):
            data[image, place + k] = sums[image, datum + k] * lengths[datum + k]


def project(images: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Sum images (image, row, col) along the planned rays; returns (image, view, ray), ``shape`` its last two axes."""
    count, height, width = images.shape
    pad = 128 // images.itemsize
    upright = zeros((count, height, width + 2 * pad), images.dtype)
    turned = zeros((count, width, height + 2 * pad), images.dtype)
    sums = zeros((count, shape[0] * shape[1]), images.dtype)
    with threads_for(sums.size * height):
        _both_ways(images, pad, upright, turned)
        _line_sums(upright, turned, pad, plan.offsets, plan.slopes, plan.lengths, plan.blocks, plan.chunks, sums)
    return sums.reshape(count, *shape)


def backproject(sums: Floats, plan: RayPlan, shape: tuple[int, int]) -> Floats:
    """Spread sums (image, view, ray) along the planned rays into images of ``shape``: the transpose of ``project``."""
    count, views = sums.shape[:2]
    height, width = shape
    pad = 128 // sums.itemsize
    data = zeros((count, plan.offsets.size), sums.dtype)
    upright = zeros((count, height, width + pad), sums.dtype)
    turned = zeros((count, width, height + pad), sums.dtype)
    images = np.empty((count, height, width), sums.dtype)
    with threads_for(sums.size * height):
        _packed(sums.reshape(count, -1), plan.lengths, pad, plan.runs, views, data)
        _spread(
            data,
            pad,
            plan.tables,
            plan.lines,
            plan.runs,
            plan.slacks,
            int(plan.tall[0]),
            plan.knots,
            upright,
            turned,
        )
        _joined(upright, turned, images)
    return images

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
    begin, end = _cells(line, table[pad], table[table.size - pad - 1], top, bottom, float(pad), cells)
    densest = number(0)
    for e in range(begin, end):
        densest = max(densest, abs(above[e + 1] - above[e]), abs(below[e + 1] - below[e]))
    per_block = min(max(pixels_of(pad, densest / CELL, slack), 1), pad // 2)
    limit, gap = number(table.size - pad), number(1) / number(max(rows - 1, 1))
    shift, scale = number(line[0] + line[1] * top - pad), number(line[2] + line[3] * top)
    corners = np.empty(10, data.dtype)
    corners[7], corners[8], corners[9] = number(line[1]), scale, number(line[3])
    for e in range(begin, end):
        step = (above[e + 1] - above[e]) * number(1 / CELL)
        last = (below[e + 1] - below[e]) * number(1 / CELL)
        dense = number(0)  # rays a pixel, also in the cells beside this one: the hats of its end pixels reach there
        for near in range(max(e - 1, 0), min(e + 2, cells)):
            dense = max(dense, abs(above[near + 1] - above[near]), abs(below[near + 1] - below[near]))
        taps = int(number(2) * (dense * number(1 / CELL) + slack) + number(1 - 1e-5))
        for inner in range(0, CELL, per_block):
            pixels = min(per_block, CELL - inner)
            start = above[e] + step * number(inner) + (number(1) - slack)
            change = below[e] + last * number(inner) + (number(1) - slack) - start
            # The least of the guesses is that of the first pixel or of the last one.
            far = number(pixels - 1) if step < 0 else number(0)
            corners[0], corners[1], corners[2], corners[3] = start, change * gap, step, (last - step) * gap
            corners[4], corners[5] = start + step * far - number(0.01), (change + (last - step) * far) * gap
            corners[6] = shift - number(CELL * e + inner)
            target = place + top * room + CELL * e + inner
            add_pixels(table, data, at, limit, corners, taps, rows, pixels, out, target, room)


@numba.njit(cache=True, nogil=True)
def _cells(
    line: Floats, first: float, last: float, top: int, bottom: int, pad: float, cells: int
) -> tuple[int, int]:
    """The cells begin..end-1 that the rays between ``first`` and ``last`` (in z) touch in these rows."""
    low, high = np.inf, -np.inf
    for row in (top, bottom - 1):
        for z in (first, last):
            x = line[0] + line[1] * row + (line[2] + line[3] * row) * z - pad
            low, high = min(low, x), max(high, x)
    return int(max(low, 0.0)) // CELL, min(int(max(high + CELL + 1, 0.0)) // CELL, cells)


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
    beyond = CELL + pad // 2  # the register that is stored last begins within the last cell
    upright = zeros((count, height, width + beyond), sums.dtype)
    turned = zeros((count, width, height + beyond), sums.dtype)
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

"""Pixel-driven backprojection on vector registers: the same sums as ``pixel_driven``, several times faster.

Neighbouring pixels of a row read neighbouring detector pixels, so that what a register of pixels needs lies in a window
of two registers: it is read by two plain loads, and both neighbours are picked from them inside the registers (see
``lanes``). That holds while a step of one pixel moves less than 1.8 pixels on the detector, which is proved before; up
to 3.8 the window has four registers. Where a fine detector or a source that is near make longer steps, both neighbours
are gathered, a load for each pixel.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from microlocal.kernels.lanes import AVAILABLE, INT64, Vectors, lanes_of, pointer, whole_registers, zeros
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]

_ROWS = 8  # rows a task: their sums stay in the first-level cache while all views pass
_STRIPS = 16  # strips of rows over which the steps on the detector are bounded
# The longest step by registers of a window: 16 pixels reach over 27 + 2 of 32 (8: 13 + 2 of 16), or 57 + 2 of 64.
LONGEST_STEP = {2: 1.8, 4: 3.8}


def applies(views: Floats, shape: tuple[int, int]) -> bool:
    """Whether the processor has the instructions, and every pixel lies before the source."""
    return AVAILABLE and bool((_depths(views, shape[0], shape[1]) > 0).all())


def registers_for(views: Floats, shape: tuple[int, int]) -> int:
    """Return how many registers make windows for every pixel's step on the detector, 0 where not even four do.

    Along a row the derivative of (n + n_c c)/(d + d_c c) is (n_c d - n d_c)/(d + d_c c)². The numerator is affine in
    the row, the denominator's root in row and column, so that over a strip of rows each is extreme at its corners.
    """
    n0, nr, nc, d0, dr, dc = views.T[..., None]
    rows = _strips(shape[0])
    slope = np.abs(nc * (d0 + dr * rows) - (n0 + nr * rows) * dc)
    depth = _depths(views, shape[0], whole_registers(shape[1], 16)).min(axis=2)
    steepest = np.maximum(slope[:, 1:], slope[:, :-1])
    nearest = np.minimum(depth[:, 1:], depth[:, :-1])
    if not (depth > 0).all():  # pixels that fill up the last register of a row may lie behind the source
        return 0
    longest = float((steepest / nearest**2).max())
    return next((registers for registers, step in LONGEST_STEP.items() if longest <= step), 0)


def _strips(height: int) -> Floats:
    return np.linspace(0, height - 1, _STRIPS + 1)


def _depths(views: Floats, height: int, width: int) -> Floats:
    """Return the denominators (view, row, end) at both ends of some rows."""
    below, below_row, below_col = views.T[3:, :, None, None]
    return below + below_row * _strips(height)[:, None] + below_col * np.array([0, width - 1])


def _line_adder(diverging: bool, registers: int) -> Any:
    """Return the intrinsic that adds one view to one row of pixels; with parallel rays there is no division."""

    def add_line(typing: Any, data, at, limit, above, above_step, below, below_step, weight, out, place, count):  # type: ignore[no-untyped-def]
        """out[place + c] += weight/d² lerp(data[at:], n/d), n = above + above_step c, d = below + below_step c."""
        del typing
        number = data.dtype
        signature = types.void(data, types.int64, types.int64, *([number] * 5), out, types.int64, types.int64)

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            at, limit, place, count = (arguments[i] for i in (1, 2, 9, 10))
            values, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 8))
            v = Vectors(builder, signature.args[0].dtype == types.float32)
            above, above_step, below, below_step, weight = (v.splat(a) for a in arguments[3:8])
            iota = ir.Constant(v.floats, [float(i) for i in range(v.lanes)])
            step = ir.Constant(INT64, v.lanes)
            with cgutils.for_range_slice(builder, ir.Constant(INT64, 0), count, step, INT64) as (c, _):
                center = builder.fadd(v.splat(builder.sitofp(c, v.number)), iota)
                position, factor = v.fma(above_step, center, above), weight
                if diverging:
                    inverse = builder.fdiv(v.constant(1.0), v.fma(below_step, center, below))
                    position = builder.fmul(position, inverse)
                    factor = builder.fmul(weight, builder.fmul(inverse, inverse))
                if registers:
                    share, here, following = _picked(v, values, at, limit, position, registers)
                else:
                    share, here, following = _gathered(v, values, at, limit, position)
                value = v.fma(share, builder.fsub(following, here), here)
                target = builder.add(place, c)
                v.store(v.fma(factor, value, v.load(result, target)), result, target)
            return context.get_dummy_value()

        return signature, codegen

    return intrinsic(add_line)


def _picked(v: Vectors, values: Any, at: Any, limit: Any, position: Any, registers: int) -> tuple[Any, Any, Any]:
    """The share of the right neighbours, the left ones and the right ones, all in a window from the first one on."""
    builder = v.builder
    first, window = v.window(builder.gep(values, [at]), position, limit, registers, 0)
    relative = builder.fsub(position, v.splat(builder.sitofp(first, v.number)))
    whole = builder.fptosi(relative, v.integers)
    following = builder.add(whole, ir.Constant(v.integers, [1] * v.lanes))
    share = builder.fsub(relative, builder.sitofp(whole, v.floats))
    return share, v.pick_of(window, whole), v.pick_of(window, following)


def _gathered(v: Vectors, values: Any, at: Any, limit: Any, position: Any) -> tuple[Any, Any, Any]:
    """The same of any positions; those beyond the detector are moved to its ends, where data are zero."""
    builder = v.builder
    most, nothing = v.splat(builder.sitofp(limit, v.number)), v.constant(0.0)
    position = builder.select(builder.fcmp_ordered("<", position, most), position, most)
    position = builder.select(builder.fcmp_ordered(">", position, nothing), position, nothing)
    whole = builder.fptosi(position, v.integers)
    here = builder.gep(values, [at])
    following = builder.gep(here, [ir.Constant(INT64, 1)])
    share = builder.fsub(position, builder.sitofp(whole, v.floats))
    return share, v.gather(here, whole), v.gather(following, whole)


add_by_two, _two_diverging = _line_adder(False, 2), _line_adder(True, 2)
add_by_four, _four_diverging = _line_adder(False, 4), _line_adder(True, 4)
_gather_parallel, _gather_diverging = _line_adder(False, 0), _line_adder(True, 0)


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract"})
def _accumulate(
    data: Floats, views: Floats, weights: Floats, pad: int, diverging: bool, registers: int, images: Floats
) -> None:
    """data (image, view, pad + detector + pad); views (view, 6), float64; images (image, row, col rounded up)."""
    count, height, width = images.shape
    number = data.dtype.type
    lines, length = data.reshape(data.size), data.shape[2]
    strips = (height + _ROWS - 1) // _ROWS
    flat = images.reshape(images.size)
    for task in numba.prange(count * strips):
        image, top = task // strips, task % strips * _ROWS
        for view in range(views.shape[0]):
            at, weight, table = (image * views.shape[0] + view) * length, weights[view], views[view]
            for r in range(top, min(top + _ROWS, height)):
                above, below = number(table[0] + table[1] * r), number(table[3] + table[4] * r)
                across, along, place = number(table[2]), number(table[5]), (image * height + r) * width
                last = length - pad
                if diverging and registers == 2:
                    _two_diverging(lines, at, last, above, across, below, along, weight, flat, place, width)
                elif diverging and registers == 4:
                    _four_diverging(lines, at, last, above, across, below, along, weight, flat, place, width)
                elif diverging:
                    _gather_diverging(lines, at, last, above, across, below, along, weight, flat, place, width)
                elif registers == 2:
                    add_by_two(lines, at, last, above, across, below, along, weight, flat, place, width)
                elif registers == 4:
                    add_by_four(lines, at, last, above, across, below, along, weight, flat, place, width)
                else:
                    _gather_parallel(lines, at, last, above, across, below, along, weight, flat, place, width)


def accumulate(data: Floats, views: Floats, weights: Floats, power: int, shape: tuple[int, int]) -> Floats:
    """Return what ``pixel_driven.accumulate`` does; only where ``applies``, with ``power`` 2 for fans, 0 for others."""
    lanes = lanes_of(data.itemsize)
    registers = registers_for(views, shape)
    pad = max(registers, 2) * lanes
    padded = zeros((*data.shape[:2], whole_registers(data.shape[2] + 2 * pad, lanes)), data.dtype)
    padded[:, :, pad : pad + data.shape[2]] = data
    images = zeros((data.shape[0], shape[0], whole_registers(shape[1], lanes)), data.dtype)
    shifted = views.copy()
    shifted[:, :3] += (pad - 1) * views[:, 3:]  # positions counted from one pixel of padding before
    with threads_for(images.size * data.shape[1]):
        _accumulate(padded, shifted, weights.astype(data.dtype), pad, power == 2, registers, images)
    return np.ascontiguousarray(images[:, :, : shape[1]])

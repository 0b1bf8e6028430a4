"""Pixel-driven backprojection on vector registers: the same sums as ``pixel_driven``, several times faster.

Neighbouring pixels of a row read neighbouring detector pixels, so that what a register of pixels needs lies in a window
of two registers: it is read by two plain loads, and both neighbours are picked from them inside the registers (see
``lanes``). That holds while a step of one pixel moves less than 1.8 pixels on the detector; ``applies`` proves it.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from microlocal.kernels.lanes import AVAILABLE, INT64, Vectors, lanes_of, pointer, zeros
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]

_ROWS = 8  # rows a task: their sums stay in the first-level cache while all views pass
_STRIPS = 16  # strips of rows over which the steps on the detector are bounded
_LONGEST_STEP = 1.8  # detector pixels a pixel: 16 pixels reach over 27 + 2 of the 32 in the window (8: 13 + 2 of 16)


def applies(views: Floats, shape: tuple[int, int]) -> bool:
    """Whether the processor has the instructions, and every pixel's step on the detector is short enough.

    Along a row the derivative of (n + n_c c)/(d + d_c c) is (n_c d - n d_c)/(d + d_c c)². The numerator is affine in
    the row, the denominator's root in row and column, so that over a strip of rows each is extreme at its corners.
    """
    if not AVAILABLE:
        return False
    rows = np.linspace(0, shape[0] - 1, _STRIPS + 1)
    cols = np.array([0, _whole_registers(shape[1], 16) - 1])
    n0, nr, nc, d0, dr, dc = views.T[..., None]
    slope = np.abs(nc * (d0 + dr * rows) - (n0 + nr * rows) * dc)
    depth = (d0[..., None] + dr[..., None] * rows[:, None] + dc[..., None] * cols).min(axis=2)
    steepest = np.maximum(slope[:, 1:], slope[:, :-1])
    nearest = np.minimum(depth[:, 1:], depth[:, :-1])
    return bool((depth > 0).all() and (steepest <= _LONGEST_STEP * nearest**2).all())


def _whole_registers(count: int, lanes: int) -> int:
    """Round up to a multiple of ``lanes``."""
    return -(-count // lanes) * lanes


def _line_adder(diverging: bool) -> Any:
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
            ends = [ir.Constant(ir.IntType(32), i) for i in (0, v.lanes - 1)]
            step = ir.Constant(INT64, v.lanes)
            with cgutils.for_range_slice(builder, ir.Constant(INT64, 0), count, step, INT64) as (c, _):
                center = builder.fadd(v.splat(builder.sitofp(c, v.number)), iota)
                position, factor = v.fma(above_step, center, above), weight
                if diverging:
                    inverse = builder.fdiv(v.constant(1.0), v.fma(below_step, center, below))
                    position = builder.fmul(position, inverse)
                    factor = builder.fmul(weight, builder.fmul(inverse, inverse))
                least = v.smaller(*(builder.extract_element(position, i) for i in ends))
                first = v.clamp(builder.fptosi(least, INT64), limit)
                window = builder.sitofp(first, v.number)
                relative = builder.fsub(position, v.splat(window))
                whole = builder.fptosi(relative, v.integers)
                share = builder.fsub(relative, builder.sitofp(whole, v.floats))
                start = builder.add(at, first)
                low, high = v.load(values, start), v.load(values, builder.add(start, step))
                here = v.pick(low, high, whole)
                following = v.pick(low, high, builder.add(whole, ir.Constant(v.integers, [1] * v.lanes)))
                value = v.fma(share, builder.fsub(following, here), here)
                target = builder.add(place, c)
                v.store(v.fma(factor, value, v.load(result, target)), result, target)
            return context.get_dummy_value()

        return signature, codegen

    return intrinsic(add_line)


_add_parallel, _add_diverging = _line_adder(False), _line_adder(True)


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract"})
def _accumulate(data: Floats, views: Floats, weights: Floats, pad: int, diverging: bool, images: Floats) -> None:
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
                if diverging:
                    _add_diverging(lines, at, length - pad, above, across, below, along, weight, flat, place, width)
                else:
                    _add_parallel(lines, at, length - pad, above, across, below, along, weight, flat, place, width)


def accumulate(data: Floats, views: Floats, weights: Floats, power: int, shape: tuple[int, int]) -> Floats:
    """Return what ``pixel_driven.accumulate`` does; only where ``applies``."""
    lanes = lanes_of(data.itemsize)
    pad = 2 * lanes
    padded = zeros((*data.shape[:2], _whole_registers(data.shape[2] + 2 * pad, lanes)), data.dtype)
    padded[:, :, pad : pad + data.shape[2]] = data
    images = zeros((data.shape[0], shape[0], _whole_registers(shape[1], lanes)), data.dtype)
    shifted = views.copy()
    shifted[:, :3] += (pad - 1) * views[:, 3:]  # positions counted from one pixel of padding before
    with threads_for(images.size * data.shape[1]):
        _accumulate(padded, shifted, weights.astype(data.dtype), pad, power == 2, images)
    return np.ascontiguousarray(images[:, :, : shape[1]])

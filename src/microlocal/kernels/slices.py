"""The two innermost loops over slices as vector code: a register holds one pixel of 16 slices (8 in float64).

Any processor can run them: LLVM cuts the vectors down to what it has.
"""

import functools
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from microlocal.kernels.lanes import INT64, Vectors, pointer

_AT_ONCE = 4  # rows in a turn: four sums side by side, for an addition is ready only after several cycles


def _taps(v: Vectors, offset: Any, slope: Any, top: Any, limit: Any, stride: Any, step: Any) -> tuple[Any, Any]:
    """Where the left neighbour lies in each of the next rows, and the weight of the right one, as arrays in memory.

    Positions are those of a vector of rows from ``top``; beyond 0..limit the pixels are zero and not read.
    """
    builder = v.builder
    iota = ir.Constant(v.floats, [float(i) for i in range(v.lanes)])
    row = builder.fadd(v.splat(builder.sitofp(top, v.number)), iota)
    position = v.fma(v.splat(slope), row, v.splat(offset))
    zero, most = v.constant(0.0), v.splat(builder.sitofp(limit, v.number))
    position = builder.select(builder.fcmp_ordered(">", position, zero), position, zero)
    position = builder.select(builder.fcmp_ordered("<", position, most), position, most)
    whole = builder.fptosi(position, v.integers)
    weight = builder.fsub(position, builder.sitofp(whole, v.floats))
    rows = ir.Constant(v.integers, list(range(v.lanes)))
    narrow = [v.splat(builder.trunc(n, v.integer) if v.integer != INT64 else n) for n in (stride, step)]
    place = builder.add(builder.mul(rows, narrow[0]), builder.mul(whole, narrow[1]))
    return cgutils.alloca_once_value(builder, place), cgutils.alloca_once_value(builder, weight)


def _each_row(v: Vectors, taps: tuple[Any, Any], start: Any, step: Any, count: Any, act: Any) -> None:
    """Call ``act(which, left neighbour, right neighbour, weight)`` with the rows' pointers, ``_AT_ONCE`` in a turn."""
    builder = v.builder
    places = builder.bitcast(taps[0], v.integer.as_pointer())
    weights = builder.bitcast(taps[1], v.number.as_pointer())
    beside = builder.gep(start, [step])
    zero, turn = ir.Constant(INT64, 0), ir.Constant(INT64, _AT_ONCE)
    with cgutils.for_range_slice(builder, zero, count, turn, INT64) as (row, _):
        for which in range(_AT_ONCE):
            here = builder.add(row, ir.Constant(INT64, which))
            place = v.load_scalar(places, here)
            place = place if v.integer == INT64 else builder.sext(place, INT64)
            weight = v.splat(v.load_scalar(weights, here))
            act(which, builder.gep(start, [place]), builder.gep(beside, [place]), weight)


@intrinsic
def sum_slices(typing: Any, pixels, at, stride, step, limit, top, count, offset, slope, length, sums, place):  # type: ignore
    """sums[place:] += length Σ of ``count`` rows of the pixels beside offset + slope row, for a vector of slices.

    Rows count from ``top``, in fours; pixel j of the row that is i below it begins at ``at + i stride + j step``.
    """
    del typing
    number = pixels.dtype
    signature = types.void(pixels, *([types.int64] * 6), number, number, number, sums, types.int64)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, step, limit, top, count, offset, slope, length = arguments[1:10]
        image, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 10))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        totals, steps = (
            [cgutils.alloca_once_value(builder, v.constant(0.0)) for _ in range(_AT_ONCE)] for _ in range(2)
        )
        zero = ir.Constant(INT64, 0)

        def collect(which: int, left: Any, right: Any, weight: Any) -> None:
            here = v.load(left, zero)
            builder.store(builder.fadd(builder.load(totals[which]), here), totals[which])
            change = builder.fsub(v.load(right, zero), here)
            builder.store(v.fma(weight, change, builder.load(steps[which])), steps[which])

        taps = _taps(v, offset, slope, top, limit, stride, step)
        _each_row(v, taps, builder.gep(image, [at]), step, count, collect)
        total = functools.reduce(builder.fadd, [builder.load(part) for part in totals + steps])
        v.store(v.fma(v.splat(length), total, v.load(result, arguments[11])), result, arguments[11])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def spread_slices(typing: Any, pixels, at, stride, step, limit, top, count, offset, slope, length, sums, place):  # type: ignore
    """The transpose of ``sum_slices``: adds to the pixels what sums[place:] spread."""
    del typing
    number = pixels.dtype
    signature = types.void(pixels, *([types.int64] * 6), number, number, number, sums, types.int64)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, step, limit, top, count, offset, slope, length = arguments[1:10]
        image, data = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 10))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        value, zero = builder.fmul(v.splat(length), v.load(data, arguments[11])), ir.Constant(INT64, 0)

        def spread(which: int, left: Any, right: Any, weight: Any) -> None:
            del which
            share = builder.fmul(weight, value)
            v.store(builder.fadd(v.load(left, zero), builder.fsub(value, share)), left, zero)
            v.store(builder.fadd(v.load(right, zero), share), right, zero)

        taps = _taps(v, offset, slope, top, limit, stride, step)
        _each_row(v, taps, builder.gep(image, [at]), step, count, spread)
        return context.get_dummy_value()

    return signature, codegen

"""The two innermost loops over slices as vector code: a register holds one pixel of 16 slices (8 in float64).

Any processor can run them: LLVM cuts the vectors down to what it has.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from microlocal.kernels.lanes import INT64, Vectors, pointer


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


def _each_row(v: Vectors, taps: tuple[Any, Any], at: Any, step: Any, count: Any, act: Any) -> None:
    """Call ``act(place, place of the right neighbour, weight)`` in a loop over the rows."""
    builder = v.builder
    places = builder.bitcast(taps[0], v.integer.as_pointer())
    weights = builder.bitcast(taps[1], v.number.as_pointer())
    with cgutils.for_range(builder, count) as loop:
        place = v.load_scalar(places, loop.index)
        place = builder.add(at, place if v.integer == INT64 else builder.sext(place, INT64))
        act(place, builder.add(place, step), v.splat(v.load_scalar(weights, loop.index)))


@intrinsic
def sum_slices(typing: Any, pixels, at, stride, step, limit, top, count, offset, slope, sums, place):  # type: ignore
    """sums[place:] += Σ of ``count`` rows from ``top`` of the pixels beside offset + slope row, for a vector of slices.

    Pixel j of the row that is i below ``top`` begins at ``at + i stride + j step``.
    """
    del typing
    number = pixels.dtype
    signature = types.void(pixels, *([types.int64] * 6), number, number, sums, types.int64)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, step, limit, top, count, offset, slope = arguments[1:9]
        image, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 9))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        total = cgutils.alloca_once_value(builder, v.load(result, arguments[10]))
        steps = cgutils.alloca_once_value(builder, v.constant(0.0))

        def collect(left: Any, right: Any, weight: Any) -> None:
            here = v.load(image, left)
            builder.store(builder.fadd(builder.load(total), here), total)
            change = builder.fsub(v.load(image, right), here)
            builder.store(v.fma(weight, change, builder.load(steps)), steps)

        _each_row(v, _taps(v, offset, slope, top, limit, stride, step), at, step, count, collect)
        v.store(builder.fadd(builder.load(total), builder.load(steps)), result, arguments[10])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def spread_slices(typing: Any, pixels, at, stride, step, limit, top, count, offset, slope, sums, place):  # type: ignore
    """The transpose of ``sum_slices``: adds to the pixels what sums[place:] spread."""
    del typing
    number = pixels.dtype
    signature = types.void(pixels, *([types.int64] * 6), number, number, sums, types.int64)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, step, limit, top, count, offset, slope = arguments[1:9]
        image, data = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 9))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        value = v.load(data, arguments[10])

        def spread(left: Any, right: Any, weight: Any) -> None:
            share = builder.fmul(weight, value)
            v.store(builder.fadd(v.load(image, left), builder.fsub(value, share)), image, left)
            v.store(builder.fadd(v.load(image, right), share), image, right)

        _each_row(v, _taps(v, offset, slope, top, limit, stride, step), at, step, count, spread)
        return context.get_dummy_value()

    return signature, codegen

"""The two innermost loops over slices as vector code: a register holds two neighbouring pixels of 8 slices.

(Of 4 slices in float64.) Slices lie innermost in memory, so the two neighbours that Joseph's method weighs are one
load, and an update is one multiplication with (1 - w, ..., 1 - w, w, ..., w). Any processor can run this: LLVM cuts
the vectors down to what it has.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from microlocal.kernels.lanes import INT64, LINE, Vectors, pointer

STRIP = 64  # most rows in a call
_AT_ONCE = 8  # rows in a turn
_SUMS = 4  # sums side by side, for an addition is ready only after several cycles


def _taps(v: Vectors, offset: Any, slope: Any, top: Any, count: Any, limit: Any, stride: Any) -> tuple[Any, Any]:
    """Where the left neighbour lies in each of the rows from ``top`` and the weight of the right one, in memory.

    Positions beyond 0..limit are moved to these ends, where pixels are zero.
    """
    builder = v.builder
    places = cgutils.alloca_once(builder, v.integer, ir.Constant(INT64, STRIP))
    weights = cgutils.alloca_once(builder, v.number, ir.Constant(INT64, STRIP))
    places.align = weights.align = LINE
    iota, rows = (
        ir.Constant(v.floats, [float(i) for i in range(v.lanes)]),
        ir.Constant(v.integers, list(range(v.lanes))),
    )
    zero, most = v.constant(0.0), v.splat(builder.sitofp(limit, v.number))
    narrow = v.splat(builder.trunc(stride, v.integer) if v.integer != INT64 else stride)
    down, slices = builder.mul(rows, narrow), ir.Constant(v.integers, [v.lanes // 2] * v.lanes)
    with cgutils.for_range_slice(builder, ir.Constant(INT64, 0), count, ir.Constant(INT64, v.lanes), INT64) as (at, _):
        row = builder.fadd(v.splat(builder.sitofp(builder.add(top, at), v.number)), iota)
        position = v.fma(v.splat(slope), row, v.splat(offset))
        position = builder.select(builder.fcmp_ordered(">", position, zero), position, zero)
        position = builder.select(builder.fcmp_ordered("<", position, most), position, most)
        whole = builder.fptosi(position, v.integers)
        v.store(builder.fsub(position, builder.sitofp(whole, v.floats)), weights, at)
        further = builder.mul(at, stride)
        further = v.splat(builder.trunc(further, v.integer) if v.integer != INT64 else further)
        place = builder.add(builder.add(down, further), builder.mul(whole, slices))
        builder.store(place, builder.bitcast(builder.gep(places, [at]), v.integers.as_pointer()), align=4)
    return places, weights


def _each_row(v: Vectors, taps: tuple[Any, Any], start: Any, count: Any, act: Any) -> None:
    """Call ``act(which, pointer to the two neighbours, their weights)`` for every row, ``_AT_ONCE`` in a turn."""
    builder, half = v.builder, v.lanes // 2
    places, weights = taps
    signs, ones = (ir.Constant(v.floats, [left] * half + [right] * half) for left, right in ((-1.0, 1.0), (1.0, 0.0)))
    turn = ir.Constant(INT64, _AT_ONCE)
    with cgutils.for_range_slice(builder, ir.Constant(INT64, 0), count, turn, INT64) as (row, _):
        for which in range(_AT_ONCE):
            here = builder.add(row, ir.Constant(INT64, which))
            place = v.load_scalar(places, here)
            place = place if v.integer == INT64 else builder.sext(place, INT64)
            shares = v.fma(v.splat(v.load_scalar(weights, here)), signs, ones)
            act(which, builder.gep(start, [place]), shares)


@intrinsic
def sum_slices(typing: Any, pixels, at, stride, limit, top, count, offset, slope, sums, place, groups, apart, beyond):  # type: ignore
    """sums[place:] += Σ of ``count`` rows of the pixels beside offset + slope row, for half a vector of slices.

    Rows count from ``top``, in whole vectors; the row that is i below it begins at ``at + i stride``. With two
    ``groups`` of slices the other one's pixels lie ``apart`` from the first's, and its sums ``beyond`` them.
    """
    del typing
    number, whole = pixels.dtype, types.int64
    signature = types.void(pixels, *([whole] * 5), number, number, sums, *([whole] * 4))

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, limit, top, count, offset, slope = arguments[1:8]
        place, groups, apart, beyond = arguments[9:]
        image, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 8))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        taps = _taps(v, offset, slope, top, count, limit, stride)

        def of(several: int) -> None:
            totals = [v.variable(v.constant(0.0)) for _ in range(several * _SUMS)]

            def collect(which: int, both: Any, shares: Any) -> None:
                for group in range(several):
                    total = totals[group * _SUMS + which % _SUMS]
                    here = v.load(both, _times(group, apart))
                    builder.store(v.fma(shares, here, builder.load(total)), total)

            _each_row(v, taps, builder.gep(image, [at]), count, collect)
            for group in range(several):
                parts = [builder.load(total) for total in totals[group * _SUMS : (group + 1) * _SUMS]]
                target = _few(v, builder.gep(builder.gep(result, [place]), [_times(group, beyond)]))
                total = builder.fadd(*_halves(v, functools.reduce(builder.fadd, parts)))
                builder.store(builder.fadd(builder.load(target, align=4), total), target, align=4)

        _one_or_two(builder, groups, of)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def spread_slices(  # type: ignore[no-untyped-def]
    typing: Any, pixels, at, stride, limit, top, count, offset, slope, sums, place, groups, apart, beyond
):
    """The transpose of ``sum_slices``: adds to the pixels what sums[place:] spread."""
    del typing
    number, whole = pixels.dtype, types.int64
    signature = types.void(pixels, *([whole] * 5), number, number, sums, *([whole] * 4))

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, limit, top, count, offset, slope = arguments[1:8]
        place, groups, apart, beyond = arguments[9:]
        image, data = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 8))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        taps = _taps(v, offset, slope, top, count, limit, stride)

        def of(several: int) -> None:
            starts = [builder.gep(builder.gep(data, [place]), [_times(group, beyond)]) for group in range(several)]
            values = [_twice(v, builder.load(_few(v, start), align=4)) for start in starts]

            def spread(which: int, both: Any, shares: Any) -> None:
                del which
                for group, value in enumerate(values):
                    there = _times(group, apart)
                    v.store(v.fma(shares, value, v.load(both, there)), both, there)

            _each_row(v, taps, builder.gep(image, [at]), count, spread)

        _one_or_two(builder, groups, of)
        return context.get_dummy_value()

    return signature, codegen


def _one_or_two(builder: Any, groups: Any, code: Callable[[int], None]) -> None:
    """Make the code for one group of slices, and for two that share the places and the weights."""
    with builder.if_else(builder.icmp_signed("<", groups, ir.Constant(INT64, 2))) as (one, two):
        with one:
            code(1)
        with two:
            code(2)


def _times(group: int, distance: Any) -> Any:
    return distance if group else ir.Constant(INT64, 0)


def _few(v: Vectors, place: Any) -> Any:
    """A pointer to half a vector."""
    return v.builder.bitcast(place, ir.VectorType(v.number, v.lanes // 2).as_pointer())


def _halves(v: Vectors, vector: Any) -> tuple[Any, Any]:
    half = v.lanes // 2
    return _part(v, vector, range(half)), _part(v, vector, range(half, v.lanes))


def _twice(v: Vectors, half: Any) -> Any:
    """A vector whose two halves are equal."""
    return _part(v, half, [*range(v.lanes // 2)] * 2)


def _part(v: Vectors, vector: Any, places: Sequence[int]) -> Any:
    index = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
    return v.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), index)

"""Rows of pixels as sums of many other rows, several at once: what a bank of filters and its transpose are made of.

    target[begin + rows[m] + j] = Σ_t c[t, m] source[base + places[t] + j],    j = 0, 1, ..., ``pixels_at_once`` - 1

A row that is loaded goes into the sums of all m, and a coefficient into those of all j, while the sums stay in
registers: a processor's multiply-adds then are what limits, not its loads. The terms t may be what one likes: pixels
under a filter, or filters over a pixel. For slopes by coefficients there are products of rows,

    sums[t, m] += Σ_j values[begin + rows[m] + j] source[base + places[t] + j].

Any processor can run this: LLVM cuts the vectors down to what it has.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from microlocal.kernels.lanes import AVAILABLE, INT64, Vectors, lanes_of

_REGISTERS = 3 if AVAILABLE else 1  # of a row: with eight rows 24 sums, which leaves seven for what is loaded
TERMS = 3 if AVAILABLE else 1  # of products at once: places come in as many


def pixels_at_once(dtype: np.dtype[Any]) -> int:
    """Return how many pixels of a row are computed at once: sources and targets are so much longer than needed."""
    return _REGISTERS * lanes_of(dtype.itemsize)


def _combine(added: bool, typing: Any, *kinds: Any) -> tuple[Any, Any]:
    """Return the signature and what emits the code, for sums that begin at zero or at what is there."""
    del typing
    coefficients, _, places, source, _, target, _, rows = kinds
    signature = types.void(coefficients, types.int64, places, source, types.int64, target, types.int64, rows)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        v, count = Vectors(builder, signature.args[3].dtype == types.float32), signature.args[7].count
        arrays = {k: context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2, 3, 5)}
        numbers, places, source, target = (arrays[k].data for k in (0, 2, 3, 5))
        terms = builder.extract_value(arrays[2].shape, 0)
        across = [ir.Constant(INT64, k * v.lanes) for k in range(_REGISTERS)]
        offsets = [builder.add(arguments[6], row) for row in cgutils.unpack_tuple(builder, arguments[7])]
        ends = [[builder.add(offset, k) for k in across] for offset in offsets]
        zero = v.constant(0.0)
        sums = [[v.variable(v.load(target, end) if added else zero) for end in row] for row in ends]
        first = builder.mul(arguments[1], builder.mul(terms, ir.Constant(INT64, count)))
        with cgutils.for_range(builder, terms, intp=INT64) as loop:
            place = builder.add(arguments[4], v.load_scalar(places, loop.index))
            loaded = [v.load(source, builder.add(place, k)) for k in across]
            term = builder.add(first, builder.mul(loop.index, ir.Constant(INT64, count)))
            for m, row in enumerate(sums):
                factor = v.splat(v.load_scalar(numbers, builder.add(term, ir.Constant(INT64, m))))
                for total, value in zip(row, loaded, strict=True):
                    builder.store(v.fma(factor, value, builder.load(total)), total)
        for row, places_of_row in zip(sums, ends, strict=True):
            for total, end in zip(row, places_of_row, strict=True):
                v.store(builder.load(total), target, end)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def combined(typing, coefficients, which, places, source, base, target, begin, rows):  # type: ignore[no-untyped-def]
    """Put the sums into ``target``; c is coefficients[which] (term, row), ``rows`` a tuple of places, one for each m.

    All places are counted through all rows of an array. Nothing is checked.
    """
    return _combine(False, typing, coefficients, which, places, source, base, target, begin, rows)


@intrinsic
def added(typing, coefficients, which, places, source, base, target, begin, rows):  # type: ignore[no-untyped-def]
    """Add the sums to what is in ``target``, else as ``combined``."""
    return _combine(True, typing, coefficients, which, places, source, base, target, begin, rows)


@intrinsic
def correlated(typing, sums, which, places, source, base, values, begin, rows, count):  # type: ignore[no-untyped-def]
    """Add products of rows, of ``count`` pixels, to sums[which] (term, row, lane of a vector)."""
    del typing
    signature = types.void(
        sums, types.int64, places, source, types.int64, values, types.int64, rows, types.int64
    )  # fmt: skip

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        v, many = Vectors(builder, signature.args[3].dtype == types.float32), signature.args[7].count
        arrays = {k: context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2, 3, 5)}
        totals, places, source, values = (arrays[k].data for k in (0, 2, 3, 5))
        terms = builder.extract_value(arrays[2].shape, 0)
        offsets = [builder.add(arguments[6], row) for row in cgutils.unpack_tuple(builder, arguments[7])]
        block, lanes = ir.Constant(INT64, TERMS), ir.Constant(INT64, v.lanes)
        start = builder.mul(arguments[1], builder.mul(terms, ir.Constant(INT64, many * v.lanes)))
        with cgutils.for_range(builder, builder.sdiv(terms, block), intp=INT64) as loop:
            first = builder.mul(loop.index, block)
            here = builder.add(start, builder.mul(first, ir.Constant(INT64, many * v.lanes)))
            ends = [
                [builder.add(here, ir.Constant(INT64, (t * many + m) * v.lanes)) for m in range(many)]
                for t in range(TERMS)
            ]
            found = [[v.variable(v.load(totals, end)) for end in row] for row in ends]
            of_terms = [
                builder.add(arguments[4], v.load_scalar(places, builder.add(first, ir.Constant(INT64, t))))
                for t in range(TERMS)
            ]
            with cgutils.for_range(builder, builder.sdiv(arguments[8], lanes), intp=INT64) as inner:
                j = builder.mul(inner.index, lanes)
                loaded = [v.load(source, builder.add(place, j)) for place in of_terms]
                for m, offset in enumerate(offsets):
                    value = v.load(values, builder.add(offset, j))
                    for t, other in enumerate(loaded):
                        builder.store(v.fma(value, other, builder.load(found[t][m])), found[t][m])
            for row, places_of_row in zip(found, ends, strict=True):
                for total, end in zip(row, places_of_row, strict=True):
                    v.store(builder.load(total), totals, end)
        return context.get_dummy_value()

    return signature, codegen

"""Many cubics out of a table at once: the four coefficients of each are one load, and whole registers are turned.

Compilers take a loop with a look-up number by number. Here the coefficients of 16 cells (8 in float64) are fetched as
16 short vectors and transposed into four long ones, (a, b, c, d) of all cells, which costs less than half an
instruction a number; then a + t (b + t (c + t d)) is three instructions for all of them. Any processor can run this:
LLVM cuts the vectors down to what it has.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from microlocal.kernels.lanes import INT64, Vectors, pointer


def _transposed(v: Vectors, rows: list[Any]) -> list[Any]:
    """Vectors of the first, second, third and fourth numbers of ``rows``, which have four each."""
    builder, groups = v.builder, range(v.lanes // 4)

    def mixed(one: Any, other: Any, places: tuple[int, ...]) -> Any:
        """From every group of four of the two vectors, side by side, the numbers at these places."""
        index = [4 * g + p % 4 + p // 4 * v.lanes for g in groups for p in places]
        kind = ir.VectorType(ir.IntType(32), len(index))
        return builder.shuffle_vector(one, other, ir.Constant(kind, index))

    def joined(parts: list[Any]) -> Any:
        while len(parts) > 1:
            count = 2 * parts[0].type.count
            index = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
            parts = [builder.shuffle_vector(a, b, index) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    first, second, third, fourth = (joined(rows[m::4]) for m in range(4))
    low, lower = mixed(first, second, (0, 4, 1, 5)), mixed(third, fourth, (0, 4, 1, 5))
    high, higher = mixed(first, second, (2, 6, 3, 7)), mixed(third, fourth, (2, 6, 3, 7))
    halves = (0, 1, 4, 5), (2, 3, 6, 7)
    return [mixed(*pair, half) for pair in ((low, lower), (high, higher)) for half in halves]


@intrinsic
def cubics_at(typing, cubics, numbers, cells, places, factors):  # type: ignore[no-untyped-def]
    """numbers[places + i] <- a + t (b + t (c + t d)), t = numbers[places + i], for all i of a vector.

    numbers[factors + i] are multiplied by the result.

    The bits of numbers[cells + i] say where in ``cubics`` a, b, c and d begin. They are read one by one, so they should
    have been written some time before.
    """
    del typing
    signature = types.void(cubics, numbers, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        table, line = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        four, rows = ir.VectorType(v.number, 4).as_pointer(), []
        for i in range(v.lanes):
            cell = builder.gep(line, [builder.add(arguments[2], ir.Constant(INT64, i))])
            begin = builder.load(builder.bitcast(cell, v.integer.as_pointer()))
            begin = begin if v.integer == INT64 else builder.zext(begin, INT64)
            place = builder.bitcast(builder.gep(table, [begin]), four)
            rows.append(builder.load(place, align=4))
        a, b, c, d = _transposed(v, rows)
        t = v.load(line, arguments[3])
        found = v.fma(v.fma(v.fma(d, t, c), t, b), t, a)
        v.store(found, line, arguments[3])
        v.store(builder.fmul(found, v.load(line, arguments[4])), line, arguments[4])
        return context.get_dummy_value()

    return signature, codegen

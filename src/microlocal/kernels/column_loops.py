"""The innermost loops over columns of voxels and panels: mixing two of them, reading between and spreading to places.

A column lies between two pads of zeros, so that windows of registers may begin anywhere (see ``pixel_lanes``). Reading
is Joseph's interpolation; its transpose collects for every voxel z what the hats of the rays v reach it with:

    out[z] += Σ_v hat(a + b v - z) y[v],     around v = (z - a)/b.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from microlocal.kernels.lanes import INT64, LINE, Vectors, lanes_of, pointer, whole_registers, zeros
from microlocal.kernels.pixel_lanes import LONGEST_STEP, add_by_four, add_by_two

Floats = NDArray[np.floating]

PAD = 4 * LINE  # bytes of zeros before and behind a column: four registers
_FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}
_NEAR, _FAR = LONGEST_STEP[2], LONGEST_STEP[4]
# The least b for hats of so many rays to either side, whose windows have two, two and four registers.
_ONE, _TWO, _FOUR = 1.0, 1 / 1.55, 1 / 3.2


def padded(tasks: int, size: int, dtype: np.dtype[Any]) -> Floats:
    """Return zeros for columns of ``size`` numbers, each between pads."""
    return whole((tasks,), size + 2 * PAD // dtype.itemsize, dtype)


def whole(shape: tuple[int, ...], size: int, dtype: np.dtype[Any]) -> Floats:
    """Return zeros for columns of ``size`` numbers, each in whole registers."""
    return zeros((*shape, whole_registers(size, lanes_of(dtype.itemsize))), dtype)


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def mix(left: Floats, right: Floats, part: float, out: Floats) -> None:
    """out = (1 - part) left + part right."""
    for z in range(out.size):
        out[z] = left[z] + part * (right[z] - left[z])


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def share(column: Floats, part: float, left: Floats, right: Floats) -> None:
    """The transpose of ``mix``: add (1 - part) of the column to the left and ``part`` of it to the right."""
    for z in range(column.size):
        value = part * column[z]
        right[z] += value
        left[z] += column[z] - value


@numba.njit(cache=True, nogil=True)
def collect(
    column: Floats, last: int, start: float, rise: float, weight: float, out: Floats, at: int, count: int
) -> bool:
    """out[at + v] += weight lerp(column, start + rise v) for v < ``count``, whole registers.

    ``last`` is where the pad behind the column begins. Returns False, and does nothing, where windows are too short.
    """
    number = column.dtype.type
    one, first, step, factor = number(1), number(start), number(rise), number(weight)
    if abs(rise) <= _NEAR:
        add_by_two(column, 0, last, first, step, one, one, factor, out, at, count)
    elif abs(rise) <= _FAR:
        add_by_four(column, 0, last, first, step, one, one, factor, out, at, count)
    else:
        return False
    return True


@numba.njit(cache=True, nogil=True)
def distribute(source: Floats, last: int, start: float, rise: float, pad: int, out: Floats, count: int) -> bool:
    """out[z] += Σ_v hat(start + rise v - z) source[pad + v] for z < ``count``; False, and nothing done, for hats that
    more rays reach than windows hold."""
    number = source.dtype.type
    if rise == 0:
        return False
    first, step, slope = number(pad - start / rise), number(1 / rise), number(rise)
    if abs(rise) >= _ONE:
        _add_two_hats(source, last, first, step, slope, out, count)
    elif abs(rise) >= _TWO:
        _add_four_hats(source, last, first, step, slope, out, count)
    elif abs(rise) >= _FOUR:
        _add_eight_hats(source, last, first, step, slope, out, count)
    else:
        return False
    return True


def _hat_adder(beside: int, registers: int) -> Any:
    """Return the intrinsic that adds the hats of ``beside`` rays to either side of each voxel."""

    def add_hats(typing: Any, source, limit, start, step, slope, out, count):  # type: ignore[no-untyped-def]
        """out[z] += Σ_v hat(slope (v - p)) source[v], p = start + step z, the v around p."""
        del typing
        number = source.dtype
        signature = types.void(source, types.int64, number, number, number, out, types.int64)

        def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            limit, count = arguments[1], arguments[6]
            values, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 5))
            v = Vectors(builder, signature.args[0].dtype == types.float32)
            start, step, slope = (v.splat(a) for a in arguments[2:5])
            iota = ir.Constant(v.floats, [float(i) for i in range(v.lanes)])
            whole_register = ir.Constant(INT64, v.lanes)
            bounds = ir.Constant(INT64, 0), count, whole_register
            with cgutils.for_range_slice(builder, *bounds, INT64) as (z, _):
                place = v.fma(step, builder.fadd(v.splat(builder.sitofp(z, v.number)), iota), start)
                first, window = v.window(values, place, limit, registers, beside - 1)
                relative = builder.fsub(place, v.splat(builder.sitofp(first, v.number)))
                whole = builder.fptosi(relative, v.integers)
                behind = builder.fsub(builder.sitofp(whole, v.floats), relative)
                total = v.load(result, z)
                for k in range(1 - beside, beside + 1):
                    index = builder.add(whole, ir.Constant(v.integers, [k] * v.lanes))
                    away = builder.fmul(slope, builder.fadd(behind, v.constant(float(k))))
                    weight = builder.fsub(v.constant(1.0), v.distance(away))
                    total = v.fma(weight, v.pick_of(window, index), total)
                v.store(total, result, z)
            return context.get_dummy_value()

        return signature, codegen

    return intrinsic(add_hats)


_add_two_hats, _add_four_hats, _add_eight_hats = _hat_adder(1, 2), _hat_adder(2, 2), _hat_adder(4, 4)

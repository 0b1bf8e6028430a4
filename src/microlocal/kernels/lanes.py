"""Two innermost loops of the ray kernels as vector instructions: interpolation among pixels held in registers.

The limit of Joseph's method is fetching two neighbours for every update. Where a processor can permute two registers
by a third (AVX-512: ``vpermi2ps``), the pixels that a vector of neighbouring rays needs are read once as two plain
loads, and both neighbours are picked from them inside the registers; a table look-up becomes one instruction for 16
numbers (8 in float64). LLVM does not find this by itself, so the two loops are written here as its vector code:

* ``add_rays``    rays of one block, many rows:  acc[k] += lerp(row r, offset[k] + slope[k] r)
* ``add_pixels``  pixels of many rows, one view: out[c] += Σ_k hat(x[k] - c) y[k],  hat(t) = max(0, 1 - |t|)

The plain kernels of ``joseph`` do the same sums on any processor and are held against these in the tests.
"""

import math
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

AVAILABLE = all(llvm.get_host_cpu_features().get(f"avx512{part}", False) for part in ("f", "dq"))
INT64 = ir.IntType(64)
LINE = 64  # bytes of a cache line, and of a register


def lanes_of(itemsize: int) -> int:
    """How many numbers of ``itemsize`` bytes one register holds; a window of pixels or rays is two registers."""
    return LINE // itemsize


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros that begin at a cache line, as numpy's do not: every load of a register would touch two lines."""
    size, item = math.prod(shape), np.dtype(dtype).itemsize
    room = np.zeros(size + LINE // item, dtype)
    skip = -room.ctypes.data % LINE // item
    return room[skip : skip + size].reshape(shape)


class Vectors:
    """The vector types and instructions for one floating-point type; every method emits code at the builder."""

    def __init__(self, builder: Any, single: bool) -> None:
        self.builder = builder
        self.lanes = 16 if single else 8
        self.number = ir.FloatType() if single else ir.DoubleType()
        self.integer = ir.IntType(32 if single else 64)
        self.floats, self.integers = (ir.VectorType(t, self.lanes) for t in (self.number, self.integer))
        self.suffix, self.permute = ("f32", "ps") if single else ("f64", "pd")

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(result, [a.type for a in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        vector = f"v{self.lanes}" if isinstance(a.type, ir.VectorType) else ""
        return self.call(f"llvm.fma.{vector}{self.suffix}", a.type, a, b, c)

    def pick(self, low: Any, high: Any, index: Any) -> Any:
        """Lane i of the result is number ``index[i]`` of the window (low, high)."""
        return self.call(f"llvm.x86.avx512.vpermi2var.{self.permute}.512", self.floats, low, index, high)

    def distance(self, value: Any) -> Any:
        """min(|value|, 1), one instruction."""
        one, everywhere = self.constant(1.0), ir.Constant(ir.IntType(self.lanes), -1)
        smaller_magnitude, current_rounding = (ir.Constant(ir.IntType(32), n) for n in (0b1010, 4))
        name = f"llvm.x86.avx512.mask.range.{self.permute}.512"
        return self.call(name, self.floats, value, one, smaller_magnitude, one, everywhere, current_rounding)

    def splat(self, scalar: Any) -> Any:
        vector = ir.VectorType(scalar.type, self.lanes)
        one = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def constant(self, value: float) -> Any:
        return ir.Constant(self.floats, [value] * self.lanes)

    def load(self, pointer: Any, index: Any) -> Any:
        place = self.builder.gep(pointer, [index])
        place = self.builder.bitcast(place, self.floats.as_pointer())
        return self.builder.load(place, align=4)

    def store(self, value: Any, pointer: Any, index: Any) -> None:
        place = self.builder.bitcast(self.builder.gep(pointer, [index]), self.floats.as_pointer())
        self.builder.store(value, place, align=4)

    def load_scalar(self, pointer: Any, index: Any) -> Any:
        return self.builder.load(self.builder.gep(pointer, [index]))

    def clamp(self, value: Any, limit: Any) -> Any:
        """A signed 64-bit integer cut to 0..limit."""
        zero = ir.Constant(INT64, 0)
        value = self.builder.select(self.builder.icmp_signed("<", value, zero), zero, value)
        return self.builder.select(self.builder.icmp_signed(">", value, limit), limit, value)

    def smaller(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)


def pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


@intrinsic
def add_rays(typing: Any, rows, at, stride, limit, begin, end, offsets, slopes, ray, count, out):  # type: ignore
    """out[:lanes] = Σ_{begin <= r < end} lerp(rows[at + r stride + ...], offsets[ray:] + slopes[ray:] r).

    The ``count`` rays of a block lie within a window of 2 lanes - 3 pixels of each other at every row. A window that
    begins outside 0..limit is moved to these ends, where a row holds zeros only.
    """
    del typing
    signature = types.void(rows, *([types.int64] * 5), offsets, slopes, types.int64, types.int64, out)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, stride, limit, begin, end, ray, count = (arguments[i] for i in (1, 2, 3, 4, 5, 8, 9))
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        image, o, s, result = (pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 6, 7, 10))
        offset, slope = v.load(o, ray), v.load(s, ray)
        last = builder.sub(builder.add(ray, count), ir.Constant(INT64, 1))
        ends = [(v.load_scalar(o, k), v.load_scalar(s, k)) for k in (ray, last)]
        values = cgutils.alloca_once_value(builder, v.constant(0.0))
        steps = cgutils.alloca_once_value(builder, v.constant(0.0))
        with cgutils.for_range_slice(builder, begin, end, ir.Constant(INT64, 1), INT64) as (row, _):
            height = builder.sitofp(row, v.number)
            position = v.fma(slope, v.splat(height), offset)
            whole = builder.fptosi(position, v.integers)
            weight = builder.fsub(position, builder.sitofp(whole, v.floats))
            first = builder.fptosi(v.smaller(*(v.fma(b, height, a) for a, b in ends)), v.integer)
            first = builder.sext(first, INT64) if v.lanes == 16 else first
            first = v.clamp(first, limit)
            narrow = builder.trunc(first, v.integer) if v.lanes == 16 else first
            index = builder.sub(whole, v.splat(narrow))
            place = builder.add(builder.add(at, builder.mul(row, stride)), first)
            low, high = v.load(image, place), v.load(image, builder.add(place, ir.Constant(INT64, v.lanes)))
            here = v.pick(low, high, index)
            following = v.pick(low, high, builder.add(index, ir.Constant(v.integers, [1] * v.lanes)))
            builder.store(builder.fadd(builder.load(values), here), values)
            builder.store(v.fma(weight, builder.fsub(following, here), builder.load(steps)), steps)
        v.store(builder.fadd(builder.load(values), builder.load(steps)), result, ir.Constant(INT64, 0))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_pixels(  # type: ignore[no-untyped-def]  # noqa: PLR0915 - one loop, written as instructions
    typing: Any, table, y, at, limit, corners, taps, rows, count, out, place, stride
):
    """out[place + r stride + i] += Σ_k hat(x[k] - i) y[at + k] with x[k] = b + b' r + (c + c' r) table[k].

    That is done for the pixels i < ``count`` of each row r < ``rows``, over ``taps`` rays (two at least) from
    k = ⌊g + r g' + i (s + r s')⌋ on, all of them in the window of two registers that begins with ray f + r f', cut to
    0..``limit``. ``corners`` holds g, g', s, s', f, f', b, b', c, c'.
    """
    del typing
    number = table.dtype
    whole = types.int64
    signature = types.void(table, y, whole, number, corners, whole, whole, whole, out, whole, whole)

    def codegen(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        at, limit, taps, rows, count, place, stride = (arguments[i] for i in (2, 3, 5, 6, 7, 9, 10))
        table, data, numbers, result = (
            pointer(context, builder, signature.args[i], arguments[i]) for i in (0, 1, 4, 8)
        )
        v = Vectors(builder, signature.args[0].dtype == types.float32)
        iota = ir.Constant(v.floats, [float(i) for i in range(v.lanes)])
        g, dg, s, ds, f, df, b, db, c, dc = (v.load_scalar(numbers, ir.Constant(INT64, i)) for i in range(10))
        guess, guess_step = v.fma(iota, v.splat(s), v.splat(g)), v.fma(iota, v.splat(ds), v.splat(dg))
        shift, shift_step = builder.fsub(v.splat(b), iota), v.splat(db)
        scale, scale_step = v.splat(c), v.splat(dc)
        lanes = ir.VectorType(ir.IntType(32), v.lanes)
        bound = v.splat(builder.trunc(count, ir.IntType(32)))
        kept = builder.icmp_signed("<", ir.Constant(lanes, list(range(v.lanes))), bound)
        data, one = builder.gep(data, [at]), ir.Constant(v.integers, [1] * v.lanes)

        def row_of(row: Any, taps_here: int, more: Any) -> None:
            height = builder.sitofp(row, v.number)
            tall = v.splat(height)
            begin = v.smaller(v.fma(df, height, f), limit)
            nothing = ir.Constant(v.number, 0.0)
            begin = builder.select(builder.fcmp_ordered(">", begin, nothing), begin, nothing)
            narrow = builder.fptosi(begin, v.integer)
            first = builder.sext(narrow, INT64) if v.lanes == 16 else narrow
            following = builder.add(first, ir.Constant(INT64, v.lanes))
            z, values = ((v.load(p, first), v.load(p, following)) for p in (table, data))
            index = builder.sub(builder.fptosi(v.fma(guess_step, tall, guess), v.integers), v.splat(narrow))
            base, slope = v.fma(shift_step, tall, shift), v.fma(scale_step, tall, scale)

            def tap(index: Any, total: Any) -> Any:
                hat = builder.fsub(v.constant(1.0), v.distance(v.fma(v.pick(*z, index), slope, base)))
                return v.fma(hat, v.pick(*values, index), total)

            total = tap(index, v.constant(0.0))
            for _ in range(taps_here - 1):
                index = builder.add(index, one)
                total = tap(index, total)
            if more is not None:
                sums, further = cgutils.alloca_once_value(builder, total), cgutils.alloca_once_value(builder, index)
                with cgutils.for_range(builder, more):
                    builder.store(builder.add(builder.load(further), one), further)
                    builder.store(tap(builder.load(further), builder.load(sums)), sums)
                total = builder.load(sums)
            target = builder.add(place, builder.mul(row, stride))
            share = builder.select(kept, total, v.constant(0.0))
            v.store(builder.fadd(v.load(result, target), share), result, target)

        # A loop over the rows of its own for two and for three rays.
        three = ir.Constant(INT64, 3)
        with builder.if_else(builder.icmp_signed("<", taps, three)) as (few, many):
            with few, cgutils.for_range(builder, rows) as loop:
                row_of(loop.index, 2, None)
            with many, builder.if_else(builder.icmp_signed("==", taps, three)) as (exactly, beyond):
                with exactly, cgutils.for_range(builder, rows) as loop:
                    row_of(loop.index, 3, None)
                with beyond, cgutils.for_range(builder, rows) as loop:
                    row_of(loop.index, 3, builder.sub(taps, three))
        return context.get_dummy_value()

    return signature, codegen

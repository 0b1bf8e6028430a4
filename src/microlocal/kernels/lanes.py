"""Vectors of a processor as LLVM's: types, instructions and memory for loops written register by register."""

import math
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numpy.typing import NDArray

AVAILABLE = all(llvm.get_host_cpu_features().get(f"avx512{part}", False) for part in ("f", "dq"))
INT64 = ir.IntType(64)
LINE = 64  # bytes of a cache line, and of a register


def lanes_of(itemsize: int) -> int:
    """How many numbers of ``itemsize`` bytes one register holds; a window of pixels or rays is two registers."""
    return LINE // itemsize


def whole_registers(count: int, lanes: int) -> int:
    """Round up to a multiple of ``lanes``."""
    return -(-count // lanes) * lanes


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory that begins at a cache line, as numpy's does not: every load of a register would touch two lines.

    From call to call it is often the same, where zeros are new pages each time.
    """
    size, item = math.prod(shape), np.dtype(dtype).itemsize
    room = np.empty(size + LINE // item, dtype)
    skip = -room.ctypes.data % LINE // item
    return room[skip : skip + size].reshape(shape)


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros that begin at a cache line."""
    room = empty(shape, dtype)
    room[...] = 0
    return room


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

    def window(self, pointer: Any, position: Any, limit: Any, registers: int, before: int) -> tuple[Any, list[Any]]:
        """Load a window from the lesser end of ``position``, ``before`` numbers earlier, but from 0..limit on.

        Returns where it begins, and its registers: 2 or 4.
        """
        builder = self.builder
        ends = [ir.Constant(ir.IntType(32), i) for i in (0, self.lanes - 1)]
        least = builder.fptosi(self.smaller(*(builder.extract_element(position, i) for i in ends)), INT64)
        first = self.clamp(builder.sub(least, ir.Constant(INT64, before)), limit)
        starts = (builder.add(first, ir.Constant(INT64, k * self.lanes)) for k in range(registers))
        return first, [self.load(pointer, start) for start in starts]

    def pick_of(self, window: list[Any], index: Any) -> Any:
        """Lane i of the result is number ``index[i]`` of a window of two or four registers."""
        found = self.pick(window[0], window[1], index)  # of an index, what two registers have places for counts
        if len(window) == 2:
            return found
        half = ir.Constant(self.integers, [2 * self.lanes] * self.lanes)
        return self.builder.select(
            self.builder.icmp_signed("<", index, half), found, self.pick(window[2], window[3], index)
        )

    def gather(self, place: Any, index: Any) -> Any:
        """Lane i of the result is number ``index[i]`` behind the pointer: any indices, at the price of a load each."""
        kind = "dps" if self.lanes == 16 else "qpd"
        everywhere = ir.Constant(ir.VectorType(ir.IntType(1), self.lanes), [1] * self.lanes)
        size = ir.Constant(ir.IntType(32), LINE // self.lanes)
        name = f"llvm.x86.avx512.mask.gather.{kind}.512"
        return self.call(name, self.floats, self.constant(0.0), place, index, everywhere, size)

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

    def first(self, count: Any) -> Any:
        """A mask of the first ``count`` lanes."""
        kind = ir.VectorType(ir.IntType(32), self.lanes)
        bound = self.splat(self.builder.trunc(count, ir.IntType(32)))
        return self.builder.icmp_signed("<", ir.Constant(kind, list(range(self.lanes))), bound)

    def load_first(self, pointer: Any, index: Any, kept: Any) -> Any:
        """Load the lanes of the mask alone, and zeros for the others: what lies there is not touched."""
        place, align = self.builder.gep(pointer, [index]), ir.Constant(ir.IntType(32), 4)
        place = self.builder.bitcast(place, self.floats.as_pointer())
        name = f"llvm.masked.load.v{self.lanes}{self.suffix}.p0"
        return self.call(name, self.floats, place, align, kept, self.constant(0.0))

    def store_first(self, value: Any, pointer: Any, index: Any, kept: Any) -> None:
        place, align = self.builder.gep(pointer, [index]), ir.Constant(ir.IntType(32), 4)
        place = self.builder.bitcast(place, self.floats.as_pointer())
        self.call(f"llvm.masked.store.v{self.lanes}{self.suffix}.p0", ir.VoidType(), value, place, align, kept)

    def variable(self, value: Any) -> Any:
        """A variable that has this value from here on (and not from the start of the function, as numba's has)."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place

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

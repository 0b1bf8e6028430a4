"""Diffusivities as functions of q = s², for kernels: each is a type of its own, so that loops are compiled for it.

    weight(kind, q) = g(√q),      bend(kind, q, weight) = 2 q dg/dq,      Φ'(s) = weight + bend

``scale``, of the dtype computed with, is 1/λ². What has no closed form is a ``Table``: cubic polynomials on cells that
divide every octave of q alike, so that the bits of a number say which is its cell.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

from microlocal.kernels.cubics import cubics_at
from microlocal.kernels.lanes import lanes_of

OPTIONS = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}  # else a check for zeros ends vectors
LOWEST, OCTAVES = -60, 120  # tables reach from q = 2^-60 to 2^60


class Constant(NamedTuple):
    scale: np.floating


class Charbonnier(NamedTuple):
    scale: np.floating


class Soft(NamedTuple):
    scale: np.floating


class Exponential(NamedTuple):
    scale: np.floating


class Rational(NamedTuple):
    scale: np.floating


class Garrote(NamedTuple):
    scale: np.floating


class Hard(NamedTuple):
    scale: np.floating


class TotalVariation(NamedTuple):
    scale: np.floating


class Balanced(NamedTuple):
    scale: np.floating


class Table(NamedTuple):
    """``cubics`` (cell, 4): a + t (b + t (c + t d)), t the mantissa of q · ``scale`` less that where its cell begins.

    ``shift`` is how many bits of a mantissa are within a cell; ``first`` the bits of 2^LOWEST, shifted.
    """

    scale: np.floating
    cubics: NDArray[np.floating]
    shift: np.signedinteger
    first: np.signedinteger


Kind = Constant | Charbonnier | Soft | Exponential | Rational | Garrote | Hard | TotalVariation | Balanced | Table

# By the names of the dictionary.
CLOSED: dict[str, type[Any]] = {
    "whittaker-tikhonov": Constant,
    "charbonnier": Charbonnier,
    "soft": Soft,
    "perona-malik": Exponential,
    "perona-malik-rational": Rational,
    "garrote": Garrote,
    "hard": Hard,
    "tv": TotalVariation,
    "bfb": Balanced,
}


# The next seven are names that kernels call: numba compiles for each kind what is registered for it further down, and
# in Python they are never run.
def weight(kind: Kind, q: float) -> float:
    """Return g(√q); kernels compile it for the kind they are called with."""
    raise NotImplementedError


def flux(kind: Kind, s: float, scale: float, size: float) -> float:
    """Return λ Φ(s/λ), given ``scale`` = 1/λ² and ``size`` = λ, for kinds of contrast one."""
    raise NotImplementedError


def slope(kind: Kind, s: float, scale: float, size: float) -> float:
    """Return Φ'(s/λ), as ``flux``."""
    raise NotImplementedError


def bend(kind: Kind, q: float, g: float) -> float:
    """Return 2 q dg/dq, given g; kernels compile it for the kind they are called with."""
    raise NotImplementedError


def tabled(kind: Kind) -> bool:
    """Return whether the kind is a table, which rows take in three loops: looking up is one by itself."""
    raise NotImplementedError


def sorted_in(kind: Kind, q: float) -> tuple[float, float]:
    """Return the cell of q, a whole number in the bits of a float, and its place t there; compiled for tables."""
    raise NotImplementedError


def look_up(kind: Kind, numbers: NDArray[np.floating], cells: int, places: int, factors: int, count: int) -> None:
    """Put g(√q) in the place of ``count`` places t, whole vectors, and multiply as many factors by it.

    Compiled for tables; ``cells``, ``places`` and ``factors`` are where they begin, counted through all rows.
    """
    raise NotImplementedError


def _bits_as(target: Any) -> Any:
    """Return the function that takes the bits of a number for one of another type; LLVM makes it nothing."""

    @intrinsic
    def taken(typing: Any, x: Any) -> Any:
        del typing

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            bits = arguments[0]
            if signature.args[0] == types.int64 and signature.return_type == types.float32:
                bits = builder.trunc(bits, ir.IntType(32))  # what numba makes of a shifted int32
            return builder.bitcast(bits, context.get_value_type(signature.return_type))

        return target(x), codegen

    return taken


_int32, _int64 = _bits_as(types.int32), _bits_as(types.int64)
_float32, _float64 = _bits_as(types.float32), _bits_as(types.float64)

# exp(x) = 2^k exp(r), x = k ln 2 + r with |r| <= ln 2/2. Adding 1.5 · 2^23 (2^52) to a number rounds it and leaves
# what it is rounded to in the last bits; ln 2 is taken off in two parts, of which the first has so few bits that k
# times it is exact.
_LN2, _REST, _LOG2E = 0.693145751953125, 1.428606820309417232e-06, 1.4426950408889634
_LN2_F, _REST_F, _LOG2E_F = np.float32(_LN2), np.float32(_REST), np.float32(_LOG2E)
_ROUND, _ROUND_F = 6755399441055744.0, np.float32(12582912.0)
_LEAST, _LEAST_F = -708.0, np.float32(-87.0)
_P2, _P3, _P4, _P5, _P6 = (1 / f for f in (2, 6, 24, 120, 720))
_P7, _P8, _P9, _P10, _P11, _P12 = (1 / f for f in (5040, 40320, 362880, 3628800, 39916800, 479001600))
_F2, _F3, _F4, _F5, _F6 = (np.float32(p) for p in (_P2, _P3, _P4, _P5, _P6))
_ONE_F = np.float32(1)
_FIRST, _LAST = 2.0**LOWEST, np.nextafter(2.0 ** (LOWEST + OCTAVES), 0)  # of the numbers in tables
_FIRST_F, _LAST_F = np.float32(_FIRST), np.nextafter(np.float32(2.0 ** (LOWEST + OCTAVES)), np.float32(0))


@register_jitable(**OPTIONS)
def _exp_f(x):  # type: ignore[no-untyped-def]
    y = max(x, _LEAST_F)
    shifted = y * _LOG2E_F + _ROUND_F
    k = shifted - _ROUND_F
    r = (y - k * _LN2_F) - k * _REST_F
    series = _ONE_F + r * (_ONE_F + r * (_F2 + r * (_F3 + r * (_F4 + r * (_F5 + r * _F6)))))
    return _float32((_int32(shifted) + 127) << 23) * series


@register_jitable(**OPTIONS)
def _exp(x):  # type: ignore[no-untyped-def]
    y = max(x, _LEAST)
    shifted = y * _LOG2E + _ROUND
    k = shifted - _ROUND
    r = (y - k * _LN2) - k * _REST
    tail = _P7 + r * (_P8 + r * (_P9 + r * (_P10 + r * (_P11 + r * _P12))))
    series = 1.0 + r * (1.0 + r * (_P2 + r * (_P3 + r * (_P4 + r * (_P5 + r * (_P6 + r * tail))))))
    return _float64((_int64(shifted) + 1023) << 52) * series


@intrinsic
def _less(typing: Any, bits: Any, shift: Any) -> Any:
    """Bits less the last ``shift`` of them, as wide as they are, where numba's own shift takes 64 bits for 32."""
    del typing
    return bits(bits, shift), lambda context, builder, signature, arguments: builder.lshr(*arguments)


@register_jitable(**OPTIONS)
def _cell_f(kind, q):  # type: ignore[no-untyped-def]
    """Where the numbers of the cell of q begin, and the place in it; what is not in the table is taken for its end."""
    x = q * kind.scale
    x = x if x > _FIRST_F else _FIRST_F  # a number that is none, too
    bits = _int32(x if x < _LAST_F else _LAST_F)
    within = bits & ((np.int32(1) << kind.shift) - np.int32(1))  # what the mantissa has beyond where the cell begins
    return 4 * (_less(bits, kind.shift) - kind.first), _float32(within | 0x3F800000) - _ONE_F


@register_jitable(**OPTIONS)
def _mantissa_f(kind, q):  # type: ignore[no-untyped-def]
    return _float32((_int32(q * kind.scale) & 0x7FFFFF) | 0x3F800000)


@register_jitable(**OPTIONS)
def _cell(kind, q):  # type: ignore[no-untyped-def]
    x = q * kind.scale
    x = x if x > _FIRST else _FIRST
    bits = _int64(x if x < _LAST else _LAST)
    within = bits & ((1 << kind.shift) - 1)
    return 4 * (_less(bits, kind.shift) - kind.first), _float64(within | 0x3FF0000000000000) - 1.0


@register_jitable(**OPTIONS)
def _mantissa(kind, q):  # type: ignore[no-untyped-def]
    return _float64((_int64(q * kind.scale) & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000)


@overload(weight, jit_options=OPTIONS)
def _weight(kind, q):  # type: ignore[no-untyped-def]
    single = q == types.float32
    zero, one = (np.float32(n) if single else np.float64(n) for n in (0, 1))
    half = np.float32(-0.5) if single else np.float64(-0.5)
    exp, cell = (_exp_f, _cell_f) if single else (_exp, _cell)

    def tabled(kind, q):  # type: ignore[no-untyped-def]
        k, t = cell(kind, q)
        c = kind.cubics
        return c[k] + t * (c[k + 1] + t * (c[k + 2] + t * c[k + 3]))

    formulas = {
        Constant: lambda kind, q: one,
        Charbonnier: lambda kind, q: one / np.sqrt(one + q * kind.scale),
        Soft: lambda kind, q: one / np.sqrt(max(q * kind.scale, one)),
        Exponential: lambda kind, q: exp(half * (q * kind.scale)),
        Rational: lambda kind, q: one / (one + q * kind.scale),
        Garrote: lambda kind, q: one / max(q * kind.scale, one),
        Hard: lambda kind, q: one if q * kind.scale <= one else zero,
        TotalVariation: lambda kind, q: one / np.sqrt(q * kind.scale) if q > zero else zero,
        Balanced: lambda kind, q: one / (q * kind.scale) if q > zero else zero,
        Table: tabled,
    }
    return formulas.get(kind.instance_class)


@overload(flux, jit_options=OPTIONS)
def _flux(kind, s, scale, size):  # type: ignore[no-untyped-def]
    if kind.instance_class is Soft:
        return lambda kind, s, scale, size: min(max(s, -size), size)  # which no root is worth
    return lambda kind, s, scale, size: weight(kind, s * s * scale) * s


@overload(slope, jit_options=OPTIONS)
def _slope(kind, s, scale, size):  # type: ignore[no-untyped-def]
    zero, one = (np.float32(n) if s == types.float32 else np.float64(n) for n in (0, 1))
    if kind.instance_class is Soft:
        return lambda kind, s, scale, size: one if abs(s) <= size else zero

    def general(kind, s, scale, size):  # type: ignore[no-untyped-def]
        q = s * s * scale
        g = weight(kind, q)
        return g + bend(kind, q, g)

    return general


@overload(bend, jit_options=OPTIONS)
def _bend(kind, q, g):  # type: ignore[no-untyped-def]
    single = q == types.float32
    zero, one, two = (np.float32(n) if single else np.float64(n) for n in (0, 1, 2))
    cell, mantissa = (_cell_f, _mantissa_f) if single else (_cell, _mantissa)

    def tabled(kind, q, g):  # type: ignore[no-untyped-def]
        k, t = cell(kind, q)
        c = kind.cubics
        slope = c[k + 1] + t * (two * c[k + 2] + t * (two + one) * c[k + 3])
        return two * mantissa(kind, q) * slope

    formulas = {
        Constant: lambda kind, q, g: zero,
        Charbonnier: lambda kind, q, g: g * (g * g - one),  # -x (1 + x)^(-3/2), x = q/λ²
        Soft: lambda kind, q, g: -g if q * kind.scale > one else zero,
        Exponential: lambda kind, q, g: -(q * kind.scale) * g,
        Rational: lambda kind, q, g: two * g * (g - one),
        Garrote: lambda kind, q, g: -two * g if q * kind.scale > one else zero,
        Hard: lambda kind, q, g: zero,
        TotalVariation: lambda kind, q, g: -g,
        Balanced: lambda kind, q, g: -two * g,
        Table: tabled,
    }
    return formulas.get(kind.instance_class)


@overload(tabled, jit_options=OPTIONS)
def _tabled(kind):  # type: ignore[no-untyped-def]
    answer = kind.instance_class is Table
    return lambda kind: answer


@overload(sorted_in, jit_options=OPTIONS)
def _sorted_in(kind, q):  # type: ignore[no-untyped-def]
    single = q == types.float32
    cell, number = (_cell_f, _float32) if single else (_cell, _float64)

    def table(kind, q):  # type: ignore[no-untyped-def]
        k, t = cell(kind, q)
        return number(k), t

    return table if kind.instance_class is Table else lambda kind, q: (q, q)


@overload(look_up, jit_options=OPTIONS)
def _look_up(kind, numbers, cells, places, factors, count):  # type: ignore[no-untyped-def]
    lanes = lanes_of(numbers.dtype.bitwidth // 8)

    def table(kind, numbers, cells, places, factors, count):  # type: ignore[no-untyped-def]
        for j in range(0, count, lanes):
            cubics_at(kind.cubics, numbers, cells + j, places + j, factors + j)

    return table if kind.instance_class is Table else lambda kind, numbers, cells, places, factors, count: None

"""Small checks of user input, each raising the error that says what to do."""

import math
from collections.abc import Collection, Sequence
from operator import index

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.errors import InputError, ShapeError

LEAST_SIZE, LARGEST_SIZE = 1e-12, 1e12  # of data; beyond these, squares leave float32


def trailing_shape(
    x: Shaped[Tensor, "..."], shape: Sequence[int], axes: str, who: str, do: str
) -> Shaped[Tensor, "..."]:
    """Return ``x`` if its last axes have ``shape``; leading batch axes are free.

    Raises ShapeError naming ``who``, the expected axes and the shape that came.
    """
    tensor(x, who)
    if tuple(x.shape[x.ndim - len(shape) :]) != tuple(shape):
        expected = f"(*batch, {', '.join(map(str, shape))}) [{axes}]"
        raise ShapeError(who, expected=expected, got=str(tuple(x.shape)), do=do)
    return x


def tensor(x: Shaped[Tensor, "..."], who: str) -> Shaped[Tensor, "..."]:
    """Return ``x`` if it is a torch tensor at all; raises InputError that says how to make it one."""
    if not isinstance(x, Tensor):
        raise InputError(who, expected="a torch tensor", got=type(x).__name__, do="Convert with torch.as_tensor(x).")
    return x


def real(x: Shaped[Tensor, "..."], who: str) -> Shaped[Tensor, "..."]:
    """Return ``x`` if it is a tensor of real numbers, whole and Boolean ones too; raises InputError otherwise."""
    if tensor(x, who).is_complex():
        do = "Take its real part, or two operators, one for each part."
        raise InputError(who, expected="real numbers", got=str(x.dtype), do=do)
    return x


def floating(x: Shaped[Tensor, "..."], who: str) -> Shaped[Tensor, "..."]:
    """Return ``x`` if it is float32 or float64; raises InputError otherwise."""
    if tensor(x, who).dtype not in (torch.float32, torch.float64):
        raise InputError(who, expected="a float32 or float64 tensor", got=str(x.dtype), do="Convert with x.float().")
    return x


def real_or_complex(x: Shaped[Tensor, "..."], is_complex: bool, who: str) -> Shaped[Tensor, "..."]:
    """Return ``x`` if it is float32 or float64, or complex64 or complex128 where ``is_complex``.

    Raises InputError that says how to convert, and how a real operator acts on complex arrays.
    """
    if not is_complex and not x.is_complex():
        return floating(x, who)
    if not is_complex:
        do = "Give x.real and x.imag in turn, or wrap the operator in Complexified."
        raise InputError(who, expected="a float32 or float64 tensor", got=str(x.dtype), do=do)
    if x.dtype not in (torch.complex64, torch.complex128):
        do = "Convert with x.to(torch.complex64), or compose with AsComplex(shape)."
        raise InputError(who, expected="a complex64 or complex128 tensor", got=str(x.dtype), do=do)
    return x


def target_like(
    out: Shaped[Tensor, "..."], x: Shaped[Tensor, "..."], shape: Sequence[int], who: str
) -> Shaped[Tensor, "..."]:
    """Return ``out`` if results of ``shape`` from ``x`` can be written into it; raises ShapeError or InputError."""
    if tuple(tensor(out, who).shape) != tuple(shape):
        do = "Make it with torch.empty of that shape."
        raise ShapeError(who, expected=f"a target of shape {tuple(shape)}", got=str(tuple(out.shape)), do=do)
    if out.dtype != x.dtype or out.device != x.device or not out.is_contiguous():
        expected = f"a contiguous target of {x.dtype} on {x.device}"
        got = f"{out.dtype} on {out.device}, strides {out.stride()}"
        raise InputError(who, expected=expected, got=got, do="Make it with x.new_empty(shape).")
    return out


def finite(x: Shaped[Tensor, "..."], who: str, do: str) -> Shaped[Tensor, "..."]:
    """Return ``x`` if it holds neither NaN nor infinity; raises InputError with the count otherwise."""
    bad = int((~torch.isfinite(x)).sum())
    if bad:
        raise InputError(who, expected="finite values", got=f"{bad} NaN or infinite of {x.numel()}", do=do)
    return x


def refuse_sizes(
    data: Shaped[Tensor, "..."], who: str, least: float = LEAST_SIZE, largest: float = LARGEST_SIZE
) -> None:
    """Raise InputError where data are so small or so large that their squares leave float32; zeros pass."""
    size = float(data.abs().max())
    if size != 0.0 and not least <= size <= largest:
        expected = f"data of size {least:g} to {largest:g}"
        raise InputError(who, expected=expected, got=f"{size:.3g}", do="Choose another unit.")


def finite_numbers(values: object) -> tuple[float, ...]:
    """Return a sequence of real numbers (tuple, list, array, tensor) as floats; empty where it is none, or not finite.

    >>> finite_numbers([1, 2.5]), finite_numbers((1.0, math.nan)), finite_numbers(3.0)
    ((1.0, 2.5), (), ())
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):  # a ragged list, a tensor on another device or with a gradient
        return ()
    usable = array.ndim == 1 and array.dtype.kind in "iuf" and bool(np.isfinite(array).all())
    return tuple(map(float, array.tolist())) if usable else ()


def numbers_of(chosen: object, count: int, name: str, who: str) -> NDArray[np.int64]:
    """Return the numbers of things chosen among ``count``, counted from 0 or, negative, from the end.

    Raises InputError for others, and for a mask: True and False would count as 1 and 0.

    >>> numbers_of(range(0, 6, 2), 6, "views", "Scan").tolist()
    [0, 2, 4]
    """
    try:
        array = np.asarray(chosen)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    array = array.astype(np.int64) if array.shape == (0,) else array
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array >= count).any() or (array < -count).any():
        expected, do = f"numbers of {name} from 0 to {count - 1}", "Of a mask, give numpy.flatnonzero(mask)."
        raise InputError(who, expected=expected, got=repr(chosen)[:80], do=do)
    return array.astype(np.int64)


def point(values: Sequence[float], axes: str, name: str, who: str) -> tuple[float, ...]:
    """Return ``values`` as floats if they are finite and one for each of ``axes``; raises InputError otherwise."""
    numbers = finite_numbers(values)
    if len(numbers) != len(axes.split(",")):
        expected = f"finite numbers {name} ({axes})"
        raise InputError(who, expected=expected, got=repr(values), do=f"Give {name} as numbers.")
    return numbers


def is_finite(value: object) -> bool:
    """Return whether ``value`` is one finite real number; False for what is no number at all."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return False


def finite_number(value: float, name: str, who: str) -> float:
    """Return ``value`` if it is one finite number; raises InputError otherwise."""
    if not is_finite(value):
        raise InputError(who, expected=f"a finite {name}", got=f"{name} = {value}", do=f"Give {name} as a number.")
    return value


def positive(value: float, name: str, who: str) -> float:
    """Return ``value`` if it is a finite number above zero; raises InputError otherwise."""
    if not (is_finite(value) and value > 0):
        raise InputError(who, expected=f"{name} > 0", got=f"{name} = {value}", do=f"Give a positive {name}.")
    return value


def not_negative(value: float, name: str, who: str) -> float:
    """Return ``value`` if it is a number of at least zero, which may be infinite; raises InputError otherwise."""
    if value == math.inf or (is_finite(value) and value >= 0):
        return value
    raise InputError(who, expected=f"{name} >= 0", got=f"{name} = {value}", do=f"Give a {name} that is not negative.")


def whole(value: int, name: str, who: str) -> int:
    """Return ``value`` as an int if it is a whole number by its type; raises InputError otherwise, for 2.0 too."""
    try:
        return index(value)
    except TypeError:
        got = f"{name} = {value!r}"
        raise InputError(who, expected=f"a whole number {name}", got=got, do=f"Give {name} as an int.") from None


def at_least(value: int, least: int, name: str, who: str) -> int:
    """Return ``value`` as an int if it is a whole number and at least ``least``; raises InputError otherwise."""
    number = whole(value, name, who)
    if number < least:
        raise InputError(who, expected=f"{name} >= {least}", got=f"{name} = {value}", do=f"Give a larger {name}.")
    return number


def shape_of(shape: Sequence[int], axes: Collection[str], who: str) -> tuple[int, ...]:
    """Return ``shape`` as a tuple of ints if it has one of the ``axes``, such as "row, col", and no empty one.

    Raises ShapeError otherwise.
    """
    try:
        sizes = tuple(index(n) for n in shape)
    except TypeError:
        sizes = ()
    if len(sizes) not in {len(names.split(",")) for names in axes} or min(sizes) < 1:
        expected = f"a shape of whole numbers above zero, ({') or ('.join(axes)})"
        raise ShapeError(who, expected=expected, got=repr(shape), do="Give the sizes of the axes of one image.")
    return sizes

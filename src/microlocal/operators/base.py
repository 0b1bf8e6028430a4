"""The linear operator: a module with a forward map, its exact transpose, shapes, and a norm bound.

    forward: (*batch, *domain) -> (*batch, *codomain)        Re <A x, y> = Re <x, A* y>

The adjoint is the Euclidean transpose, conjugated where arrays are complex, which is what autograd needs; physical
scaling lives in the operator. A final class writes ``_forward``, ``_adjoint`` and, where it can prove one,
``norm_bound``; the checks are here. Operators combine as in formulas: ``2 * A + B @ C.H``.
"""

import cmath
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import add, index
from typing import Self, cast

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from microlocal.core.checks import real_or_complex, trailing_shape
from microlocal.core.errors import InputError, ShapeError
from microlocal.operators.autograd import linear_pair as linear_pair  # noqa: PLC0414 - also found here


class LinearOperator(nn.Module, ABC):
    """Base of the linear maps. Holds shapes only: no solver options, no noise, no data.

    Parameters: ``domain_shape`` and ``codomain_shape``, the trailing shapes of input and output; ``domain_axes`` and
    ``codomain_axes``, their names in error messages; ``domain_complex`` and ``codomain_complex`` say whether they
    hold complex numbers (of the same precision: float32 goes with complex64, float64 with complex128).

    ``A.to(device)`` moves an operator; its tables keep their precision, since the input's decides. Half precision is
    refused by the call.
    """

    domain_axes = "row, col"
    codomain_axes = "row, col"
    domain_complex = False
    codomain_complex = False
    precision = torch.float64  # the finest in which it computes
    advice = "Resize the input, or build the operator for this shape."

    def __init__(self, domain_shape: tuple[int, ...], codomain_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.domain_shape, self.codomain_shape = (
            sizes_of(s, type(self).__name__) for s in (domain_shape, codomain_shape)
        )

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor:
        """(*batch, *domain) -> (*batch, *codomain)."""

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor:
        """(*batch, *codomain) -> (*batch, *domain)."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Let ``to``, ``half`` and the like move the tables to a device, but keep their precision.

        Operators follow the precision of their input; tables that were rounded once would stay so for ever.
        """
        tables = {id(table) for table in self.buffers(recurse=False)}

        def moved(tensor: Tensor) -> Tensor:
            if id(tensor) not in tables:
                return fn(tensor)
            probes = [fn(torch.empty(0, dtype=kind, device=tensor.device)) for kind in (torch.float32, torch.float64)]
            converts = probes[0].dtype != torch.float32 or probes[1].dtype != torch.float64
            return tensor.to(probes[0].device) if converts else fn(tensor)

        if recurse:
            for module in self.children():
                module._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(moved, recurse=False)  # type: ignore[no-untyped-call]

    def forward(self, x: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
        """Apply the operator: (*batch, *domain) -> (*batch, *codomain).

        Raises ShapeError for other shapes, InputError for other kinds of numbers.
        """
        who = f"{type(self).__name__}.forward"
        trailing_shape(x, self.domain_shape, self.domain_axes, who, self.advice)
        real_or_complex(x, self.domain_complex, who)
        return self._forward(x) if x.numel() else self._nothing(x, forward=True)

    def adjoint(self, y: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
        """Apply the (conjugate) transpose: (*batch, *codomain) -> (*batch, *domain). Raises likewise."""
        who = f"{type(self).__name__}.adjoint"
        trailing_shape(y, self.codomain_shape, self.codomain_axes, who, self.advice)
        real_or_complex(y, self.codomain_complex, who)
        return self._adjoint(y) if y.numel() else self._nothing(y, forward=False)

    def _nothing(self, x: Tensor, *, forward: bool) -> Tensor:
        """Return the image of an empty batch, still within autograd; FFT libraries refuse to transform nothing."""
        spaces = (self.domain_shape, self.domain_complex), (self.codomain_shape, self.codomain_complex)
        (before, _), (after, is_complex) = spaces if forward else spaces[::-1]
        zero = x.sum().to(x.dtype.to_complex()) if is_complex else x.sum().real
        return zero.expand(*x.shape[: x.ndim - len(before)], *after)

    def norm_bound(self) -> float:
        """Return a proved upper bound of the operator norm; infinity where none is known."""
        return math.inf

    def step_sizes(self) -> tuple[Float[Tensor, "..."] | float, Float[Tensor, "..."] | float]:
        """Return (σ, τ), scalars or diagonals on codomain and domain, with |Σ^½ A T^½| <= 1 proved.

        The default is the scalar pair 1/|A|, 1/|A| from :meth:`norm_bound`, ones for the zero operator.
        """
        bound = self.norm_bound() or 1.0
        return 1 / bound, 1 / bound

    @property
    def H(self) -> "LinearOperator":
        """The adjoint as an operator: that of an adjoint is the operator itself, with all that it knows."""
        return self.operator if isinstance(self, Adjoint) else Adjoint(self)

    def normal(self) -> "LinearOperator":
        """Return A* A: the composition, unless the operator knows a faster way."""
        return self.H @ self

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        return Composition(self, other)

    def __add__(self, other: "LinearOperator") -> "LinearOperator":
        same_spaces((self, other), "Sum")
        terms = _terms(self, other)
        return Sum(self, other) if len(terms) > 1 else Multiple(*terms[0])

    def __sub__(self, other: "LinearOperator") -> "LinearOperator":
        return self + Multiple(-1.0, other)

    def __neg__(self) -> "LinearOperator":
        return Multiple(-1.0, self)

    def __rmul__(self, scalar: complex) -> "LinearOperator":
        return Multiple(scalar, self)

    def __mul__(self, scalar: complex) -> "LinearOperator":
        return self.__rmul__(scalar)

    def __truediv__(self, scalar: complex) -> "LinearOperator":
        return self.__rmul__(1 / scalar)


def sizes_of(shape: Iterable[int], who: str) -> tuple[int, ...]:
    """Return the sizes of axes as ints; raises ShapeError for what are no whole numbers."""
    try:
        sizes = tuple(index(n) for n in shape)
    except TypeError:
        sizes = (-1,)
    if min(sizes, default=0) < 0:
        raise ShapeError(who, expected="shapes of whole numbers", got=repr(shape), do="Give the sizes of all axes.")
    return sizes


class Adjoint(LinearOperator):
    """The adjoint of an operator, as an operator: ``A.H``."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.codomain_shape, operator.domain_shape)
        self.domain_axes, self.codomain_axes = operator.codomain_axes, operator.domain_axes
        self.domain_complex, self.codomain_complex = operator.codomain_complex, operator.domain_complex
        self.operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator(y)

    def norm_bound(self) -> float:
        return self.operator.norm_bound()


class Composition(LinearOperator):
    """``outer @ inner``: apply ``inner``, then ``outer``, of norm at most the product of the bounds.

    Where ``inner`` gives more leading axes than ``outer`` takes, they stay: ``outer`` acts on each of its images, as
    the Fourier transform on the image of every coil.
    """

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        who = f"{type(outer).__name__} @ {type(inner).__name__}"
        if not isinstance(inner, LinearOperator):
            do = "Apply an operator A to a tensor x by A(x); wrap a matrix in MatrixOperator."
            raise InputError(who, expected="two linear operators", got=type(inner).__name__, do=do)
        given = torch.empty(inner.codomain_shape, device="meta")
        trailing_shape(given, outer.domain_shape, outer.domain_axes, who, "Compose operators whose shapes meet.")
        if outer.domain_complex != inner.codomain_complex:
            kinds = [("real", "complex")[flag] for flag in (outer.domain_complex, inner.codomain_complex)]
            do = "Put AsComplex(shape) or its adjoint between, or wrap the real one in Complexified."
            raise InputError(who, expected=f"{kinds[0]} arrays", got=kinds[1], do=do)
        kept = inner.codomain_shape[: len(inner.codomain_shape) - len(outer.domain_shape)]
        super().__init__(inner.domain_shape, (*kept, *outer.codomain_shape))
        self.domain_axes, self.codomain_axes = inner.domain_axes, outer.codomain_axes
        self.domain_complex, self.codomain_complex = inner.domain_complex, outer.codomain_complex
        self.outer, self.inner = outer, inner

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def norm_bound(self) -> float:
        return norm_product(self.outer, self.inner)

    def normal(self) -> LinearOperator:
        return self.inner.H @ (self.outer.normal() @ self.inner)


class Sum(LinearOperator):
    """``A + B + ...`` of operators between the same spaces, of norm at most the sum of the bounds."""

    def __init__(self, *operators: LinearOperator) -> None:
        first = same_spaces(operators, "Sum")
        super().__init__(first.domain_shape, first.codomain_shape)
        self.domain_axes, self.codomain_axes = first.domain_axes, first.codomain_axes
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.operators = nn.ModuleList(operators)

    def _forward(self, x: Tensor) -> Tensor:
        first, *others = members(self.operators)
        return sum((operator(x) for operator in others), start=first(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        first, *others = members(self.operators)
        return sum((operator.adjoint(y) for operator in others), start=first.adjoint(y))

    def norm_bound(self) -> float:
        return sum(operator.norm_bound() for operator in members(self.operators))

    def normal(self) -> LinearOperator:
        """Return A* A, as |c|² B* B where all terms are multiples of one operator B, c their sum."""
        terms = _terms(self)
        return super().normal() if len(terms) > 1 else Multiple(*terms[0]).normal()


class Multiple(LinearOperator):
    """``c * A``, of norm |c| |A|; a complex number c where A gives complex arrays."""

    def __init__(self, scalar: complex, operator: LinearOperator) -> None:
        only_operators((operator,), "Multiple")
        super().__init__(operator.domain_shape, operator.codomain_shape)
        scalar = _number(scalar, operator)
        if isinstance(scalar, complex) and not operator.codomain_complex:
            who = f"{scalar} * {type(operator).__name__}"
            raise InputError(who, expected="a real number", got=str(scalar), do="Take the multiple of AsComplex @ A.")
        self.domain_axes, self.codomain_axes = operator.domain_axes, operator.codomain_axes
        self.domain_complex, self.codomain_complex = operator.domain_complex, operator.codomain_complex
        self.scalar, self.operator = scalar, operator

    def _forward(self, x: Tensor) -> Tensor:
        return self.scalar * self.operator(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(self.scalar.conjugate() * y)

    def norm_bound(self) -> float:
        return abs(self.scalar) * self.operator.norm_bound() if self.scalar else 0.0

    def normal(self) -> LinearOperator:
        return abs(self.scalar) ** 2 * self.operator.normal()


def _number(scalar: complex | Tensor, operator: LinearOperator) -> complex:
    """Return a factor as a number of Python, also from a tensor or an array that holds one; raises InputError."""
    try:
        number = scalar.item() if hasattr(scalar, "item") else scalar
        if cmath.isfinite(number):
            return number
    except (TypeError, ValueError, RuntimeError):
        pass
    do = "Give one finite number; weights of pixels are a Mask."
    raise InputError(f"c * {type(operator).__name__}", expected="a finite number c", got=repr(scalar)[:80], do=do)


def norm_product(a: LinearOperator, b: LinearOperator) -> float:
    """Return the product of the norm bounds: zero if one is, also where the other is not known (infinite)."""
    bounds = a.norm_bound(), b.norm_bound()
    return bounds[0] * bounds[1] if all(bounds) else 0.0


def total(operators: Iterable[LinearOperator]) -> LinearOperator:
    """Return the sum of operators between the same spaces, by their own way to add where they have one."""
    return reduce(add, operators)


def _terms(*operators: LinearOperator) -> list[tuple[complex, LinearOperator]]:
    """Return (c, B) for the different operators B whose multiples c B add up to the sum of ``operators``."""
    factors: dict[int, complex] = {}
    found: dict[int, LinearOperator] = {}
    for factor, operator in ((c, b) for a in operators for c, b in _expanded(a)):
        found[id(operator)] = operator
        factors[id(operator)] = factors.get(id(operator), 0) + factor
    kept = [key for key, factor in factors.items() if factor] or list(factors)[:1]
    return [(factors[key], found[key]) for key in kept]


def _expanded(operator: LinearOperator) -> Iterator[tuple[complex, LinearOperator]]:
    """Go through sums and multiples down to what they are made of."""
    if isinstance(operator, Multiple):
        yield from ((operator.scalar * c, b) for c, b in _expanded(operator.operator))
    elif isinstance(operator, Sum):
        for part in members(operator.operators):
            yield from _expanded(part)
    else:
        yield 1, operator


def members(modules: nn.ModuleList) -> list[LinearOperator]:
    """Return the operators of a module list, by their type."""
    return cast(list[LinearOperator], list(modules))


def only_operators(operators: Sequence[LinearOperator], who: str) -> LinearOperator:
    """Return the first of the operators; raises InputError where there is none, or something else among them."""
    if not operators:
        raise InputError(who, expected="at least one operator", got="none", do="Give the operators as arguments.")
    for given in operators:
        if not isinstance(given, LinearOperator):
            do = "Wrap a matrix in MatrixOperator; a number times the identity is c * Identity(shape)."
            raise InputError(who, expected="linear operators", got=type(given).__name__, do=do)
    return operators[0]


def same_spaces(operators: Sequence[LinearOperator], who: str) -> LinearOperator:
    """Return the first of the operators if all have its domain and codomain; raises ShapeError otherwise."""
    first = only_operators(operators, who)
    spaces = [(a.domain_shape, a.codomain_shape, a.domain_complex, a.codomain_complex) for a in operators]
    for other in spaces[1:]:
        if other != spaces[0]:
            do = "Give operators between the same spaces: shapes, and real or complex numbers."
            raise ShapeError(who, expected=_arrow(spaces[0]), got=_arrow(other), do=do)
    return first


def _arrow(space: tuple[tuple[int, ...], tuple[int, ...], bool, bool]) -> str:
    kinds = [("real", "complex")[flag] for flag in space[2:]]
    return f"{kinds[0]} {space[0]} -> {kinds[1]} {space[1]}"

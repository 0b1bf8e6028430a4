"""The linear operator: a module with a forward map, its exact transpose, shapes, and a norm bound.

    forward: (*batch, *domain) -> (*batch, *codomain)        <A x, y> = <x, A* y>

The adjoint is the Euclidean transpose, which is what autograd needs; physical scaling lives in the operator. A final
class writes ``_forward``, ``_adjoint`` and, where it can prove one, ``norm_bound``; the checks are here.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from microlocal.core.checks import floating, trailing_shape

Map = Callable[[Tensor], Tensor]


class LinearOperator(nn.Module, ABC):
    """Base of the linear maps. Holds shapes only: no solver options, no noise, no data.

    Parameters: ``domain_shape`` and ``codomain_shape``, the trailing shapes of input and output; ``domain_axes`` and
    ``codomain_axes``, their names in error messages.
    """

    domain_axes = "row, col"
    codomain_axes = "row, col"
    advice = "Resize the input, or build the operator for this shape."

    def __init__(self, domain_shape: tuple[int, ...], codomain_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.domain_shape = tuple(domain_shape)
        self.codomain_shape = tuple(codomain_shape)

    @abstractmethod
    def _forward(self, x: Tensor) -> Tensor:
        """(*batch, *domain) -> (*batch, *codomain)."""

    @abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor:
        """(*batch, *codomain) -> (*batch, *domain)."""

    def forward(self, x: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
        """Apply the operator: (*batch, *domain) -> (*batch, *codomain). Raises ShapeError for other shapes."""
        who = f"{type(self).__name__}.forward"
        floating(trailing_shape(x, self.domain_shape, self.domain_axes, who, self.advice), who)
        return self._forward(x)

    def adjoint(self, y: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
        """Apply the Euclidean transpose: (*batch, *codomain) -> (*batch, *domain). Raises ShapeError likewise."""
        who = f"{type(self).__name__}.adjoint"
        floating(trailing_shape(y, self.codomain_shape, self.codomain_axes, who, self.advice), who)
        return self._adjoint(y)

    def norm_bound(self) -> float:
        """Return a proved upper bound of the operator norm; infinity where none is known."""
        return math.inf

    def step_sizes(self) -> tuple[Float[Tensor, "..."] | float, Float[Tensor, "..."] | float]:
        """Return (σ, τ), scalars or diagonals on codomain and domain, with |Σ^½ A T^½| <= 1 proved.

        The default is the scalar pair 1/|A|, 1/|A| from :meth:`norm_bound`.
        """
        bound = self.norm_bound()
        return 1 / bound, 1 / bound

    @property
    def H(self) -> "LinearOperator":
        """The adjoint as an operator."""
        return Adjoint(self)

    def normal(self) -> "LinearOperator":
        """Return A* A: the composition, unless the operator knows a faster way."""
        return self.H @ self

    def __matmul__(self, other: "LinearOperator") -> "LinearOperator":
        return Composition(self, other)


class Adjoint(LinearOperator):
    """The transpose of an operator, as an operator."""

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.codomain_shape, operator.domain_shape)
        self.domain_axes, self.codomain_axes = operator.codomain_axes, operator.domain_axes
        self.operator = operator

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator.adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator(y)

    def norm_bound(self) -> float:
        return self.operator.norm_bound()


class Composition(LinearOperator):
    """``outer @ inner``: apply ``inner``, then ``outer``."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        trailing_shape(
            torch.empty(inner.codomain_shape, device="meta"),
            outer.domain_shape,
            outer.domain_axes,
            f"{type(outer).__name__} @ {type(inner).__name__}",
            "Compose operators whose shapes meet.",
        )
        super().__init__(inner.domain_shape, outer.codomain_shape)
        self.domain_axes, self.codomain_axes = inner.domain_axes, outer.codomain_axes
        self.outer, self.inner = outer, inner

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def norm_bound(self) -> float:
        return self.outer.norm_bound() * self.inner.norm_bound()


class _LinearPair(torch.autograd.Function):
    """A linear map whose backward pass is one application of its transpose (and so on, at every order)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: Map, transpose: Map) -> Tensor:
        ctx.maps = (apply, transpose)
        return apply(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        apply, transpose = ctx.maps
        return linear_pair(grads[0], transpose, apply), None, None


def linear_pair(x: Inexact[Tensor, "..."], apply: Map, transpose: Map) -> Inexact[Tensor, "..."]:
    """Return ``apply(x)`` with ``transpose`` as its derivative: no intermediate is kept for the backward pass."""
    return _LinearPair.apply(x, apply, transpose)  # type: ignore[no-untyped-call]

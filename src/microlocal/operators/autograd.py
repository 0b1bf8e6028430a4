"""A linear map and its adjoint as one differentiable function: the derivative of A is A, its transpose is A*.

For complex tensors torch's gradient of a real function is the one for the inner product Re <x, y>, so the backward
pass is the conjugate transpose.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Inexact
from torch import Tensor

Map = Callable[[Tensor], Tensor]


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
    """Return ``apply(x)`` with ``transpose`` as its derivative: no intermediate is kept for the backward pass.

    >>> x = torch.ones(2, requires_grad=True)
    >>> linear_pair(x, lambda a: 3 * a.detach(), lambda b: 3 * b).sum().backward()
    >>> x.grad.tolist()
    [3.0, 3.0]
    """
    return _LinearPair.apply(x, apply, transpose)  # type: ignore[no-untyped-call]

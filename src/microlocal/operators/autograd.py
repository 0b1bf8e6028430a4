"""A linear map and its adjoint as one differentiable function: the derivative of A is A, its transpose is A*.

For complex tensors torch's gradient of a real function is the one for the inner product Re <x, y>, so the backward
pass is the conjugate transpose.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from jaxtyping import Inexact
from torch import Tensor
from torch._compile import _disable_dynamo  # as torch does where its compiler must not be imported yet

Map = Callable[[Tensor], Tensor]
P = ParamSpec("P")
T = TypeVar("T")


class _LinearPair(torch.autograd.Function):
    """A linear map whose backward pass is one application of its transpose (and so on, at every order).

    It is its own derivative in forward mode; under ``torch.func.vmap`` it goes through the images one by one, since
    only the caller of ``linear_pair`` knows which leading axes the maps take.
    """

    @staticmethod
    def forward(x: Tensor, apply: Map, transpose: Map) -> Tensor:
        del transpose
        return apply(x.resolve_conj().resolve_neg())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        del output
        ctx.maps = inputs[1:]

    @staticmethod
    def jvp(ctx: Any, x: Tensor, *maps: None) -> Tensor:
        del maps
        return linear_pair(x, *ctx.maps)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None, None], x: Tensor, apply: Map, transpose: Map) -> tuple[Tensor, int]:
        del info
        return torch.stack([linear_pair(part, apply, transpose) for part in x.unbind(in_dims[0])]), 0

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        apply, transpose = ctx.maps
        return linear_pair(grads[0], transpose, apply), None, None


def linear_pair(x: Inexact[Tensor, "..."], apply: Map, transpose: Map) -> Inexact[Tensor, "..."]:
    """Return ``apply(x)`` with ``transpose`` as its derivative: no intermediate is kept for the backward pass.

    The maps may hand their argument to numpy: what torch conjugates or negates only when read is resolved before.

    >>> x = torch.ones(2, requires_grad=True)
    >>> linear_pair(x, lambda a: 3 * a.detach(), lambda b: 3 * b).sum().backward()
    >>> x.grad.tolist()
    [3.0, 3.0]
    """
    return _LinearPair.apply(x, apply, transpose)  # type: ignore[no-untyped-call]


def traced_pair(x: Inexact[Tensor, "..."], apply: Map, transpose: Map) -> Inexact[Tensor, "..."]:
    """Return ``linear_pair`` of maps that are custom operators of torch: torch.compile is to see those themselves."""
    return apply(x) if torch.compiler.is_compiling() else linear_pair(x, apply, transpose)


def uncompiled(function: Callable[P, T]) -> Callable[P, T]:
    """Return what ``torch.compiler.disable`` does, whose import waits until something is compiled.

    That import takes nearly as long as all of this package; without it nothing can be under way that is compiled.

    >>> uncompiled(lambda number: 2 * number)(3)
    6
    """
    disabled = _disable_dynamo(function)

    @wraps(function)
    def either(*args: P.args, **kwargs: P.kwargs) -> T:
        compiled = torch.compiler.is_compiling() or "torch._dynamo" in sys.modules
        return disabled(*args, **kwargs) if compiled else function(*args, **kwargs)

    return either

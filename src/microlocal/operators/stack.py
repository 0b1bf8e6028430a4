"""Operators side by side: one image through several, their results along a new axis or one that is there.

Stack          x -> (A_1 x, ..., A_n x), a product of spaces         |A|² <= Σ |A_i|²
Concatenate    the same along an axis that is there                  |A|² <= Σ |A_i|²
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, members, only_operators, total
from microlocal.operators.complexified import AsComplex
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity
from microlocal.operators.product import ProductSpace


def _root_of_squares(operators: nn.ModuleList) -> float:
    return math.hypot(*(operator.norm_bound() for operator in members(operators)))


def _sum_of_normals(operators: nn.ModuleList) -> LinearOperator:
    """Return Σ A_i* A_i, each in its faster way where it knows one."""
    return total(operator.normal() for operator in members(operators))


def _stacks() -> list["Stack"]:
    return [
        Stack(Identity((3, 4)), -2 * Identity((3, 4))),
        Stack(AsComplex((2, 3)), 1j * AsComplex((2, 3))),
        Stack(Gradient((3, 4)), Identity((3, 4))),
    ]


@register("operator", "stack", samples=_stacks)
class Stack(LinearOperator):
    """Several operators of one image: (*batch, *domain) -> (*batch, operator, *codomain).

    Where their results differ in shape, they lie end to end as numbers, (*batch, number); ``codomain``, a
    ``ProductSpace``, splits and joins them either way.

    Guarantee: |A|² <= Σ |A_i|². Raises ShapeError where the operators do not share their domain, or give real and
    complex arrays.

    >>> Stack(Identity((1, 2)), 2 * Identity((1, 2)))(torch.ones(1, 2)).tolist()
    [[[1.0, 1.0]], [[2.0, 2.0]]]
    """

    def __init__(self, *operators: LinearOperator) -> None:
        first = _same_domain(operators)
        space = ProductSpace(tuple(a.codomain_shape for a in operators), first.codomain_complex)
        super().__init__(first.domain_shape, space.shape)
        self.codomain = space
        self.domain_axes, self.codomain_axes = first.domain_axes, space.axes("operator", first.codomain_axes)
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.operators = nn.ModuleList(operators)

    def _forward(self, x: Tensor) -> Tensor:
        return self.codomain.join(*(operator(x) for operator in members(self.operators)))

    def _adjoint(self, y: Tensor) -> Tensor:
        pairs = zip(members(self.operators), self.codomain.split(y), strict=True)
        return torch.stack([operator.adjoint(part) for operator, part in pairs]).sum(dim=0)

    def norm_bound(self) -> float:
        return _root_of_squares(self.operators)

    def normal(self) -> LinearOperator:
        return _sum_of_normals(self.operators)


def _same_domain(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Return the first operator if all have its domain and kind of numbers; raises ShapeError otherwise."""
    first = only_operators(operators, "Stack")
    kinds = [("real", "complex")[a.domain_complex] + f" {a.domain_shape} -> " for a in operators]
    kinds = [kind + ("real", "complex")[a.codomain_complex] for kind, a in zip(kinds, operators, strict=True)]
    for kind in kinds[1:]:
        if kind != kinds[0]:
            do = "Give operators of one domain whose results are all real or all complex."
            raise ShapeError("Stack", expected=kinds[0], got=kind, do=do)
    return first


def _concatenations() -> list["Concatenate"]:
    return [
        Concatenate(Gradient((3, 4)), Gradient((3, 4), 2.0), axis=-3),
        Concatenate(AsComplex((2, 3)), -1j * AsComplex((2, 3)), axis=-1),
    ]


@register("operator", "concatenate", samples=_concatenations)
class Concatenate(LinearOperator):
    """Several operators of one image, their results laid end to end along ``axis`` of the codomain (negative).

    Guarantee: |A|² <= Σ |A_i|². Raises ShapeError where the results differ beyond that axis.

    >>> Concatenate(Identity((1, 1)), 2 * Identity((1, 1)), axis=-1)(torch.ones(1, 1)).tolist()
    [[1.0, 2.0]]
    """

    def __init__(self, *operators: LinearOperator, axis: int) -> None:
        _joinable(operators, axis)
        first = operators[0]
        shape = list(first.codomain_shape)
        lengths = [operator.codomain_shape[axis] for operator in operators]
        shape[axis] = sum(lengths)
        super().__init__(first.domain_shape, tuple(shape))
        self.domain_axes, self.codomain_axes = first.domain_axes, first.codomain_axes
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.operators, self.axis, self.lengths = nn.ModuleList(operators), axis, lengths

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([operator(x) for operator in members(self.operators)], dim=self.axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        pairs = zip(members(self.operators), torch.split(y, self.lengths, dim=self.axis), strict=True)
        return torch.stack([operator.adjoint(part) for operator, part in pairs]).sum(dim=0)

    def norm_bound(self) -> float:
        return _root_of_squares(self.operators)

    def normal(self) -> LinearOperator:
        return _sum_of_normals(self.operators)


def _joinable(operators: Sequence[LinearOperator], axis: int) -> None:
    first = only_operators(operators, "Concatenate")
    axes = len(first.codomain_shape)
    if not -axes <= axis < 0:
        do = "Count the axis from the end, since batch axes lead."
        raise InputError("Concatenate", expected=f"an axis from {-axes} to -1", got=str(axis), do=do)
    for other in operators[1:]:
        shapes = [[n for k, n in enumerate(a.codomain_shape) if k != axes + axis] for a in (first, other)]
        kinds = [(a.domain_shape, a.domain_complex, a.codomain_complex) for a in (first, other)]
        if shapes[0] != shapes[1] or kinds[0] != kinds[1]:
            do = "Give operators of one domain whose results differ in length along the axis only."
            got = f"{other.domain_shape} -> {other.codomain_shape}"
            raise ShapeError("Concatenate", expected=f"{first.domain_shape} -> {first.codomain_shape}", got=got, do=do)

"""Operators side by side: one image through several, blocks of operators between components.

Stack          x -> (A_1 x, ..., A_n x) along a new axis             |A|² <= Σ |A_i|²
Concatenate    the same along an axis that is there                  |A|² <= Σ |A_i|²
BlockMatrix    (A x)_i = Σ_j A_ij x_j over a new leading axis        |A| <= |(|A_ij|)_ij|, the norm of a matrix
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, Sum, members, same_spaces
from microlocal.operators.complexified import AsComplex
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity


def _root_of_squares(operators: nn.ModuleList) -> float:
    return math.hypot(*(operator.norm_bound() for operator in members(operators)))


def _sum_of_normals(operators: nn.ModuleList) -> LinearOperator:
    """Return Σ A_i* A_i, each in its faster way where it knows one."""
    return Sum(*(operator.normal() for operator in members(operators)))


def _stacks() -> list["Stack"]:
    return [Stack(Identity((3, 4)), -2 * Identity((3, 4))), Stack(AsComplex((2, 3)), 1j * AsComplex((2, 3)))]


@register("operator", "stack", samples=_stacks)
class Stack(LinearOperator):
    """Several operators of one image, (*batch, *domain) -> (*batch, operator, *codomain).

    Guarantee: |A|² <= Σ |A_i|². Raises ShapeError where the operators do not share domain and codomain.

    >>> Stack(Identity((1, 2)), 2 * Identity((1, 2)))(torch.ones(1, 2)).tolist()
    [[[1.0, 1.0]], [[2.0, 2.0]]]
    """

    def __init__(self, *operators: LinearOperator) -> None:
        first = same_spaces(operators, "Stack")
        super().__init__(first.domain_shape, (len(operators), *first.codomain_shape))
        self.domain_axes, self.codomain_axes = first.domain_axes, f"operator, {first.codomain_axes}"
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.operators = nn.ModuleList(operators)

    def _forward(self, x: Tensor) -> Tensor:
        axis = -len(self.codomain_shape)
        return torch.stack([operator(x) for operator in members(self.operators)], dim=axis)

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(dim=-len(self.codomain_shape))
        pairs = zip(members(self.operators), parts, strict=True)
        return torch.stack([operator.adjoint(part) for operator, part in pairs]).sum(dim=0)

    def norm_bound(self) -> float:
        return _root_of_squares(self.operators)

    def normal(self) -> LinearOperator:
        return _sum_of_normals(self.operators)


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
        first = operators[0]
        _joinable(operators, axis)
        shape = list(first.codomain_shape)
        self_lengths = [operator.codomain_shape[axis] for operator in operators]
        shape[axis] = sum(self_lengths)
        super().__init__(first.domain_shape, tuple(shape))
        self.domain_axes, self.codomain_axes = first.domain_axes, first.codomain_axes
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.operators, self.axis, self.lengths = nn.ModuleList(operators), axis, self_lengths

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
    first, axes = operators[0], len(operators[0].codomain_shape)
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


def _blocks() -> list["BlockMatrix"]:
    one = Identity((3, 2))
    return [BlockMatrix([[one, 2 * one, None], [None, -one, 0.5 * one]]), BlockMatrix([[one, None], [one, 3 * one]])]


@register("operator", "block-matrix", samples=_blocks)
class BlockMatrix(LinearOperator):
    """Blocks of operators between components: (*batch, column, *domain) -> (*batch, row, *codomain).

        (A x)_i = Σ_j A_ij x_j,    None stands for zero

    Parameters: ``blocks``, rows of operators or None, all between the same spaces; every row has as many.

    Guarantee: |A| <= the largest singular value of the matrix of the blocks' bounds; the largest bound if only the
    diagonal is filled.

    >>> one = Identity((1, 1))
    >>> BlockMatrix([[one, one], [None, 2 * one]])(torch.tensor([[[1.0]], [[10.0]]])).flatten().tolist()
    [11.0, 20.0]
    """

    def __init__(self, blocks: Sequence[Sequence[LinearOperator | None]]) -> None:
        given = {(i, j): block for i, row in enumerate(blocks) for j, block in enumerate(row) if block is not None}
        if len({len(row) for row in blocks}) != 1:
            lengths = str([len(row) for row in blocks])
            raise InputError("BlockMatrix", expected="rows of one length", got=lengths, do="Fill rows with None.")
        first = same_spaces(tuple(given.values()), "BlockMatrix")
        rows, columns = len(blocks), len(blocks[0])
        super().__init__((columns, *first.domain_shape), (rows, *first.codomain_shape))
        self.domain_axes, self.codomain_axes = f"component, {first.domain_axes}", f"component, {first.codomain_axes}"
        self.domain_complex, self.codomain_complex = first.domain_complex, first.codomain_complex
        self.places, self.operators = tuple(given), nn.ModuleList(given.values())

    def _forward(self, x: Tensor) -> Tensor:
        parts = x.unbind(dim=-len(self.domain_shape))
        images = [operator(parts[j]) for (_, j), operator in zip(self.places, members(self.operators), strict=True)]
        return _gather(images, [i for i, _ in self.places], self.codomain_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = y.unbind(dim=-len(self.codomain_shape))
        pairs = zip(self.places, members(self.operators), strict=True)
        return _gather([a.adjoint(parts[i]) for (i, _), a in pairs], [j for _, j in self.places], self.domain_shape)

    def norm_bound(self) -> float:
        bounds = np.zeros((self.codomain_shape[0], self.domain_shape[0]))
        for place, operator in zip(self.places, members(self.operators), strict=True):
            bounds[place] = operator.norm_bound()
        return float(np.linalg.norm(bounds, 2)) * (1 + 1e-12) if np.isfinite(bounds).all() else math.inf


def _gather(images: Sequence[Tensor], places: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Sum the images that share a place, along a new leading axis of the space."""
    sums: list[Tensor] = [torch.zeros_like(images[0])] * shape[0]
    for place, image in zip(places, images, strict=True):
        sums[place] = sums[place] + image
    return torch.stack(sums, dim=-len(shape))


def block_diagonal(*operators: LinearOperator) -> BlockMatrix:
    """Return the operator that applies each of ``operators`` to its own component, of the largest of their norms.

    >>> block_diagonal(Identity((1, 1)), 3 * Identity((1, 1))).norm_bound() < 3 + 1e-9
    True
    """
    size = len(operators)
    return BlockMatrix([[operators[i] if i == j else None for j in range(size)] for i in range(size)])

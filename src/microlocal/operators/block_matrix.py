"""Blocks of operators between components, of one shape or of several.

(A x)_i = Σ_j A_ij x_j,    |A| <= |(|A_ij|)_ij|, the norm of a matrix
"""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, members, only_operators, total
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity
from microlocal.operators.product import ProductSpace
from microlocal.operators.symmetrised_gradient import SymmetrisedGradient

Blocks = Sequence[Sequence[LinearOperator | None]]


def _samples() -> list["BlockMatrix"]:
    one = Identity((3, 2))
    return [
        BlockMatrix([[one, 2 * one, None], [None, -one, 0.5 * one]]),
        BlockMatrix([[one, None], [one, 3 * one]]),
        BlockMatrix([[Gradient((3, 2)), -Identity((2, 3, 2))], [None, SymmetrisedGradient((3, 2))]]),
    ]


@register("operator", "block-matrix", samples=_samples)
class BlockMatrix(LinearOperator):
    """Blocks of operators between components: (*batch, column, *domain) -> (*batch, row, *codomain).

        (A x)_i = Σ_j A_ij x_j,    None stands for zero

    Parameters: ``blocks``, rows of operators or None; every row has as many. Those of a column share their domain,
    those of a row their codomain; where columns (or rows) differ in shape, the components lie end to end as numbers,
    (*batch, number). ``domain`` and ``codomain``, ``ProductSpace``s, split and join them either way. Raises
    InputError for a row or column without an operator whose shape the others leave open, ShapeError where blocks do
    not fit.

    Guarantee: |A| <= the largest singular value of the matrix of the blocks' bounds; the largest bound if only the
    diagonal is filled.

    >>> import torch
    >>> one = Identity((1, 1))
    >>> BlockMatrix([[one, one], [None, 2 * one]])(torch.tensor([[[1.0]], [[10.0]]])).flatten().tolist()
    [11.0, 20.0]
    """

    def __init__(self, blocks: Blocks) -> None:
        given = _given(blocks)
        first = next(iter(given.values()))
        into, out = (_space(given, blocks, axis) for axis in (1, 0))
        super().__init__(into.shape, out.shape)
        self.domain, self.codomain = into, out
        self.domain_axes = into.axes("component", first.domain_axes)
        self.codomain_axes = out.axes("component", first.codomain_axes)
        self.domain_complex, self.codomain_complex = into.is_complex, out.is_complex
        self.places, self.operators = tuple(given), nn.ModuleList(given.values())

    def _forward(self, x: Tensor) -> Tensor:
        parts = self.domain.split(x)
        images = [a(parts[j]) for (_, j), a in self._blocks()]
        return _gather(images, [i for i, _ in self.places], self.codomain, x.shape[: x.ndim - len(self.domain_shape)])

    def _adjoint(self, y: Tensor) -> Tensor:
        parts = self.codomain.split(y)
        images = [a.adjoint(parts[i]) for (i, _), a in self._blocks()]
        return _gather(images, [j for _, j in self.places], self.domain, y.shape[: y.ndim - len(self.codomain_shape)])

    def _blocks(self) -> list[tuple[tuple[int, int], LinearOperator]]:
        return list(zip(self.places, members(self.operators), strict=True))

    def norm_bound(self) -> float:
        bounds = np.zeros((len(self.codomain.shapes), len(self.domain.shapes)))
        for place, operator in self._blocks():
            bounds[place] = operator.norm_bound()
        return float(np.linalg.norm(bounds, 2)) * (1 + 1e-12) if np.isfinite(bounds).all() else math.inf

    def normal(self) -> LinearOperator:
        """Return A* A: where no row has two blocks, the diagonal of Σ_i A_ij* A_ij, each in its own faster way."""
        columns = range(len(self.domain.shapes))
        if len({i for i, _ in self.places}) < len(self.places) or {j for _, j in self.places} != set(columns):
            return super().normal()
        return block_diagonal(*(total(a.normal() for (_, k), a in self._blocks() if k == j) for j in columns))


def block_diagonal(*operators: LinearOperator) -> BlockMatrix:
    """Return the operator that applies each of ``operators`` to its own component, of the largest of their norms.

    >>> block_diagonal(Identity((1, 1)), 3 * Identity((1, 1))).norm_bound() < 3 + 1e-9
    True
    """
    size = len(operators)
    return BlockMatrix([[operators[i] if i == j else None for j in range(size)] for i in range(size)])


def _given(blocks: Blocks) -> dict[tuple[int, int], LinearOperator]:
    """Return the blocks that are operators by their place (row, column), all of the same kinds of numbers."""
    if len({len(row) for row in blocks}) > 1:
        lengths = str([len(row) for row in blocks])
        raise InputError("BlockMatrix", expected="rows of one length", got=lengths, do="Fill rows with None.")
    given = {(i, j): block for i, row in enumerate(blocks) for j, block in enumerate(row) if block is not None}
    if not given:
        do = "Give rows of operators; None stands for zero."
        raise InputError("BlockMatrix", expected="at least one operator", got=str(blocks), do=do)
    only_operators(list(given.values()), "BlockMatrix")
    kinds = {(a.domain_complex, a.codomain_complex) for a in given.values()}
    if len(kinds) > 1:
        do, got = "Wrap the real ones in Complexified, or compose them with AsComplex.", "some real and some complex"
        raise InputError("BlockMatrix", expected="blocks that are all real or all complex", got=got, do=do)
    return given


def _space(given: dict[tuple[int, int], LinearOperator], blocks: Blocks, axis: int) -> ProductSpace:
    """Return the codomain, from the rows (``axis`` 0), or the domain, from the columns (1)."""
    count, name = (len(blocks), len(blocks[0]))[axis], ("row", "column")[axis]
    shapes = {place: (a.codomain_shape, a.domain_shape)[axis] for place, a in given.items()}
    found = [{shape for place, shape in shapes.items() if place[axis] == k} for k in range(count)]
    for k, options in enumerate(found):
        if len(options) > 1:
            got, expected = f"shapes {sorted(options)}", f"blocks of one {('codomain', 'domain')[axis]} in {name} {k}"
            raise ShapeError("BlockMatrix", expected=expected, got=got, do="Blocks of a row meet in one sum.")
        if not options and len(set(shapes.values())) > 1:
            do = "Say its shape by a block of zeros, as in 0 * Identity(shape)."
            raise InputError("BlockMatrix", expected=f"an operator in {name} {k}", got="None throughout", do=do)
    any_shape = next(iter(shapes.values()))
    first = next(iter(given.values()))
    is_complex = (first.codomain_complex, first.domain_complex)[axis]
    return ProductSpace(tuple(next(iter(options), any_shape) for options in found), is_complex)


def _gather(images: Sequence[Tensor], places: Sequence[int], space: ProductSpace, batch: Sequence[int]) -> Tensor:
    """Sum the images that share a place into the components of ``space``."""
    sums: list[Tensor | None] = [None] * len(space.shapes)
    for place, image in zip(places, images, strict=True):
        there = sums[place]
        sums[place] = image if there is None else there + image
    pairs = zip(sums, space.shapes, strict=True)
    return space.join(*(images[0].new_zeros((*batch, *shape)) if part is None else part for part, shape in pairs))

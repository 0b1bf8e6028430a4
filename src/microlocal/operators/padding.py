"""Padding by a boundary condition, and its adjoint, which adds the margin back to the pixels it came from.

(P f)[r, c] = f[R(r), C(c)],    |P|² = the most often any row is copied times the same for columns
"""

import math
from operator import index
from typing import Literal, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from microlocal.core.checks import shape_of
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator

Boundary = Literal["periodic", "symmetric", "reflect", "replicate", "zero"]
# Ours and numpy's names; zero is a copy of a row of zeros that stands behind the last.
_NUMPY_MODES = {"periodic": "wrap", "symmetric": "symmetric", "reflect": "reflect", "replicate": "edge", "zero": ""}


def _samples() -> list["Pad"]:
    margins = ((1, 2), (4, 0))
    kinds: tuple[Boundary, ...] = ("symmetric", "reflect", "zero")
    return [Pad((3, 4), margins, kind) for kind in kinds]


@register("operator", "pad", samples=_samples)
class Pad(LinearOperator):
    """An image with a margin: (*batch, row, col) -> (*batch, row + before + after, col + before + after).

    Parameters: ``shape`` of the image; ``margins``, ((before, after) of the rows, (before, after) of the columns);
    ``boundary``, where the margin of a b c d comes from: "periodic" (c d | a b c d | a b), "symmetric"
    (b a | a b c d | d c), "reflect" (c b | a b c d | c b), "replicate" (a a | a b c d | d d) or "zero".

    Guarantee: the norm is exact, the root of the most often a pixel is copied. The adjoint of a zero margin crops.
    Raises ShapeError for another shape, InputError for margins that are none, UnknownNameError for another boundary.

    >>> Pad((1, 3), ((0, 0), (2, 1)), "symmetric")(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    row_source: Tensor
    col_source: Tensor

    def __init__(
        self,
        shape: tuple[int, int],
        margins: tuple[tuple[int, int], tuple[int, int]],
        boundary: Boundary = "symmetric",
    ) -> None:
        shape_of(shape, [self.domain_axes], "Pad")
        widths = np.array(margins, dtype=object)
        if widths.shape != (2, 2) or not all(isinstance(n, SupportsIndex) and index(n) >= 0 for n in widths.flat):
            do = "Give ((before, after), (before, after)), rows first."
            raise InputError("Pad", expected="four whole margins >= 0", got=repr(margins), do=do)
        sources = [_source(n, margin, boundary) for n, margin in zip(shape, margins, strict=True)]
        super().__init__(shape, tuple(len(source) for source in sources))
        self.margins, self.boundary = margins, boundary
        for name, source in zip(("row_source", "col_source"), sources, strict=True):
            self.register_buffer(name, source, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        if self.boundary == "zero":
            (top, bottom), (left, right) = self.margins
            return torch.nn.functional.pad(x, (left, right, top, bottom))
        return x.index_select(-2, self.row_source).index_select(-1, self.col_source)

    def _adjoint(self, y: Tensor) -> Tensor:
        (top, _), (left, _) = self.margins
        rows, cols = self.domain_shape
        if self.boundary == "zero":
            return y[..., top : top + rows, left : left + cols].clone()
        folded = y.new_zeros((*y.shape[:-1], cols)).index_add(-1, self.col_source, y)
        return y.new_zeros((*y.shape[:-2], rows, cols)).index_add(-2, self.row_source, folded)

    def norm_bound(self) -> float:
        if self.boundary == "zero":
            return 1.0
        copies = (int(source.bincount().max()) for source in (self.row_source, self.col_source))
        return math.sqrt(math.prod(copies))


def _source(length: int, margin: tuple[int, int], boundary: str) -> Tensor:
    """Return the row that every padded row is a copy of; nothing is copied into a zero margin."""
    if boundary not in _NUMPY_MODES:
        raise UnknownNameError("Pad", boundary, _NUMPY_MODES)
    places = np.arange(length)
    if boundary == "zero":
        return torch.from_numpy(np.pad(places, margin))
    return torch.from_numpy(np.pad(places, margin, mode=_NUMPY_MODES[boundary]))  # type: ignore[call-overload]

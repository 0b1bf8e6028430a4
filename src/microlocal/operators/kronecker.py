"""Kronecker products: one operator down the columns, another along the rows.

(A ⊗ B) X = A X Bᵀ,    |A ⊗ B| = |A| |B|
"""

import torch
from torch import Tensor

from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, norm_product
from microlocal.operators.matrix import MatrixOperator


def _samples() -> list["Kronecker"]:
    down, along = torch.arange(6.0).reshape(2, 3) - 2, torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
    return [
        Kronecker(MatrixOperator(down), MatrixOperator(along)),
        Kronecker(MatrixOperator(1j * down + 1), MatrixOperator(along + 1j)),
    ]


@register("operator", "kronecker", samples=_samples, reference="horn1985")
class Kronecker(LinearOperator):
    """The separable operator A ⊗ B: (*batch, row, col) -> (*batch, row', col').

    Parameters: ``rows``, an operator (row,) -> (row',) applied to every column; ``cols``, an operator
    (col,) -> (col',) applied to every row.

    Guarantee: |A ⊗ B| = |A| |B|, so the product of the bounds is a bound. Raises ShapeError unless both have one axis.

    >>> double, add = MatrixOperator(2 * torch.eye(2)), MatrixOperator(torch.ones(1, 2))
    >>> Kronecker(double, add)(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[6.0], [14.0]]
    """

    def __init__(self, rows: LinearOperator, cols: LinearOperator) -> None:
        for name, operator in (("rows", rows), ("cols", cols)):
            if len(operator.domain_shape) != 1 or len(operator.codomain_shape) != 1:
                got = f"{name}: {operator.domain_shape} -> {operator.codomain_shape}"
                do = "Give operators of one axis, such as MatrixOperator."
                raise ShapeError("Kronecker", expected="one axis in domain and codomain", got=got, do=do)
        super().__init__((*rows.domain_shape, *cols.domain_shape), (*rows.codomain_shape, *cols.codomain_shape))
        flags = {(a.domain_complex, a.codomain_complex) for a in (rows, cols)}
        if flags not in ({(False, False)}, {(True, True)}):
            do = "Wrap the real operator in Complexified."
            raise ShapeError("Kronecker", expected="two real or two complex operators", got=str(flags), do=do)
        self.domain_complex, self.codomain_complex = rows.domain_complex, rows.codomain_complex
        self.rows, self.cols = rows, cols

    def _forward(self, x: Tensor) -> Tensor:
        return self.rows(self.cols(x).mT).mT

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.cols.adjoint(self.rows.adjoint(y.mT).mT)

    def norm_bound(self) -> float:
        return norm_product(self.rows, self.cols)

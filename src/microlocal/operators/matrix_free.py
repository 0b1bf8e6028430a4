"""Operators of scipy and pylops, known by their products only, in and out.

from_scipy: an object with shape, matvec and rmatvec -> LinearOperator        to_scipy: the reverse
"""

import math
from typing import Any, Protocol

import numpy as np
import scipy.sparse.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.checks import not_negative
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator, only_operators
from microlocal.operators.gradient import Gradient
from microlocal.operators.spaces import in_domain


class Products(Protocol):
    """What is asked of a foreign operator: scipy.sparse.linalg.LinearOperator, pylops.LinearOperator and their like."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    @property
    def dtype(self) -> Any:
        """Of the entries."""

    def matvec(self, x: Any, /) -> Any:
        """(column,) -> (row,)."""

    def rmatvec(self, x: Any, /) -> Any:
        """(row,) -> (column,), the conjugate transpose."""


def _samples() -> list["MatrixFree"]:
    table = np.cos(np.arange(12.0).reshape(3, 4) ** 2)
    turned = scipy.sparse.linalg.aslinearoperator(table * (1 + 2j))
    return [MatrixFree(to_scipy(Gradient((2, 3))), domain_shape=(2, 3)), MatrixFree(turned, bound=20.0)]


@register("operator", "matrix-free", samples=_samples)
class MatrixFree(LinearOperator):
    """A scipy or pylops operator: (*batch, column) -> (*batch, row), or between the shapes given.

    Parameters: ``products``, an object with ``shape``, ``dtype``, ``matvec`` and ``rmatvec`` on numpy vectors;
    ``domain_shape`` and ``codomain_shape``, arrays of as many numbers as it has columns and rows, in row-major order;
    ``bound``, a proved bound of its norm where you have one. Real or complex after ``dtype``. Works on the CPU, one
    vector after the other; results take the precision of the input.

    Guarantee: autograd goes through ``rmatvec``, which is taken for the adjoint: hold it to
    ``microlocal.testing.check("operator", ...)``. Raises ShapeError where the shapes do not fit.

    >>> import scipy.sparse.linalg as linalg
    >>> MatrixFree(linalg.aslinearoperator(np.array([[1.0, 2.0]])))(torch.tensor([1.0, 1.0])).tolist()
    [3.0]
    """

    domain_axes = "column"
    codomain_axes = "row"
    advice = "An operator takes as many numbers as it has columns."

    def __init__(
        self,
        products: Products,
        domain_shape: tuple[int, ...] | None = None,
        codomain_shape: tuple[int, ...] | None = None,
        *,
        bound: float = math.inf,
    ) -> None:
        if not all(hasattr(products, name) for name in ("shape", "dtype", "matvec", "rmatvec")):
            expected, do = "an object with shape, dtype, matvec and rmatvec", "scipy's aslinearoperator makes one."
            raise InputError("MatrixFree", expected=expected, got=type(products).__name__, do=do)
        rows, columns = products.shape
        super().__init__(domain_shape or (columns,), codomain_shape or (rows,))
        if (math.prod(self.codomain_shape), math.prod(self.domain_shape)) != (rows, columns):
            got = f"{self.domain_shape} -> {self.codomain_shape}"
            do = "The shapes hold as many numbers as the operator has columns and rows."
            raise ShapeError("MatrixFree", expected=f"{columns} -> {rows} numbers", got=got, do=do)
        self.domain_complex = self.codomain_complex = np.dtype(products.dtype).kind == "c"
        self.products, self.bound = products, not_negative(bound, "bound", "MatrixFree")

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._multiply, self._multiply_adjoint)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._multiply_adjoint, self._multiply)

    def _multiply(self, x: Tensor) -> Tensor:
        return _each(self.products.matvec, x, self.domain_shape, self.codomain_shape)

    def _multiply_adjoint(self, y: Tensor) -> Tensor:
        return _each(self.products.rmatvec, y, self.codomain_shape, self.domain_shape)

    def norm_bound(self) -> float:
        return self.bound


def _each(apply: Any, x: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
    """Apply a numpy function of one vector to every array of a batch."""
    vectors = to_numpy(x).reshape(-1, math.prod(before))
    results = np.stack([np.asarray(apply(vector)) for vector in vectors])
    return torch.from_numpy(results).to(x.device, x.dtype).reshape(*x.shape[: x.ndim - len(before)], *after)


def to_scipy(
    operator: LinearOperator, precision: torch.dtype = torch.float64
) -> scipy.sparse.linalg.LinearOperator[Any]:
    """Return the operator as scipy's, on flat vectors: for scipy's solvers, ``svds``, pylops.

    ``precision`` is torch.float32 or torch.float64. Raises InputError for another, and where one of the two spaces is
    real and the other complex, which scipy has no word for.

    >>> to_scipy(Gradient((2, 3))).shape
    (12, 6)
    """
    only_operators((operator,), "to_scipy")
    if operator.domain_complex != operator.codomain_complex:
        do = "Compose with AsComplex(shape).H to make both real, or leave AsComplex out to make both complex."
        got = f"{type(operator).__name__} from real to complex arrays, or the reverse"
        raise InputError("to_scipy", expected="two real or two complex spaces", got=got, do=do)
    if precision not in (torch.float32, torch.float64):
        do = "Complex operators take the complex numbers of this precision."
        raise InputError("to_scipy", expected="torch.float32 or torch.float64", got=str(precision), do=do)
    dtype = in_domain(operator, precision)

    def through(apply: Any, shape: tuple[int, ...]) -> Any:
        def product(vector: NDArray[np.inexact]) -> NDArray[np.inexact]:
            if np.iscomplexobj(vector) and not dtype.is_complex:  # as scipy's real matrices take them
                return product(vector.real) + 1j * product(vector.imag)
            array = torch.from_numpy(np.ascontiguousarray(vector)).to(dtype).reshape(shape)
            return to_numpy(apply(array)).ravel()

        return product

    return scipy.sparse.linalg.LinearOperator(
        shape=(math.prod(operator.codomain_shape), math.prod(operator.domain_shape)),
        matvec=through(operator, operator.domain_shape),
        rmatvec=through(operator.adjoint, operator.codomain_shape),
        dtype=torch.empty(0, dtype=dtype).numpy().dtype,
    )

"""Matrices as operators: dense or sparse, from torch, numpy or scipy, between arrays of any shapes.

|A|² <= |A|_1 |A|_∞        (the largest column sum times the largest row sum of the absolute values)
"""

import math
import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator

_EXACT_UP_TO = 512  # rows or columns: the singular values of such a matrix take a tenth of a second
_POWERS_UP_TO, _SQUARINGS = 2048, 4  # and the powers of such a one, squared so many times, a second


def _samples() -> list["MatrixOperator"]:
    table = np.cos(np.arange(15.0).reshape(5, 3) ** 2)
    sparse = scipy.sparse.csr_array(np.where(table > 0.2, table, 0.0))
    return [
        MatrixOperator(table),
        MatrixOperator(table + 1j * table**2, codomain_shape=(1, 5)),
        MatrixOperator(sparse, domain_shape=(3, 1)),
        MatrixOperator(sparse * (1 + 2j)),
    ]


@register("operator", "matrix", samples=_samples, reference="horn1985")
class MatrixOperator(LinearOperator):
    """A dense or sparse matrix: (*batch, column) -> (*batch, row), or between the shapes given.

    Parameters: ``matrix``, (row, column): a torch tensor (dense, COO or CSR), a numpy array or a scipy.sparse array,
    real or complex; ``domain_shape`` and ``codomain_shape``, arrays of as many numbers as there are columns and rows,
    read in row-major order.

    Guarantee: the norm bound is the largest singular value (to rounding) for dense matrices with at most 512 rows or
    columns, at most 13 % above it with at most 2048, otherwise (|A|_1 |A|_∞)^½. Raises ShapeError where the shapes do
    not fit the matrix, InputError where it is none or holds NaN.

    >>> MatrixOperator(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))(torch.tensor([1.0, 10.0])).tolist()
    [21.0, 10.0]
    """

    domain_axes = "column"
    codomain_axes = "row"
    advice = "A matrix takes as many numbers as it has columns."

    def __init__(
        self,
        matrix: Any,
        domain_shape: tuple[int, ...] | None = None,
        codomain_shape: tuple[int, ...] | None = None,
    ) -> None:
        forward = _as_torch(matrix)
        rows, columns = forward.shape
        into, out = (columns,) if domain_shape is None else domain_shape, codomain_shape
        super().__init__(into, (rows,) if out is None else out)
        if (math.prod(self.codomain_shape), math.prod(self.domain_shape)) != (rows, columns):
            got = f"{self.domain_shape} -> {self.codomain_shape}"
            do = "The shapes hold as many numbers as the matrix has columns and rows."
            raise ShapeError("MatrixOperator", expected=f"{columns} -> {rows} numbers", got=got, do=do)
        self.domain_complex = self.codomain_complex = forward.is_complex()
        self.sparse = forward.layout != torch.strided
        self._keep("forward", forward)
        self._keep("adjoint", _transposed(forward) if self.sparse else forward.mH)

    def _keep(self, name: str, matrix: Tensor) -> None:
        """Sparse matrices are kept as their three arrays, which move and save like all others."""
        parts = (matrix.crow_indices(), matrix.col_indices(), matrix.values()) if self.sparse else (matrix,)
        for number, part in enumerate(parts):
            self.register_buffer(f"_{name}_{number}", part, persistent=False)

    def _matrix(self, name: str, dtype: torch.dtype) -> Tensor:
        if not self.sparse:
            return self.get_buffer(f"_{name}_0").to(dtype)
        start, column, value = (self.get_buffer(f"_{name}_{k}") for k in range(3))
        sizes = (math.prod(self.codomain_shape), math.prod(self.domain_shape))
        size = sizes if name == "forward" else sizes[::-1]
        return torch.sparse_csr_tensor(start, column, value.to(dtype), size, check_invariants=False)

    def _apply_matrix(self, name: str, x: Tensor, before: tuple[int, ...], after: tuple[int, ...]) -> Tensor:
        batch = x.shape[: x.ndim - len(before)]
        columns = x.reshape(-1, math.prod(before)).mT
        return (self._matrix(name, x.dtype) @ columns).mT.reshape(*batch, *after)

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._multiply, self._multiply_adjoint)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._multiply_adjoint, self._multiply)

    def _multiply(self, x: Tensor) -> Tensor:
        return self._apply_matrix("forward", x, self.domain_shape, self.codomain_shape)

    def _multiply_adjoint(self, y: Tensor) -> Tensor:
        return self._apply_matrix("adjoint", y, self.codomain_shape, self.domain_shape)

    def norm_bound(self) -> float:
        if not self.sparse and min(self.get_buffer("_forward_0").shape) <= _POWERS_UP_TO:
            wide = self._matrix("forward", torch.complex128 if self.domain_complex else torch.float64)
            exact = min(wide.shape) <= _EXACT_UP_TO
            return (float(torch.linalg.matrix_norm(wide, 2)) if exact else _norm_by_powers(wide)) * (1 + 1e-9)
        sums = [_largest_row_sum(self, name) for name in ("forward", "adjoint")]
        return math.sqrt(sums[0] * sums[1]) * (1 + 1e-9)


def _norm_by_powers(matrix: Tensor) -> float:
    """Return |(A A*)^m|_F^(1/2m), m = 2^_SQUARINGS; every power is divided by its own norm, so that none overflows."""
    largest = float(matrix.abs().max())
    if largest == 0:
        return 0.0
    matrix = matrix / largest
    gram = matrix @ matrix.mH if matrix.shape[0] <= matrix.shape[1] else matrix.mH @ matrix
    exponent, logarithm = 0.5, math.log(largest)
    for squaring in range(_SQUARINGS + 1):
        size = float(torch.linalg.matrix_norm(gram))
        logarithm += exponent * math.log(size)
        gram, exponent = gram / size, exponent / 2
        if squaring < _SQUARINGS:
            gram = gram @ gram
    return math.exp(logarithm)


def _largest_row_sum(operator: MatrixOperator, name: str) -> float:
    if not operator.sparse:
        return float(operator.get_buffer(f"_{name}_0").abs().double().sum(dim=1).max())
    start, value = operator.get_buffer(f"_{name}_0"), operator.get_buffer(f"_{name}_2").abs().double()
    rows = torch.repeat_interleave(torch.arange(len(start) - 1, device=start.device), start.diff())
    return float(torch.zeros(len(start) - 1, dtype=torch.float64, device=start.device).index_add(0, rows, value).max())


def _as_torch(matrix: Any) -> Inexact[Tensor, "row column"]:
    """Return a dense or CSR tensor of floating or complex numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR", category=UserWarning)  # said once, at the first one
        if scipy.sparse.issparse(matrix):
            csr: Any = scipy.sparse.csr_array(matrix)  # type: ignore[call-overload]
            if not csr.has_canonical_format:  # as a product's: torch wants columns in order, each once
                csr = csr.copy()
                csr.sum_duplicates()
            start, column, value = (torch.from_numpy(part) for part in (csr.indptr, csr.indices, csr.data))
            tensor = torch.sparse_csr_tensor(start, column, value, csr.shape, check_invariants=True)
        else:
            tensor = matrix.detach() if isinstance(matrix, Tensor) else _from_numbers(matrix)
            tensor = tensor if tensor.layout in (torch.strided, torch.sparse_csr) else tensor.to_sparse_csr()
    if tensor.ndim != 2 or not (tensor.is_floating_point() or tensor.is_complex()):
        got = f"{tuple(tensor.shape)} of {tensor.dtype}"
        do = "Give two axes [row, column] of floating or complex numbers."
        raise InputError("MatrixOperator", expected="a matrix", got=got, do=do)
    values = tensor.values() if tensor.layout == torch.sparse_csr else tensor
    wrong = int((values - values != 0).sum())  # isfinite cannot be asked of sparse complex numbers
    if wrong:
        do = "Mend the matrix: nothing measured by it would be a number."
        raise InputError("MatrixOperator", expected="finite numbers", got=f"{wrong} that are not", do=do)
    return tensor


def _from_numbers(matrix: Any) -> Tensor:
    try:
        return torch.from_numpy(np.array(matrix))
    except (TypeError, ValueError) as error:
        do = "Give a torch tensor, a numpy array, a scipy.sparse array or rows of numbers."
        raise InputError("MatrixOperator", expected="a matrix", got=str(error)[:80], do=do) from error


def _transposed(csr: Tensor) -> Tensor:
    parts = [to_numpy(part) for part in (csr.values(), csr.col_indices(), csr.crow_indices())]
    matrix: Any = scipy.sparse.csr_array((parts[0], parts[1], parts[2]), shape=(csr.shape[0], csr.shape[1]))
    return _as_torch(matrix.conj().T)

"""Matrices from torch, numpy and scipy, dense and sparse, agree with the product they stand for."""

import numpy as np
import pytest
import scipy.sparse
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.operators import MatrixOperator
from microlocal.testing import check

TABLE = np.round(np.random.default_rng(1).standard_normal((7, 6)), 2) * (np.arange(42).reshape(7, 6) % 3 > 0)
FORMS = {
    "numpy": lambda m: m,
    "torch": torch.from_numpy,
    "scipy csr": scipy.sparse.csr_array,
    "scipy coo matrix": scipy.sparse.coo_matrix,
    "torch coo": lambda m: torch.from_numpy(m).to_sparse_coo(),
}


@pytest.mark.parametrize("factor", [1.0, 1 - 2j], ids=["real", "complex"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_operator(form, factor):
    matrix = TABLE * factor
    operator = MatrixOperator(FORMS[form](matrix), domain_shape=(2, 3))
    check("operator", operator)
    x = torch.randn(2, 3, dtype=operator(torch.zeros(2, 3, dtype=torch.from_numpy(matrix).dtype)).dtype)
    assert operator(x).numpy() == pytest.approx(matrix @ x.flatten().numpy())
    assert operator.adjoint(operator(x)).flatten().numpy() == pytest.approx(
        matrix.conj().T @ (matrix @ x.flatten().numpy())
    )


def test_norm_bounds_of_small_and_of_sparse_matrices():
    norm = np.linalg.norm(TABLE, 2)
    assert MatrixOperator(TABLE).norm_bound() == pytest.approx(norm, rel=1e-8)
    sparse = MatrixOperator(scipy.sparse.csr_array(TABLE)).norm_bound()
    sums = np.sqrt(np.abs(TABLE).sum(axis=0).max() * np.abs(TABLE).sum(axis=1).max())
    assert sparse == pytest.approx(sums, rel=1e-8)
    assert sparse >= norm


@pytest.mark.parametrize("shape", [(600, 520), (520, 1030)])
@pytest.mark.parametrize("size", [1.0, 1e-150, 1e150])
def test_large_dense_matrices_have_a_bound_close_to_their_norm(shape, size):
    draw = np.random.default_rng(0)
    plain, signs = np.full(shape, 0.5), draw.standard_normal(shape)
    for table in (plain, signs, signs + 1j * draw.standard_normal(shape)):
        norm, bound = np.linalg.norm(table, 2), MatrixOperator(size * table).norm_bound() / size
        assert norm <= bound <= 1.1 * norm
    assert MatrixOperator(np.zeros(shape)).norm_bound() == 0


def test_larger_dense_matrices_take_the_bound_by_sums():
    table = np.full((2050, 2060), 0.5, np.float32)
    assert MatrixOperator(table).norm_bound() == pytest.approx(0.5 * np.sqrt(2050 * 2060))


@pytest.mark.parametrize("form", [np.array, scipy.sparse.csr_array])
def test_a_matrix_with_numbers_that_are_none_is_refused(form):
    table = TABLE.copy()
    table[1, 1], table[0, 2] = np.nan, np.inf
    with pytest.raises(InputError, match="expected finite numbers, got 2 that are not"):
        MatrixOperator(form(table))


def test_what_is_no_matrix_is_refused():
    with pytest.raises(InputError, match="expected a matrix"):
        MatrixOperator(np.ones((2, 2), dtype=int))
    with pytest.raises(ShapeError, match="6 -> 7 numbers"):
        MatrixOperator(TABLE, domain_shape=(5,))


def test_sparse_columns_in_any_order_and_twice_are_taken_and_left_as_they_are():
    values, columns, starts = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])
    matrix = scipy.sparse.csr_array((values, columns, starts), shape=(2, 3))
    assert MatrixOperator(matrix)(torch.eye(3, dtype=torch.float64)).T.tolist() == [[2.0, 0.0, 1.0], [0.0, 7.0, 0.0]]
    assert matrix.indices.tolist() == [2, 0, 1, 1]
    assert matrix.data.tolist() == [1.0, 2.0, 3.0, 4.0]

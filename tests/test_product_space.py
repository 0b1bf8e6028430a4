"""Blocks between components of several shapes, against dense matrices; total generalised variation as its proof."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.core.errors import InputError, ShapeError
from microlocal.functionals import Box, GroupL1, SeparableSum, SquaredDistance
from microlocal.operators import (
    AsComplex,
    BlockMatrix,
    Gradient,
    Identity,
    MatrixOperator,
    ProductSpace,
    RayTransform,
    Stack,
    SymmetrisedGradient,
    Toeplitz,
    block_diagonal,
)
from microlocal.operators.spaces import draw, in_domain
from microlocal.solvers.driver import Driver
from microlocal.solvers.pdhg import pdhg
from microlocal.solvers.problem import Problem, Term
from microlocal.testing import check

A = MatrixOperator(np.arange(6.0).reshape(2, 3) - 2)
B = MatrixOperator(np.cos(np.arange(8.0)).reshape(2, 4))
C = MatrixOperator(np.sin(np.arange(12.0)).reshape(3, 4))


def dense(operator):
    """Return the matrix of an operator, column by column."""
    size = math.prod(operator.domain_shape)
    basis = torch.eye(size, dtype=in_domain(operator)).reshape(size, *operator.domain_shape)
    return operator(basis).reshape(size, -1).mT


def generalised_variation(shape, pixel=1.0):
    """K = [[D, -I], [0, E]] as a user writes it."""
    field = (2, *shape)
    return BlockMatrix([[Gradient(shape, pixel), -Identity(field)], [None, SymmetrisedGradient(shape, pixel)]])


def test_blocks_of_several_shapes_are_the_dense_blocks():
    a, b, c = dense(A), dense(B), dense(C)
    operator = BlockMatrix([[A, 2 * B], [None, C]])
    exact = torch.cat((torch.cat((a, 2 * b), 1), torch.cat((torch.zeros(3, 3), c), 1)))
    assert (operator.domain_shape, operator.codomain_shape) == ((7,), (5,))
    assert dense(operator).allclose(exact)
    assert dense(operator.H).allclose(exact.mT)
    norm = float(torch.linalg.matrix_norm(exact, 2))
    assert norm <= operator.norm_bound() < 1.2 * norm
    check("operator", operator)


def test_a_stack_of_several_shapes_is_a_column_of_blocks():
    operator = Stack(B, C)
    assert dense(operator).allclose(torch.cat((dense(B), dense(C))))
    assert [tuple(part.shape) for part in operator.codomain.split(operator(torch.ones(5, 4)))] == [(5, 2), (5, 3)]
    check("operator", operator)


@pytest.mark.parametrize("shape", [(4, 5), (1, 3), (6, 2)])
def test_total_generalised_variation_as_a_block_matrix(shape):
    """Against the dense matrices of D and E; |K| <= √12/p was known, and ours is no worse for p = 1."""
    operator = generalised_variation(shape)
    d, e = dense(Gradient(shape)), dense(SymmetrisedGradient(shape))
    exact = torch.cat((torch.cat((d, -torch.eye(len(d))), 1), torch.cat((torch.zeros(len(e), d.shape[1]), e), 1)))
    assert dense(operator).allclose(exact)
    assert float(torch.linalg.matrix_norm(exact, 2)) <= operator.norm_bound() <= math.sqrt(12)
    check("operator", operator)


def test_components_of_one_shape_keep_their_axis_and_of_several_lie_end_to_end():
    same, mixed = ProductSpace(((2, 3), (2, 3))), ProductSpace(((2, 3), (4,)))
    assert (same.shape, mixed.shape) == ((2, 2, 3), (10,))
    for space in (same, mixed):
        x = torch.arange(5.0 * math.prod(space.shape)).reshape(5, *space.shape)
        parts = space.split(x)
        assert [part.shape[1:] for part in parts] == list(space.shapes)
        assert torch.equal(space.join(*parts), x)
        for place, part in enumerate(parts):
            assert torch.equal(space.component(place)(x), part)
    assert BlockMatrix([[A, A]]).domain.split(torch.zeros(2, 3))[1].shape == (3,)


def test_the_normal_operator_of_a_diagonal_of_blocks_keeps_the_ways_of_its_parts():
    rays = [_whole_shadow((5, 6)), _whole_shadow((7, 4))]
    operator = block_diagonal(*rays)
    x = draw(operator, torch.Generator().manual_seed(0), batch=(3,))
    assert torch.allclose(operator.normal()(x), operator.adjoint(operator(x)), atol=1e-8)
    kinds = [type(module) for module in operator.normal().modules()]
    assert kinds.count(Toeplitz) == 2
    assert RayTransform not in kinds
    mixed = BlockMatrix([[A, B]])
    assert dense(mixed.normal()).allclose(dense(mixed).mT @ dense(mixed))


def _whole_shadow(shape):
    return RayTransform(ParallelBeam((0.1, 0.8, 2.0), Detector(14, 1.0)), Grid(shape, 1.0), "fourier")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BlockMatrix([[A, B], [C, None]]), r"column 0.*\(3,\).*\(4,\)"),
        (lambda: BlockMatrix([[A, C]]), r"row 0.*\(2,\).*\(3,\)"),
        (lambda: BlockMatrix([[A, None, B]]), "an operator in column 1"),
        (lambda: BlockMatrix([[None]]), "at least one operator"),
        (lambda: BlockMatrix([[A], [AsComplex((3,))]]), "real or all complex"),
        (lambda: Stack(A, B), "Stack: expected"),
        (lambda: ProductSpace(((2,), (3,))).join(torch.zeros(2)), "2 components"),
        (lambda: ProductSpace(((2,), (3,))).join(torch.zeros(2), torch.zeros(4)), r"3.*component 1"),
        (lambda: ProductSpace(((2,), (3,))).join(torch.zeros(5, 2), torch.zeros(4, 3)), "leading axes"),
        (lambda: ProductSpace(((2,), (3,))).split(torch.zeros(6)), r"\(\*batch, 5\)"),
        (lambda: ProductSpace(((2,), (3,))).component(2), "0 to 1"),
        (lambda: SeparableSum(ProductSpace(((2,), (3,))), Box()), "2 functionals"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises((InputError, ShapeError), match=message):
        build()


def _denoised(noisy, alpha, iterations):
    """min_{u,v} ½ |u - b|² + α₁ |D u - v| + α₀ |E v|, and the solver's dual variable."""
    operator = generalised_variation(tuple(noisy.shape))
    penalty = SeparableSum(operator.codomain, GroupL1(alpha[0]), GroupL1(alpha[1]))
    data = SeparableSum(operator.domain, SquaredDistance(noisy), Box(-math.inf))
    start = operator.domain.join(noisy, torch.zeros(2, *noisy.shape, dtype=noisy.dtype))
    solution = pdhg(Problem((Term(operator, penalty),), data), start, Driver(iterations, iterations))
    return operator.domain.split(solution.value), operator.codomain.split(solution.state["dual0"])


def test_denoising_reaches_the_minimum_by_the_gap_of_dense_duality():
    """½ |u - u*|² <= P(u, v) - Q(q), with Q(q) = <b, Dᵀp> - ½ |Dᵀp|² for p = Eᵀq, |p| <= α₁, |q| <= α₀.

    A dual point is made feasible by scaling, all by dense matrices of D and E.
    """
    noisy = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    noisy += torch.arange(6.0, dtype=torch.float64)[:, None]
    alpha = (0.4, 0.4)
    (u, v), (_, q) = _denoised(noisy, alpha, 2500)
    d, e = dense(Gradient((6, 5))), dense(SymmetrisedGradient((6, 5)))
    sizes = [(m @ x.reshape(-1)).reshape(k, -1).norm(dim=0).sum() for m, x, k in ((d, u, 2), (e, v, 3))]
    slack = (d @ u.reshape(-1) - v.reshape(-1)).reshape(2, -1).norm(dim=0).sum()
    primal = 0.5 * (u - noisy).square().sum() + alpha[0] * slack + alpha[1] * sizes[1]
    p = e.mT @ q.reshape(-1)
    longest = p.reshape(2, -1).norm(dim=0).max() / alpha[0], q.reshape(3, -1).norm(dim=0).max() / alpha[1]
    pull = d.mT @ p / max(1.0, *map(float, longest))
    dual = noisy.reshape(-1) @ pull - 0.5 * pull.square().sum()
    assert 0 <= float(primal - dual) + 1e-12 < 1e-5 * float(primal)
    assert float(slack) > 0.1  # neither of the two penalties is idle
    assert float(sizes[1]) > 0.1


def test_a_noisy_ridge_keeps_its_slopes_where_total_variation_makes_steps():
    col = torch.arange(20.0, dtype=torch.float64)
    ridge = (0.15 * (10 - (col - 10).abs())).expand(16, 20)
    noisy = ridge + 0.1 * torch.randn(16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    (u, _), _ = _denoised(noisy, (0.15, 0.3), 400)
    steps = pdhg(Problem((Term(Gradient((16, 20)), GroupL1(0.15)),), SquaredDistance(noisy)), noisy, Driver(400, 400))
    assert float((u - ridge).norm()) < 0.8 * float((steps.value - ridge).norm())

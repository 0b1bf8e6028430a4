"""The algebra against dense matrices: sums, products, stacks, blocks, Kronecker products, and their bounds."""

import copy

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from microlocal.core import Detector, FanBeam, FlatPanel, Grid, ParallelBeam, ParallelBeam3D, VolumeGrid
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.operators import (
    BlockMatrix,
    CoilSensitivities,
    Complexified,
    Concatenate,
    Convolution,
    FourierSampling,
    Gradient,
    Identity,
    Kronecker,
    Mask,
    MatrixFree,
    MatrixOperator,
    OrderedSubsets,
    RayTransform,
    RayTransform3D,
    Reshape,
    Restriction,
    Stack,
    ViewSubset,
    birdcage_maps,
    block_diagonal,
    norm_estimate,
)
from microlocal.operators.spaces import in_domain
from microlocal.testing import check


def dense(operator):
    """Return the matrix of an operator, column by column."""
    size = int(np.prod(operator.domain_shape))
    basis = torch.eye(size, dtype=in_domain(operator)).reshape(size, *operator.domain_shape)
    return operator(basis).reshape(size, -1).mT


A = MatrixOperator(torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 4.0]]))
B = MatrixOperator(torch.tensor([[0.5, 0.0, 1.0], [1.0, 1.0, -2.0]]))
C = MatrixOperator(torch.tensor([[1.0, 3.0], [-2.0, 0.0]]))


def test_python_operators_are_those_of_matrices():
    a, b, c = dense(A), dense(B), dense(C)
    assert dense(2 * A - B + (-A)).allclose(2 * a - b - a)
    assert dense(A * 2 - A / 4).allclose(1.75 * a)
    assert dense(C @ A).allclose(c @ a)
    assert dense((C @ A).H).allclose((c @ a).mT)
    assert dense(A.normal()).allclose(a.mT @ a)
    check("operator", 0.5 * (C @ A) + B)


@pytest.mark.parametrize(
    ("operator", "matrix"),
    [
        (Stack(A, B), lambda a, b: torch.cat((a, b))),
        (Concatenate(A, B, axis=-1), lambda a, b: torch.cat((a, b))),
        (block_diagonal(A, B), torch.block_diag),
        (BlockMatrix([[A, None], [B, A]]), lambda a, b: torch.cat((torch.cat((a, 0 * a), 1), torch.cat((b, a), 1)))),
        (Kronecker(A, B), torch.kron),
    ],
    ids=lambda value: type(value).__name__,
)
def test_combinations_against_dense_matrices(operator, matrix):
    expected = matrix(dense(A), dense(B))
    assert dense(operator).allclose(expected)
    norm = float(torch.linalg.matrix_norm(expected, 2))
    assert norm <= operator.norm_bound() * (1 + 1e-12)
    assert operator.norm_bound() < 1.5 * norm


def test_bounds_that_are_exact():
    norms = [float(torch.linalg.matrix_norm(dense(a), 2)) for a in (A, B)]
    assert block_diagonal(A, B).norm_bound() == pytest.approx(max(norms), rel=1e-8)
    assert Kronecker(A, B).norm_bound() == pytest.approx(norms[0] * norms[1], rel=1e-8)
    assert (-3 * A).norm_bound() == pytest.approx(3 * norms[0], rel=1e-8)
    assert (0 * A).norm_bound() == 0.0


@pytest.mark.parametrize("factor", [2.5, np.float32(2.5), torch.tensor(2.5), np.array(2.5)])
def test_a_factor_is_a_number_of_any_library(factor):
    check("operator", factor * A)
    assert dense(factor * A).allclose(2.5 * dense(A))


def test_zero_times_an_unknown_bound_is_zero():
    """The bound of a foreign operator is infinity; the zero operator has every step size."""
    unknown = MatrixFree(scipy.sparse.linalg.aslinearoperator(np.ones((4, 4))))
    assert unknown.norm_bound() == np.inf
    for zero in (0 * unknown, (0 * unknown) @ unknown, unknown.H @ (0 * unknown), Kronecker(0 * unknown, unknown)):
        assert zero.norm_bound() == 0.0
    assert Mask(torch.zeros(3, 3)).step_sizes() == (1.0, 1.0)


def test_the_outer_operator_acts_on_every_image_the_inner_one_gives():
    maps = birdcage_maps(3, (4, 6))
    sense = FourierSampling(torch.ones(4, 6)) @ CoilSensitivities(maps)
    assert sense.codomain_shape == (3, 4, 6)
    check("operator", sense)
    second = Gradient((4, 6)) @ Gradient((4, 6))
    assert second.codomain_shape == (2, 2, 4, 6)
    check("operator", second)


def test_kronecker_is_the_separable_operator():
    x = torch.arange(9.0, dtype=torch.float64).reshape(3, 3)
    assert Kronecker(A, B)(x).allclose(dense(A) @ x @ dense(B).mT)


def test_reshape_and_restriction_meet_a_matrix():
    marked = torch.tensor([[True, False, True], [True, True, True]])
    chain = MatrixOperator(torch.ones(1, 5)) @ Restriction(marked)
    assert float(chain(torch.arange(6.0).reshape(2, 3))) == 14.0
    flat = MatrixOperator(torch.ones(1, 6)) @ Reshape((2, 3), (-1,))
    assert float(flat(torch.ones(2, 3))) == 6.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: A + C, r"Sum: expected real \(3,\) -> real \(2,\), got real \(2,\) -> real \(2,\)"),
        (lambda: A + 0 * C, r"Sum: expected real \(3,\)"),
        (lambda: A @ torch.ones(3), "expected two linear operators, got Tensor"),
        (lambda: float("nan") * A, r"a finite number c, got nan"),
        (lambda: torch.ones(2) * A, "one finite number"),
        (lambda: Concatenate(axis=-1), "at least one operator"),
        (lambda: A + 1, "Sum: expected linear operators, got int"),
        (lambda: A @ B, r"MatrixOperator @ MatrixOperator: expected \(\*batch, 3\)"),
        (lambda: Stack(A, C), "Stack: expected"),
        (Stack, "at least one operator"),
        (lambda: A - 3, "expected linear operators, got int"),
        (lambda: Stack(A, 3), "Stack: expected linear operators, got int"),
        (lambda: BlockMatrix([[A, 3]]), "BlockMatrix: expected linear operators, got int"),
        (lambda: Complexified(3), "Complexified: expected linear operators, got int"),
        (lambda: OrderedSubsets(3, 2), "OrderedSubsets: expected linear operators, got int"),
        (lambda: ViewSubset(A, 0), "numbers of views from 0 to 1, got 0"),
        (lambda: ViewSubset(A, [True, False]), "numbers of views from 0 to 1"),
        (lambda: norm_estimate(A, 0), "iterations >= 1"),
        (lambda: MatrixOperator([[1.0, 2.0], [3.0]]), "MatrixOperator: expected a matrix"),
        (lambda: MatrixFree(None), "an object with shape, dtype, matvec and rmatvec, got NoneType"),
        (lambda: Identity((3, -1)), r"Identity: expected shapes of whole numbers, got \(3, -1\)"),
        (lambda: Identity((2.0, 3)), "Identity: expected shapes of whole numbers"),
        (lambda: Identity(3), "Identity: expected shapes of whole numbers, got 3"),
        (lambda: Reshape((2, None), (-1,)), "Reshape: expected shapes of whole numbers"),
        (lambda: 2j * A, "expected a real number"),
        (lambda: Concatenate(A, B, axis=0), "an axis from -1 to -1"),
        (lambda: Concatenate(Gradient((3, 4)), Identity((3, 4)), axis=-1), "Concatenate: expected"),
        (lambda: BlockMatrix([[A, None], [B]]), "rows of one length"),
        (lambda: Kronecker(A, Gradient((2, 2))), "one axis in domain and codomain"),
        (lambda: Kronecker(A, MatrixOperator(1j * torch.ones(2, 2))), "two real or two complex operators"),
        (lambda: Reshape((2, 3), (4,)), "a target of 6 numbers"),
        (lambda: Restriction(torch.zeros(2, 2, dtype=torch.bool)), "with marked pixels"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises((InputError, ShapeError), match=message):
        build()


RAYS = [
    RayTransform(ParallelBeam((0.0, 0.4, 1.3), Detector(9, 1.0)), Grid((6, 7), 1.0)),
    RayTransform(FanBeam((0.0, 0.4), Detector(9, 1.5), source_axis=15.0, source_detector=25.0), Grid((6, 7), 1.0)),
    RayTransform3D(ParallelBeam3D((0.0, 0.7), FlatPanel(4, 6, (1.0, 1.0))), VolumeGrid((3, 4, 5), 1.0)),
    Convolution(torch.rand(3, 3, generator=generator(0)), (6, 7)),
]


@pytest.mark.parametrize("ray", RAYS, ids=lambda ray: type(ray).__name__)
@pytest.mark.parametrize("change", [lambda a: a.half(), lambda a: a.to(torch.float16), lambda a: a.float()])
def test_tables_keep_their_precision_and_half_precision_is_refused(ray, change):
    x = torch.rand(ray.domain_shape, dtype=torch.float64, generator=generator(1))
    before = ray(x)
    same = change(ray)
    assert same is ray
    assert bool(torch.equal(same(x), before))
    with pytest.raises(InputError, match=r"float32 or float64 tensor, got torch\.float16"):
        same(x.half())


def test_networks_within_an_operator_change_their_precision():
    """Only tables of operators are constants: what is learned follows to(dtype) as everywhere in torch."""

    class Learned(Mask):
        def __init__(self):
            super().__init__(torch.ones(2, 2))
            self.network = torch.nn.BatchNorm1d(2)

    learned = Learned().half()
    assert learned.weights.dtype == torch.float32
    assert {t.dtype for t in (*learned.network.parameters(), learned.network.running_mean)} == {torch.float16}


def test_bounds_of_rays_are_computed_once_and_survive_a_copy(monkeypatch):
    ray = RayTransform(ParallelBeam((0.0, 0.4, 1.3), Detector(9, 1.0)), Grid((6, 7), 1.0), "rays")
    volume = RayTransform3D(ParallelBeam3D((0.0,), FlatPanel(4, 6, (1.0, 1.0))), VolumeGrid((3, 4, 5), 1.0))
    bounds = ray.norm_bound(), volume.norm_bound()
    for operator in (RayTransform, RayTransform3D):
        monkeypatch.setattr(operator, "_forward", None)
    assert (ray.norm_bound(), volume.norm_bound()) == bounds
    assert (copy.deepcopy(ray.float()).norm_bound(), copy.deepcopy(volume).norm_bound()) == bounds


@pytest.mark.parametrize("ray", RAYS, ids=lambda ray: type(ray).__name__)
def test_torch_func_sees_the_adjoint(ray):
    x = torch.rand(2, *ray.domain_shape, dtype=torch.float64, generator=generator(2))
    y = torch.rand(ray.codomain_shape, dtype=torch.float64, generator=generator(3))
    image, pull = torch.func.vjp(ray, x[0])
    assert torch.allclose(image, ray(x[0]))
    assert torch.allclose(pull(y)[0], ray.adjoint(y))
    slopes = torch.func.vmap(torch.func.grad(lambda z: 0.5 * (ray(z) - y).square().sum()))(x)
    assert torch.allclose(slopes, ray.adjoint(ray(x) - y))

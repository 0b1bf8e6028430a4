"""Solvers beyond their laws: steps of stacked operators, and checkpoints that are not theirs."""

import math

import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, InputError
from microlocal.core.seeding import generator
from microlocal.frames import ShearletFrame
from microlocal.functionals import Box, GroupL1, PairL1, SquaredDistance, WeightedL1
from microlocal.operators import Complexified, Gradient, Identity, MatrixOperator, RayTransform
from microlocal.solvers.admm import admm
from microlocal.solvers.cgls import cgls
from microlocal.solvers.checkpoint import load_state, owner_of, save_state
from microlocal.solvers.driver import Driver, Status
from microlocal.solvers.fista import fista
from microlocal.solvers.krasnoselskii_mann import krasnoselskii_mann
from microlocal.solvers.pdhg import combined_steps, pdhg
from microlocal.solvers.problem import Problem, Term

GRID = Grid((8, 6), 0.7)
RAY = RayTransform(FanBeam((0.0, 0.3, 0.9), Detector(7, 1.3, 0.4), source_axis=15.0, source_detector=22.0), GRID)


def _dense(operator):
    count = math.prod(operator.domain_shape)
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *operator.domain_shape)
    return operator(basis).reshape(count, -1).T


@pytest.mark.parametrize("balance", [1.0, 40.0, 1e-3])
@pytest.mark.parametrize("penalty", [Gradient(GRID.shape), ShearletFrame(GRID.shape)], ids=["tv", "shearlet"])
def test_steps_of_a_stack_are_valid_and_not_wasteful(penalty, balance):
    """|Σ^½ K T^½| <= 1 for the dense matrix of both operators, whatever their balance."""
    terms = (Term(RAY, SquaredDistance(torch.zeros(1)), balance), Term(penalty, WeightedL1(1.0), 2.0))
    sigmas, tau = combined_steps(Problem(terms, Box()), torch.zeros(GRID.shape, dtype=torch.float64))
    rows = [
        sigma.expand(term.operator.codomain_shape).reshape(-1, 1).sqrt() * _dense(term.operator)
        for term, sigma in zip(terms, sigmas, strict=True)
    ]
    scaled = torch.cat(rows) * tau.expand(GRID.shape).reshape(1, -1).sqrt()
    norm = float(torch.linalg.matrix_norm(scaled, 2))
    assert 0.5 < norm <= 1 + 1e-9


def test_a_constraint_may_be_any_functional_and_a_domain_of_any_axes():
    """argmin ½ |A x - c|² + w/2 |x - b|² in closed form, with the second term as the constraint G."""
    source = torch.Generator().manual_seed(8)
    matrix = torch.randn(4, 5, dtype=torch.float64, generator=source)
    matrix[:, 2] = 0.0  # a number that only G sees
    c, b = (torch.randn(n, dtype=torch.float64, generator=source) for n in (4, 5))
    exact = torch.linalg.solve(matrix.mT @ matrix + 0.3 * torch.eye(5), matrix.mT @ c + 0.3 * b)
    problem = Problem((Term(MatrixOperator(matrix), SquaredDistance(c)),), SquaredDistance(b, 0.3))
    start = torch.zeros(5, dtype=torch.float64)
    found = pdhg(problem, start, Driver(2000, 500)), admm(problem, start, Driver(500, 100), penalties=(1.0, 1.0))
    for solution in found:
        assert torch.allclose(solution.value, exact, atol=1e-6)


def test_a_checkpoint_of_another_problem_or_a_damaged_one_is_refused(tmp_path):
    path, start = tmp_path / "state.safetensors", {"x": torch.zeros(3, 4)}
    assert load_state(path, start) is start
    save_state(path, {"x": torch.ones(3, 4), "iteration": torch.tensor(7)})
    assert int(load_state(path, start)["iteration"]) == 7
    with pytest.raises(InputError, match="resume the run that wrote it"):
        load_state(path, {"x": torch.zeros(4, 3)})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match="whole safetensors file"):
        load_state(path, start)


def test_a_checkpoint_of_other_data_of_the_same_shape_is_refused(tmp_path):
    path, state = tmp_path / "state.safetensors", {"x": torch.zeros(3)}
    save_state(path, state, owner_of(torch.ones(4)))
    assert bool((load_state(path, state, owner_of(torch.ones(4)))["x"] == 0).all())
    with pytest.raises(InputError, match="the data it was written for"):
        load_state(path, state, owner_of(torch.zeros(4)))


def test_complex_sparse_images_are_found_by_every_proximal_solver():
    """argmin 1/2 |A x - b|² + λ |x|_1 over complex x: the same by all, and its dual certificate is that of the modulus.

    Optimality: A*(b - A x) = λ x/|x| where x is not zero, and its modulus is at most λ elsewhere.
    """
    source = torch.Generator().manual_seed(4)
    matrix = torch.randn(7, 6, dtype=torch.complex128, generator=source)
    operator, weight = MatrixOperator(matrix, (2, 3)), 2.0
    data = torch.randn(7, dtype=torch.complex128, generator=source) * 3
    start, driver = torch.zeros(2, 3, dtype=torch.complex128), Driver(iterations=3000, every=500)
    itself = Complexified(Identity((2, 3)))
    problem = Problem(
        (Term(operator, SquaredDistance(data)), Term(itself, WeightedL1(weight))), Box(-math.inf, math.inf)
    )
    found = {
        "fista": fista(operator, SquaredDistance(data), WeightedL1(weight), start, driver).value,
        "pdhg": pdhg(problem, start, driver).value,
        "admm": admm(problem, start, driver, penalties=(1.0, 1.0, 1.0)).value,
    }
    x = found["fista"]
    slope = operator.adjoint(data - operator(x))
    there = x.abs() > 1e-6
    assert 0 < int(there.sum()) < 6
    assert torch.allclose(slope[there], weight * torch.sgn(x[there]), atol=1e-6)
    assert float(slope[~there].abs().max()) <= weight + 1e-6
    for name, other in found.items():
        assert float((other - x).norm()) < 1e-5 * float(x.norm()), name


def test_bounds_of_complex_numbers_are_refused():
    z = torch.ones(2, 3, dtype=torch.complex64)
    assert Box(-math.inf)(z) == 0.0
    assert Box(-math.inf).prox(z, 1.0) is z
    for call in (Box(), lambda x: Box(0.0, 1.0).prox(x, 1.0)):
        with pytest.raises(InputError, match="Box: expected a real tensor"):
            call(z)


def _tiny_problems(size):
    data = size * torch.randn(4, 4, generator=generator(3))
    term = Term(Identity((4, 4)), SquaredDistance(data))
    start, driver = torch.zeros(4, 4), Driver(60, every=10, tolerance=1e-6)
    yield "cgls", data, lambda: cgls(2.0 * Identity((4, 4)), 2 * data, driver)
    yield "pdhg", data, lambda: pdhg(Problem([term], Box(-math.inf)), start, driver)
    yield "admm", data, lambda: admm(Problem([term], Box(-math.inf)), start, driver, penalties=(1.0, 1.0))
    yield "krasnoselskii-mann", data, lambda: krasnoselskii_mann(lambda u: 0.5 * (u + data), start, driver)


@pytest.mark.parametrize("size", [1e-30, 1e-22, 1.0, 1e12])
def test_converged_is_said_only_of_what_has_whatever_the_unit(size):
    """Squares of float32 vanish below 1e-19: a residual of nothing but underflow is no residual of zero."""
    for name, answer, solve in _tiny_problems(size):
        found = solve()
        error = float(((found.value - answer) / size).norm() / (answer / size).norm())
        assert found.status is Status.BUDGET or error < 1e-4, (name, error)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Driver(iterations=-1), "iterations >= 0"),
        (lambda: Driver(iterations=1.5), "whole number iterations"),
        (lambda: Driver(every=0), "every >= 1"),
        (lambda: Driver(tolerance=math.nan), "tolerance >= 0"),
        (lambda: Term(RAY, Box(), -1.0), "balance > 0"),
        (lambda: Box(0.0, math.nan), "NaN"),
        (lambda: WeightedL1(-1.0), "weights >= 0"),
        (lambda: GroupL1(torch.tensor([[1.0, math.nan]])), "1 negative or NaN of 2"),
        (lambda: PairL1(-1.0), "weights >= 0"),
        (lambda: SquaredDistance(torch.zeros(1), 0.0), "weight > 0"),
        (lambda: cgls(RAY, torch.ones(3, 7), Driver(3), damping=-1.0), "damping >= 0"),
        (lambda: cgls(RAY, 1e25 * torch.ones(3, 7), Driver(3)), "squares are finite"),
        (lambda: _by_admm((1.0,)), "2 penalties"),
        (lambda: _by_admm((0.0, 1.0)), "penalties > 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(made, said):
    with pytest.raises(InputError, match=said):
        made()


def _by_admm(penalties):
    term = Term(Identity((2, 2)), SquaredDistance(torch.ones(2, 2)))
    return admm(Problem([term], Box()), torch.zeros(2, 2), Driver(3), penalties=penalties)

"""Solvers that are given the normal operator: the same iterates without a projection; dual steps in one pass."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.frames import ShearletFrame
from microlocal.functionals import Box, DirectionalL1, GroupL1, PairL1, SquaredDistance, WeightedL1
from microlocal.operators import (
    CoilSensitivities,
    FourierSampling,
    Gradient,
    Identity,
    RayTransform,
    Toeplitz,
    birdcage_maps,
    cartesian_mask,
)
from microlocal.solvers import Driver, Problem, Term, admm, cgls, fista, pdhg

ANGLES = tuple(np.arange(9) * math.pi / 12)
RAY = RayTransform(ParallelBeam(ANGLES, Detector(18, 1.0)), Grid((12, 11), 1.0), "fourier")
NORMAL = RAY.normal()


def _draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


DATA = RAY(_draw(12, 11).abs()) + 0.1 * _draw(9, 18, seed=1)


def test_the_normal_operator_is_a_convolution_here():
    assert isinstance(NORMAL, Toeplitz)


@pytest.mark.parametrize("penalty", ["tv", "shearlet"])
def test_pdhg_makes_the_same_iterates_without_projections(penalty, monkeypatch):
    operator = Gradient((12, 11)) if penalty == "tv" else ShearletFrame((12, 11))
    functional = GroupL1(0.4) if penalty == "tv" else WeightedL1(0.2)

    def solve(normal, iterations):
        terms = (Term(RAY, SquaredDistance(DATA, 1.3), 0.7, normal), Term(operator, functional, 2.0))
        return pdhg(Problem(terms, Box()), torch.zeros(12, 11, dtype=torch.float64), Driver(iterations, every=500))

    plain, fast = solve(None, 40), solve(NORMAL, 40)
    assert float((plain.value - fast.value).norm()) < 1e-9 * float(plain.value.norm())
    pulled = RAY.adjoint(plain.state["dual0"])
    assert float((pulled - fast.state["dual0"]).norm()) < 1e-9 * float(pulled.norm())
    assert plain.history["objective"][-1] == pytest.approx(fast.history["objective"][-1], rel=1e-9)
    calls = []
    monkeypatch.setattr(RAY, "_forward", lambda x, apply=RAY._forward: calls.append(x) or apply(x))
    solve(NORMAL, 40)
    assert len(calls) == 1  # the objective that is recorded, no more


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_cgls_makes_the_same_iterates_from_the_normal_operator(damping):
    batch = torch.stack((DATA, 2 * DATA.flip(0)))
    plain = cgls(RAY, batch, Driver(10), damping=damping)
    fast = cgls(RAY, batch, Driver(10), damping=damping, normal=NORMAL)
    assert float((plain.value - fast.value).norm()) < 1e-8 * float(plain.value.norm())
    assert fast.history["residual"] == pytest.approx(plain.history["residual"], rel=1e-8)


def test_fista_and_admm_reach_the_same_minimum_from_the_normal_operator():
    zero = torch.zeros(12, 11, dtype=torch.float64)
    plain = fista(RAY, SquaredDistance(DATA), Box(), zero, Driver(200))
    fast = fista(RAY, SquaredDistance(DATA), Box(), zero, Driver(200), normal=NORMAL)
    assert float((plain.value - fast.value).norm()) < 1e-8 * float(plain.value.norm())
    solutions = []
    for normal in (None, NORMAL):
        terms = (Term(RAY, SquaredDistance(DATA), normal=normal), Term(Gradient((12, 11)), GroupL1(0.4)))
        solutions.append(admm(Problem(terms, Box()), zero, Driver(60), penalties=(1.0, 20.0, 20.0)).value)
    assert float((solutions[0] - solutions[1]).norm()) < 1e-7 * float(solutions[0].norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_dual_step_on_pairs_is_the_conjugate_prox_of_a_step(dtype):
    limits = torch.tensor([0.0, 0.0, 0.4, 0.4, 1.5, 1.5], dtype=dtype)
    for weights in (limits, limits.double(), 0.6):
        for shape in ((6,), (5, 6)):
            functional, y, image = PairL1(weights), _draw(*shape, dtype=dtype), _draw(*shape, seed=1, dtype=dtype)
            kept, expected = y.clone(), functional.conjugate_prox(y + 0.7 * image, 0.7)
            made = functional.dual_step(y, image, torch.tensor(0.7, dtype=dtype))
            assert torch.allclose(made, expected, rtol=1e-5 if dtype is torch.float32 else 1e-12, atol=1e-7)
            assert bool((y == kept).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "functional",
    [
        WeightedL1(0.7),
        WeightedL1(torch.tensor([0.0, 1.3]).reshape(2, 1, 1)),
        WeightedL1(torch.rand(4, 5)),
        GroupL1(0.8),
        GroupL1(0.0),
        GroupL1(torch.rand(4, 5)),
        GroupL1(0.8, axes=1),
        DirectionalL1(0.5, 0.8, 0.3),
        DirectionalL1(1.2, 0.4, 2.0),
        SquaredDistance(torch.ones(4, 5), 2.5),
    ],
)
def test_a_dual_step_is_the_conjugate_prox_of_a_step(functional, dtype):
    for shape in ((2, 4, 5), (3, 2, 4, 5)):
        y, image = _draw(*shape, dtype=dtype), _draw(*shape, seed=1, dtype=dtype)
        kept = y.clone()
        expected = functional.conjugate_prox(y + 0.6 * image, 0.6)
        made = functional.dual_step(y, image, torch.tensor(0.6, dtype=dtype))
        assert torch.allclose(made, expected, rtol=1e-5 if dtype is torch.float32 else 1e-12, atol=1e-7)
        assert bool((y == kept).all())


def test_vectors_of_three_components_at_every_voxel_are_shortened():
    y, image = _draw(2, 3, 4, 5, 6), _draw(2, 3, 4, 5, 6, seed=1)
    moved = y + 0.6 * image
    expected = moved / (moved.norm(dim=1, keepdim=True) / 0.8).clamp_min(1)
    assert torch.allclose(GroupL1(0.8, axes=3).dual_step(y, image.clone(), 0.6), expected)
    weights = torch.rand(4, 5, 6, dtype=y.dtype)
    expected = moved / (moved.norm(dim=1, keepdim=True) / weights[:, None].movedim(1, 0)).clamp_min(1)
    assert torch.allclose(GroupL1(weights, axes=3).dual_step(y, image.clone(), 0.6), expected)


def test_the_identity_does_not_let_a_dual_step_overwrite_the_image():
    x = _draw(4, 5)
    terms = (Term(Identity((4, 5)), WeightedL1(0.3)), Term(Identity((4, 5)), SquaredDistance(x)))
    solution = pdhg(Problem(terms, Box(-10.0)), x.clone(), Driver(300))
    shrunk = WeightedL1(0.3).prox(x, 1.0)
    assert torch.allclose(solution.value, shrunk, atol=1e-6)


def test_cgls_takes_complex_data_and_their_normal_operator():
    sense = FourierSampling(cartesian_mask((9, 10), 2.0)) @ CoilSensitivities(birdcage_maps(3, (9, 10)))
    data = sense(torch.complex(_draw(9, 10), _draw(9, 10, seed=1)))
    plain, fast = (cgls(sense, data, Driver(6, every=6), normal=normal) for normal in (None, sense.normal()))
    assert float((plain.value - fast.value).norm()) < 1e-9 * float(plain.value.norm())
    misfit = sense(plain.value) - 2 * data
    assert SquaredDistance(2 * data, 3.0)(sense(plain.value)) == pytest.approx(1.5 * float(misfit.abs().square().sum()))

"""Solvers beyond their laws: steps of stacked operators, and checkpoints that are not theirs."""

import math

import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, InputError
from microlocal.frames import ShearletFrame
from microlocal.functionals import Box, SquaredDistance, WeightedL1
from microlocal.operators import Gradient, RayTransform
from microlocal.solvers.checkpoint import load_state, owner_of, save_state
from microlocal.solvers.pdhg import combined_steps
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

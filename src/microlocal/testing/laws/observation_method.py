"""The laws of methods for observations: those of reconstruction methods, and that an operator is its maps."""

import math
from dataclasses import replace

import torch

from microlocal.operators.matrix import MatrixOperator
from microlocal.reconstruction.toy import ObservationTrial
from microlocal.testing.laws import method
from microlocal.testing.violation import expect


def the_operator_may_be_a_matrix(trial: ObservationTrial) -> None:
    """The same operator as a dense matrix gives the same image: nothing is read off its class."""
    observation = replace(trial.scan, noise=trial.scan.sigma())  # data of a matrix do not tell it
    shape, codomain = observation.shape, observation.operator.codomain_shape
    pixels = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    columns = observation.operator(pixels).flatten(1)
    dense = replace(observation, operator=MatrixOperator(columns.T, shape, codomain))
    plain, other = trial.run(observation).image, trial.run(dense).image
    gap = float((plain - other).norm() / plain.norm())
    expect(gap < 0.01, f"{trial.name}: as a matrix the operator gives an image that differs by {gap:.3g}")


LAWS = (*method.LAWS, the_operator_may_be_a_matrix)

"""Total variation: piecewise constant images within bounds, non-negative where a scan is reconstructed."""

import math
from functools import partial

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.functionals.norms import GroupL1
from microlocal.operators.complexified import Complexified
from microlocal.operators.gradient import Gradient
from microlocal.reconstruction.cgls import least_squares_image, least_squares_of_observation
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.observation import Observation, observed
from microlocal.reconstruction.penalised import solve_penalised
from microlocal.reconstruction.toy import MethodTrial, ObservationTrial, coned_toy, observation_trial, trial
from microlocal.reconstruction.weighted_problem import Penalty


def _trials() -> list[MethodTrial]:
    return [trial("tv, against cgls", tv, least_squares_image, 0.8, iterations=80)]


@register("method", "tv", samples=_trials, reference="rudin1992")
def tv(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Isotropic total variation, non-negative: flat regions with sharp edges.

    argmin_{f >= 0} 1/2 |R f - g|² + λ Σ |D f|, with D the differences of neighbouring pixels.
    """
    return tv_of_observation(observed(scan, grid), settings)


def _observation_trials() -> list[ObservationTrial]:
    return [
        observation_trial("tv, against cgls", tv_of_observation, least_squares_of_observation, 0.9),
        observation_trial(
            "tv of volumes, against cgls", tv_of_observation, least_squares_of_observation, 0.7, toy=coned_toy
        ),
    ]


@register("observation-method", "tv", samples=_observation_trials, reference="rudin1992")
def tv_of_observation(observation: Observation, settings: Settings) -> Estimate:
    """Isotropic total variation: flat regions with sharp edges; of complex images, of both parts together; of volumes.

    argmin_{l <= f <= u} 1/2 |A f - g|² + λ Σ |D f|
    """
    gradient = Gradient(observation.shape)
    operator = Complexified(gradient) if observation.operator.domain_complex else gradient
    functional = partial(GroupL1, axes=len(observation.shape))
    penalty = Penalty(operator, functional, dual_norm=math.sqrt(math.prod(observation.shape)))
    return solve_penalised(observation, penalty, settings, iterations=200)

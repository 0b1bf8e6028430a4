"""Sparse shearlet regularisation: "reconstruct the visible", step 1 of Learn the Invisible.

    f* = argmin_{f >= 0}  1/2 |R f - g|² + |SH(f)|_{1,w}

SH is the decimated frame: on the needle's held-out tilts and on arcs of 120 degrees its images are as good as those of
the undecimated one, in a third of the time and a tenth of the memory. Its coefficients are complex and |SH(f)| are
their magnitudes, which hardly change when an edge moves by part of a sample.

Reference: Bubba, Kutyniok, Lassas, März, Samek, Siltanen and Srinivasan (2019); Kutyniok (2023), section 4.1.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.frames.base import Frame
from microlocal.frames.decimated import DecimatedShearletFrame, DecimatedShearletFrame3D
from microlocal.functionals.base import Proximable
from microlocal.functionals.pairs import PairL1
from microlocal.reconstruction.cgls import least_squares_image, least_squares_of_observation
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.observation import Observation, observed
from microlocal.reconstruction.penalised import solve_penalised
from microlocal.reconstruction.toy import MethodTrial, ObservationTrial, coned_toy, observation_trial, trial
from microlocal.reconstruction.weighted_problem import Penalty


def _trials() -> list[MethodTrial]:
    return [trial("shearlet, against cgls", shearlet, least_squares_image, 0.8, iterations=80)]


@register("method", "shearlet", samples=_trials, reference="bubba2019")
def shearlet(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Sparse shearlets, non-negative: edges along curves, the reliable first step for limited angles.

    The weights w are λ times the scale weights of ``scale_weights``; the low-pass is not penalised.
    """
    return shearlet_of_observation(observed(scan, grid), settings)


def _observation_trials() -> list[ObservationTrial]:
    return [
        observation_trial("shearlet, against cgls", shearlet_of_observation, least_squares_of_observation, 0.9),
        observation_trial(
            "shearlet of volumes, against cgls",
            shearlet_of_observation,
            least_squares_of_observation,
            0.9,
            toy=coned_toy,
        ),
    ]


@register("observation-method", "shearlet", samples=_observation_trials, reference="bubba2019")
def shearlet_of_observation(observation: Observation, settings: Settings) -> Estimate:
    """Sparse shearlets: edges along curves, and texture that has a direction; surfaces of volumes.

    argmin_{l <= f <= u} 1/2 |A f - g|² + |SH(f)|_{1,w}. Raises InputError for complex images.
    """
    observation.needs_real_images("shearlet")
    planar = len(observation.shape) == 2
    frame = DecimatedShearletFrame(observation.shape) if planar else DecimatedShearletFrame3D(observation.shape)
    weights = frame.spread(scale_weights(frame)).to(observation.data.real.dtype)

    def functional(weight: float) -> Proximable:
        return PairL1(weight * weights)

    dual_norm = math.sqrt(float(weights.double().square().sum()) / 2)  # a pair of numbers is one coefficient
    penalty = Penalty(frame, functional, dual_norm)
    return solve_penalised(observation, penalty, settings, iterations=200)


def scale_weights(frame: Frame) -> Float[Tensor, " filter"]:
    """Return the weight of every filter, (filter,): its l2 norm over the largest of a scale, 0 for the low-pass.

    White noise passes a filter with that factor, so one λ thresholds every scale at the same multiple of its noise.
    """
    norms = frame.filter_norms()
    detail = torch.tensor([record.scale >= 0 for record in frame.filters])
    return torch.where(detail, norms / norms.max(), 0.0)

"""Total variation: piecewise constant images under a non-negativity constraint."""

import math

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.functionals.box import Box
from microlocal.functionals.norms import GroupL1
from microlocal.operators.gradient import Gradient
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.cgls import least_squares_image
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.penalised import solve_penalised
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.reconstruction.weighted_problem import Penalty


def _trials() -> list[MethodTrial]:
    return [trial("tv, against cgls", tv, least_squares_image, 0.8, iterations=80)]


@register("method", "tv", samples=_trials, reference="rudin1992")
def tv(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Isotropic total variation, non-negative: flat regions with sharp edges.

    argmin_{f >= 0} 1/2 |R f - g|² + λ Σ |D f|, with D the differences of neighbouring pixels.
    """
    gradient = Gradient(grid.shape)
    penalty = Penalty(gradient, GroupL1, dual_norm=math.sqrt(math.prod(grid.shape)))
    return solve_penalised(RayTransform(scan.geometry, grid), scan.data, penalty, Box(), settings, iterations=200)

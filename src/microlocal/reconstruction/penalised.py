"""Least squares with a sparsity penalty and bounds: what total variation and shearlets have in common.

    argmin_{l <= f <= u}  1/2 |R f - g|² + λ Φ(K f)

solved by the primal-dual method from a few steps of conjugate gradients. The weight λ is the user's, or chosen by
the discrepancy principle: the largest λ whose residual is still at the level of the noise. Where the model itself
fits worse than the noise (misalignment, beam hardening), the level is that of the best fit, and the note says so.

Reference: Morozov (1966) for the discrepancy principle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.noise import noise_level
from microlocal.core.progress import PartOf
from microlocal.functionals.base import Proximable
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver, Solution, Status
from microlocal.solvers.pdhg import pdhg
from microlocal.solvers.problem import Problem, Term

# The search for the weight: a first fit with next to no penalty, then at most so many corrections of a few iterations.
FIRST_ITERATIONS, STAGE_ITERATIONS, STAGES = 80, 40, 8
NEGLIGIBLE = 0.02  # of the natural weight
ABOVE_BEST_FIT = 1.05  # how far above the best fit the residual may rise where the model fits worse than the noise
CLOSE_ENOUGH = 0.04  # of the residual, in logarithm
# Steps: the primal-dual bound is least when σ/τ is the square of |dual|/|primal|; faster in practice with more weight
# on the duals (measured on the shipped scan; any value converges).
DUAL_EMPHASIS = 10.0
ACTIVE_SHARE = 0.3  # guess of |y| over its largest possible norm, for the same balance


@dataclass(frozen=True)
class Penalty:
    """λ Φ(K f): the operator K, the functional of a weight λ, and the l2 norm that dual variables have at λ = 1."""

    operator: LinearOperator
    functional: Callable[[float], Proximable]
    dual_norm: float


def solve_penalised(
    ray: RayTransform,
    data: Float[Tensor, "*batch angle detector"],
    penalty: Penalty,
    bounds: Proximable,
    settings: Settings,
    iterations: int,
) -> Estimate:
    """Return the estimate for ``settings.weight``, or for the weight that the discrepancy principle chooses.

    ``data`` (*batch, angle, detector); batches share one weight. The config records weight, target and residual.
    """
    start = bounds.prox(cgls(ray, data, Driver(iterations=12, every=12)).value, 1.0)
    solve = _Solve(ray, data, penalty, bounds, start)
    size = float(data.norm()) or 1.0
    if settings.weight is None:
        found = _search(solve, settings)
    else:
        found = _Choice(settings.weight, float("nan"), None, (f"The weight {settings.weight:.4g} was given.",))
    if found.warm is not None and found.warm.status is Status.INTERRUPTED:
        solution = found.warm
    else:
        solution = solve(found.weight, _last_driver(settings, iterations), found.warm)
    residual = float((ray(solution.value) - data).norm())
    config = {
        "weight": found.weight,
        "weight chosen by": "user" if settings.weight is not None else "discrepancy principle",
        "iterations": int(solution.stats["iterations"]),
        "solver": "pdhg",
        "status": solution.status.name.lower(),
        "relative residual": residual / size,
    }
    if math.isfinite(found.target):
        config["target residual"] = found.target / size
    return Estimate(solution.value, (*found.notes, solution.status.value), config, solution.history)


def _last_driver(settings: Settings, iterations: int) -> Driver:
    return Driver(
        iterations=settings.iterations or iterations,
        every=20,
        tolerance=1e-4,
        checkpoint=settings.checkpoint,
        progress=settings.progress,
        task="reconstructing",
    )


@dataclass(frozen=True)
class _Choice:
    weight: float
    target: float
    warm: Solution | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Solve:
    """The problem at any weight, warm started by the solution at another one."""

    ray: RayTransform
    data: Tensor
    penalty: Penalty
    bounds: Proximable
    start: Tensor

    def __call__(self, weight: float, driver: Driver, warm: Solution | None = None) -> Solution:
        image = max(float(self.start.norm()), 1e-30)
        fit = max(float((self.ray(self.start) - self.data).norm()), 1e-30)
        sigma, tau = self.ray.step_sizes()
        usual = math.sqrt(float(tau[tau > 0].median() / sigma[sigma > 0].median()))
        batch = math.sqrt(self.data[..., 0, 0].numel())
        dual = max(ACTIVE_SHARE * weight * self.penalty.dual_norm * batch, 1e-30)
        terms = (
            Term(self.ray, SquaredDistance(self.data), DUAL_EMPHASIS * usual * fit / image),
            Term(self.penalty.operator, self.penalty.functional(weight), DUAL_EMPHASIS * dual / image),
        )
        duals = None if warm is None else [warm.state["dual0"], warm.state["dual1"]]
        start = self.start if warm is None else warm.value
        return pdhg(Problem(terms, self.bounds), start, driver, duals)

    def residual(self, solution: Solution) -> float:
        return float((self.ray(solution.value) - self.data).norm())


def natural_weight(ray: RayTransform, sigma: float) -> float:
    """Return σ times the norm of a central column of R: the size of the noise after backprojection to one pixel."""
    rows, cols = ray.domain_shape
    pixel = torch.zeros(rows, cols)
    pixel[rows // 2, cols // 2] = 1.0
    return sigma * float(ray(pixel).norm())


def _search(solve: _Solve, settings: Settings) -> _Choice:
    """Move λ until the residual meets its target, warm starting every stage; an interruption ends it there."""
    shown = PartOf(settings.progress, "choosing the weight")
    settings.progress.start(shown.whole, FIRST_ITERATIONS + STAGES * STAGE_ITERATIONS)
    count = math.sqrt(solve.data.numel())
    sigma = noise_level(solve.data)
    rough = max(sigma, 0.002 * float(solve.data.norm()) / count)
    weight = natural_weight(solve.ray, rough)
    first = Driver(iterations=FIRST_ITERATIONS, every=FIRST_ITERATIONS, progress=shown)
    solution = solve(NEGLIGIBLE * weight, first)
    best = solve.residual(solution)
    target = max(sigma * count, ABOVE_BEST_FIT * best)
    weight = max(weight, natural_weight(solve.ray, target / count))
    stage = Driver(iterations=STAGE_ITERATIONS, every=STAGE_ITERATIONS, progress=shown)
    for _ in range(STAGES):
        if solution.status is Status.INTERRUPTED:
            break
        solution = solve(weight, stage, solution)
        gap = math.log(solve.residual(solution) / target)
        if abs(gap) < CLOSE_ENOUGH:
            break
        weight *= math.exp(-min(max(2 * gap, -1.5), 1.5))
    settings.progress.finish(shown.whole)
    return _Choice(weight, target, solution, (_explain(sigma * count, best, target, solve.data, weight),))


def _explain(noise: float, best: float, target: float, data: Tensor, weight: float) -> str:
    size = float(data.norm()) or 1.0
    level = f"{100 * noise / size:.2g} % of the data"
    if target > noise:
        reason = (
            f"the measured noise is {level}, but no image on this grid explains the data better than "
            f"{100 * best / size:.2g} % (misalignment, model error), so the residual was aimed at "
            f"{100 * target / size:.2g} %"
        )
    else:
        reason = f"the residual was aimed at the measured noise, {level}"
    return f"The weight {weight:.4g} was chosen by the discrepancy principle: {reason}."

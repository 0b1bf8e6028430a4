"""The weight of a penalty by the discrepancy principle: the residual is left at the level of the noise.

The level is measured from the data, or given. Where even the best fit that is found leaves more (misalignment, beam
hardening, a coarse grid), the level is that of the fit, a little raised, and the note says so.

Reference: Morozov (1966).
"""

import math
from dataclasses import dataclass

import torch

from microlocal.core.progress import PartOf, Progress
from microlocal.operators.base import LinearOperator
from microlocal.operators.spaces import in_domain
from microlocal.reconstruction.observation import Aim, Observation
from microlocal.reconstruction.weighted_problem import WeightedProblem
from microlocal.solvers.driver import Driver, Solution, Status

STAGE_ITERATIONS, STAGES = 40, 8
FIT_ITERATIONS, FITS = 80, 6  # the first fit goes on while it still gains
STILL_GAINING = 0.03
NEGLIGIBLE = 0.02  # of the natural weight: next to no penalty
ABOVE_BEST_FIT = 1.05  # how far above the best fit the residual may rise where that exceeds the noise
EXACT_FIT = 1e-30  # of the target: for the logarithm of none at all
CLOSE_ENOUGH = 0.04  # of the residual, in logarithm
TASK = "choosing the weight"


@dataclass(frozen=True)
class Choice:
    """A weight, the residual |A f - g| it aims at, the last solution of the search, and the reason in words."""

    weight: float
    target: float
    warm: Solution | None
    note: str


def natural_weight(operator: LinearOperator, sigma: float) -> float:
    """Return σ times the norm of a central column of A: the size of the noise after backprojection to one pixel.

    Where A does not see the central pixel, that of A as a whole is taken: no column is longer.
    """
    pixel = torch.zeros(operator.domain_shape, dtype=in_domain(operator, torch.float32))
    pixel[tuple(n // 2 for n in operator.domain_shape)] = 1.0
    return sigma * (float(operator(pixel).norm()) or operator.norm_bound())


def choose_weight(problem: WeightedProblem, progress: Progress) -> Choice:
    """Move λ until the residual meets its target, warm starting every stage; an interruption ends it there."""
    shown = PartOf(progress, TASK)
    progress.start(TASK, FIT_ITERATIONS * FITS + STAGES * STAGE_ITERATIONS)
    observation, count = problem.observation, math.sqrt(problem.observation.count)
    sigma, words = observation.aim("choose_weight")
    rough = max(sigma, 0.002 * float(observation.data.norm()) / count)
    weight = natural_weight(observation.operator, rough)
    solution, best = _best_fit(problem, NEGLIGIBLE * weight, sigma * count, shown)
    target = max(sigma * count, ABOVE_BEST_FIT * best)
    weight = max(weight, natural_weight(observation.operator, target / count))
    stage = Driver(iterations=STAGE_ITERATIONS, every=STAGE_ITERATIONS, progress=shown)
    for _ in range(STAGES):
        if solution.status is Status.INTERRUPTED:
            break
        solution = problem.solve(weight, stage, solution)
        gap = gap_of(problem.residual(solution), target)
        if abs(gap) < CLOSE_ENOUGH:
            break
        weight = corrected(weight, gap)
    progress.finish(TASK)
    return Choice(weight, target, solution, _explain(Aim(sigma * count, words), best, target, observation))


def gap_of(residual: float, target: float) -> float:
    """Return log(residual/target), also of a fit without any error, as of data that are flat."""
    return math.log(max(residual / target, EXACT_FIT))


def corrected(weight: float, gap: float) -> float:
    """Return the next weight for a residual that is exp(``gap``) times its target: less where it is too large."""
    return weight * math.exp(-min(max(2 * gap, -1.5), 1.5))


def _best_fit(problem: WeightedProblem, weight: float, noise: float, shown: Progress) -> tuple[Solution, float]:
    """Fit with next to no penalty until the noise is reached or nothing more is gained; return it and its residual."""
    driver = Driver(iterations=FIT_ITERATIONS, every=FIT_ITERATIONS, progress=shown)
    solution = problem.solve(weight, driver)
    best = problem.residual(solution)
    for _ in range(FITS - 1):
        if best <= noise or solution.status is Status.INTERRUPTED:
            break
        solution = problem.solve(weight, driver, solution)
        before, best = best, min(best, problem.residual(solution))
        if best > (1 - STILL_GAINING) * before:
            break
    return solution, best


def _explain(noise: Aim, best: float, target: float, observation: Observation) -> str:
    size = float(observation.data.norm()) or 1.0
    level = f"{100 * noise.sigma / size:.2g} % of the data"
    if target > noise.sigma:
        return (
            f"the {noise.words} is {level}, but the best fit found leaves {100 * best / size:.2g} % (misalignment, "
            f"model error, a coarse grid), so the residual was aimed at {100 * target / size:.2g} %"
        )
    return f"the residual was aimed at the {noise.words}, {level}"

"""Least squares with a sparsity penalty and bounds: what total variation and shearlets have in common.

    argmin_{l <= f <= u}  1/2 |A f - g|² + λ Φ(K f)

solved by the primal-dual method from a few steps of conjugate gradients. The weight is the user's or is chosen by the
discrepancy principle; then rounds of iterations go on until the objective has settled *and* the residual is where it
was aimed, correcting the weight between rounds: a residual that is right before convergence is not right after it.
"""

import math
from dataclasses import dataclass, replace

from microlocal.functionals.box import Box
from microlocal.kernels.threads import own_threads_for
from microlocal.operators.toeplitz import Toeplitz
from microlocal.reconstruction.discrepancy import CLOSE_ENOUGH, Choice, choose_weight, corrected, gap_of
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.observation import Observation
from microlocal.reconstruction.weighted_problem import Penalty, WeightedProblem
from microlocal.solvers.cgls import cgls
from microlocal.solvers.checkpoint import owner_of, save_state
from microlocal.solvers.driver import Driver, Solution, Status

ROUNDS = 5
SETTLED = 0.01  # the second half of a round lowers the objective by less than this share


def solve_penalised(observation: Observation, penalty: Penalty, settings: Settings, iterations: int) -> Estimate:
    """Return the estimate for ``settings.weight``, or for the weight that the discrepancy principle chooses.

    Images of a batch share one weight. ``iterations`` of a round, up to five rounds; a number
    of iterations in ``settings`` is one round of that many. The config records weight, target and residual.
    """
    with own_threads_for(math.prod(observation.batch) * math.prod(observation.shape)):
        return _solved(observation, penalty, settings, iterations)


def _solved(observation: Observation, penalty: Penalty, settings: Settings, iterations: int) -> Estimate:
    operator, data, bounds = observation.operator, observation.data, Box(*observation.bounds)
    normal = operator.normal()
    fast = normal if isinstance(normal, Toeplitz) else None
    start = bounds.prox(cgls(operator, data, Driver(iterations=12, every=12), normal=fast).value, 1.0)
    problem = WeightedProblem(observation, penalty, bounds, start, fast)
    if settings.weight is None:
        choice = choose_weight(problem, settings.progress)
    else:
        choice = Choice(settings.weight, math.nan, None, "")
    outcome = _iterate(problem, choice, settings, iterations)
    size, solution = float(data.norm()) or 1.0, outcome.solution
    given = f"The weight {outcome.weight:.4g} was given."
    chosen = f"The weight {outcome.weight:.4g} was chosen by the discrepancy principle: {choice.note}."
    config = {
        "weight": outcome.weight,
        "weight chosen by": "user" if settings.weight is not None else "discrepancy principle",
        "iterations": outcome.iterations,
        "solver": "pdhg",
        "status": solution.status.name.lower(),
        "relative residual": problem.residual(solution) / size,
    }
    if settings.weight is None:
        config["target residual"] = choice.target / size
    notes = (chosen if settings.weight is None else given, solution.status.value)
    return Estimate(solution.value, notes, config, outcome.history)


@dataclass(frozen=True)
class _Outcome:
    solution: Solution
    weight: float
    history: dict[str, list[float]]
    iterations: int


def _iterate(problem: WeightedProblem, choice: Choice, settings: Settings, iterations: int) -> _Outcome:
    """Run rounds until the objective has settled and the residual is at its target, if it has one."""
    if choice.warm is not None and choice.warm.status is Status.INTERRUPTED:
        return _Outcome(choice.warm, choice.weight, {}, 0)
    weight, rounds = choice.weight, ROUNDS if settings.iterations is None else 1
    solution = problem.solve(weight, _driver(problem, settings, iterations, 0), choice.warm)
    history, count = solution.history, int(solution.stats["iterations"])
    for k in range(1, rounds):
        gap = 0.0 if math.isnan(choice.target) else gap_of(problem.residual(solution), choice.target)
        met = abs(gap) < CLOSE_ENOUGH
        if solution.status is Status.INTERRUPTED:
            break
        if met and _has_settled(solution):
            solution = replace(solution, status=Status.CONVERGED)
            break
        weight = weight if met else corrected(weight, gap)
        if settings.checkpoint is not None:
            save_state(settings.checkpoint, solution.state, owner_of(problem.observation.data))
        solution = problem.solve(weight, _driver(problem, settings, iterations, k), solution)
        history = _joined(history, solution.history)
        count = int(solution.stats["iterations"]) + (count if settings.checkpoint is None else 0)
    return _Outcome(solution, weight, history, count)


def _driver(problem: WeightedProblem, settings: Settings, iterations: int, round_number: int) -> Driver:
    return Driver(
        iterations=settings.iterations or iterations,
        every=20,
        tolerance=1e-4,
        checkpoint=settings.checkpoint,
        owner=owner_of(problem.observation.data),
        progress=settings.progress,
        task="reconstructing" if round_number == 0 else f"reconstructing, round {round_number + 1}",
    )


def _has_settled(solution: Solution) -> bool:
    objective = solution.history["objective"]
    middle = objective[len(objective) // 2]
    return solution.status is Status.CONVERGED or middle - objective[-1] < SETTLED * abs(middle)


def _joined(history: dict[str, list[float]], more: dict[str, list[float]]) -> dict[str, list[float]]:
    """Append a round's record, counting its iterations on from the last."""
    if not history:
        return more
    last = history["iteration"][-1] if history["iteration"] else 0.0
    shift = last if more["iteration"] and more["iteration"][0] <= last else 0.0
    moved = more | {"iteration": [k + shift for k in more["iteration"]]}
    return {name: values + moved.get(name, []) for name, values in history.items()}

"""The laws of solvers, on tiny problems whose answer is known."""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from microlocal.core.errors import DivergenceError
from microlocal.core.progress import Silent
from microlocal.solvers.driver import Driver, Status
from microlocal.solvers.trial import Trial
from microlocal.testing.violation import LawViolation, expect


def reaches_the_known_answer(trial: Trial) -> None:
    """The value agrees with the dense or closed-form answer."""
    solution = trial.solve(Driver(iterations=trial.iterations, every=50))
    gap = float((solution.value - trial.answer).norm() / trial.answer.norm())
    expect(gap <= trial.tolerance, f"{trial.name}: off the answer by {gap:.3g}")


def two_runs_make_one(trial: Trial) -> None:
    """Resuming from the checkpoint of n iterations for n more gives what 2n iterations give, bit for bit."""
    whole = trial.solve(Driver(iterations=12, every=12)).value
    with tempfile.TemporaryDirectory() as folder:
        part = Driver(iterations=6, every=6, checkpoint=Path(folder) / "state.safetensors", checkpoint_seconds=-1.0)
        trial.solve(part)
        resumed = trial.solve(part).value
    expect(
        bool((whole == resumed).all()), f"{trial.name}: resuming differs by {float((whole - resumed).abs().max()):.3g}"
    )


def history_is_what_was_measured(trial: Trial) -> None:
    """The last recorded residual is the one recomputed from the returned value by an independent formula."""
    solution = trial.solve(Driver(iterations=20, every=10))
    recorded, recomputed = solution.history[trial.recorded][-1], trial.recompute(solution.value)
    gap = abs(recorded - recomputed)
    expect(gap <= 1e-9 * max(abs(recomputed), 1), f"{trial.name}: recorded {recorded:.9g}, recomputed {recomputed:.9g}")


def stops_when_the_residual_is_met(trial: Trial) -> None:
    """With a tolerance it says CONVERGED before the budget, without one it uses the budget up."""
    loose = trial.solve(Driver(iterations=trial.iterations, every=10, tolerance=1e-3))
    expect(loose.status is Status.CONVERGED, f"{trial.name}: did not stop at a loose tolerance")
    strict = trial.solve(Driver(iterations=10, every=10, tolerance=0.0))
    expect(strict.stats["iterations"] == 10.0, f"{trial.name}: stopped without reaching zero")


def not_a_number_stops_it(trial: Trial) -> None:
    """Data that are not finite raise DivergenceError instead of returning a picture."""
    broken = replace(trial, data=torch.full_like(trial.data, float("nan")))
    try:
        broken.solve(Driver(iterations=20, every=5))
    except DivergenceError:
        return
    raise LawViolation(f"{trial.name}: iterated on NaN without complaint")


def interruption_keeps_the_iterate(trial: Trial) -> None:
    """Ctrl-C after the third iteration returns the third iterate."""
    three = trial.solve(Driver(iterations=3, every=100)).value
    stopped = trial.solve(Driver(iterations=50, every=100, progress=_CtrlC(3)))
    expect(stopped.status is Status.INTERRUPTED, f"{trial.name}: the interruption was not noticed")
    expect(bool((stopped.value == three).all()), f"{trial.name}: the iterate was lost")


class _CtrlC(Silent):
    """Presses Ctrl-C after the given number of steps."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, task: str, steps: int = 1) -> None:
        del task
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


LAWS = (
    reaches_the_known_answer,
    two_runs_make_one,
    history_is_what_was_measured,
    stops_when_the_residual_is_met,
    not_a_number_stops_it,
    interruption_keeps_the_iterate,
)

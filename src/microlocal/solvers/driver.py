"""One loop for every iterative solver: budget, history, stopping, interruption, checkpoints.

A solver is data: a starting state and a step, both over a dictionary of tensors. The driver keeps the clock.
Running n iterations and then n more from the returned state equals running 2n, since the state is all there is.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import torch
from jaxtyping import Float, Inexact, Shaped
from torch import Tensor

from microlocal.core.checks import at_least, not_negative
from microlocal.core.errors import DivergenceError
from microlocal.core.progress import SILENT, Progress
from microlocal.solvers.checkpoint import load_state, save_state

LEAST, MOST = 1e-15, 1e15  # of norms between these, float32 has all squares that count
State = dict[str, Shaped[Tensor, "..."]]


class Status(Enum):
    """Why an iteration ended; the value is the sentence shown to the user."""

    CONVERGED = "The stopping test was met, on a recomputed residual."
    BUDGET = "The iteration budget was used up; more iterations may still change the result."
    INTERRUPTED = "Interrupted; this is the best iterate so far."


@dataclass(frozen=True)
class Solution:
    """What a solver returns: the value, why it stopped, numbers, and the history of what was recorded."""

    value: Float[Tensor, "..."]
    status: Status
    stats: dict[str, float]
    history: dict[str, list[float]]
    state: State = field(repr=False)


@dataclass(frozen=True)
class Driver:
    """How to run a solver.

    Parameters: ``iterations``, the budget; ``every``, how often ``measure`` is called (it costs what a residual
    costs) and the stopping test made; ``tolerance`` on the measured "change" or "residual", 0 to use the budget;
    ``checkpoint``, a file to save the state to at most every ``checkpoint_seconds`` and to resume from if it exists;
    ``owner``, the mark of the data it belongs to (``checkpoint.owner_of``);
    ``progress`` and its ``task`` name. Raises InputError for numbers that are negative, and for ``every`` = 0.
    """

    iterations: int = 200
    every: int = 10
    tolerance: float = 0.0
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    owner: str = ""
    progress: Progress = SILENT
    task: str = "iterating"

    def __post_init__(self) -> None:
        at_least(self.iterations, 0, "iterations", "Driver")
        at_least(self.every, 1, "every", "Driver")
        not_negative(self.tolerance, "tolerance", "Driver")

    def run(
        self,
        start: State,
        step: Callable[[State], State],
        read: Callable[[State], Shaped[Tensor, "..."]],
        measure: Callable[[State], dict[str, float]],
        criterion: str = "change",
    ) -> Solution:
        """Iterate ``step`` from ``start``; ``read`` extracts the value, ``measure`` recomputes what is recorded.

        ``criterion`` names the measured number that is compared with ``tolerance``. Raises DivergenceError when a
        measured number is not finite.
        """
        state = start if self.checkpoint is None else load_state(self.checkpoint, start, self.owner)
        done = int(state.get("iteration", torch.tensor(0)))
        history: dict[str, list[float]] = {"iteration": []}
        status, began, saved = Status.BUDGET, time.monotonic(), time.monotonic()
        self.progress.start(self.task, self.iterations)
        try:
            for k in range(done + 1, done + self.iterations + 1):
                state = step(state) | {"iteration": torch.tensor(k)}
                self.progress.advance(self.task)
                if k % self.every == 0 or k == done + self.iterations:
                    measured = _checked(measure(state), k)
                    _record(history, k, measured)
                    if measured[criterion] <= self.tolerance:
                        status = Status.CONVERGED
                        break
                if self.checkpoint is not None and time.monotonic() - saved > self.checkpoint_seconds:
                    save_state(self.checkpoint, state, self.owner)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            if self.checkpoint is not None:
                save_state(self.checkpoint, state, self.owner)
        finally:
            self.progress.finish(self.task)
        stats = {"iterations": float(state.get("iteration", torch.tensor(done))), "seconds": time.monotonic() - began}
        return Solution(read(state), status, stats, history, state)


def norm(x: Inexact[Tensor, "..."]) -> float:
    """Return |x|, from squares in float64 where those of float32 get lost or infinite.

    What a solver measures goes through this, lest nothing but underflow should pass for convergence.
    """
    size = float(x.norm())
    if LEAST < size < MOST:
        return size
    return float(torch.linalg.vector_norm(x, dtype=torch.complex128 if x.is_complex() else torch.float64))


def _checked(measured: dict[str, float], iteration: int) -> dict[str, float]:
    for name, value in measured.items():
        if not math.isfinite(value):
            cause = "the data or the step sizes are off"
            raise DivergenceError(f"{name} became {value} at iteration {iteration}: {cause}.")
    return measured


def _record(history: dict[str, list[float]], iteration: int, measured: dict[str, float]) -> None:
    history["iteration"].append(float(iteration))
    for name, value in measured.items():
        history.setdefault(name, []).append(value)

"""Races: the same work by us and by every peer that is installed, in turns, on the same arrays and thread counts.

Each contestant is a process of its own, so that no library's threads or settings disturb another's, and the parent asks
one at a time. Results are compared before times are: what does not agree is not listed as faster or slower.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
PEERS_PYTHON = Path(os.environ.get("MICROLOCAL_PEERS", HERE.parent / ".venv-peers" / "bin" / "python"))
THREADS = len(os.sched_getaffinity(0))
TURN = 0.15  # seconds of calls one after the other, as in an iteration; of which a turn counts the median
PAUSE = 0.05  # seconds between turns: idle OpenMP workers of the last contestant stop spinning


@dataclass(frozen=True)
class Case:
    """One piece of work: its arrays, who races, and the error of a result, relative, against what its title says."""

    name: str
    title: str
    arrays: Mapping[str, NDArray[Any]]
    contestants: Sequence[str]
    error: Callable[[NDArray[Any]], float] | None = None
    allowed: float = 0.02
    rounds: int = 7


@dataclass(frozen=True)
class Outcome:
    """How one contestant did: median and spread (quartiles) in s, error, set-up time, peak MiB, or why it is absent."""

    contestant: str
    seconds: float = float("nan")
    spread: float = float("nan")
    error: float = float("nan")
    prepared: float = float("nan")
    peak: float = float("nan")
    version: str = ""
    absent: str = ""


class Process:
    """A contestant's process and the conversation with it."""

    def __init__(self, name: str) -> None:
        module = HERE / "contestants" / f"{name}.py"
        python = sys.executable if name.startswith(("ours", "floor")) else str(PEERS_PYTHON)
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(THREADS))
        self.child = subprocess.Popen(
            [python, str(HERE / "contestant.py"), str(module)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | counts | {"PYTHONPATH": str(HERE.parent)},
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        if self.child.stdin is None or self.child.stdout is None or self.child.poll() is not None:
            return {"absent": "its process ended"}
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        return json.loads(line) if line else {"absent": "its process ended"}

    def close(self) -> None:
        if self.child.stdin is not None:
            self.child.stdin.close()
        self.child.wait(timeout=30)


def _start(name: str, case: Case, inputs: Path) -> tuple[Process | None, dict[str, Any]]:
    if not name.startswith(("ours", "floor")) and not PEERS_PYTHON.exists():
        return None, {"absent": "not installed (make peers)"}
    process = Process(name)
    reply = process.ask(prepare=case.name, inputs=str(inputs))
    if "absent" not in reply:
        reply |= process.ask(run=0)  # compiles, plans, fills caches
    if "absent" in reply:
        process.close()
        return None, reply
    return process, reply


def run(case: Case) -> list[Outcome]:
    """Run one case: every contestant prepares, warms up, is checked, then they take turns."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, **case.arrays)
        started = {name: _start(name, case, inputs) for name in case.contestants}
        runners = {name: process for name, (process, _) in started.items() if process is not None}
        times: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(case.rounds):
            for name, process in runners.items():
                time.sleep(PAUSE)
                times[name].append(process.ask(run=TURN).get("seconds", float("nan")))
        taking_part = [name for name, (_, reply) in started.items() if reply.get("absent") != "does not do this"]
        outcomes = [_outcome(name, case, *started[name], times.get(name, []), Path(folder)) for name in taking_part]
        for process in runners.values():
            process.close()
    return outcomes


def _outcome(
    name: str, case: Case, process: Process | None, reply: dict[str, Any], times: list[float], folder: Path
) -> Outcome:
    if process is None:
        return Outcome(name, absent=reply["absent"])
    saved = folder / f"{name}.npy"
    peak = process.ask(save=str(saved)).get("peak", float("nan"))
    error = float("nan") if case.error is None else case.error(np.load(saved))
    saved.unlink()
    median, spread = statistics.median(times), float(np.subtract(*np.percentile(times, (75, 25))))
    return Outcome(name, median, spread, error, reply["prepared"], peak, reply["version"])

"""How far a stack has come, read from its plan and journal, and told in summary.json: one row a slice."""

import hashlib
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from microlocal.core.registry import register, registered
from microlocal.io.jsonable import jsonable
from microlocal.io.values import write_json
from microlocal.reconstruction.journal import Journal, Row
from microlocal.reconstruction.stack_job import job_folder
from microlocal.reconstruction.stack_plan import read_plan


@dataclass(frozen=True)
class StackState:
    """How far a stack has come.

    Parameters: ``folder`` of the results; ``plan``, what was asked and chosen; ``numbers`` of the slices wanted;
    ``rows``, what became of those that were tried; ``share``, the slices that were this run's to do.
    """

    folder: Path
    plan: dict[str, Any]
    numbers: range
    rows: dict[int, Row]
    share: tuple[int, ...] = ()

    @property
    def missing(self) -> tuple[int, ...]:
        """The slices that are not done, those that failed among them."""
        return tuple(k for k in self.numbers if k not in self.rows or self.rows[k].error)

    @property
    def failed(self) -> dict[int, str]:
        """What went wrong with the slices that failed."""
        return {k: row.error for k, row in sorted(self.rows.items()) if row.error}

    @property
    def left(self) -> dict[int, str]:
        """Why the slices that the network does not suit were left without it."""
        if self.plan["choices"]["network"] in ("", "none"):
            return {}
        return {k: row.why for k, row in sorted(self.rows.items()) if row.network == "none"}

    @property
    def broken(self) -> dict[int, list[str]]:
        """The claims that do not hold, by slice."""
        return {k: row.broken_claims for k, row in sorted(self.rows.items()) if row.broken_claims}

    @property
    def complete(self) -> bool:
        """Whether every slice is done."""
        return not self.missing

    def checksum(self) -> str:
        """Return the SHA-256 over the SHA-256 of the pixels of the slices that are done, in their order."""
        marks = [self.rows[k].sha256 for k in self.numbers if k in self.rows]
        return hashlib.sha256("".join(marks).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the state as JSON values: what summary.json holds, with one row a slice."""
        return {
            "complete": self.complete,
            "slices": len(self.numbers),
            "done": len(self.numbers) - len(self.missing),
            "missing": list(self.missing),
            "failed": {str(k): error for k, error in self.failed.items()},
            "left without the network": {str(k): why for k, why in self.left.items()},
            "claims that do not hold": {str(k): claims for k, claims in self.broken.items()},
            "method": self.plan["request"]["method"],
            "request": self.plan["request"],
            "choices": self.plan["choices"],
            "seconds": sum(row.seconds for row in self.rows.values()),
            "image_sha256": self.checksum(),
            "versions": {name: version(name) for name in ("microlocal", "torch", "numpy")}
            | {"python": platform.python_version()},
            "rows": jsonable([asdict(row) for _, row in sorted(self.rows.items())]),
        }


def stack_state(out: str | Path) -> StackState:
    """Return how far the stack in the folder ``out`` has come; raises OutputError where there is none."""
    folder = Path(out)
    plan = read_plan(job_folder(folder) / "plan.json")
    first, last = plan["request"]["slices"]
    return StackState(folder, plan, range(first, last), Journal(job_folder(folder) / "done").rows())


def has_begun(out: str | Path) -> bool:
    """Return whether the folder ``out`` holds the plan of a stack."""
    return (job_folder(Path(out)) / "plan.json").is_file()


def write_state(folder: Path) -> StackState:
    """Have every registered writer write the state; where other processes finish slices meanwhile, once more."""
    state = stack_state(folder)
    while True:
        for entry in registered("stack-writer").values():
            entry.member(state)
        again = stack_state(folder)
        if again.rows == state.rows:
            return again
        state = again


@register("stack-writer", "summary.json")
def write_summary(state: StackState) -> Path:
    """Write summary.json: what was asked and chosen, what is missing, and a row for every slice."""
    return write_json(state.to_dict(), state.folder / "summary.json")

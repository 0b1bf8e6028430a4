"""A stack of slices reconstructed at constant memory: block by block from the file into a volume, resumable.

    reconstruct_stack("scan.h5", "results", Request(method="fbp"), where=Workers(4))

Guarantees: memory depends on the size of a slice and of a block, not on the number of slices; a slice is in the volume
whole or not at all; after a kill the same call goes on, and ends with the same pixels as a run without one; no slice
depends on the number of workers, nor on who computed it.
"""

import hashlib
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import lookup
from microlocal.io.jsonable import jsonable
from microlocal.io.stack import Stack
from microlocal.io.stack_formats import open_stack
from microlocal.io.values import write_json
from microlocal.io.volumes import SHARED, volume_at
from microlocal.reconstruction.journal import Journal, Row
from microlocal.reconstruction.method import Settings
from microlocal.reconstruction.pools import Where, Workers, drive
from microlocal.reconstruction.stack_job import Job, job_folder
from microlocal.reconstruction.stack_plan import Choices, Request, agreed, chosen, read_plan, wanted_slices

TASK = "slices"


@dataclass(frozen=True)
class StackState:
    """How far a stack has come.

    Parameters: ``folder`` of the results; ``plan``, what was asked and chosen; ``numbers`` of the slices wanted;
    ``rows``, what became of those that were tried.
    """

    folder: Path
    plan: dict[str, Any]
    numbers: range
    rows: dict[int, Row]

    @property
    def missing(self) -> tuple[int, ...]:
        """The slices that are not done, those that failed among them."""
        return tuple(k for k in self.numbers if k not in self.rows or self.rows[k].error)

    @property
    def failed(self) -> dict[int, str]:
        """What went wrong with the slices that failed."""
        return {k: row.error for k, row in sorted(self.rows.items()) if row.error}

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
            "method": self.plan["request"]["method"],
            "request": self.plan["request"],
            "choices": self.plan["choices"],
            "seconds": sum(row.seconds for row in self.rows.values()),
            "image_sha256": self.checksum(),
            "versions": {name: version(name) for name in ("microlocal", "torch", "numpy")}
            | {"python": platform.python_version()},
            "rows": jsonable([asdict(row) for _, row in sorted(self.rows.items())]),
        }


def reconstruct_stack(
    path: str | Path,
    out: str | Path,
    request: Request,
    *,
    where: Where | None = None,
    part: tuple[int, int] = (0, 1),
    fresh: bool = False,
    progress: Progress = SILENT,
) -> StackState:
    """Reconstruct the stack in ``path`` into the folder ``out``, or go on with what an earlier run left there.

    Parameters: ``request``; ``where``, ``Workers(n)`` or ``Scheduler(address)`` (by default this process);
    ``part`` (i, n), to take the i-th of n shares of the blocks; ``fresh``, to discard what is in ``out``. Returns the
    state of the whole stack; slices that failed are in ``failed``, the others are done.

    Raises InputError for another request than the one that began in ``out``, ScanFileError for a file that cannot be
    read in part, OutputError where results cannot be written; what is done until then stays.
    """
    folder, where = Path(out), where or Workers()
    _check_part(part)
    _check_form(request.form, where.several_machines or part[1] > 1)
    if fresh:
        discard(folder)
    job = job_of(open_stack(path), request, folder, progress)
    done = job.journal.done()
    share = job.blocks()[part[0] :: part[1]]
    intact = job.intact({k: row for k, row in done.items() if any(k in numbers for numbers in share)})
    left = [numbers for numbers in share if not intact.issuperset(numbers)]
    progress.start(TASK, sum(map(len, share)))
    progress.advance(TASK, sum(map(len, share)) - sum(map(len, left)))
    try:
        with where.open(job) as pool:
            for rows in drive(job, left, pool):
                progress.advance(TASK, len(rows))
    finally:
        progress.finish(TASK)
        state = write_state(folder)
    if state.complete:
        job.volume.finish({"complete": True, "image_sha256": state.checksum()})
    return state


def job_of(stack: Stack, request: Request, folder: Path, progress: Progress = SILENT) -> Job:
    """Return the job of a request, with the choices of the plan in ``folder`` (made now if there is none)."""
    method = lookup("method", request.method, "stack").member
    numbers = wanted_slices(request, stack)
    plan = job_folder(folder) / "plan.json"
    asked = request.fields(stack) | {"slices": [numbers.start, numbers.stop]}
    choices = agreed(plan, asked, lambda: chosen(request, stack, progress))
    grid = request.grid or stack.grid
    shape = (len(numbers), *grid.shape)
    volume = volume_at(folder, request.form, shape, numbers.start, grid.pixel, grid.unit)
    volume.create(_attributes(stack, asked, choices))
    return Job(
        stack,
        numbers,
        method,
        Settings(choices.weight, request.iterations, request.seed),
        grid,
        choices.center_pixels,
        request.arc,
        choices.block,
        volume,
        Journal(plan.parent / "done"),
    )


def _attributes(stack: Stack, asked: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """Return what a volume should know of itself."""
    return jsonable(
        {
            "axes": ["slice", "row", "col"],
            "grid": (asked["grid"] or stack.grid.to_dict()),
            "geometry": stack.geometry.to_dict(),
            "config": asked,
            "choices": asdict(choices),
            "source": asdict(stack.source),
            "version": version("microlocal"),
            "complete": False,
        }
    )


def state_of(out: str | Path) -> StackState:
    """Return how far the stack in the folder ``out`` has come; raises OutputError where there is none."""
    folder = Path(out)
    plan = read_plan(job_folder(folder) / "plan.json")
    first, last = plan["request"]["slices"]
    return StackState(folder, plan, range(first, last), Journal(job_folder(folder) / "done").rows())


def write_state(folder: Path) -> StackState:
    """Write summary.json; where other processes finish slices meanwhile, write it again."""
    state = state_of(folder)
    while True:
        write_json(state.to_dict(), folder / "summary.json")
        again = state_of(folder)
        if again.rows == state.rows:
            return again
        state = again


def discard(folder: Path) -> None:
    """Remove the plan, journal and volume of an earlier run, and nothing else; nothing where there was none."""
    job = job_folder(folder)
    if not (job / "plan.json").exists():
        return
    for page in (folder / "slices").glob("slice_*.tif"):
        page.unlink()
    (folder / "volume.tif").unlink(missing_ok=True)
    shutil.rmtree(folder / "volume.zarr", ignore_errors=True)
    shutil.rmtree(job)


def _check_form(form: str, several_machines: bool) -> None:
    if several_machines and form not in SHARED:
        do = "Take one of these."
        expected = "a form that several machines can write: " + " or ".join(SHARED)
        raise InputError("stack", expected=expected, got=form, do=do)


def _check_part(part: tuple[int, int]) -> None:
    number, count = part
    if not 0 <= number < count:
        do = "Number the parts from 0."
        got = f"part {number} of {count}"
        raise InputError("stack", expected=f"a part 0..{max(count - 1, 0)}", got=got, do=do)

"""A stack of slices reconstructed at constant memory: block by block from the file into a volume, resumable.

    reconstruct_stack("scan.h5", "results", StackRequest(method="fbp"), where=Workers(4))

Guarantees: memory depends on the size of a slice and of a block, not on the number of slices; a slice is in the volume
whole or not at all; after a kill the same call goes on, and ends with the same pixels as a run without one; no slice
depends on the number of workers, nor on who computed it.
"""

import shutil
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from microlocal.calibration.center import recentred
from microlocal.core.errors import InputError, OutputError
from microlocal.core.grid import Grid
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import lookup
from microlocal.io.atomic import sweep
from microlocal.io.jsonable import jsonable
from microlocal.io.stack import Stack
from microlocal.io.stack_formats import open_stack
from microlocal.io.volumes import SHARED, Volume, check_form, volume_at
from microlocal.networks.catalogue import find_weights
from microlocal.networks.weights import shipped_weights
from microlocal.reconstruction.journal import Journal
from microlocal.reconstruction.method import Settings
from microlocal.reconstruction.pools import Where, Workers, drive
from microlocal.reconstruction.stack_job import Job, job_folder
from microlocal.reconstruction.stack_plan import Choices, StackRequest, agreed, chosen, wanted_slices
from microlocal.reconstruction.stack_state import StackState, stack_state, write_state

TASK = "slices"
LEARNED = "learned"  # the folder with the volume of what a network added
PROVENANCE = "provenance"  # the folder with the volume of where the pixels come from


def reconstruct_stack(
    stack: Stack | str | Path,
    out: str | Path,
    request: StackRequest,
    *,
    where: Where | None = None,
    part: tuple[int, int] = (0, 1),
    fresh: bool = False,
    progress: Progress = SILENT,
) -> StackState:
    """Reconstruct a stack (or the one in a file) into the folder ``out``, or go on with what an earlier run left there.

    Parameters: ``stack``; ``request``; ``where``, ``Workers(n)`` or ``Scheduler(address)`` (by default this process);
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
    job = job_of(stack if isinstance(stack, Stack) else open_stack(stack), request, folder, progress)
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
    except OutputError as error:
        raise _with_what_stays(error, folder) from error
    finally:
        progress.finish(TASK)
    state = replace(write_state(folder), share=tuple(k for numbers in share for k in numbers))
    if state.complete:
        job.volume.finish({"complete": True, "image_sha256": state.checksum()})
        for volume in (v for v in (job.learned, job.provenance) if v is not None):
            volume.finish({"complete": True})
            sweep(volume.path)
        for place in (job.volume.path, job.journal.folder):
            sweep(place)
    return state


def _with_what_stays(error: OutputError, folder: Path) -> OutputError:
    """Return the error with the consolation that what is done stays."""
    state = stack_state(folder)
    kept = f"{len(state.numbers) - len(state.missing)} of {len(state.numbers)} slices are done and stay"
    do = f"{kept}: mend the place (or make room), then give the same command again."
    return OutputError(error.who, expected=error.expected, got=error.got, do=do)


def job_of(stack: Stack, request: StackRequest, folder: Path, progress: Progress = SILENT) -> Job:
    """Return the job of a request, with the choices of the plan in ``folder`` (made now if there is none)."""
    method = lookup("method", request.method, "stack").member
    numbers = wanted_slices(request, stack)
    plan = job_folder(folder) / "plan.json"
    asked = request.fields(stack) | {"slices": [numbers.start, numbers.stop]}
    choices = agreed(plan, asked, lambda: chosen(request, stack, progress))
    grid = request.grid_for(stack, _grid_of(stack, choices.center_pixels))
    attributes = _attributes(stack, grid, asked, choices)

    def volume(place: Path, *, coded: bool = False) -> Volume:
        shape = (len(numbers), *grid.shape)
        found = volume_at(place, request.form, shape, numbers.start, grid.pixel, grid.unit, coded=coded)
        found.create(attributes)
        return found

    return Job(
        stack,
        numbers,
        method,
        _settings(request, choices),
        grid,
        choices.center_pixels,
        request.arc,
        choices.block,
        volume(folder),
        Journal(plan.parent / "done"),
        None if choices.network in ("", "none") else volume(folder / LEARNED),
        volume(folder / PROVENANCE, coded=True) if request.checked else None,
        request.residual,
    )


def _settings(request: StackRequest, choices: Choices) -> Settings:
    """Return the settings of all slices: one file of weights for those of them that it suits, or none."""
    network = request.network
    if choices.network == "none":
        network = "none"
    elif choices.network:
        network = str(shipped_weights().get(choices.network) if network == "auto" else find_weights(network))
    return Settings(
        choices.weight,
        request.iterations,
        request.seed,
        network=network,
        force=request.force and network != "none",
        settled=bool(choices.network),
        base=choices.base,
    )


def _grid_of(stack: Stack, center_pixels: float | None) -> Grid:
    return stack.grid if center_pixels is None else recentred(stack.geometry, stack.grid, center_pixels)[1]


def _attributes(stack: Stack, grid: Grid, asked: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """Return what a volume should know of itself."""
    return jsonable(
        {
            "axes": ["slice", "row", "col"],
            "grid": grid.to_dict(),
            "geometry": stack.geometry.to_dict(),
            "config": asked,
            "choices": asdict(choices),
            "source": asdict(stack.source),
            "version": version("microlocal"),
            "complete": False,
        }
    )


def discard(folder: Path) -> None:
    """Remove the plan, journal and volume of an earlier run, and nothing else; nothing where there was none."""
    job = job_folder(folder)
    if not (job / "plan.json").exists():
        return
    for page in (folder / "slices").glob("slice_*.tif"):
        page.unlink()
    for name in ("slices", "volume.tif"):
        sweep(folder / name)
    (folder / "volume.tif").unlink(missing_ok=True)
    shutil.rmtree(folder / "volume.zarr", ignore_errors=True)
    for name in (LEARNED, PROVENANCE):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.rmtree(job)


def _check_form(form: str, several_machines: bool) -> None:
    check_form(form, "stack")
    if several_machines and form not in SHARED:
        do = "Take one of these."
        expected = "a form that several machines can write: " + " or ".join(SHARED)
        raise InputError("stack", expected=expected, got=form, do=do)


def _check_part(part: tuple[int, int]) -> None:
    number, count = part
    if not 0 <= number < count:
        do = "Number the parts from 0, below --num-parts."
        got = f"part {number} of {count}"
        raise InputError("stack", expected=f"a part 0..{max(count - 1, 0)}", got=got, do=do)

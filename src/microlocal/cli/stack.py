"""``microlocal stack``: all slices of a scan at constant memory, resumable, on one machine or many."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.choices import (
    ArcChoice,
    CenterChoice,
    ForceNetwork,
    GridChoice,
    NetworkChoice,
    NoNetwork,
    OutFolder,
    PixelChoice,
    ResidualChoice,
    ScanFile,
    Slices,
    chosen_network,
    parse_slices,
    parse_weight,
)
from microlocal.cli.failures import BROKEN, INTERRUPTED
from microlocal.cli.folders import output_folder
from microlocal.cli.prepare import chosen_grid
from microlocal.cli.screen import Screen, screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import bullets, heading, joined

if TYPE_CHECKING:
    from microlocal.reconstruction import StackState
    from microlocal.reconstruction.pools import Where

EXAMPLES = examples(
    ("all slices of a beamline file, four at a time", "microlocal stack scan.h5 --method fbp --workers 4"),
    ("a hundred slices into one Zarr volume", "microlocal stack scan.h5 --slice 200:300 --format zarr"),
    ("on a dask cluster", "microlocal stack scan.h5 --scheduler tcp://10.0.0.1:8786"),
    ("the third of ten jobs of an array", "microlocal stack scan.h5 --num-parts 10 --part-id 2"),
    ("how far it is", "microlocal stack scan.h5 --status"),
    after="Ctrl-C, a kill or a full disk lose nothing that is done: the same command\n"
    "goes on from there. Exit code 3 after Ctrl-C, 1 if slices failed or a claim\n"
    "does not hold.",
)
MOST_LISTED = 8


def stack(
    context: typer.Context,
    scan: ScanFile,
    method: Annotated[str, typer.Option("--method", "-m", metavar="NAME", help="See microlocal methods.")] = "shearlet",
    out: OutFolder = Path("microlocal-stack"),
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="tiff (a file a slice), bigtiff (one file), or zarr.")
    ] = "tiff",
    slices: Annotated[
        Slices | None,
        typer.Option("--slice", metavar="K|A:B", parser=parse_slices, help="Only slice K, or A to B-1."),
    ] = None,
    angles: ArcChoice = None,
    center: CenterChoice = None,
    grid: GridChoice = None,
    pixel: PixelChoice = None,
    weight: Annotated[
        str,
        typer.Option("--weight", metavar="auto|X", parser=parse_weight, help="Regularisation; auto: by one slice."),
    ] = "auto",
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", min=1, help="Budget. Default: the method's own.")
    ] = None,
    residual: ResidualChoice = None,
    network: NetworkChoice = "auto",
    no_network: NoNetwork = False,
    force_network: ForceNetwork = False,
    checks: Annotated[
        bool | None,
        typer.Option(
            "--checks/--no-checks", help="Provenance and certificates of every slice. Default: for all methods but fbp."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Start of every random draw.")] = 0,
    block: Annotated[
        int | None, typer.Option("--block", metavar="N", min=1, help="Slices computed together. Default: by memory.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Processes of this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A dask scheduler, instead of --workers.")
    ] = None,
    num_parts: Annotated[
        int, typer.Option("--num-parts", metavar="K", min=1, help="Divide the work among K jobs that share --out.")
    ] = 1,
    part_id: Annotated[int, typer.Option("--part-id", metavar="I", min=0, help="Which of them this is, from 0.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard what an earlier run left in --out.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Only tell how far it is.")] = False,
) -> None:
    """Reconstruct all slices of a stack, a few at a time, into a volume.

    What slices have in common (axis, weight, network) is chosen once, on a
    sample; a slice that the network does not suit is left without it, and named.
    The memory needed does not grow with the number of slices.
    """
    screen = screen_of(context)
    lazy.members.load_all()
    if status:
        _tell(screen, _found(out), interrupted=False, status=True)
        return
    weights, force = chosen_network(network, no_network, force_network)
    rooms, opened = lazy.reconstruction, lazy.io.open_stack(scan)
    if scheduler is not None and workers > 1:
        do = "Start as many dask workers as you want, and leave out --workers."
        raise lazy.core.InputError("stack", expected="--workers or --scheduler", got="both", do=do)
    where: Where = rooms.Workers(workers) if scheduler is None else rooms.Scheduler(scheduler)
    request = rooms.StackRequest(
        method=method,
        weight=None if weight == "auto" else float(weight),
        iterations=iterations,
        seed=seed,
        network=weights,
        force=force,
        grid=None if grid is None and pixel is None else chosen_grid(opened, grid, pixel),
        center=center,
        arc=None if angles is None else (angles.first_deg, angles.last_deg),
        slices=None if slices is None else (slices.first, slices.first + 1 if slices.last is None else slices.last),
        block=block,
        form=form,
        checks=checks,
        residual=residual,
    )
    interrupted = False
    with output_folder(out) as folder, screen.bars() as bars:
        bars.prefix = f"{method}: "
        try:
            state = rooms.reconstruct_stack(
                opened, folder, request, where=where, part=(part_id, num_parts), fresh=fresh, progress=bars
            )
        except KeyboardInterrupt:
            if not rooms.has_begun(folder):
                raise
            state, interrupted = rooms.write_state(folder), True
    _tell(screen, state, interrupted=interrupted, status=False)


def _found(out: Path) -> "StackState":
    """Return the state of ``out``, its summaries brought up to date where they may be written."""
    try:
        return lazy.reconstruction.write_state(out)
    except lazy.core.OutputError:
        return lazy.reconstruction.stack_state(out)


def _tell(screen: Screen, state: "StackState", *, interrupted: bool, status: bool) -> None:
    """Give the answer, and end with the exit code that it deserves."""
    screen.answer(fields_of(state, interrupted), *lines_of(state, interrupted))
    if interrupted or (status and not state.complete):
        raise typer.Exit(INTERRUPTED)
    if any(k in state.failed or k in state.broken for k in (state.numbers if status else state.share)):
        raise typer.Exit(BROKEN)


def fields_of(state: "StackState", interrupted: bool) -> dict[str, Any]:
    """Return the answer for programs: what summary.json holds, without the rows."""
    fields = {name: value for name, value in state.to_dict().items() if name != "rows"}
    return fields | {"interrupted": interrupted, "files": _files(state)}


def lines_of(state: "StackState", interrupted: bool) -> list[RenderableType | Path]:
    """Return the answer for people."""
    total, left = len(state.numbers), len(state.missing)
    opening = "interrupted" if interrupted else "done" if state.complete else "not complete"
    counted = f" {opening}. {total - left} of {total} slices"
    parts: list[RenderableType | Path] = [Text.assemble((state.plan["request"]["method"], "what"), f"{counted}.")]
    parts += _listed("Failed", state.failed, "bad")
    parts += _listed("Claims that do not hold", {k: " ".join(claims) for k, claims in state.broken.items()}, "bad")
    parts += _listed("Left without the network", state.left, "caution")
    if left:
        parts.append(Text(f"\nMissing: {spans(state.missing)}. The same command goes on with them."))
    if state.plan["choices"]["notes"]:
        parts += [heading("What was chosen for all slices"), bullets(state.plan["choices"]["notes"])]
    return [*parts, heading("Files"), *_files(state)]


def _listed(title: str, said: dict[int, str], style: str) -> list[RenderableType]:
    """Return what is said of some slices under its title, the first few of them; nothing where there are none."""
    if not said:
        return []
    lines = [f"slice {k}: {words}" for k, words in list(said.items())[:MOST_LISTED]]
    return [heading(f"{title}: {len(said)} slice{'s' * (len(said) > 1)}"), bullets(lines, style)]


def spans(numbers: tuple[int, ...]) -> str:
    """Return whole numbers in words, runs joined.

    >>> spans((1, 2, 3, 7, 9, 10))
    '1–3, 7 and 9–10'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    named = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    more = [f"{len(named) - MOST_LISTED} more runs"] if len(named) > MOST_LISTED else []
    return joined([*named[:MOST_LISTED], *more])


def _files(state: "StackState") -> list[Path]:
    names = ("slices", "volume.tif", "volume.zarr", "learned", "provenance", "summary.json", "summary.html")
    return [path for path in (state.folder / name for name in names) if path.exists()]

"""``microlocal reconstruct``: a scan in; image, numbers, certificates and a report out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    SliceChoice,
    chosen_network,
    parse_weight,
)
from microlocal.cli.folders import output_folder, stamps, written
from microlocal.cli.prepare import chosen_grid, load_scan
from microlocal.cli.recipe import Recipe
from microlocal.cli.screen import Screen, screen_of
from microlocal.cli.summary import exit_code, fields_of, lines_of, was_interrupted
from microlocal.cli.teaching import examples

if TYPE_CHECKING:
    from microlocal.reconstruction import Reconstruction

EXAMPLES = examples(
    ("sparse shearlets, everything chosen from the data", "microlocal reconstruct scan.mat"),
    ("one slice of a stack by total variation", "microlocal reconstruct tilts.mrc --slice 128 --method tv"),
    ("only 90 degrees, axis of rotation found", "microlocal reconstruct scan.h5 --center auto --angles 0:90"),
    ("a network for what the scan cannot see", "microlocal reconstruct scan.mat --method learn-the-invisible"),
    ("an honest score, side by side with FBP", "microlocal reconstruct scan.mat --hold-out 7 --compare fbp"),
    ("as close to the data as another method is", "microlocal reconstruct scan.mat --residual 0.01"),
    ("numbers for a program", "microlocal reconstruct scan.mat --json | jq .metrics"),
    after="Ctrl-C keeps the best image so far (exit code 3);\nthe same command with --resume goes on from there.",
)


def reconstruct(
    context: typer.Context,
    scan: ScanFile,
    method: Annotated[str, typer.Option("--method", "-m", metavar="NAME", help="See microlocal methods.")] = "shearlet",
    out: OutFolder = Path("microlocal-out"),
    slices: SliceChoice = None,
    angles: ArcChoice = None,
    center: CenterChoice = None,
    grid: GridChoice = None,
    pixel: PixelChoice = None,
    weight: Annotated[
        str,
        typer.Option("--weight", metavar="auto|X", parser=parse_weight, help="Regularisation; auto: by the noise."),
    ] = "auto",
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", min=1, help="Budget. Default: the method's own.")
    ] = None,
    hold_out: Annotated[
        int, typer.Option("--hold-out", metavar="N", min=0, help="Keep N views out, predict them, report the error.")
    ] = 0,
    compare: Annotated[
        list[str], typer.Option("--compare", metavar="NAME", help="Another method for the report; may be repeated.")
    ] = [],  # noqa: B006 - Typer wants the list
    residual: ResidualChoice = None,
    network: NetworkChoice = "auto",
    no_network: NoNetwork = False,
    force_network: ForceNetwork = False,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Start of every random draw.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
) -> None:
    """Reconstruct a scan into image.tif, result.npz, result.json, report.html.

    Each edge of the result is marked measured, learned or undetermined. What you
    do not give is chosen from the data; the report says what was chosen, and why.
    The exit code is 1 where something that is claimed does not hold; the files
    are written all the same.
    """
    screen = screen_of(context)
    weights, force = chosen_network(network, no_network, force_network)
    lazy.members.load_all()
    for name in (method, *compare):
        lazy.registry.lookup("method", name, "reconstruct")
    with output_folder(out) as folder, screen.bars() as bars:
        loaded = load_scan(scan, slices, angles, center)
        target = chosen_grid(loaded, grid, pixel)
        recipe = Recipe(loaded, target, weight, iterations, hold_out, seed, bars, weights, force, residual)
        before = stamps(folder)
        checkpoint = recipe.checkpoint(folder, method, resume)
        if resume and not checkpoint.exists():
            screen.say(f"There is no checkpoint of {method} in {out}: it begins anew. Runs that ended keep none.")
        result = recipe.run(method, checkpoint)
        save(result, [], folder)
        others, ended = ([], True) if was_interrupted(result) else compared(recipe, compare, screen, folder)
        if others:
            save(result, others, folder)
        if not was_interrupted(result):
            checkpoint.unlink(missing_ok=True)
        elif checkpoint.exists():
            screen.say("It can be resumed: the same command with --resume goes on from there.")
        files = written(folder, before)
    screen.answer(fields_of(result, others, files), *lines_of(result, others, files))
    raise typer.Exit(exit_code(result, ended))


def compared(recipe: Recipe, names: list[str], screen: Screen, folder: Path) -> tuple[list["Reconstruction"], bool]:
    """Reconstruct by each method in turn; return the results that there are, and whether Ctrl-C ended it."""
    others: list[Reconstruction] = []
    try:
        for name in names:
            others.append(recipe.run(name))
            if was_interrupted(others[-1]):
                return others, True
    except KeyboardInterrupt:
        return others, True
    except Exception:
        screen.say(f"The result without comparison is in {folder}.")
        raise
    return others, False


def save(result: "Reconstruction", others: list["Reconstruction"], folder: Path) -> None:
    """Write the result, and the report again with the others beside it; a first Ctrl-C waits until all is there."""
    with lazy.interruption.stopping():
        lazy.members.load_all()
        result.save(folder)
        if others:
            lazy.report.write_report(result, folder / "report.html", compare=others)

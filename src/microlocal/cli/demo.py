"""``microlocal demo``: a real scan with a missing wedge, three methods, and a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.choices import Shape
from microlocal.cli.folders import output_folder, stamps, written
from microlocal.cli.prepare import chosen_grid
from microlocal.cli.recipe import Recipe
from microlocal.cli.reconstruct import save
from microlocal.cli.screen import screen_of
from microlocal.cli.summary import exit_code, fields_of, metric_table, seen, was_interrupted, where_to_look
from microlocal.cli.teaching import examples
from microlocal.cli.words import angles_in_words, degrees, heading, joined

if TYPE_CHECKING:
    from microlocal.reconstruction import Reconstruction

METHODS = ("shearlet", "tv", "fbp")
HELD_OUT = 7
HOLD_OUT_ERROR = "hold-out error"

EXAMPLES = examples(
    ("in about a minute", "microlocal demo"),
    ("smaller and faster", "microlocal demo --size 128 --out try"),
    after="The scan is an electron-tomography tilt series of a needle (NIST; the notice\n"
    "is in the package, data/needle/NOTICE.txt).",
)


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path("microlocal-demo"),
    size: Annotated[int | None, typer.Option("--size", metavar="N", min=16, help="Pixels of the image.")] = None,
) -> None:
    """Reconstruct the scan that ships with microlocal by three methods, with a report."""
    screen = screen_of(context)
    with output_folder(out) as folder, screen.bars() as bars:
        scan = lazy.data.needle()
        scan = scan if scan.data.ndim == 2 else scan.slices(scan.data.shape[0] // 2)
        missing = degrees(lazy.wavefront.missing_wedge(scan.geometry))
        screen.say(f"A needle in an electron microscope: {angles_in_words(scan.geometry)}, {missing} of 180° missing.")
        grid = chosen_grid(scan, Shape(size, size) if size else None, None)
        recipe = Recipe(scan, grid, "auto", None, HELD_OUT, 0, bars)
        before = stamps(folder)
        results = run_all(recipe)
        save(results[0], results[1:], folder)
        files = written(folder, before)
    screen.answer(fields_of(results[0], results[1:], files), *lines_of(results, files))
    raise typer.Exit(exit_code(results[0], was_interrupted(results[-1])))


def run_all(recipe: Recipe) -> list["Reconstruction"]:
    """Reconstruct by each method in turn; Ctrl-C ends with the one that runs."""
    results: list[Reconstruction] = []
    for method in METHODS:
        results.append(recipe.run(method))
        if was_interrupted(results[-1]):
            break
    return results


def best_of(errors: dict[str, float]) -> str:
    """Return which methods err least, to the digits that are shown.

    >>> best_of({"shearlet": 0.02213, "tv": 0.02192, "fbp": 0.098}), best_of({"tv": 0.02, "fbp": 0.1})
    ('shearlet and tv are', 'tv is')
    """
    least = f"{min(errors.values()):.1%}"
    best = [name for name, value in errors.items() if f"{value:.1%}" == least]
    return f"{joined(best)} {'is' if len(best) == 1 else 'are'}"


def lines_of(results: list["Reconstruction"], files: list[Path]) -> list[RenderableType | Path]:
    """Return what was found, and which file to open."""
    parts: list[RenderableType | Path] = [heading("Found"), seen(results[0]), metric_table(results)]
    parts += [heading("Files"), *files]
    errors = {r.method: r.metrics[HOLD_OUT_ERROR] for r in results if HOLD_OUT_ERROR in r.metrics}
    if errors:
        told = ", ".join(f"{name} {value:.1%}" for name, value in errors.items())
        kept = (
            f"\nPredicting {HELD_OUT} views that were kept out, the relative error is {told}: {best_of(errors)} best."
        )
        parts.append(Text(kept))
    return [*parts, *where_to_look(files)]

"""``microlocal train``: a recipe in; weights, their card, a log and a picture out."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.failures import INTERRUPTED
from microlocal.cli.folders import output_folder
from microlocal.cli.screen import Screen, screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.training_bars import TrainingBars
from microlocal.cli.words import facts, heading, number

if TYPE_CHECKING:
    from microlocal.training import Recipe, Trained

EXAMPLES = examples(
    ("train as the recipe says", "microlocal train recipe.toml --out run"),
    ("go on after Ctrl-C, a kill or a full disk", "microlocal train recipe.toml --out run --resume"),
    ("a short try", "microlocal train recipe.toml --out try --steps 100"),
    ("two processes", "torchrun --nproc-per-node 2 -m microlocal train recipe.toml"),
    after="Ctrl-C ends after the step with a checkpoint and usable weights, exit code 3.\n"
    "Recipes are explained in docs/training.md; those of the shipped weights are in\n"
    "the folder recipes/ of the source.",
)


def train(
    context: typer.Context,
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", show_default=False, help="A recipe in TOML.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for everything. Default: the recipe's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", min=1, help="Instead of the recipe's number.")
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda", help="auto: a GPU where there is one.")
    ] = "auto",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=0, help="Processes that compute examples.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out, if any.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard the checkpoint in --out; examples stay.")] = False,
) -> None:
    """Train a network as a recipe says, on data made on the fly or on yours."""
    screen = screen_of(context)
    changes = {"out": out, "steps": steps, "workers": workers}
    chosen = lazy.training.read_recipe(recipe)
    chosen = chosen.with_run({name: value for name, value in changes.items() if value is not None})
    leads = os.environ.get("RANK", "0") == "0"  # the others of torchrun are silent
    silent = screen.json or screen.quiet or not screen.err.is_terminal or not leads
    if resume and leads and not lazy.training.has_checkpoint(chosen):
        screen.say(f"There is no checkpoint in {chosen.run.out}: the training begins at the first step.")
    try:
        with output_folder(chosen.run.out), TrainingBars(screen.err, silent) as bars:
            done = lazy.training.train(
                chosen,
                resume=resume,
                fresh=fresh,
                device=device,
                progress=bars,
                watch=bars.row,
                command=shlex.join(["microlocal", *sys.argv[1:]]),
            )
    except KeyboardInterrupt:
        say_interrupted(screen, chosen.run.out)
        raise typer.Exit(INTERRUPTED) from None
    if leads:
        screen.answer(fields_of(chosen, done), *lines_of(chosen, done))
    if not done.complete:
        raise typer.Exit(INTERRUPTED)


def say_interrupted(screen: Screen, out: Path) -> None:
    """Tell what stays after an interruption before the first step, or by a second Ctrl-C."""
    message = f"Interrupted. The examples computed so far, and the last checkpoint if there is one, stay in {out}."
    error = {"type": "KeyboardInterrupt", "message": message, "exit_code": INTERRUPTED}
    screen.answer({"error": error})
    screen.say(message + " The same command with --resume goes on.")


def fields_of(recipe: "Recipe", done: "Trained") -> dict[str, Any]:
    """Return the answer for programs."""
    return {
        "task": recipe.task,
        "interrupted": not done.complete,
        "step": done.step,
        "steps": done.steps,
        "resumed_from": done.resumed_from,
        "seconds": done.seconds,
        "parameters": done.parameters,
        "device": done.device,
        "metrics": done.metrics,
        "weights": done.weights,
        "files": list(done.files),
    }


def lines_of(recipe: "Recipe", done: "Trained") -> list[RenderableType | Path]:
    """Return the answer for people."""
    ended = "done" if done.complete else "stopped"
    steps = f"{done.step} steps" if done.complete else f"{done.step} of {done.steps} steps"
    opening = f" {ended}: {steps} of {recipe.run.batch} examples in {duration(done.seconds)} on {done.device}."
    parts: list[RenderableType | Path] = [Text.assemble((recipe.task, "what"), opening)]
    rows = [("parameters", f"{done.parameters:,}".replace(",", " "))]
    parts.append(facts(rows))
    if done.metrics:
        parts += [heading("Validation"), metric_table(done.metrics)]
    parts += [heading("Files"), *done.files]
    if not done.complete:
        parts.append(Text("\nThe weights can be used as they are. The same command with --resume goes on."))
    return parts


def metric_table(metrics: dict[str, float]) -> Padding:
    """Return the metrics of the last validation."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="quiet")
    table.add_column(justify="right")
    for name, value in metrics.items():
        table.add_row(name.replace("_", " "), number(value))
    return Padding(table, (0, 0, 0, 2))


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(12.34), duration(754.0), duration(7380.0)
    ('12.3 s', '12 min 34 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

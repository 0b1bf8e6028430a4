"""``microlocal certify``: what is proved of a network, with the values that the proof rests on, and an attack."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.failures import BROKEN, INTERRUPTED
from microlocal.cli.screen import screen_of
from microlocal.cli.summary import certificate_table
from microlocal.cli.teaching import examples
from microlocal.cli.words import facts, heading, number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from microlocal.certificates.base import Hypothesis
    from microlocal.networks.certify import Examination

EXAMPLES = examples(
    ("what is proved of the denoiser that ships", "microlocal certify nonexpansive"),
    ("and a minute's search for a counterexample", "microlocal certify nonexpansive --attack"),
    ("the whole search, for as long as it takes up to an hour", "microlocal certify shrinkage --minutes 60"),
    ("your own weights", "microlocal certify run/weights"),
    ("does it hold? for a script", "microlocal certify run/weights --json | jq .holds"),
    after="Proved claims hold for every image of every size, in float32 and float64 up to\n"
    "rounding, not in half precision. The value is the worst that a search found\n"
    "(gradient ascent from noise, alternating signs and jumps), a lower estimate of\n"
    "what is possible; --attack searches longer, and from more places. Ctrl-C ends\n"
    "the search, and prints what was found until then.",
)

Name = Annotated[
    str, typer.Argument(metavar="NAME|FILE", show_default=False, help="Shipped weights, or a file of weights.")
]
Long = Annotated[bool, typer.Option("--attack", help="Search longer for counterexamples: a minute at most.")]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", metavar="T", show_default=False, help="As --attack, with so many minutes at most."),
]


def certify(context: typer.Context, name: Name, attack: Long = False, minutes: Minutes = None) -> None:
    """Print what is proved of a network, what the proof rests on, and how near an attack comes.

    The exit code is 1 where something that is claimed does not hold. It is 3
    where Ctrl-C ended the search; what was found until then is printed.
    """
    screen = screen_of(context)
    seconds = lazy.certify.MINUTE * (1 if minutes is None else minutes)
    with lazy.interruption.stopping() as stop, screen.bars() as bars:
        found = lazy.certify.examine(name, attack or minutes is not None, bars, seconds=seconds, stopped=stop.is_set)
    screen.answer(fields_of(found), *lines_of(found))
    if found.claims and not found.holds:
        raise typer.Exit(BROKEN)
    if found.interrupted:
        raise typer.Exit(INTERRUPTED)


def fields_of(found: "Examination") -> dict[str, Any]:
    """Return the answer for programs."""
    return {
        "name": found.name,
        "kind": found.kind,
        "parameters": found.parameters,
        "holds": found.holds,
        "hypotheses": [asdict(hypothesis) for hypothesis in found.hypotheses],
        "certificates": [certificate.to_dict() for certificate in found.certificates],
        "measured": found.measured,
        "parts": [
            {"name": part.name, "gain": part.proved.gain, "lipschitz": part.proved.lipschitz,
             "averaged": part.proved.averaged}
            for part in found.parts
        ],
        "averaged": found.proved.averaged,
        "half_precision_gap": found.half_gap,
        "search": {"seconds": found.seconds, "complete": found.complete, "interrupted": found.interrupted},
    }  # fmt: skip


def lines_of(found: "Examination") -> "list[RenderableType | Path]":
    """Return the answer for people."""
    head = f"{found.name}: a network of the kind {found.kind} with {found.parameters} parameters."
    parts: list[RenderableType | Path] = [Text(head)]
    if found.claims:
        said = "What is proved" if found.holds else "What is claimed, and does not hold"
        parts += [heading(said), certificate_table(found.certificates)]
        parts += [heading("What the proofs rest on"), _hypotheses(found.hypotheses)]
    else:
        parts.append(Text("Nothing is proved of this network.", style="caution"))
    parts += [heading("Measured on images with noise"), facts([(k, number(v)) for k, v in found.measured.items()])]
    parts.append(_search(found))
    if len(found.parts) > 1:
        parts += [heading("Layer by layer"), _parts(found)]
    return [*parts, _precision(found.half_gap)] if found.holds else parts


def _search(found: "Examination") -> Text:
    """Say how long was searched, and whether more could be found."""
    took = f"{round(found.seconds)} s of search"
    if found.interrupted:
        return Text(f"\nInterrupted after {took}: these are the worst values until then.", style="caution")
    more = "" if found.complete else ", all that it was given; --minutes gives it more"
    return Text(f"\n{took}{more}.", style="quiet")


def _precision(gap: float) -> Text:
    example = f"An example: bfloat16 changes the result on one picture by {gap:.2g} of the picture's range."
    said = f"Proved for float32 and float64, up to their rounding, and not for half precision. {example}"
    return Text(f"\n{said}", style="quiet")


def _hypotheses(hypotheses: "Sequence[Hypothesis]") -> Padding:
    table = Table.grid(padding=(0, 2))
    for hypothesis in hypotheses:
        mark = Text("✓", style="good") if hypothesis.holds else Text("✗", style="bad")
        table.add_row(mark, Text(hypothesis.statement), Text(hypothesis.measured, style="quiet"))
    return Padding(table, (0, 0, 0, 2))


def _parts(found: "Examination") -> Padding:
    table = Table(box=None, padding=(0, 2), header_style="quiet")
    table.add_column("layer")
    for name in ("gain", "Lipschitz", "averaged"):
        table.add_column(name, justify="right")
    table.add_column("")
    for part in found.parts:
        proved = part.proved
        values = (number(x) if x < float("inf") else "–" for x in (proved.gain, proved.lipschitz, proved.averaged))
        table.add_row(part.name, *values, "loses most" if part.name == found.costliest else "")
    return Padding(table, (0, 0, 0, 2))

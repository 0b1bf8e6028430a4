"""``microlocal weights``: the networks at hand, and what each was trained on."""

import shlex
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import facts, heading, number

if TYPE_CHECKING:
    from microlocal.networks.catalogue import Weights

EXAMPLES = examples(
    ("what ships with microlocal", "microlocal weights"),
    ("everything about one of them, or of your own", "microlocal weights run/weights"),
    ("several trainings of one recipe as one network, their mean", "microlocal weights a/weights b/weights --join c"),
    ("for a program", "microlocal weights --json | jq '.weights[].name'"),
    after="A scan that lies outside of what a network was trained on is reconstructed\n"
    "without it, unless --force-network is given; microlocal train makes weights.",
)
NONE = "No weights ship with this version. Train your own with microlocal train, or take --no-network."


def weights(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME|FILE", show_default=False, help="One of them, or a file of weights."),
    ] = None,
    join: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the networks given as one, which is their mean.")
    ] = None,
) -> None:
    """List the weights at hand, tell what a file of weights was trained on, or join several into one."""
    screen, given = screen_of(context), names or []
    if len(given) > 1 and join is None:
        raise typer.BadParameter(f"expected one name, or --join FILE, got {len(given)} names.", param_hint="NAME")
    if join is not None:
        paths = [lazy.catalogue.find_weights(name) for name in given]
        given = [str(lazy.joining.join_weights(paths, join, shlex.join(["microlocal", *sys.argv[1:]])))]
    if given:
        found = lazy.catalogue.described(given[0])
        screen.answer(fields_of(found) | {"card": found.card}, *lines_of(found))
        return
    listed = lazy.catalogue.at_hand()
    shown = table_of(listed) if listed else Text(NONE)
    screen.answer({"weights": [fields_of(one) for one in listed]}, shown)


def fields_of(found: "Weights") -> dict[str, Any]:
    """Return the answer for programs."""
    return {
        "name": found.name,
        "path": found.path,
        "shipped": found.shipped,
        "task": found.task,
        "beam": found.beam,
        "ranges": found.ranges,
        "seed": found.card.get("seed"),
        "minutes": found.card.get("minutes"),
        "metrics": found.metrics,
    }


def table_of(listed: "list[Weights]") -> Table:
    """Return one row for each of the weights: name, task, what it was trained on, minutes."""
    table = Table(box=None, padding=(0, 2), header_style="quiet")
    table.add_column("name", style="what", no_wrap=True)
    table.add_column("task", overflow="fold")
    table.add_column("trained on", overflow="fold", ratio=1)
    table.add_column("minutes", justify="right", no_wrap=True)
    for one in listed:
        table.add_row(one.name, one.task, Text(one.trained_on()), _minutes(one.card))
    return table


def lines_of(found: "Weights") -> list[RenderableType | Path]:
    """Return the answer for people."""
    card = found.card
    rows = [
        ("task", found.task),
        ("parameters", f"{card['parameters']:,}".replace(",", " ") if "parameters" in card else "–"),
        *_training(card),
        ("command", textwrap.shorten(str(card.get("command") or "–"), 200)),
        ("SHA-256", str(card["sha256"])[:16] + "…"),
    ]
    parts: list[RenderableType | Path] = [Text(found.name, style="what"), facts(rows), heading("Trained on")]
    unit = lazy.catalogue.unit_of
    spans = [(name, f"{number(low)} to {number(high)}{unit(name)}") for name, (low, high) in found.ranges.items()]
    data = dict(dict(card.get("trained on", {})).get("data", {}))
    spans += [("blur", found.blur)] if found.blur else []
    for kind in ("objects", "scenes"):
        if data.get(kind):
            spans.append((kind, ", ".join(f"{name} {share:.0%}" for name, share in data[kind].items())))
    parts.append(facts([("beam", found.beam or "–"), *spans] if found.beam or not spans else spans))
    if found.metrics:
        parts += [heading("On its validation set"), facts([(k, number(v)) for k, v in found.metrics.items()])]
    return [*parts, heading("File"), found.path]


def _training(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how it was trained, each member's training where there are several, with their scores."""
    if "members" not in card:
        return [("trained", _told(card)), ("seed", str(card.get("seed", "–"))), *_stages(card)]
    rows = []
    for k, member in enumerate(card["members"], 1):
        scores = ", ".join(f"{name} {number(value)}" for name, value in member.get("metrics", {}).items())
        told = f"{_told(member)}, seed {member.get('seed', '–')}: {member.get('command', '–')}"
        rows.append((f"member {k}", f"{told} ({scores})"))
    return rows


def _stages(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the trainings that this one went on from, the last one first."""
    rows = []
    name = lazy.weights.BEGAN
    while name in card:
        card = card[name]
        told = f"{_told(card)}, seed {card.get('seed', '–')}: {card.get('command') or '–'}"
        rows.append((name, f"SHA-256 {str(card['sha256'])[:16]}…, {told}"))
    return rows


def _told(card: Mapping[str, Any]) -> str:
    return f"{_steps(card)} steps in {_minutes(card)} minutes, {card.get('device', 'device not recorded')}"


def _steps(card: Mapping[str, Any]) -> str:
    done, planned = card.get("steps", "–"), card.get("of_steps", card.get("steps"))
    return str(done) if done == planned else f"{done} of {planned}"


def _minutes(card: Mapping[str, Any]) -> str:
    minutes = card.get("minutes")
    return "–" if minutes is None else f"{float(minutes):.0f}" if float(minutes) >= 10 else number(float(minutes))

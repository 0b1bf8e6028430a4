"""``microlocal methods``: what can be chosen with --method."""

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.weights import table_of
from microlocal.cli.words import heading

EXAMPLES = examples(
    ("what --method may name", "microlocal methods"),
    ("for a program", "microlocal methods --json | jq -r '.methods|.[]|.name'"),
)


def methods(context: typer.Context) -> None:
    """List the reconstruction methods."""
    lazy.members.load_all()
    entries = lazy.reconstruction.methods().values()
    table = Table(box=None, padding=(0, 2), header_style="quiet")
    table.add_column("name", style="what", no_wrap=True)
    table.add_column("what it does", ratio=1)
    table.add_column("reference", no_wrap=True, style="quiet")
    for entry in entries:
        table.add_row(entry.name, Text(entry.summary), entry.reference)
    listed = [{"name": e.name, "summary": e.summary, "reference": e.reference} for e in entries]
    weights = lazy.catalogue.at_hand()
    shown: list[RenderableType] = [heading("Shipped weights of the learned ones"), table_of(weights)] if weights else []
    named = [{"name": w.name, "task": w.task, "trained_on": w.trained_on()} for w in weights]
    of_volumes = ", ".join(lazy.reconstruction.VOLUME_METHODS)
    shown.append(Text(f"\nOf volumes (microlocal volume): {of_volumes}."))
    answer = {"methods": listed, "volume_methods": list(lazy.reconstruction.VOLUME_METHODS), "weights": named}
    screen_of(context).answer(answer, table, *shown)

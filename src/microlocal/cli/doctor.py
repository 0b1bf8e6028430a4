"""``microlocal doctor``: whether this installation works."""

import typer
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.failures import BROKEN
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import facts, heading

EXAMPLES = examples(
    ("is this installation sound?", "microlocal doctor"),
    ("to attach to a report of a fault", "microlocal doctor --json"),
    after="The exit code is 1 if a check fails.",
)


def doctor(context: typer.Context) -> None:
    """Check this installation: versions, threads, kernels, GPU, memory."""
    screen = screen_of(context)
    screen.say(Text("Compiling the kernels and projecting a small image ...", style="quiet"))
    state, checks = lazy.health.state(), lazy.health.checks()
    table = Table.grid(padding=(0, 2))
    for check in checks:
        mark = Text("✓", style="good") if check.passed else Text("✗", style="bad")
        table.add_row("  ", mark, check.name, Text(check.found, style="" if check.passed else "bad"))
    listed = [{"name": c.name, "passed": c.passed, "found": c.found} for c in checks]
    screen.answer(
        {"state": state, "checks": listed},
        heading("This machine"),
        facts(list(state.items())),
        heading("Checks"),
        table,
    )
    if not all(check.passed for check in checks):
        raise typer.Exit(BROKEN)

"""How an error is told: a tidy panel (who, expected, got, what to do) or one JSON object, and the exit code.

0 done    1 something inside is broken, or a claim does not hold    2 the input cannot be used    3 interrupted
"""

import sys
from dataclasses import dataclass

import typer
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.screen import Screen

DONE, BROKEN, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3
REPORT = "Run the same command with --debug and report what it prints."


@dataclass(frozen=True)
class Failure:
    """An error as it is shown: title, exit code, and rows of (name, text)."""

    title: str
    code: int
    rows: dict[str, str]


def failure_of(error: Exception) -> Failure:
    """Return how to tell ``error``; whatever is not a mistake of the input counts as broken."""
    if isinstance(error, typer.TyperException):
        return Failure("Usage", BAD_INPUT, {"problem": error.format_message(), "do": "See --help for examples."})
    if isinstance(error, ImportError):
        do = "Install again (pip install --force-reinstall microlocal), then run microlocal doctor."
        return Failure("Broken installation", BROKEN, {"problem": str(error), "do": do})
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        do = "Take a smaller --grid or a larger --pixel, or fewer slices with --slice."
        return Failure("Out of memory", BROKEN, {"problem": str(error) or "no memory left", "do": do})
    if isinstance(error, OSError):
        where = str(error.filename or "file system")
        return Failure("File", BAD_INPUT, {"who": where, "problem": error.strerror or str(error)})
    if isinstance(error, lazy.core.MicrolocalError):
        return Failure("Cannot do that", BAD_INPUT, _rows(error))
    return Failure("Internal error", BROKEN, {"problem": f"{type(error).__name__}: {error}", "do": REPORT})


def _rows(error: Exception) -> dict[str, str]:
    if not isinstance(error, lazy.core.InputError):
        return {"problem": str(error)}
    return {"who": error.who, "expected": error.expected, "got": error.got, "do": error.do}


def show(error: Exception, failure: Failure, screen: Screen) -> None:
    """Tell the failure: with the traceback on stderr for ``--debug``, as JSON on stdout for ``--json``."""
    if screen.debug:
        trace = (type(error), error, error.__traceback__)
        sys.excepthook(*trace)
    if screen.json:
        fields = {"type": type(error).__name__, "message": str(error), "exit_code": failure.code} | failure.rows
        screen.answer({"error": fields})
    elif not screen.debug:
        screen.err.print(panel(failure))


def panel(failure: Failure) -> Panel:
    """Return the panel that people see."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="quiet", justify="right")
    table.add_column(overflow="fold")
    for name, text in failure.rows.items():
        table.add_row(name, Text(text, style="what" if name == "do" else ""))
    return Panel(table, title=failure.title, title_align="left", border_style="red", expand=False)

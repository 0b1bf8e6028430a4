"""What a verb says and where: answers on stdout, progress and errors on stderr, one JSON object with ``--json``."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import typer
from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

from microlocal.cli.bars import Bars

THEME = Theme({"good": "green", "bad": "bold red", "caution": "yellow", "what": "bold", "quiet": "dim"})
FLAGS = ("--json", "--quiet", "--debug")


def _console(stderr: bool = False) -> Console:
    return Console(stderr=stderr, theme=THEME, highlight=False)


@dataclass(frozen=True)
class Screen:
    """The three output flags of a run, and its two streams."""

    json: bool = False
    quiet: bool = False
    debug: bool = False
    out: Console = field(default_factory=_console)
    err: Console = field(default_factory=lambda: _console(stderr=True))

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> tuple[Self, list[str]]:
        """Take the output flags out of the arguments, wherever they stand before a ``--``."""
        end = arguments.index("--") if "--" in arguments else len(arguments)
        given = {flag for flag in arguments[:end] if flag in FLAGS}
        rest = [a for a in arguments[:end] if a not in FLAGS] + list(arguments[end:])
        return cls(json="--json" in given, quiet="--quiet" in given, debug="--debug" in given), rest

    def answer(self, fields: dict[str, Any], *shown: RenderableType | Path) -> None:
        """Give the answer of a verb: ``fields`` as JSON for programs, or ``shown`` for people; nothing when quiet.

        A path stands on a line of its own, and it, like a string, is never broken, so that it can be copied.
        """
        if self.json:
            sys.stdout.write(json.dumps(plain(fields), ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        elif not self.quiet:
            for item in shown:
                if isinstance(item, Path):
                    self.out.print(Text(f"  {item}", style="what" if item.suffix == ".html" else ""), soft_wrap=True)
                else:
                    self.out.print(Text(item) if isinstance(item, str) else item, soft_wrap=isinstance(item, str))

    def say(self, shown: RenderableType) -> None:
        """Tell people, on stderr, what is being done."""
        if not (self.json or self.quiet):
            self.err.print(shown)

    @contextmanager
    def bars(self) -> Iterator[Bars]:
        """Show progress bars on stderr while the block runs, where a person watches."""
        silent = self.json or self.quiet or not self.err.is_terminal
        with Bars(self.err, silent) as bars:
            yield bars


def screen_of(context: typer.Context) -> Screen:
    """Return the screen of this run."""
    return context.find_object(Screen) or Screen()


def plain(value: Any) -> Any:
    """Return ``value`` as strict JSON values: numbers that are not finite become null, paths become strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Path):
        return str(value)
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)

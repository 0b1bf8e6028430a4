"""Small pieces of terminal prose: numbers, angles, headings, bullets."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from microlocal.core import Geometry, Geometry3D


def number(value: float) -> str:
    """Return four significant digits.

    >>> number(0.000123456), number(1234567.0), number(3.0)
    ('0.0001235', '1.235e+06', '3')
    """
    return f"{value:.4g}"


def degrees(value: float) -> str:
    """Return degrees with at most one decimal and a proper minus.

    >>> degrees(-28.0)
    '−28°'
    """
    return f"{round(value, 1) + 0.0:g}°".replace("-", "−")


def length(value: float, unit: str) -> str:
    """Return a length with its unit; where a file has none, its lengths are in detector pixels.

    >>> length(0.15, "mm"), length(1.0, "pixel"), length(2.0, "pixel")
    ('0.15 mm', '1 detector pixel', '2 detector pixels')
    """
    if unit == "pixel":
        unit = "detector pixel" if value == 1 else "detector pixels"
    return f"{number(value)} {unit}"


def joined(parts: Sequence[str]) -> str:
    """Join as a sentence does.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def angles_in_words(geometry: "Geometry | Geometry3D") -> str:
    """Return the views in words: how many, from where to where."""
    views = [math.degrees(angle) for angle in geometry.angles_rad]
    if len(views) == 1:
        return f"one view at {degrees(views[0])}"
    return f"{len(views)} views from {degrees(min(views))} to {degrees(max(views))}"


def heading(text: str) -> Text:
    """Return a heading with an empty line above."""
    return Text(f"\n{text}", style="what")


def bullets(sentences: Sequence[str], style: str = "") -> Padding:
    """Return sentences as a list whose lines hang."""
    table = Table.grid(padding=(0, 1))
    for sentence in sentences:
        table.add_row(Text("·", style="quiet"), Text(sentence, style=style))
    return Padding(table, (0, 0, 0, 2))


def facts(rows: Sequence[tuple[str, str]]) -> Padding:
    """Return rows of (name, value) as an aligned list."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="quiet")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return Padding(table, (0, 0, 0, 2))

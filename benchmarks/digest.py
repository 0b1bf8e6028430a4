"""What of the page of numbers the README shows: its best known rows, every missed one, and how many there are."""

import re
from collections.abc import Mapping

from benchmarks.table import markdown

PAGE = "docs/numbers.md"
MET, MISSED = "| met |", "| **missed** |"
# Of each the first row of that name, in this order: what somebody asks before anything else.
BEST_KNOWN = (
    "MCC, learn-the-invisible",
    "learn-the-invisible over tv, dB",
    "error of the held-out tilts, learn-the-invisible",
    "residual of f over that of f*, the largest, less one",
    "learn-the-invisible, seconds",
    "parallel forward: astra toolbox",
    "parallel forward: deepinverse",
    "fan forward: astra toolbox",
    "fan adjoint: astra toolbox",
    "parallel fbp: scikit image",
    "cone forward",
    "shearlet analysis: floor",
    "shearlet analysis: pyshearlab, float64",
    "3-D shearlets, both ways",
    "seconds of tv, parallel",
    "PSNR of shrinkage, dB",
    "worst ‖N(u + d) - N(u)‖ / ‖d‖ of nonexpansive",
    "rational: ours plain diffusion",
    "boundaries, model network, less its surround",
    "median error of directions, shearlet",
    "patch accuracy, network",
)


def digest(tables: Mapping[str, str]) -> str:
    """Return the part of the README from all tables, by title."""
    judged = {title: _judged(table) for title, table in tables.items()}
    judged = {title: rows for title, rows in judged.items() if rows}
    rows = [row for some in judged.values() for row in some]
    best = [next((row for row in rows if _name(row) == name), None) for name in BEST_KNOWN]
    missed = [row for row in rows if row.endswith(MISSED)]
    reached = len(rows) - len(missed)
    lines = ["The best known:", "", markdown([]), *(row for row in best if row is not None)]
    if missed:
        lines += ["", "All that are missed:", "", markdown([]), *missed]
    lines += ["", f"All of them, {reached} of {len(rows)} reached:", "", "| | asked | reached |", "|---|---|---|"]
    for title, some in judged.items():
        met = sum(row.endswith(MET) for row in some)
        lines.append(f"| [{title}]({PAGE}#{_anchor(title)}) | {len(some)} | {met} |")
    return "\n".join(lines)


def _judged(table: str) -> list[str]:
    return [line for line in table.splitlines() if line.endswith((MET, MISSED))]


def _name(row: str) -> str:
    return row.removeprefix("| ").split(" | ")[0]


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")

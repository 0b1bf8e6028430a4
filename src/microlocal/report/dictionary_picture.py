"""The picture of the dictionary: a row a nonlinearity, a column a face, the known names above, the best known bold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from microlocal.core.errors import InputError
from microlocal.dictionary.table import FACES, SYMBOLS, Row
from microlocal.io.atomic import replacing

REACH, COUNT, HIGHEST = 3.0, 1201, 4.0  # in units of λ
KINDS = ("png", "pdf", "svg")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#7b3294")


def draw(found: Sequence[Row], path: Path) -> Path:
    """Draw the four faces of every row on common axes, s and r in units of λ; return the path.

    Raises InputError for a kind of file that is no picture, OutputError where it cannot be written.
    """
    kind = path.suffix.lower().lstrip(".") or "png"
    if kind not in KINDS:
        raise InputError(str(path), expected=f"a name that ends in {', '.join(KINDS)}", got=f".{kind}", do="Rename it.")
    figure = Figure(figsize=(10.5, 1.75 * len(found) + 0.9), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06))
    grid = figure.subplots(len(found), len(FACES), squeeze=False, sharex=True)
    for row, panels in zip(found, grid, strict=True):
        for face, colour, axes in zip(FACES, COLOURS, panels, strict=True):
            _draw_face(axes, row, face, colour)
        panels[0].set_ylabel(row.entry.name, rotation=0, ha="right", va="center", fontsize=10, labelpad=9)
    for face, axes in zip(FACES, grid[-1], strict=True):
        axes.set_xlabel("r" if face == "shrinkage" else "s")
    for face, colour, axes in zip(FACES, COLOURS, grid[0], strict=True):
        head = f"{face} {SYMBOLS[face]}"
        axes.annotate(head, (0.5, 1.26), xycoords="axes fraction", ha="center", fontsize=12, color=colour)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format=kind)
    return path


def _draw_face(axes: Axes, row: Row, face: str, colour: str) -> None:
    s = torch.linspace(-REACH, REACH, COUNT, dtype=torch.float64)
    value = getattr(row.entry, face)(s).numpy().copy()
    value[(np.abs(value) > 3 * HIGHEST) | ~np.isfinite(value)] = np.nan
    value[1:][np.abs(np.diff(value)) > 0.3] = np.nan  # a jump is no line
    axes.axhline(0, color="0.8", lw=0.8)
    axes.axvline(0, color="0.8", lw=0.8)
    if face in ("shrinkage", "activation"):
        axes.plot(s, s, color="0.75", lw=0.8, ls="--")
    axes.plot(s, value, color=colour, lw=1.8)
    low, high = {"diffusivity": (-0.1, 1.3), "regulariser": (-1.2, HIGHEST)}.get(face, (-2.0, 2.0))
    axes.set(xlim=(-REACH, REACH), ylim=(low, high))
    axes.tick_params(labelsize=7)
    bold = "bold" if face == row.formulas.best else "normal"
    axes.set_title(row.formulas.names.get(face, ""), fontsize=9, fontweight=bold, pad=3)
    axes.spines[["top", "right"]].set_visible(False)

"""What the figures of the gallery have in common: a palette, panels without clutter, and small files."""

import io
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from microlocal.core import Grid
from microlocal.core.provenance import COLOURS, Provenance

MEASURED, UNDETERMINED = COLOURS[Provenance.MEASURED], COLOURS[Provenance.UNDETERMINED]
ACCENT, INK = "#c2185b", "#30363d"  # neither is a colour of provenance


def figure(width: float, height: float) -> Figure:
    """Return a white figure of so many inches that needs no closing."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(drawn: Figure, name: str, dpi: int = 110, *, grey: bool = False, few: bool = False) -> Path:
    """Write ``name``.png into the folder that the command line names (else here), compressed; return the path.

    ``grey`` leaves the colours out, where there are none: about half the size; so does a palette of ``few`` colours,
    greys, those of the edges and the accent.
    """
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi)
    path = folder / f"{name}.png"
    picture = Image.open(buffer).convert("L" if grey else "RGB")
    picture = picture.quantize(palette=_palette(), dither=Image.Dither.NONE) if few else picture
    picture.save(path, optimize=True)
    return path


def _palette() -> Image.Image:
    """Return an image with a palette of 64 greys and 48 shades of each colour of the figures, from black to white."""
    greys = np.repeat(np.linspace(0, 255, 64)[:, None], 3, axis=1)
    parts = [greys]
    for colour in (*COLOURS.values(), ACCENT):
        pure = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])
        up, down = np.linspace(0, 1, 24)[:, None], np.linspace(1, 0, 24, endpoint=False)[:, None]
        parts += [up * pure, 255 - down * (255 - pure)]
    image = Image.new("P", (1, 1))
    image.putpalette(np.rint(np.concatenate(parts)).astype(np.uint8).tobytes())
    return image


def show(axes: Axes, image: np.ndarray, grid: Grid, title: str, window: tuple[float, float] | None = None) -> None:
    """Show an image in grey, without ticks, black and white at ``window`` or at its 0.5th and 99.7th percentile."""
    low, high = window or np.percentile(image, [0.5, 99.7])
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=grid.extent, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])


def draw_edges(axes: Axes, edges: np.ndarray, grid: Grid, size: float = 4.0) -> None:
    """Dot the edge pixels: measured in teal, learned in violet (where some are), undetermined in orange."""
    x, y = grid.coordinates()
    for code, colour in COLOURS.items():
        rows, cols = np.nonzero(edges == code)
        if rows.size or code != Provenance.LEARNED:
            axes.scatter(x[cols], y[rows], s=size, color=colour, linewidths=0, label=code.name.lower())


def legend(axes: Axes, names: dict[str, str], **where: Any) -> None:
    """Tell what the colours of a panel stand for, each as a dot."""
    dots = [Line2D([], [], ls="", marker="o", ms=5, color=colour, label=name) for name, colour in names.items()]
    axes.legend(handles=dots, fontsize=8, handletextpad=0.2, **where)


def double_arrow(axes: Axes, x: float, y: float, normal_rad: float, length: float, colour: str) -> None:
    """Draw the normal of an edge at (x, y)."""
    dx, dy = length * math.cos(normal_rad), length * math.sin(normal_rad)
    style = {"arrowstyle": "<->", "color": colour, "lw": 1.8}
    axes.annotate("", (x + dx, y + dy), (x - dx, y - dy), arrowprops=style)

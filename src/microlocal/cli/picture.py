"""The picture of a scan's visibility: the rose of edge normals in the middle, and the map of the measured fraction."""

import math
from pathlib import Path

from jaxtyping import Float
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from microlocal.cli.words import angles_in_words
from microlocal.core import Grid, Scan
from microlocal.report.rose import Intervals, blend, both_in_words, missing_range
from microlocal.wavefront import measured_range

TEAL, ORANGE = "#008c95", "#e07b00"


def draw(scan: Scan, grid: Grid, fraction: Float[Tensor, "row col"], path: Path) -> Path:
    """Draw rose and map for ``fraction`` into a PNG file; return its path."""
    geometry = scan.geometry
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    rose = figure.add_subplot(1, 2, 1, projection="polar")
    if isinstance(rose, PolarAxes):
        _draw_rose(rose, measured_range(geometry, *grid.center))
    axes = figure.add_subplot(1, 2, 2)
    colours = ListedColormap(blend() / 255)
    shown = axes.imshow(fraction.numpy(), colours, vmin=0, vmax=1, extent=grid.extent, interpolation="nearest")
    axes.set(title="Share of edge directions measured", xlabel=f"x [{grid.unit}]", ylabel=f"y [{grid.unit}]")
    figure.colorbar(shown, ax=axes, shrink=0.85, format=PercentFormatter(1, symbol=" %"))
    figure.suptitle(f"{Path(scan.source.path).name}: {angles_in_words(geometry)}", fontsize=13)
    figure.savefig(path, dpi=150)
    return path


def _draw_rose(axes: PolarAxes, measured: Intervals) -> None:
    missing = missing_range(measured)
    for intervals, colour, hatch in ((measured, TEAL, None), (missing, ORANGE, "///")):
        for low, high in intervals:
            for turn in (0.0, math.pi):
                middle, width = (low + high) / 2 + turn, high - low
                axes.bar(middle, 1.0, width, color=colour, alpha=0.35, edgecolor=colour, linewidth=0, hatch=hatch)
                axes.bar(middle, 0.12, width, bottom=1.06, color=colour)
    axes.set_yticks([])
    axes.set_ylim(0, 1.2)
    axes.grid(alpha=0.3)
    axes.spines["polar"].set_visible(False)
    axes.set_title("Edge normals in the middle")
    axes.set_xlabel(both_in_words(measured))

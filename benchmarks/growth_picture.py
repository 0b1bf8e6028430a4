"""The picture of growth: time and memory over the size, with theory as dashed lines through the last points."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "growth.png"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#444444")
APART = 0.055  # of the height of a panel, between labels

Drawn = tuple[str, Callable[[Any], Any], int, Sequence[Any]]


def _labelled(axis: Axes, ends: list[tuple[float, float, str, str]]) -> None:
    """Write names right of where curves end (x, y, name, color), pushed apart where they would meet."""
    low, high = np.log(axis.get_ylim())
    right, floor = max(x for x, *_ in ends), -np.inf
    for _, y, name, color in sorted(ends, key=lambda end: end[1]):
        place = floor = max((np.log(y) - low) / (high - low), floor + APART)
        at = np.exp(low + place * (high - low))
        axis.annotate(name, (right, at), (7, 0), textcoords="offset points", color=color, va="center", fontsize=9)


def _panel(axis: Axes, curves: list[Drawn], column: str, unit: float, label: str) -> None:
    ends: dict[int, list[tuple[float, float, str, str]]] = {}
    for (name, time, dimension, points), color in zip(curves, COLORS, strict=False):
        if not points:
            continue
        sizes = np.array([p.size for p in points], float)
        values = np.array([getattr(p, column) for p in points]) * unit
        theory = time(sizes) if column == "seconds" else sizes**dimension
        axis.loglog(sizes, theory / theory[-1] * values[-1], "--", color=color, linewidth=0.9, alpha=0.7)
        axis.loglog(sizes, values, "o-", color=color, linewidth=1.8, markersize=4.5)
        ends.setdefault(dimension, []).append((sizes[-1], values[-1], name, color))
    ticks = sorted({p.size for _, _, _, points in curves for p in points})
    axis.set_xticks(ticks, [str(t) for t in ticks])
    axis.minorticks_off()
    axis.set_xlim(ticks[0] * 0.8, ticks[-1] * 5.5)
    axis.set_xlabel("N, side of the image or volume in pixels")
    axis.set_title(label, loc="left", fontsize=11)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    for of_a_dimension in ends.values():
        _labelled(axis, of_a_dimension)


def draw(curves: list[Drawn], path: Path = PICTURE) -> None:
    """Draw curves (name, theory of time, dimension, points with ``size``, ``seconds`` and ``memory`` in MiB)."""
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    _panel(axes[0], curves, "seconds", 1.0, "seconds a call")
    _panel(axes[1], curves, "memory", 1 / 1024, "peak memory beyond the libraries', GiB")
    figure.supxlabel("dashed: theory's slope through the last point", fontsize=9, color="#666666")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

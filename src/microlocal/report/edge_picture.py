"""The picture of an image's edges: coloured by the direction of their normals, or by provenance where it is known."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from microlocal.core.provenance import COLOURS, Provenance
from microlocal.wavefront import Singularities

SIDE, LEAST = 6.5, 3.4  # inches: of the longer side of a panel, and for its title and the wheel's numbers


def draw(image: Float[np.ndarray, "row col"], found: Singularities, path: Path) -> Path:
    """Draw the image with its edges, each a short line along itself, and the wheel of directions; return the path."""
    rows, cols = image.shape
    known = bool(found.provenance.any())
    panels = 2 if known else 1
    width, height = (max(SIDE * n / max(rows, cols), LEAST) for n in (cols, rows))
    figure = Figure(figsize=(panels * width + 2.2, height + 0.5), layout="constrained")
    grid = figure.add_gridspec(2, panels + 1, width_ratios=[*[width] * panels, 2.0], height_ratios=[1, 1.4])
    first = figure.add_subplot(grid[:, 0])
    _draw_lines(first, image, found, _hues(found))
    first.set_title("edges by the direction of their normals" if len(found) else "no edges found", fontsize=10)
    if known:
        second = figure.add_subplot(grid[:, 1])
        palette = np.array([COLOURS.get(Provenance(int(code)), "#ffffff") for code in found.provenance])
        _draw_lines(second, image, found, palette)
        second.set_title("by provenance", fontsize=10)
        for code in np.unique(found.provenance):
            second.plot([], [], color=COLOURS[Provenance(int(code))], lw=3, label=Provenance(int(code)).name.lower())
        second.legend(loc="lower right", fontsize=8)
    wheel = figure.add_subplot(grid[0, -1], projection="polar")
    if isinstance(wheel, PolarAxes):
        _draw_wheel(wheel)
    figure.savefig(path, dpi=130)
    return path


def _hues(found: Singularities) -> Float[np.ndarray, "point 4"]:
    return _colours(found.direction_rad % np.pi / np.pi)


def _colours(turn: Float[np.ndarray, " point"]) -> Float[np.ndarray, "point 4"]:
    """Return a colour for each direction, in half turns: opposite directions look alike."""
    base = np.stack([0.5 + 0.5 * np.cos(2 * np.pi * (turn - shift)) for shift in (0.0, 1 / 3, 2 / 3)], axis=-1)
    return np.concatenate([base, np.ones((*turn.shape, 1))], axis=-1)


def _draw_lines(axes: Axes, image: np.ndarray, found: Singularities, colours: np.ndarray) -> None:
    low, high = np.percentile(image, [0.5, 99.5])
    low, high = (low, high) if high > low else (low - 1.0, high + 1.0)  # an even image is grey, not black
    # Pale, so that the colours of the edges are seen.
    window = (low - 0.6 * (high - low), high + 0.3 * (high - low))
    axes.imshow(image, cmap="gray", vmin=window[0], vmax=window[1], interpolation="nearest")
    along = np.stack([-np.sin(found.direction_rad), -np.cos(found.direction_rad)], axis=1) * 0.7
    middle = np.stack([found.col, found.row], axis=1)
    points = 72 * SIDE / max(image.shape)  # a pixel, in points
    lines = [*np.stack([middle - along, middle + along], axis=1)]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=max(0.8, 0.7 * points)), autolim=False)
    axes.set(xticks=[], yticks=[])


def _draw_wheel(axes: PolarAxes) -> None:
    angles = np.linspace(0, 2 * np.pi, 361)
    ring = _colours(((angles[1:] + angles[:-1]) / 2) % np.pi / np.pi)[None]
    axes.pcolormesh(angles, np.array([0.65, 1.0]), ring, rasterized=True, antialiased=False)
    axes.set(yticks=[], ylim=(0, 1))
    axes.set_xticks(np.radians([0, 45, 90, 135, 180, 225, 270, 315]))
    axes.tick_params(labelsize=7, pad=0)
    axes.grid(False)
    axes.spines["polar"].set_visible(False)
    axes.set_title("normal", fontsize=9)

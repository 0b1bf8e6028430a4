"""A reconstruction at a glance for notebooks and papers: image, edges by provenance, visibility rose, residual.

Where a network took part, also f*, the image without what it added, and that addition.
"""

import io
import math

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Wedge

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import InputError
from microlocal.core.grid import Grid
from microlocal.core.provenance import COLOURS, Provenance
from microlocal.core.registry import register
from microlocal.reconstruction.result import Reconstruction
from microlocal.report.facts import heading, relative_residual
from microlocal.report.payload import stacks
from microlocal.report.rose import Intervals, both_in_words, missing_range
from microlocal.wavefront import measured_range
from microlocal.wavefront.lengths import edge_shares

PANEL = 240.0  # points, nearly, of an image's longer side


@register("result-view", "png")
def png(reconstruction: Reconstruction) -> bytes:
    """Return :func:`figure` of the first slice as PNG bytes."""
    buffer = io.BytesIO()
    figure(reconstruction).savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


@register("result-view", "figure")
def figure(reconstruction: Reconstruction, *, slice_index: int = 0) -> Figure:
    """Return a figure of four panels for one slice: image, edges by provenance, visibility rose and residual; of six
    with f* and the learned part where a network took part.

    The figure is not registered with pyplot, so that nothing needs closing. Raises InputError for a slice that the
    reconstruction does not have.
    """
    stack, scan = stacks([reconstruction])[0], reconstruction.scan
    count = stack.image.shape[0]
    if not 0 <= slice_index < count:
        raise InputError("figure", expected=f"slice 0..{count - 1}", got=str(slice_index), do="Choose another slice.")
    names: tuple[str, ...] = ("visible", "image", "edges", "rose", "learned", "residual")
    if stack.visible is None:
        names = ("image", "edges", "rose", "residual")
    drawn = Figure(figsize=(5.25 * len(names) / 2, 9.6), layout="constrained", facecolor="white")
    which = f", slice {slice_index}" if count > 1 else ""
    drawn.suptitle(f"{heading(scan)}{which}: {stack.label}", fontsize=14)
    panels = dict(zip(names, drawn.subplots(2, len(names) // 2).flat, strict=True))
    image = stack.image[slice_index]
    low, high = (float(v) for v in np.percentile(image, [0.5, 99.7]))
    _image(panels["image"], image, scan.grid, (low, high), "Reconstruction")
    if stack.visible is not None:
        before = stack.visible[slice_index]
        reach = float(np.quantile(np.abs(image - before), 0.995)) or 1.0
        _image(panels["visible"], before, scan.grid, (low, high), "Measured only, f*")
        _image(panels["learned"], image - before, scan.grid, (-reach, reach), "Learned part, f − f*", "RdBu_r")
    _edges(panels["edges"], image, stack.edges[slice_index], scan.grid)
    draw_rose(panels["rose"], measured_range(scan.geometry, *scan.grid.center))
    residual = to_numpy(reconstruction.residual.double()).reshape(-1, *scan.geometry.shape)[slice_index]
    _residual(panels["residual"], residual, scan.geometry.detector.edges, scan.geometry.unit)
    panels["residual"].set_title(f"Residual R f − g: {100 * relative_residual(stack):.2g} % of the data")
    return drawn


def _image(
    axes: Axes,
    image: Float[np.ndarray, "row col"],
    grid: Grid,
    window: tuple[float, float],
    title: str,
    colours: str = "gray",
) -> None:
    low, high = window
    shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, extent=grid.extent, interpolation="nearest")
    axes.set(title=title, xlabel=f"x [{grid.unit}]", ylabel=f"y [{grid.unit}]")
    bar = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    axes.figure.colorbar(shown, cax=bar)
    bar.set_title(f"1/{grid.unit}", fontsize=9)


def _edges(axes: Axes, image: Float[np.ndarray, "row col"], edges: UInt8[np.ndarray, "row col"], grid: Grid) -> None:
    low, high = (float(v) for v in np.percentile(image, [0.5, 99.7]))
    axes.imshow(image, cmap="gray", vmin=low, vmax=2 * high - low, extent=grid.extent, interpolation="nearest")
    x, y = grid.coordinates()
    shares = {kind: share for kind, share in edge_shares(edges).items() if share}
    for kind in shares:
        rows, cols = np.nonzero(edges == kind)
        axes.scatter(
            x[cols], y[rows], s=max(1.6, PANEL / max(image.shape)) ** 2, marker="s", linewidths=0, color=COLOURS[kind]
        )
    handles = [
        Patch(color=COLOURS[kind], label=f"{kind.name.lower()} {100 * share:.0f} %") for kind, share in shares.items()
    ]
    axes.set(title="Edges by provenance", xlabel=f"x [{grid.unit}]", ylabel=f"y [{grid.unit}]")
    if handles:
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            borderaxespad=4.2,  # of the font's size: below the label of x
            ncols=3,
            frameon=False,
            fontsize=9,
            handlelength=1.2,
            columnspacing=1.2,
        )


def draw_rose(axes: Axes, measured: Intervals) -> None:
    """Draw the rose of edge normals: measured directions solid, the others hatched, on both sides of the disc."""
    missing = missing_range(measured)
    teal, orange = COLOURS[Provenance.MEASURED], COLOURS[Provenance.UNDETERMINED]
    for intervals, colour, hatch in ((measured, teal, ""), (missing, orange, "///")):
        for low, high in ((math.degrees(a) + turn, math.degrees(b) + turn) for a, b in intervals for turn in (0, 180)):
            soft = Wedge((0, 0), 0.8, low, high, facecolor=(colour, 0.2), edgecolor=(colour, 0.6), lw=0)
            soft.set_hatch(hatch)
            axes.add_patch(soft)
            axes.add_patch(Wedge((0, 0), 1.0, low, high, width=0.14, facecolor=colour, edgecolor="none"))
    for degrees in range(0, 360, 30):
        place = 1.13 * math.cos(math.radians(degrees)), 1.13 * math.sin(math.radians(degrees))
        axes.text(*place, f"{degrees}°", ha="center", va="center", fontsize=9)
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.25, 1.25), aspect="equal")
    axes.set_axis_off()
    said = both_in_words(measured).replace("; ", ";\n")
    axes.set_title(f"Edge normals in the middle of the image\n{said}", fontsize=11)


def _residual(axes: Axes, residual: Float[np.ndarray, "angle detector"], edges: tuple[float, float], unit: str) -> None:
    limit = float(np.quantile(np.abs(residual), 0.99)) or 1.0
    extent = (0, residual.shape[0], *edges)
    shown = axes.imshow(
        residual.T, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent, origin="lower", aspect="auto"
    )
    axes.set(xlabel="view", ylabel=f"detector u [{unit}]")
    axes.figure.colorbar(shown, ax=axes, shrink=0.8)

"""The picture of what a scan of a volume can see: the share of measured surface normals in the middle planes."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from microlocal.core.volume import VolumeGrid
from microlocal.reconstruction.volume_overview import Plane
from microlocal.report.rose import blend


def draw(planes: Sequence[Plane], grid: VolumeGrid, path: Path, title: str) -> Path:
    """Draw the maps of ``planes`` side by side into a PNG file; return its path."""
    figure = Figure(figsize=(12.0, 4.6), layout="constrained")
    axes = figure.subplots(1, len(planes))
    colours, maps = ListedColormap(blend() / 255), [plane.measured for plane in planes if plane.measured is not None]
    least = min(float(values.min()) for values in maps)
    slices, rows, cols = (n * grid.voxel / 2 for n in grid.shape)
    x, y, z = grid.center
    sides = {"x": (x - cols, x + cols), "y": (y - rows, y + rows), "z": (z - slices, z + slices)}
    for panel, plane, values in zip(axes, planes, maps, strict=True):
        extent = (*sides[plane.across], *sides[plane.down])
        shown = panel.imshow(values, colours, vmin=min(least, 0.95), vmax=1.0, extent=extent, interpolation="nearest")
        panel.set(title=plane.name, xlabel=f"{plane.across} [{grid.unit}]", ylabel=f"{plane.down} [{grid.unit}]")
    figure.colorbar(shown, ax=axes, shrink=0.85, format=PercentFormatter(1, symbol=" %"))
    figure.suptitle(f"{title}: share of surface normals measured", fontsize=13)
    figure.savefig(path, dpi=130)
    return path

"""From the options to the scan that a verb works on."""

from pathlib import Path
from typing import TYPE_CHECKING

from microlocal.cli import lazy
from microlocal.cli.choices import Arc, Shape, Slices

if TYPE_CHECKING:
    from microlocal.core import Grid, Scan


def load_scan(path: Path, slices: Slices | None, arc: Arc | None, center: str | float = "file") -> "Scan":
    """Read the scan and keep the chosen slices and views, with the chosen axis of rotation."""
    scan = lazy.io.read_scan(path)
    if slices is not None:
        scan = scan.slices(slices.first, slices.last)
    if center == "auto":
        scan = lazy.center.with_center(scan, lazy.center.find_axis(scan))
    elif center != "file":
        scan = lazy.center.with_center(scan, float(center))
    return scan if arc is None else scan.arc(arc.first_deg, arc.last_deg)


def chosen_grid(scan: "Scan", shape: Shape | None, pixel: float | None) -> "Grid":
    """Return the grid for ``--grid`` and ``--pixel``; what is not given keeps the field of view of the scan's grid."""
    own = scan.grid
    if shape is None and pixel is None:
        return own
    if shape is None and pixel:
        shape = Shape(*(max(1, round(n * own.pixel / pixel)) for n in own.shape))
    counts = shape or own.shape
    side = pixel or max(n * own.pixel / m for n, m in zip(own.shape, counts, strict=True))
    return lazy.core.Grid((counts[0], counts[1]), side, own.center, own.unit)

"""From the options to the scan that a verb works on."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from microlocal.cli import lazy
from microlocal.cli.choices import Arc, Shape, Slices

if TYPE_CHECKING:
    from microlocal.core import Grid, Scan
    from microlocal.io import Stack

# Data Exchange files do not say where the axis of rotation is.
WITHOUT_AXIS = ("dxchange",)


def load_scan(path: Path, slices: Slices | None, arc: Arc | None, center: str | float | None = None) -> "Scan":
    """Read the scan and keep the chosen slices and views, with the chosen axis of rotation.

    Without a choice the axis is that of the file, or found from the data for formats that do not hold it.
    """
    scan = lazy.io.read_scan(path)
    if slices is not None:
        told = str(slices.first) if slices.last is None else f"{slices.first} to {slices.last - 1}"
        part = scan.slices(slices.first, slices.last)
        scan = replace(part, source=replace(part.source, metadata=part.source.metadata | {lazy.core.scan.SLICE: told}))
    if center is None:
        center = "auto" if scan.source.format in WITHOUT_AXIS else "file"
    if center == "auto":
        scan = with_found_axis(scan)
    elif center != "file":
        scan = lazy.center.with_center(scan, float(center))
    return scan if arc is None else scan.arc(arc.first_deg, arc.last_deg)


def with_found_axis(scan: "Scan") -> "Scan":
    """Return the scan with the axis of rotation that its data show, and the sentence that says so."""
    found = lazy.center.find_axis(scan)
    moved = lazy.center.with_center(scan, found.center_pixels)
    return replace(moved, warnings=(*scan.warnings, found.note))


def chosen_grid(scan: "Scan | Stack", shape: Shape | None, pixel: float | None) -> "Grid":
    """Return the grid for ``--grid`` and ``--pixel``; what is not given keeps the field of view of the scan's grid."""
    own = scan.grid
    if shape is None and pixel is None:
        return own
    if shape is None and pixel:
        shape = Shape(*(max(1, round(n * own.pixel / pixel)) for n in own.shape))
    counts = shape or own.shape
    side = pixel or max(n * own.pixel / m for n, m in zip(own.shape, counts, strict=True))
    return lazy.core.Grid((counts[0], counts[1]), side, own.center, own.unit)

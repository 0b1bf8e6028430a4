"""What ``microlocal info`` says of projections of a volume."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.screen import plain
from microlocal.cli.words import angles_in_words, bullets, facts, heading, length, number

if TYPE_CHECKING:
    from microlocal.io import Projections


def fields_of(scan: "Projections") -> dict[str, Any]:
    """Return the answer for programs; values are those of a sample of views."""
    data = _sample(scan)
    return {
        "source": {"path": scan.source.path, "format": scan.source.format, "sha256": scan.source.sha256},
        "data": {
            "shape": list(scan.geometry.shape),
            "axes": ["angle", "v", "u"],
            "quantity": scan.quantity,
            "views_looked_at": len(data),
            "least": float(data.min()),
            "greatest": float(data.max()),
            "mean": float(data.mean()),
        },
        "geometry": scan.geometry.to_dict(),
        "grid": _grid(scan),
        "volume_bytes": _bytes(scan),
        "metadata": plain(scan.source.metadata),
        "warnings": list(scan.warnings),
    }


def lines_of(scan: "Projections") -> list[RenderableType]:
    """Return the answer for people."""
    data, (views, rows, cols) = _sample(scan), scan.geometry.shape
    told = {"line integrals": "line integrals", "counts": "counts, read as line integrals"}
    least, greatest, mean = (number(float(value) + 0.0) for value in (data.min(), data.max(), data.mean()))
    values = f"{least} to {greatest}, mean {mean}"
    parts: list[RenderableType] = [
        Text(scan.source.path, style="what"),
        facts(
            [
                ("format", scan.source.format),
                ("data", f"{views} views x {rows} x {cols} pixels, {told.get(scan.quantity, scan.quantity)}"),
                ("values", f"{values} (of {len(data)} views)"),
                ("sha256", scan.source.sha256 or "–"),
            ]
        ),
        heading("Geometry"),
        facts(geometry_rows(scan)),
    ]
    grid = _grid(scan)
    if grid is not None:
        size = " x ".join(map(str, grid["shape"]))
        told_size = f"{size} of {length(grid['voxel'], grid['unit'])}, {_bytes(scan) / 2**30:.2g} GiB as float32"
        parts += [heading("Volume, unless you choose another"), facts([("voxels", told_size)])]
    if scan.source.metadata:
        metadata = [(name, str(plain(value))[:200]) for name, value in sorted(scan.source.metadata.items())]
        parts += [heading("Metadata of the file"), facts(metadata)]
    if scan.warnings:
        parts += [heading("Said about the scan"), bullets(scan.warnings, "caution")]
    return [*parts, Text("\nReconstruct it with microlocal volume.")]


def geometry_rows(scan: "Projections") -> list[tuple[str, str]]:
    """Return the geometry as rows of (name, text)."""
    geometry, (views, rows, cols) = scan.geometry, scan.geometry.shape
    beam = ("beam", lazy.report.beam_in_words(geometry))
    if not isinstance(geometry, lazy.core.Geometry3D):
        return [beam, ("views", str(views)), ("panel", f"{rows} x {cols} pixels")]
    panel, unit = geometry.detector, geometry.unit
    degrees = sorted(math.degrees(angle) for angle in geometry.angles_rad)
    steps = sorted(b - a for a, b in pairwise(degrees))
    step = f", usual step {number(steps[len(steps) // 2])}°" if steps else ""
    pitch = " x ".join(number(side) for side in dict.fromkeys(panel.pitch))
    axis = f"column {lazy.center.center_of(panel.row):.6g} (offset {number(panel.offset[1])} {unit})"
    found = [
        beam,
        ("views", angles_in_words(geometry) + step),
        ("panel", f"{rows} x {cols} pixels of {pitch} {unit}"),
        ("axis", axis),
    ]
    if panel.offset[0]:
        found.append(("height", f"the panel's middle stands {number(panel.offset[0])} {unit} off the beam"))
    if isinstance(geometry, lazy.core.ConeBeam):
        found += [
            ("source–axis", f"{geometry.source_axis:.6g} {unit}"),
            ("source–panel", f"{geometry.source_detector:.6g} {unit}"),
            ("magnification", number(geometry.magnification)),
        ]
    return found


def _sample(scan: "Projections") -> Any:
    return scan.select(list(lazy.readings.sample_of(scan.geometry.shape[0]))).frames_of_all()


def _grid(scan: "Projections") -> dict[str, Any] | None:
    """Return the volume that the scan proposes; None for a table of views, which proposes none."""
    if scan.own_grid is None and not isinstance(scan.geometry, lazy.core.Geometry3D):
        return None
    return scan.grid.to_dict()


def _bytes(scan: "Projections") -> int:
    grid = _grid(scan)
    return 0 if grid is None else 4 * math.prod(grid["shape"])

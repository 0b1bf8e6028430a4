"""What ``microlocal visible`` says of projections of a volume: the share of surfaces that the scan measures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.words import facts, heading

if TYPE_CHECKING:
    from microlocal.io import Projections
    from microlocal.reconstruction.volume_overview import Plane

MEASURED = "A surface is measured where a ray runs in its tangent plane."


def told(scan: "Projections", folder: Path) -> tuple[dict[str, Any], list[RenderableType | Path]]:
    """Draw visibility.png; return the answer for programs and that for people."""
    grid = scan.grid
    planes = lazy.volume_overview.Overview(grid).measured(scan.geometry)
    picture = lazy.volume_picture.draw(planes, grid, folder / "visibility.png", Path(scan.source.path).name)
    found = fields_of(scan, planes)
    return found | {"files": [picture]}, lines_of(scan, found, picture)


def fields_of(scan: "Projections", planes: "tuple[Plane, ...]") -> dict[str, Any]:
    """Return the numbers: shares of all surface normals, on the axis from bottom to top and over the planes."""
    maps = [plane.measured for plane in planes if plane.measured is not None]
    side = maps[1]
    column = side[::-1, side.shape[1] // 2]
    return {
        "views": scan.geometry.shape[0],
        "beam": lazy.report.beam_in_words(scan.geometry),
        "measured_share": {
            "on the axis, lowest": float(column[0]),
            "on the axis, middle": float(column[len(column) // 2]),
            "on the axis, highest": float(column[-1]),
            "least": float(min(values.min() for values in maps)),
            "greatest": float(max(values.max() for values in maps)),
        },
        "warnings": list(scan.warnings),
    }


def lines_of(scan: "Projections", found: dict[str, Any], picture: Path) -> list[RenderableType | Path]:
    """Return the answer for people."""
    share = {name: f"{100 * value:.3g} %" for name, value in found["measured_share"].items()}
    beam, views = found["beam"], found["views"]
    missing = "What is missing are surfaces that no measured ray touches"
    if isinstance(scan.geometry, lazy.core.ConeBeam):
        missing += ": those that lie nearly level, the more the farther they are from the sources' plane"
    return [
        Text(f"{beam[0].upper()}{beam[1:]}, {views} views. {MEASURED}"),
        heading("Share of all surface normals that is measured"),
        facts(list(share.items())),
        Text(f"\n{missing}."),
        heading("Picture"),
        picture,
    ]

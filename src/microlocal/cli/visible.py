"""``microlocal visible``: what a scan can see, before any reconstruction."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy, volume_visible
from microlocal.cli.choices import ArcChoice, CenterChoice, GridChoice, OutFolder, PixelChoice, ScanFile
from microlocal.cli.folders import output_folder
from microlocal.cli.prepare import chosen_grid, load_scan
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.volume_choices import narrowed
from microlocal.cli.words import angles_in_words, degrees, facts, heading

if TYPE_CHECKING:
    from torch import Tensor

    from microlocal.core import Grid, Scan

EXAMPLES = examples(
    ("which edges the scan can see", "microlocal visible scan.mat"),
    ("what a quarter turn of it would see", "microlocal visible scan.mat --angles 0:90"),
    ("for a program", "microlocal visible tilts.mrc --json | jq .missing_wedge_deg"),
    after="A direction is that of an edge's normal, x right and y up: 0° belongs to a\n"
    "vertical edge, 90° to a horizontal one. An edge whose normal is not measured\n"
    "leaves no sharp trace in the data, whatever the method.",
)


def visible(
    context: typer.Context,
    scan: ScanFile,
    out: OutFolder = Path("microlocal-out"),
    angles: ArcChoice = None,
    center: CenterChoice = None,
    grid: GridChoice = None,
    pixel: PixelChoice = None,
) -> None:
    """Tell which edges (of a volume: surfaces) a scan can see, in numbers and in visibility.png."""
    screen = screen_of(context)
    if lazy.io.holds_projections(scan):
        if grid is not None or pixel is not None:
            raise typer.BadParameter("expected neither --grid nor --pixel for a volume, whose own grid is looked at.")
        lazy.members.load_all()
        with output_folder(out) as folder:
            opened = narrowed(lazy.io.open_projections(scan), 1, angles, 1, center)
            fields, shown = volume_visible.told(opened, folder)
        screen.answer(fields, *shown)
        return
    with output_folder(out) as folder:
        loaded = load_scan(scan, None, angles, center)
        target = chosen_grid(loaded, grid, pixel)
        fraction = lazy.wavefront.measured_fraction(loaded.geometry, target)
        picture = lazy.picture.draw(loaded, target, fraction, folder / "visibility.png")
    found = fields_of(loaded, target, fraction)
    screen.answer(found | {"files": [picture]}, *lines_of(loaded, found, picture))


def places(grid: "Grid") -> dict[str, tuple[float, float]]:
    """Return the points that are told one by one: the middle of the image and its corner pixels."""
    x, y = grid.coordinates()
    corners = {
        "top left": (x[0], y[0]),
        "top right": (x[-1], y[0]),
        "bottom left": (x[0], y[-1]),
        "bottom right": (x[-1], y[-1]),
    }
    return {"middle": grid.center} | {name: (float(a), float(b)) for name, (a, b) in corners.items()}


def fields_of(scan: "Scan", grid: "Grid", fraction: "Tensor") -> dict[str, Any]:
    """Return the answer for programs; directions in degrees."""
    ranges = {name: lazy.wavefront.measured_range(scan.geometry, x, y) for name, (x, y) in places(grid).items()}
    return {
        "views": len(scan.geometry.angles_rad),
        "missing_wedge_deg": lazy.wavefront.missing_wedge(scan.geometry),
        "measured_share": {
            "mean": float(fraction.mean()),
            "least": float(fraction.min()),
            "greatest": float(fraction.max()),
        },
        "measured_directions_deg": {
            name: [[round(math.degrees(end), 6) for end in pair] for pair in spans] for name, spans in ranges.items()
        },
        "in_words": {name: lazy.rose.in_words(spans) for name, spans in ranges.items()},
        "missing_in_words": lazy.rose.in_words(lazy.rose.missing_range(ranges["middle"])),
        "caution": lazy.report.coarse_views(scan.geometry, grid),
        "warnings": list(scan.warnings),
    }


def lines_of(scan: "Scan", found: dict[str, Any], picture: Path) -> list[RenderableType | Path]:
    """Return the answer for people."""
    share = {name: f"{value:.0%}" for name, value in found["measured_share"].items()}
    spread = f" (between {share['least']} and {share['greatest']}, depending on the point)"
    sentence = (
        f"{angles_in_words(scan.geometry)} measure{'s' * (found['views'] == 1)} {share['mean']} of all edge directions"
        f"{spread if share['least'] != share['greatest'] else ', wherever the point'}."
        f" The missing wedge is {degrees(found['missing_wedge_deg'])} of 180° at the axis of rotation."
    )
    missing = Text.assemble("Not measured in the middle: edge normals ", (found["missing_in_words"], "caution"), ".")
    return [
        Text(sentence[0].upper() + sentence[1:]),
        Text("In the middle all edge normals are measured.") if found["missing_in_words"] == "none" else missing,
        *([Text(found["caution"], style="caution")] if found["caution"] else []),
        heading("Measured edge normals (0°: vertical edges, 90°: horizontal edges)"),
        facts(list(found["in_words"].items())),
        heading("Picture"),
        picture,
    ]

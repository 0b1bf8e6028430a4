"""``microlocal info``: what is in a file."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy, volume_info
from microlocal.cli.choices import ScanFile
from microlocal.cli.prepare import WITHOUT_AXIS
from microlocal.cli.screen import plain, screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import angles_in_words, bullets, degrees, facts, heading, length, number

if TYPE_CHECKING:
    from microlocal.core import Scan

EXAMPLES = examples(
    ("geometry, units, values, warnings", "microlocal info scan.mat"),
    ("for a program", "microlocal info tilts.mrc --json | jq .geometry"),
    after="Readable: MATLAB files of the Helsinki challenge (v5, v7.3), MRC/ALI with\n"
    ".rawtlt or .tlt, HyperSpy .hspy, Data Exchange HDF5, TIFF stacks, NPY and NPZ\n"
    "with a JSON geometry beside them, what microlocal.write_scan wrote, and of\n"
    "volumes Nikon .xtekct. The content decides, not the name.",
)


LOOKED_AT = ("missing wedge", "noise", "step between views")


def info(context: typer.Context, scan: ScanFile) -> None:
    """Tell what is in a scan file: geometry, units, values, warnings."""
    screen = screen_of(context)
    if lazy.io.holds_projections(scan):
        found = lazy.io.open_projections(scan)
        screen.answer(volume_info.fields_of(found), *volume_info.lines_of(found))
        return
    loaded = lazy.io.read_scan(scan)
    screen.answer(fields_of(loaded), *lines_of(loaded))


def fields_of(scan: "Scan") -> dict[str, Any]:
    """Return the answer for programs."""
    data = scan.data
    return {
        "source": {"path": scan.source.path, "format": scan.source.format, "sha256": scan.source.sha256},
        "data": {
            "shape": list(data.shape),
            "axes": [*(["slice"] if data.ndim == 3 else []), "angle", "detector"],
            "dtype": str(data.dtype).removeprefix("torch."),
            "least": float(data.min()),
            "greatest": float(data.max()),
            "mean": float(data.mean()),
        },
        "geometry": scan.geometry.to_dict(),
        "measured_arcs_deg": [[math.degrees(end) for end in arc] for arc in scan.geometry.arcs()],
        "missing_wedge_deg": lazy.wavefront.missing_wedge(scan.geometry),
        "grid": scan.grid.to_dict(),
        "metadata": plain(scan.source.metadata),
        "networks": suits(scan),
        "warnings": list(scan.warnings),
    }


def suits(scan: "Scan") -> dict[str, list[str]]:
    """Return for every shipped network of an image's completion in what this scan differs from those it knows.

    Only geometry and noise are looked at: whether the image is alike shows after the first part of the method.
    """
    known = [w for w in lazy.catalogue.at_hand() if w.task == "learn-the-invisible"]
    if not known:
        return {}
    beam, found = lazy.facts.beam_of(scan.geometry), lazy.facts.scan_facts(scan, scan.grid)
    kept = tuple(fact for fact in found if fact.name in LOOKED_AT)
    return {w.name: w.differences(beam, kept) for w in known}


def lines_of(scan: "Scan") -> list[RenderableType]:
    """Return the answer for people."""
    data, grid = scan.data, scan.grid
    stack = f"{data.shape[0]} slices of " if data.ndim == 3 else ""
    values = f"{number(float(data.min()))} to {number(float(data.max()))}, mean {number(float(data.mean()))}"
    rows, cols = grid.shape
    parts: list[RenderableType] = [
        Text(scan.source.path, style="what"),
        facts(
            [
                ("format", scan.source.format),
                ("data", f"{stack}{data.shape[-2]} views x {data.shape[-1]} detector pixels, line integrals"),
                ("values", values),
                ("sha256", scan.source.sha256 or "–"),
            ]
        ),
        heading("Geometry"),
        facts(geometry_rows(scan)),
        heading("Image grid, unless you choose another"),
        facts([("pixels", f"{rows} x {cols} of {length(grid.pixel, grid.unit)}")]),
    ]
    networks = suits(scan)
    if networks:
        told = [(name, "not for this scan: " + "; ".join(why)) for name, why in networks.items() if why]
        told += [(name, "suits this scan") for name, why in networks.items() if not why]
        parts += [heading("Networks for what it cannot see, by geometry and noise"), facts(told)]
    if scan.source.metadata:
        metadata = [(name, _short(value)) for name, value in sorted(scan.source.metadata.items())]
        parts += [heading("Metadata of the file"), facts(metadata)]
    if scan.warnings:
        parts += [heading("Said about the scan"), bullets(scan.warnings, "caution")]
    return parts


def geometry_rows(scan: "Scan") -> list[tuple[str, str]]:
    """Return the geometry as rows of (name, text)."""
    geometry, detector, unit = scan.geometry, scan.geometry.detector, scan.geometry.unit
    axis = f"detector pixel {lazy.center.center_of(detector):.6g} (offset {number(detector.offset)} {unit})"
    axis = "not in the file; found from the data when needed" if scan.source.format in WITHOUT_AXIS else axis
    fields = geometry.to_dict()
    steps = sorted(b - a for a, b in pairwise(sorted(fields["angles_deg"])))
    step = f", usual step {number(steps[len(steps) // 2])}°" if steps else ""
    flipped = ", reversed" if detector.reversed else ""
    pitch = ", size unknown" if unit == "pixel" else f" of {length(detector.pitch, unit)}"
    rows = [
        ("beam", str(fields["kind"])),
        ("views", angles_in_words(geometry) + step),
        ("detector", f"{detector.count} pixels{pitch}{flipped}"),
        ("axis", axis),
    ]
    if "source_axis" in fields:
        rows.append(("source–axis", f"{fields['source_axis']:.6g} {unit}"))
        rows.append(("source–detector", f"{fields['source_detector']:.6g} {unit}"))
    return [*rows, ("missing wedge", f"{degrees(lazy.wavefront.missing_wedge(geometry))} of 180°")]


def _short(value: object) -> str:
    value = plain(value)
    if isinstance(value, dict):
        text = ", ".join(f"{name} {item}" for name, item in value.items())
    elif isinstance(value, list):
        text = ", ".join(str(item).strip() for item in value)
    else:
        text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."

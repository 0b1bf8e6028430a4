"""The page of a volume: its middle planes, the surfaces in them by whether they were measured, and the record."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.core.geometry3d import Geometry3D
from microlocal.core.provenance import COLOURS, KINDS, Provenance
from microlocal.core.registry import register
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.reconstruction.volume_job import VolumeResult
from microlocal.reconstruction.volume_overview import SIDE, Plane
from microlocal.report import facts
from microlocal.report.encode import png_uri, shrink
from microlocal.report.html import ENVIRONMENT, own, write_page
from microlocal.report.rose import blend
from microlocal.report.svg import number

PIXELS = 512  # of a plane on the page, a side
GREY = np.stack([*[np.arange(256)] * 3, np.full(256, 255)], axis=1).astype(np.uint8)


@register("volume-writer", "report.html")
def write_volume_page(result: VolumeResult) -> Path:
    """Write report.html into the folder of the volume; raises OutputError when it cannot be written."""
    return write_page(render_volume_page(result), result.folder / "report.html")


def render_volume_page(result: VolumeResult) -> str:
    """Return the page as text."""
    window, least = _window(result.planes), _least(result.planes)
    keys = dict.fromkeys((*result.references, *(c.reference for c in result.certificates)))
    works = [facts.Citation(key, facts.short_citation(key)) for key in sorted(key for key in keys if key)]
    return ENVIRONMENT.get_template("volume.html.j2").render(
        light=own("light.css"),
        dark=own("dark.css"),
        style=own("report.css") + own("volume.css"),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        inks=[(kind.name.lower(), COLOURS[kind]) for kind in KINDS],
        method=result.request.method,
        title=_title(result),
        interrupted=result.interrupted,
        lead=_lead(result),
        tiles=_tiles(result),
        warnings=result.warnings,
        window=[number(value, 3) for value in window],
        unit=result.grid.unit,
        planes=[_plane(plane, window, least, result.grid.voxel, result.grid.unit) for plane in result.planes],
        seen=all(plane.labels is not None for plane in result.planes),
        told_surfaces=told_surfaces(result.surfaces),
        coarse=math.ceil(max(result.grid.shape) / SIDE) if max(result.grid.shape) > SIDE else 0,
        scale=", ".join("rgb({} {} {})".format(*colour[:3]) for colour in blend()[::15]),
        scale_ends=[f"{100 * least:.0f} %", "100 %"],
        certificates=[("", list(result.certificates))] if result.certificates else [],
        labels=[""],
        number=number,
        short_citation=facts.short_citation,
        notes=result.notes,
        scan_rows=_scan_rows(result),
        config=facts.nodes(result.config),
        metrics=facts.nodes(result.metrics),
        versions=facts.versions(),
        works=works,
        bibtex=facts.cited_bibtex(works),
    )


def told_surfaces(shares: dict[str, float]) -> str:
    """Return the sentence on the surfaces that were found.

    >>> told_surfaces({"measured": 0.9, "undetermined": 0.1})
    'Of the surfaces found, 90 % are measured and 10 % undetermined.'
    """
    if not shares:
        return "No surface was found."
    measured, rest = (f"{100 * shares[name]:.3g} %" for name in ("measured", "undetermined"))
    return f"Of the surfaces found, {measured} are measured and {rest} undetermined."


def beam_in_words(geometry: AnyGeometry3D) -> str:
    """Return the kind of beam, and how the panel or the axis leans, in words."""
    if not isinstance(geometry, Geometry3D):
        return "views of any kind, from a point" if geometry.diverging else "views of any kind, parallel rays"
    kind = "cone beam" if geometry.magnification != 1 else "parallel beam"
    leans = [("tilted", geometry.tilt_rad), ("rolled", geometry.roll_rad)]
    return ", ".join([kind, *(f"{name} by {math.degrees(angle):.3g}°" for name, angle in leans if angle)])


def _title(result: VolumeResult) -> str:
    return PureWindowsPath(PurePosixPath(result.source.path).name).name or "scan in memory"


def _lead(result: VolumeResult) -> str:
    views, rows, cols = result.geometry.shape
    size = " × ".join(map(str, result.grid.shape))
    told = (
        f"{size} voxels of {number(result.grid.voxel)} {result.grid.unit} from {views} views of {rows} × {cols} pixels"
    )
    return f"{told}, {beam_in_words(result.geometry)}. {told_surfaces(result.surfaces) if result.surfaces else ''}"


def _tiles(result: VolumeResult) -> list[tuple[str, str, str]]:
    views, rows, cols = result.geometry.shape
    tiles = [
        ("Volume", " × ".join(map(str, result.grid.shape)), "slices × rows × columns"),
        ("Voxel", f"{number(result.grid.voxel)} {result.grid.unit}", ""),
        ("Views", str(views), f"{rows} × {cols} pixels"),
    ]
    if result.interrupted or result.done < len(result.numbers):
        tiles.append(("Slices written", f"{result.done} of {len(result.numbers)}", ""))
    if "relative residual" in result.metrics:
        tiles.append(("Residual", f"{100 * result.metrics['relative residual']:.3g} %", "|A f − g| / |g|"))
    tiles.append(("Time", f"{number(result.metrics['seconds'], 3)} s", "to reconstruct"))
    return tiles


def _window(planes: Sequence[Plane]) -> tuple[float, float]:
    values = np.concatenate([plane.image.ravel() for plane in planes])
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    return (low, high) if high > low else (low, low + 1.0)


def _least(planes: Sequence[Plane]) -> float:
    """Return where the scale of the maps begins: below every share, in steps of 5 %."""
    shares = [float(plane.measured.min()) for plane in planes if plane.measured is not None]
    return max(0.0, min(0.9, math.floor(20 * min(shares)) / 20)) if shares else 0.0


def _plane(plane: Plane, window: tuple[float, float], least: float, voxel: float, unit: str) -> dict[str, Any]:
    rows, cols = plane.image.shape
    shown: dict[str, Any] = {
        "name": plane.name,
        "across": plane.across,
        "down": plane.down,
        "aspect": round(cols / rows, 4),
        "size": f"{number(cols * voxel)} × {number(rows * voxel)} {unit}",
        "image": png_uri(_levels(shrink(plane.image, PIXELS), *window), GREY),
    }
    if plane.labels is None or plane.measured is None:
        return shown
    low, high = float(plane.measured.min()), float(plane.measured.max())
    counts = {kind: int((plane.labels == kind).sum()) for kind in (Provenance.MEASURED, Provenance.UNDETERMINED)}
    return shown | {
        "labels": png_uri(np.ascontiguousarray(plane.labels), _ink()),
        "words": ", ".join(f"{count} voxels {kind.name.lower()}" for kind, count in counts.items()),
        "map": png_uri(_levels(plane.measured, least, 1.0), blend()),
        "range": f"Between {100 * low:.3g} % and {100 * high:.3g} %.",
    }


def _levels(values: Float[np.ndarray, "row col"], low: float, high: float) -> NDArray[np.uint8]:
    return np.round(255 * np.clip((values - low) / (high - low), 0.0, 1.0)).astype(np.uint8)


def _ink() -> NDArray[np.uint8]:
    """Return the colours of the codes of provenance, clear where there is no surface."""
    palette = np.zeros((256, 4), dtype=np.uint8)
    for kind in KINDS:
        palette[kind] = [*(int(COLOURS[kind][k : k + 2], 16) for k in (1, 3, 5)), 255]
    return palette


def _scan_rows(result: VolumeResult) -> tuple[facts.Node, ...]:
    source = {"file": _title(result), "format": result.source.format, "SHA-256": result.source.sha256 or "not recorded"}
    fields = {"data SHA-256": result.fingerprint, "geometry": result.geometry.to_dict(), "grid": result.grid.to_dict()}
    metadata = {"metadata of the file": result.source.metadata} if result.source.metadata else {}
    return facts.nodes(source | fields | metadata)

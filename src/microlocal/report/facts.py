"""The words and numbers of the page: headline, tiles, tables, versions and bibliography."""

import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch

from microlocal.certificates.base import Certificate
from microlocal.certificates.consistency import CLAIM
from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import FanBeam, Geometry
from microlocal.core.grid import Grid
from microlocal.core.provenance import Provenance
from microlocal.core.references import REFERENCES, bibtex, citation
from microlocal.core.scan import SLICE, Scan
from microlocal.reconstruction.result import Reconstruction
from microlocal.reconstruction.verdict import WHY
from microlocal.report.payload import Stack
from microlocal.report.svg import number
from microlocal.wavefront.lengths import edge_shares

COARSE_DEG = 5.0  # views that are farther apart than this are called few
LONG = 12  # numbers in a row that are summed up as "721 numbers, first … last"


@dataclass(frozen=True)
class Node:
    """A row of a nested table: a key with a value, or with rows of its own."""

    key: str
    value: str = ""
    children: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Tile:
    """A key number: what it is, the value, and a word about it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Citation:
    """A cited work: its key, and its short form (the key itself where the bibliography lacks it)."""

    key: str
    short: str


def file_name(scan: Scan) -> str:
    """Return the name of the scan's file without its folders, which are nobody's business."""
    return PureWindowsPath(PurePosixPath(scan.source.path).name).name or "scan in memory"


def heading(scan: Scan) -> str:
    """Return the name of the scan's file, and which slice of it was taken."""
    taken = str(scan.source.metadata.get(SLICE, ""))
    return file_name(scan) + (f", slice{'s' * (' ' in taken)} {taken}" if taken else "")


def relative_residual(stack: Stack) -> float:
    """Return |R f - g| / |g| over all data."""
    data = float(torch.linalg.vector_norm(stack.result.scan.data.double()))
    return float(torch.linalg.vector_norm(stack.result.residual.double())) / data if data > 0 else math.nan


def summary(stack: Stack, central: float) -> str:
    """Return what a reader should know first, in one or two sentences; ``central`` is measured at the centre."""
    shares = edge_shares(stack.edges)
    seen = f"At the centre of the image this scan measures {_percent(central)} of all edge directions."
    if not shares:
        return f"{seen} No edge was found in the reconstruction."
    parts = [f"{_percent(shares[Provenance.MEASURED])} are measured"]
    if shares[Provenance.LEARNED]:
        parts.append(f"{_percent(shares[Provenance.LEARNED])} are learned")
    if shares[Provenance.UNDETERMINED]:
        rest = _percent(shares[Provenance.UNDETERMINED])
        parts.append(f"{rest} are undetermined: there the method decided, not the data")
    listed = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    return f"{seen} Of the length of all edges found, {listed}."


def coarse_views(geometry: Geometry, grid: Grid) -> str:
    """Return the caution about views that are far apart, empty where they are close.

    An object of radius r needs views that are no more than d / r apart where details of size d are to be told.
    """
    angles = np.unique(np.round(geometry.angles, 9))
    steps, middles = np.diff(angles), (angles[1:] + angles[:-1]) / 2
    covered = np.any([(middles > first) & (middles < last) for first, last in geometry.arcs()], axis=0)
    step = float(np.max(steps[covered], initial=0.0))
    if math.degrees(step) <= COARSE_DEG + 1e-6:
        return ""
    left, right, low, high = grid.extent
    detail = number(step * max(right - left, high - low) / 2, 2)
    return (
        f"The views are up to {round(math.degrees(step), 1):g}° apart. What lies between two of them counts as "
        f"measured, but details finer than about {detail} {grid.unit} far from the middle can be streaks."
    )


def network_sentence(result: Reconstruction) -> str:
    """Return what was learned, and why a network was used or not; empty for methods that have none."""
    why = str(result.config.get(WHY, ""))
    if result.learned is None:
        return why
    size = float(result.learned.double().norm() / result.image.double().norm().clamp_min(1e-300))
    drew = edge_shares(to_numpy(result.edges)).get(Provenance.LEARNED, 0.0)
    shares = f"{100 * size:.0f}\u00a0% of the image and draws {100 * drew:.0f}\u00a0% of the edges"
    what = f"what it added amounts to {shares}"
    return f"{why.rstrip('.')}; {what}." if why else f"A network took part: {what}."


def consistency(result: Reconstruction) -> Certificate | None:
    """Return the certificate that what was learned does not contradict the measurement, None without one."""
    return next((c for c in result.certificates if c.claim == CLAIM), None)


def tiles(stack: Stack, covered_deg: float, period_deg: float) -> list[Tile]:
    """Return the key numbers of the scan and its reconstruction."""
    scan, geometry, grid = stack.result.scan, stack.result.scan.geometry, stack.result.scan.grid
    views, pixels = geometry.shape
    slices = f", {stack.image.shape[0]} slices" if scan.data.ndim > 2 else ""
    found = [
        Tile("Grid", f"{grid.shape[0]} × {grid.shape[1]}", f"rows × columns{slices}"),
        Tile("Pixel", f"{number(grid.pixel)} {grid.unit}", f"image {_extent(stack)}"),
        Tile("Views", str(views), f"{pixels} detector pixels"),
        Tile("Arc", f"{round(covered_deg, 1):g}°", f"of {period_deg:.0f}°, {beam(geometry)}"),
        Tile("Residual", _percent(relative_residual(stack)), "|R f − g| / |g|"),
    ]
    if "seconds" in stack.result.metrics:
        found.append(Tile("Time", f"{number(round(stack.result.metrics['seconds'], 2))} s", "to reconstruct"))
    return found


def beam(geometry: Geometry) -> str:
    """Return the kind of beam in words."""
    return "fan beam" if isinstance(geometry, FanBeam) else "parallel beam"


def scan_table(scan: Scan) -> tuple[Node, ...]:
    """Return where the data came from and how they were measured, as rows."""
    geometry = scan.geometry.to_dict()
    source = {"file": file_name(scan), "format": scan.source.format, "SHA-256": scan.source.sha256 or "not recorded"}
    fields = {"data shape": list(scan.data.shape), "geometry": geometry, "grid": scan.grid.to_dict()}
    metadata = {"metadata of the file": scan.source.metadata} if scan.source.metadata else {}
    return nodes(source | fields | metadata)


def nodes(value: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return a mapping as rows of a nested table; long rows of numbers are summed up."""
    return tuple(_node(str(key), item) for key, item in value.items())


def versions() -> tuple[Node, ...]:
    """Return the versions that made the page."""
    try:
        own = importlib.metadata.version("microlocal")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return nodes(
        {
            "microlocal": own,
            "Python": platform.python_version(),
            "PyTorch": str(torch.__version__),
            "NumPy": str(np.__version__),
            "system": f"{platform.system()} {platform.machine()}",
        }
    )


def metric_rows(found: Sequence[Stack], *, held_out: bool) -> list[tuple[str, list[str]]]:
    """Return a row of values, one for each reconstruction, for the metrics that are (or are not) of held-out views."""
    names = dict.fromkeys(name for s in found for name in s.result.metrics)
    chosen = [name for name in names if name.startswith("hold-out") == held_out]
    return [
        (name, [number(s.result.metrics[name]) if name in s.result.metrics else "–" for s in found]) for name in chosen
    ]


def cited(results: Sequence[Reconstruction]) -> list[Citation]:
    """Return every work that the reconstructions and their certificates cite, each once."""
    keys = dict.fromkeys(k for r in results for k in (*r.references, *(c.reference for c in r.certificates)) if k)
    return [Citation(key, short_citation(key)) for key in sorted(keys)]


def short_citation(key: str) -> str:
    """Return "Joseph 1982" for a key of the bibliography, the key itself otherwise."""
    return citation(key) if key in REFERENCES else key


def cited_bibtex(works: Sequence[Citation]) -> str:
    """Return the BibTeX of the cited works that the bibliography has."""
    return bibtex(work.key for work in works if work.key in REFERENCES)


def _node(key: str, value: Any, depth: int = 0) -> Node:
    if isinstance(value, Mapping) and value and depth < 6:
        return Node(key, children=tuple(_node(str(k), v, depth + 1) for k, v in value.items()))
    if isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value) and depth < 6:
        return Node(key, children=tuple(_node(str(k), v, depth + 1) for k, v in enumerate(value)))
    return Node(key, _plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return number(value)
    if isinstance(value, np.ndarray | torch.Tensor):
        return _plain(value.tolist()) if value.ndim <= 1 else f"array {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        if len(value) > LONG and all(isinstance(v, int | float) for v in value):
            return f"{len(value)} numbers, {_plain(value[0])} … {_plain(value[-1])}"
        return ", ".join(_plain(v) for v in value) or "–"
    text = str(value)
    return text if len(text) <= 600 else f"{text[:600]}… ({len(text)} characters)"


def _extent(stack: Stack) -> str:
    left, right, low, high = stack.result.scan.grid.extent
    return f"{number(round(right - left, 6))} × {number(round(high - low, 6))} {stack.result.scan.grid.unit}"


def _percent(fraction: float) -> str:
    if not math.isfinite(fraction):
        return "–"
    return f"{100 * fraction:.3g}\u00a0%" if fraction < 1 else f"{100 * fraction:.0f}\u00a0%"

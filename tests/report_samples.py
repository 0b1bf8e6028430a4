"""Small reconstructions made of formulas, for the tests of the report: no solver, every field filled."""

import math
from typing import Any

import numpy as np
import torch

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.consistency import CLAIM
from microlocal.core import Detector, FanBeam, Geometry, Grid, ParallelBeam, Scan, Source
from microlocal.core.provenance import Provenance
from microlocal.data.phantoms import Ellipse, image, sinogram
from microlocal.reconstruction.result import Reconstruction
from microlocal.reconstruction.verdict import WHY
from microlocal.wavefront import is_measured, measured_fraction

NASTY = "<script>alert(1)<!--&amp;.mat"


def parallel(arc: float = 90.0, first: float = 0.0) -> ParallelBeam:
    """A parallel beam of 2 degree steps over ``arc`` degrees."""
    return ParallelBeam(_angles(first, arc, 2.0), Detector(70, 1.0))


def fan(arc: float = 120.0) -> FanBeam:
    """A fan beam of 3 degree steps over ``arc`` degrees."""
    return FanBeam(_angles(0.0, arc, 3.0), Detector(80, 1.6), source_axis=150.0, source_detector=240.0)


def _angles(first: float, arc: float, step: float) -> tuple[float, ...]:
    return tuple(math.radians(a) for a in np.arange(first, first + arc, step))


def _disc_edges(geometry: Geometry, grid: Grid, radius: float) -> torch.Tensor:
    """The outline of a disc about the origin, labelled by theory: the normal at angle φ is φ."""
    x, y = np.meshgrid(*grid.coordinates())
    ring = np.abs(np.hypot(x, y) - radius) < 0.6 * grid.pixel
    measured = is_measured(geometry, x, y, np.arctan2(y, x))
    codes = np.where(measured, int(Provenance.MEASURED), int(Provenance.UNDETERMINED))
    return torch.from_numpy(np.where(ring, codes, int(Provenance.NONE)).astype(np.uint8))


def reconstruction(
    geometry: Geometry | None = None,
    *,
    method: str = "tv",
    slices: int = 0,
    size: int = 64,
    blur: float = 0.0,
    learned: bool = False,
    name: str = NASTY,
    **changes: Any,
) -> Reconstruction:
    """A disc with a hole, ``slices`` times (no batch axis for 0); ``changes`` replace fields."""
    geometry = geometry or parallel()
    grid = Grid((size, size), 64.0 / size)
    shapes = [[Ellipse(0.05, (20.0, 20.0)), Ellipse(-0.03, (4.0, 6.0), (3.0 + 2 * k, 5.0))] for k in range(slices or 1)]
    draw = np.random.default_rng(7)
    clean = torch.from_numpy(np.stack([sinogram(s, geometry) for s in shapes]))
    noise = torch.from_numpy(0.01 * draw.standard_normal(clean.shape))
    pictures = torch.from_numpy(np.stack([image(s, grid, 2) for s in shapes])) * (1 - blur)
    edges = _disc_edges(geometry, grid, 20.0).expand(pictures.shape).clone()
    network: dict[str, Any] = {}
    if learned:
        network = _network(pictures, edges, size)
    provenance = torch.full_like(edges, int(Provenance.MEASURED))
    provenance[..., : size // 4, :] = int(Provenance.UNDETERMINED)
    batched = (clean + noise, noise, pictures, edges, provenance)
    data, residual, pictures, edges, provenance = (t if slices else t[0] for t in batched)
    network = {name: value if slices else value[0] for name, value in network.items()}
    fields: dict[str, Any] = {
        "image": pictures.float(),
        "scan": Scan(data.float(), geometry, grid, _source(name), ("3 dead pixels <were> interpolated.",)),
        "method": method,
        "provenance": provenance,
        "edges": edges,
        "measured_directions": measured_fraction(geometry, grid),
        "residual": -residual.float(),
        "certificates": _certificates(),
        "history": {"iteration": [10.0, 20.0, 30.0], "residual": [0.5, 0.05, 0.01], "gain": [1.0, -0.5, 0.2]},
        "metrics": {"seconds": 1.25, "noise per ray": 0.01, "hold-out views": 3.0, "hold-out error": 0.034},
        "config": {"weight": 1e-5, "nested": {"deep": {"deeper": True}}, "long": list(range(40)), "<b>": "</td>"},
        "notes": ("The weight was chosen by the <discrepancy> principle.",),
        "references": ("joseph1982", "rudin1992", "unknown-key"),
    }
    if learned:
        fields["config"][WHY] = "The network <tiny> completed the image: the scan is like those it was trained on."
        fields["certificates"] += (Certificate(CLAIM, Kind.BOUNDED, 0.021, 0.05, (), "schwab2019"),)
    return Reconstruction(**(fields | network | changes))


def _network(pictures: torch.Tensor, edges: torch.Tensor, size: int) -> dict[str, Any]:
    """A square that a network drew: it is in f and not in f*, whose edges are undetermined there in one row."""
    before = edges.clone()
    rows = slice(30 * size // 64, 34 * size // 64)
    edges[..., rows, rows] = int(Provenance.LEARNED)
    before[..., rows.start, rows] = int(Provenance.UNDETERMINED)
    added = torch.zeros_like(pictures)
    added[..., rows, rows] = 0.02
    pictures += added
    return {"learned": added.float(), "edges_visible": before}


def _source(name: str) -> Source:
    metadata = {"operator": "<img src=x onerror=alert(2)>", "note": "</script><script>alert(3)</script>"}
    return Source(f"/home/someone/private/{name}", "helsinki-mat", "ab" * 32, metadata)


def _certificates() -> tuple[Certificate, ...]:
    kept = (Hypothesis("weights are shared", "gap 0", True),)
    broken = (Hypothesis("noise is white", "autocorrelation 0.4", False),)
    return (
        Certificate("The adjoint is exact.", Kind.PROVED, 1e-15, 1e-10, kept, "joseph1982"),
        Certificate("The norm is bounded.", Kind.BOUNDED, 3.0, 3.5, (), "horn1985"),
        Certificate("The residual is <noise>.", Kind.ESTIMATED, 0.5, 0.1, broken, "morozov1966"),
    )

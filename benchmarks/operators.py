"""Adjoint gaps, projector accuracy against closed-form ellipses, shearlet identities."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.table import Row, at_most
from microlocal.certificates.operators import adjoint_gap
from microlocal.core import Detector, FanBeam, Geometry, Grid, ParallelBeam
from microlocal.core.seeding import generator
from microlocal.data import phantoms
from microlocal.frames import ShearletFrame
from microlocal.operators import RayTransform

SHAPES = [(64, 64), (63, 65), (50, 97), (101, 40)]
SHEPP_LOGAN_RADIUS = 0.95
DISC = [phantoms.Ellipse(1.0, (0.5, 0.5), (0.2, -0.1), 0.0)]
ELLIPSES = [
    phantoms.Ellipse(1.0, (0.7, 0.5), (0.05, -0.1), 0.4),
    phantoms.Ellipse(-0.4, (0.2, 0.3), (-0.2, 0.1), 1.0),
    phantoms.Ellipse(0.5, (0.1, 0.1), (0.3, -0.2), 0.0),
]


def _geometries(views: int, pixels: int, width: float) -> dict[str, Geometry]:
    parallel = ParallelBeam(tuple(np.arange(views) * math.pi / views), Detector(pixels, width / pixels))
    turns = tuple(np.arange(views) * 2 * math.pi / views)
    fan = FanBeam(turns, Detector(pixels, 1.7 * width / pixels), source_axis=5.0, source_detector=8.0)
    return {"parallel": parallel, "fan": fan}


def adjoints() -> list[Row]:
    """Worst normalised adjoint gap over odd, even and non-square sizes."""
    rows = []
    for name in ("parallel", "fan"):
        operators = [RayTransform(_geometries(40, 77, 2.2)[name], Grid(shape, 2.0 / max(shape))) for shape in SHAPES]
        for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            worst = max(adjoint_gap(op, seed=1, pairs=3, dtype=dtype) for op in operators)
            sizes = ", ".join("x".join(map(str, s)) for s in SHAPES)
            rows.append(at_most(f"adjoint gap, {name}, {str(dtype)[6:]}", f"noise, {sizes}, seed 1", worst, limit))
    return rows


def projector_error(name: str, n: int, shapes: Sequence[phantoms.Ellipse], parts: int = 1) -> float:
    """Return the relative L2 error of projecting the rasterised shapes, against their exact line integrals.

    With ``parts`` > 1 the exact values are averaged over that many points of each detector pixel, as a detector does.
    """
    geometry, grid = _geometries(180, n, 2.0)[name], Grid((n, n), 2.0 / n)
    detector = geometry.detector
    fine = replace(geometry, detector=replace(detector, count=parts * n, pitch=detector.pitch / parts))
    exact = phantoms.sinogram(shapes, fine).reshape(180, n, parts).mean(axis=-1)
    made = RayTransform(geometry, grid)(torch.from_numpy(phantoms.image(shapes, grid))).numpy()
    return float(np.linalg.norm(made - exact) / np.linalg.norm(exact))


def projectors() -> list[Row]:
    """Error at 256 and how it falls: order one in L2 for objects with edges.

    The Shepp-Logan head is harder, for its skull is six pixels thin: its rows are there to be known.
    """
    rows, where = [], "256², 180 views, exact values at pixel centres"
    head = phantoms.shepp_logan(SHEPP_LOGAN_RADIUS)
    for name in ("parallel", "fan"):
        for what, shapes in (("disc", DISC), ("three ellipses", ELLIPSES)):
            error = projector_error(name, 256, shapes)
            rows.append(at_most(f"projector error, {name}, {what}", where, error, 0.01, "{:.4f}"))
        errors = {n: projector_error(name, n, ELLIPSES) for n in (64, 128, 256, 512)}
        order = math.log2(errors[64] / errors[512]) / 3
        falls = "ellipses, 64² to 512²: " + ", ".join(f"{100 * e:.2f} %" for e in errors.values())
        rows.append(Row(f"order of the error, {name}", falls, "about 1", f"{order:.2f}", 0.7 < order < 1.4))
        points, means = (f"{projector_error(name, 256, head, parts):.4f}" for parts in (1, 4))
        reached = f"{points}; {means} where detector pixels average over their width"
        rows.append(Row(f"projector error, {name}, Shepp-Logan", where, "", reached, None))
    return rows


def shearlets() -> list[Row]:
    """Reconstruction and frame bounds over odd, even and non-square sizes."""
    gaps, bounds = [], []
    for shape in [(512, 512), *SHAPES]:
        frame = ShearletFrame(shape)
        x = torch.randn(shape, dtype=torch.float64, generator=generator(0))
        gaps.append(float((frame.adjoint(frame(x)) - x).norm() / x.norm()))
        bounds.append(max(abs(1 - b) for b in frame.bounds()))
    where = "noise, 512x512 and " + ", ".join("x".join(map(str, s)) for s in SHAPES) + ", seed 0"
    return [
        at_most("shearlets: ‖x − SH* SH x‖ / ‖x‖, float64", where, max(gaps), 1e-12),
        at_most("shearlets: frame bounds' distance from 1", where, max(bounds), 1e-12),
    ]


def suite() -> list[Row]:
    """All rows of operators and frames."""
    return [*adjoints(), *projectors(), *shearlets()]

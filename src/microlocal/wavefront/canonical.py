"""The canonical relation of the ray transform: which edge of the image makes which edge of the data.

A point (x, y) traces a curve u(t) through the data. With p = x cos t + y sin t along the detector axis,
q = -x sin t + y cos t along the central ray, the curvature κ = 1/R of the source's orbit (κ = 0: parallel beam) and
the magnification M = D/R,

    u = M p / (1 + κ q),    du/dt = M (q (1 + κ q) + κ p²) / (1 + κ q)²

on a flat detector; on an arc of radius D around the source u = D γ with D tan γ the flat coordinate, and du/dt is
cos² γ times the flat one.

An edge at (x, y) with normal (cos φ, sin φ) is seen by the line (φ, s = x cos φ + y sin φ) that is tangent to it, and
appears in the data as an edge at that line's (t, u), tangent to the curve: its conormal is (-du/dt, 1). The relation
is one to one between (x, y, φ modulo π) and (t, u, du/dt), up to the two names (φ, s), (φ + π, -s) of a line, which
a fan beam sees from opposite sides (Quinto, SIAM J. Math. Anal. 24, 1993).
"""

import math
from typing import NamedTuple

import numpy as np

from microlocal.core.errors import GeometryError, InputError
from microlocal.core.geometry import Array, FanBeam, Geometry, ParallelBeam
from microlocal.wavefront.arcs import TURN, in_arcs, merged_arcs


class DataSingularity(NamedTuple):
    """An edge in the data: at view ``angle_rad`` and detector coordinate ``u``, running along (1, ``slope``) in (t, u).

    ``measured`` tells whether the scan has that view and the detector reaches that far.
    """

    angle_rad: float
    u: float
    slope: float
    measured: bool


class ImageSingularity(NamedTuple):
    """An edge in the image: the point (``x``, ``y``) and the direction of its normal, in [0, π)."""

    x: float
    y: float
    normal_rad: float


def orbit_curvature(geometry: Geometry) -> float:
    """Return κ = 1/R of the source's orbit in 1/unit, 0 for parallel rays; GeometryError for other geometries."""
    if isinstance(geometry, FanBeam):
        return 1 / geometry.source_axis
    if isinstance(geometry, ParallelBeam):
        return 0.0
    raise GeometryError(
        "wavefront",
        expected="ParallelBeam or FanBeam",
        got=type(geometry).__name__,
        do="Add the curvature of the source's orbit to wavefront.canonical.orbit_curvature.",
    )


def traced_curve(geometry: Geometry, x: Array, y: Array, angle_rad: Array) -> tuple[Array, Array]:
    """Return u and du/dt of the curve that the point (x, y) traces in the data, at the views ``angle_rad``.

    Lengths in the geometry's unit, arguments broadcast. Both are nan at views whose source the point lies behind.
    """
    kappa, magnification = orbit_curvature(geometry), geometry.magnification
    p = x * np.cos(angle_rad) + y * np.sin(angle_rad)
    q = -x * np.sin(angle_rad) + y * np.cos(angle_rad)
    depth = np.where(1 + kappa * q > 0, 1 + kappa * q, np.nan)
    u, slope = magnification * p / depth, magnification * (q * depth + kappa * p**2) / depth**2
    if isinstance(geometry, FanBeam) and geometry.curved:
        gamma = np.arctan(u / geometry.source_detector)
        return geometry.landing(gamma), slope * np.cos(gamma) ** 2
    return u, slope


def data_singularity(geometry: Geometry, point: tuple[float, float], normal_rad: float) -> list[DataSingularity]:
    """Return where an edge at ``point`` with this normal appears in the data: up to two places, measured or not.

    The edge is stably determined iff one of them is measured. Angles are the ones nearest above the first view.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam((0.0, 0.1), Detector(9, 1.0))
    >>> edges = data_singularity(beam, (2.0, 3.0), 0.0)
    >>> [(round(e.angle_rad, 3), round(e.u, 9), round(e.slope, 9), e.measured) for e in edges]
    [(0.0, 2.0, 3.0, True), (3.142, -2.0, -3.0, False)]
    """
    x, y = point
    arcs, first = merged_arcs(geometry), geometry.arcs()[0][0]
    low, high = geometry.detector.edges
    found = []
    for phi in (normal_rad, normal_rad + math.pi):
        s = x * math.cos(phi) + y * math.sin(phi)
        t, _ = geometry.locate(np.asarray(phi), np.asarray(s))
        u, slope = (float(v) for v in traced_curve(geometry, np.asarray(x), np.asarray(y), t))
        if math.isfinite(u):
            angle = first + (float(t) - first) % TURN
            found.append(DataSingularity(angle, u, slope, bool(in_arcs(t, arcs)) and low <= u <= high))
    return found


def image_singularity(geometry: Geometry, angle_rad: float, u: float, slope: float) -> ImageSingularity:
    """Return the edge of the image that makes an edge at (t, u) of slope du/dt in the data.

    On the line (φ, s) of (t, u) it lies at l = c σ/(1 - κ σ) along the ray from the foot of the perpendicular, where
    c = cos γ = cos(t - φ), σ = c² slope / M (on an arc σ = slope / M).

    Raises InputError where 1 <= κ σ: no point in front of the source moves that fast across the detector.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> image_singularity(ParallelBeam((0.0,), Detector(9, 1.0)), 0.0, 2.0, 3.0)
    ImageSingularity(x=2.0, y=3.0, normal_rad=0.0)
    """
    kappa, magnification = orbit_curvature(geometry), geometry.magnification
    phi, s = (float(v) for v in geometry.lines_at(np.asarray(angle_rad), np.asarray(u)))
    c = math.cos(angle_rad - phi)
    spread = 1.0 if isinstance(geometry, FanBeam) and geometry.curved else c**2
    sigma = spread * slope / magnification
    if not (math.isfinite(sigma) and kappa * sigma < 1):
        raise InputError(
            "image_singularity",
            expected=f"slope du/dt below {magnification / (kappa * spread) if kappa else math.inf:.6g}",
            got=f"{slope:.6g}",
            do="Give the slope in length units per radian.",
        )
    along = c * sigma / (1 - kappa * sigma)
    x = s * math.cos(phi) - along * math.sin(phi)
    y = s * math.sin(phi) + along * math.cos(phi)
    # A tiny negative angle is π modulo π in floating point: reduce twice.
    return ImageSingularity(x, y, phi % math.pi % math.pi)

"""The directions that a scan measures at a point, exactly: finitely many intervals with ends in closed form.

The measured set of directions φ modulo π at x = r (cos θ, sin θ) changes only where the line through x

    leaves the detector:   s = s_e of a detector edge,    φ = θ ± arccos(s_e / r),
    leaves an arc:         t = a of an arc's end,         φ = a - arctan2(κ p, 1 + κ q)  (p, q, κ as in ``canonical``).

Between two such breaks it is measured throughout or nowhere, so that its middle decides. Nothing is sampled.
"""

import numpy as np
from numpy.typing import NDArray

from microlocal.core.geometry import Array, Geometry
from microlocal.wavefront.arcs import arc_ends, in_arcs, merged_arcs
from microlocal.wavefront.canonical import orbit_curvature


def is_measured(geometry: Geometry, x: Array | float, y: Array | float, phi: Array | float) -> NDArray[np.bool_]:
    """Return whether the scan measures the line through (x, y) with normal direction φ (radians); all broadcast.

    True iff the line, under one of its names (φ, s) and (φ + π, -s), has its view angle in ``geometry.arcs()``
    modulo 2π and its u between the detector's edges, and the point lies before the source, not behind it. By the
    theorem of ``docs/visibility.md`` this is when an edge at (x, y) with normal φ is stably determined.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam((0.0, 0.1, 0.2), Detector(9, 1.0))
    >>> is_measured(beam, 1.0, 0.0, np.array([0.1, 1.5, 0.1 + np.pi])).tolist()
    [True, False, True]
    """
    kappa, arcs = orbit_curvature(geometry), merged_arcs(geometry)
    low, high = geometry.detector.edges
    cos, sin = np.cos(phi), np.sin(phi)
    s, along = np.asarray(x * cos + y * sin), np.asarray(y * cos - x * sin)
    found = np.zeros(np.broadcast_shapes(s.shape, np.shape(phi)), dtype=bool)
    for half_turn, sign in ((0.0, 1.0), (np.pi, -1.0)):
        t, u = geometry.locate(np.asarray(phi) + half_turn, sign * s)
        # The source lies at -R cos γ along the ray: the point is before it iff κ l > -cos γ. NaN compares False.
        before = kappa * sign * along > -np.sqrt(np.maximum(1 - (kappa * s) ** 2, 0.0)) if kappa else True
        found |= (u >= low) & (u <= high) & before & in_arcs(t, arcs)
    return found


def direction_breaks(geometry: Geometry, x: Array, y: Array) -> Array:
    """Return the sorted directions (break, *point) in [0, π], 0 and π among them, where being measured can change."""
    kappa = orbit_curvature(geometry)
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    radius, theta = np.hypot(x, y), np.arctan2(y, x)
    _, edge_s = geometry.lines_at(np.zeros(2), np.asarray(geometry.detector.edges))
    breaks = [np.zeros(x.shape)]
    for s in edge_s:
        if not (radius > abs(s)).any():
            continue  # no circle through a point meets the edge: the detector covers them all
        # A line that the whole circle of radius r stays inside (or outside) of has no break: clipping adds a vain one.
        ratio = np.divide(s, radius, out=np.ones(x.shape), where=radius > abs(s))
        spread = np.arccos(ratio)
        breaks += [theta + spread, theta - spread]
    for end in arc_ends(geometry):
        p, q = x * np.cos(end) + y * np.sin(end), y * np.cos(end) - x * np.sin(end)
        breaks.append(end - np.arctan2(kappa * p, 1 + kappa * q))
    ordered = np.sort(np.stack(breaks) % np.pi, axis=0)
    return np.concatenate([ordered, np.full((1, *x.shape), np.pi)])


def direction_segments(geometry: Geometry, x: Array, y: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the breaks (segment + 1, *point) of [0, π] and whether each segment between them is measured."""
    breaks = direction_breaks(geometry, x, y)
    return breaks, is_measured(geometry, x, y, (breaks[1:] + breaks[:-1]) / 2)


def position_free(geometry: Geometry, radius: float) -> bool:
    """Return whether the measured directions are the same at every point within ``radius`` of the axis.

    So it is when the detector covers that disc in every view and either the rays are parallel or the views close a
    full turn.
    """
    _, (low, high) = geometry.lines_at(np.zeros(2), np.asarray(geometry.detector.edges))
    covered = radius <= min(-low, high)
    return covered and (orbit_curvature(geometry) == 0 or arc_ends(geometry).size == 0)

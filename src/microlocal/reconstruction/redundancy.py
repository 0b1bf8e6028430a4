"""How much each datum counts in a filtered backprojection: its share of a line, and the step of its view.

A line (φ, s) seen by view t at u may be seen again, as (φ + π, -s), by view t' at u'. Shares add up to one:

    w = c(t, u) / (c(t, u) + c(t', u')),    c = sin²(π/2 min(1, a/10°)) sin²(π/2 min(1, b/m))

where a is how far t lies inside its arc and b how far u lies from the nearer end of the detector; c = 0 where nothing
is measured. So a datum fades in where the second measurement of its line begins, and nothing jumps:

    short scan (π + fan angle):  the weights of Parker, for any longer arc those of Silver's kind;
    offset detector:             the weights of Wang, over the outer half m of what is seen twice;
    full turn, half turn:        w = 1/2 or 1.

References: Parker, Med. Phys. 9 (1982); Silver, Med. Phys. 27 (2000); Wang, Med. Phys. 29 (2002).
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from microlocal.core.geometry import Array, Geometry, outer_step, usual_gap

# Over this angle a view fades in at the end of its arc.
FADE_RAD = math.radians(10.0)


@lru_cache(maxsize=8)
def redundancy(geometry: Geometry) -> Float[np.ndarray, "angle detector"]:
    """Return the share w in (0, 1] of every datum in its line: w + w' = 1 with its opposite. Read-only.

    >>> from microlocal.core.geometry import Detector, ParallelBeam
    >>> turn = tuple(np.radians(np.arange(0.0, 360.0, 30.0)))
    >>> set(redundancy(ParallelBeam(turn, Detector(3, 1.0))).ravel().tolist())
    {0.5}
    """
    u = geometry.detector.positions()
    # Where the opposite view stands does not depend on the view: a geometry turns as a whole.
    phi, s = geometry.lines_at(np.zeros_like(u), u)
    ahead, partner = geometry.locate(phi + math.pi, -s)
    own = _arc_depth(geometry, geometry.angles[:, None]) * _side_depth(geometry, u)
    other = _arc_depth(geometry, geometry.angles[:, None] + ahead) * _side_depth(geometry, partner)
    share = np.ascontiguousarray(np.broadcast_to(own / (own + other), geometry.shape))
    share.flags.writeable = False
    return share


def view_steps(geometry: Geometry) -> Float[np.ndarray, "angle"]:
    """Return Δt of every view: half the way to both neighbours; at the ends of arcs half a step beyond.

    That is the step of the views near to the end (``outer_step``), as the arc's other part may be sparser.
    Where a view is measured twice (modulo a full turn), the two share its step.
    """
    angles = geometry.angles % (2 * math.pi)
    unique, inverse, counts = np.unique(np.round(angles, 9), return_inverse=True, return_counts=True)
    if unique.size == 1:
        return np.full(angles.size, math.pi / angles.size)
    gaps = np.diff(unique, append=unique[0] + 2 * math.pi)
    if unique.size == 2:  # the median of two gaps is no step
        step = math.pi if _goes_around(geometry) else gaps.min()
        return np.asarray((step / counts)[inverse])
    usual, longest = usual_gap(gaps)
    ends = np.flatnonzero(gaps > longest)
    after, before = gaps.copy(), np.roll(gaps, 1)
    for last, first in zip(ends, (np.roll(ends, 1) + 1) % unique.size, strict=True):
        inner = gaps[(first + np.arange((last - first) % unique.size)) % unique.size]
        after[last] = outer_step(unique, unique[last], inner[::-1], usual)
        before[first] = outer_step(-unique, -unique[first], inner, usual)
    steps = (before + after) / 2
    return np.asarray((steps / counts)[inverse])


def _arc_depth(geometry: Geometry, angle: Array) -> Array:
    """Return how far inside its arc an angle lies: 0 outside of every arc, 1 from ``FADE_RAD`` inwards, smooth."""
    if _goes_around(geometry):
        return np.ones((1, 1))
    inside = np.zeros(np.shape(angle))
    for first, last in geometry.arcs():
        behind = (angle - first) % (2 * math.pi)
        inside = np.maximum(inside, np.minimum(behind, (last - first) - behind))
    return _fade(inside / FADE_RAD)


def _goes_around(geometry: Geometry) -> bool:
    return any(last - first >= 2 * math.pi - 1e-9 for first, last in geometry.arcs())


def _side_depth(geometry: Geometry, u: Array) -> Array:
    """Return how far inside the detector's nearer end u lies: 0 beyond the detector, 1 from half the overlap inwards.

    The middle of a centred detector counts as far as its ends do: both measurements of a line reach equally far.
    """
    low, high = geometry.detector.edges
    seen = (u >= low) & (u <= high)
    overlap = min(-low, high)
    if overlap <= 0 or high + low == 0:
        return seen.astype(np.float64)
    to_end = u - low if -low < high else high - u
    return np.where(seen, _fade(2 * np.where(seen, to_end, 0.0) / overlap), 0.0)


def _fade(depth: Array) -> Array:
    return np.asarray(np.sin(np.pi / 2 * np.clip(depth, 0.0, 1.0)) ** 2)

"""Sets of view angles on the circle: the measured arcs, joined where they touch modulo 2π."""

import numpy as np
from numpy.typing import NDArray

from microlocal.core.geometry import Array, Geometry

TURN = 2 * np.pi
# Geometry.arcs rounds view angles to 1e-9 rad; arcs closer than this touch.
TOUCH = 1e-8


def merged_arcs(geometry: Geometry) -> Array:
    """Return the measured views as disjoint intervals (arc, 2) in radians, repeated so that they cover [0, 2π].

    Each arc of ``geometry.arcs()`` appears at -2π, 0 and +2π of its place, and those that touch are one: an angle t
    is measured iff t modulo 2π lies in one of the intervals.
    """
    placed = [
        (first % TURN + shift, first % TURN + last - first + shift)
        for first, last in geometry.arcs()
        for shift in (-TURN, 0.0, TURN)
    ]
    merged: list[list[float]] = []
    for first, last in sorted(placed):
        if merged and first <= merged[-1][1] + TOUCH:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return np.asarray(merged)


def arc_ends(geometry: Geometry) -> Array:
    """Return where the measured views begin and end, in [0, 2π), each once; none for a full turn."""
    ends = merged_arcs(geometry).ravel()
    return ends[(ends >= 0) & (ends < TURN)]


def in_arcs(angle_rad: Array, arcs: Array) -> NDArray[np.bool_]:
    """Return whether each angle lies in the intervals of ``merged_arcs``, ends included."""
    angle = (angle_rad + TOUCH) % TURN - TOUCH
    index = np.searchsorted(arcs[:, 0] - TOUCH, angle, side="right") - 1
    return (index >= 0) & (angle <= arcs[np.maximum(index, 0), 1] + TOUCH)

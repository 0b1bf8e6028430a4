"""Exact integrals of polygons: along lines, and over pixels. Array functions, compiled.

A line {n·p = s} with tangent τ meets the edges of a polygon at parameters t_j. With -1 where an edge crosses to the
side n·p > s and +1 where it crosses back, Σ ±F(t_j) is the integral of f along the chords when F' = f, however many;
the share of a pixel that a polygon covers is, by Green, the sum over its edges of the area to their right.
"""

import numpy as np
from jaxtyping import Float
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _antiderivative(t: float, cos: float, sin: float, s: float, plane: Array, waves: Array) -> float:
    """F(t) of value + slope·p + Σ a cos(k·p + c) along p = s n + t τ."""
    value = plane[0] + s * (plane[1] * cos + plane[2] * sin)
    total = value * t + 0.5 * (plane[2] * cos - plane[1] * sin) * t * t
    for j in range(waves.shape[0]):
        kx, ky, phase, height = waves[j]
        along = ky * cos - kx * sin
        offset = s * (kx * cos + ky * sin) + phase
        if abs(along * t) < 1e-7:
            total += height * t * np.cos(offset)
        else:
            total += height * (np.sin(offset + along * t) - np.sin(offset)) / along
    return total


@njit(cache=True, nogil=True)
def line_integrals(
    phi: Float[np.ndarray, " ray"],
    s: Float[np.ndarray, " ray"],
    points: Float[np.ndarray, "vertex 2"],
    plane: Float[np.ndarray, "3"],
    waves: Float[np.ndarray, "wave 4"],
) -> Float[np.ndarray, " ray"]:
    """Return the integral over every line of plane[0] + plane[1:]·p + waves (kx, ky, phase, height) in a polygon.

    ``points`` run counter-clockwise, relative to the origin of the plane and the waves.
    """
    out = np.zeros(phi.size)
    count = points.shape[0]
    reach = 0.0
    for i in range(count):
        reach = max(reach, points[i, 0] ** 2 + points[i, 1] ** 2)
    for ray in range(phi.size):
        if s[ray] * s[ray] > reach:
            continue
        cos, sin, total = np.cos(phi[ray]), np.sin(phi[ray]), 0.0
        x, y = points[count - 1]
        before = x * cos + y * sin - s[ray]
        for i in range(count):
            x_next, y_next = points[i]
            after = x_next * cos + y_next * sin - s[ray]
            if (before < 0) != (after < 0):
                share = before / (before - after)
                t = (y + share * (y_next - y)) * cos - (x + share * (x_next - x)) * sin
                primitive = _antiderivative(t, cos, sin, s[ray], plane, waves)
                total += primitive if after < 0 else -primitive
            x, y, before = x_next, y_next, after
        out[ray] = total
    return out


@njit(cache=True, nogil=True)
def _ramp(z: float) -> float:
    """The integral of min(max(z, 0), 1)."""
    return 0.0 if z <= 0 else (0.5 * z * z if z < 1 else z - 0.5)


@njit(cache=True, nogil=True)
def _add_piece(row: Array, first: float, last: float, height: float) -> None:
    """Add to the differences of ``row`` the area to the right of a segment within it, from column first to last."""
    low, high = min(first, last), max(first, last)
    start, stop = max(0, int(np.floor(low))), min(row.size - 1, int(np.floor(high)))
    before = 0.0
    for col in range(start, stop + 1):
        if high - low < 1e-9:
            share = min(max(col + 1 - low, 0.0), 1.0)
        else:
            share = (_ramp(col + 1 - low) - _ramp(col + 1 - high)) / (high - low)
        row[col] += height * (share - before)
        before = share
    after = max(stop + 1, start)
    if after < row.size:
        row[after] += height * (1.0 - before)


@njit(cache=True, nogil=True)
def coverage(
    col: Float[np.ndarray, " vertex"], line: Float[np.ndarray, " vertex"], rows: int, cols: int
) -> Float[np.ndarray, "row col"]:
    """Return the share of every pixel inside a polygon, its vertices in pixels from the upper left corner, exactly."""
    out = np.zeros((rows, cols))
    for i in range(col.size):
        x0, y0, x1, y1 = col[i - 1], line[i - 1], col[i], line[i]
        if y0 == y1:
            continue
        sign = 1.0 if y1 > y0 else -1.0
        top, bottom = max(min(y0, y1), 0.0), min(max(y0, y1), float(rows))
        slope = (x1 - x0) / (y1 - y0)
        for row in range(int(top), min(int(np.ceil(bottom)), rows)):
            a, b = max(top, float(row)), min(bottom, row + 1.0)
            if b > a:
                _add_piece(out[row], x0 + (a - y0) * slope, x0 + (b - y0) * slope, sign * (b - a))
    for row in range(rows):
        for c in range(1, cols):
            out[row, c] += out[row, c - 1]
    return out

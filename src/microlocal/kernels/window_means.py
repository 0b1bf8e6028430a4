"""Means over square windows by running sums: the work does not grow with the window.

Sums run in float64, over the columns of the window first and then along the row, so that what a strong structure
leaves behind after it is out of the window is rounding of float64. At the border the mean is over what lies inside.
"""

import numba
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

_OPTIONS = {"cache": True, "nogil": True}


@numba.njit(**_OPTIONS)
def _enter(column: NDArray[np.float64], row: NDArray[np.floating], square: bool) -> None:
    """Add a row, or its squares, to the sums down the columns."""
    if square:
        for c in range(row.size):
            column[c] += np.float64(row[c]) * np.float64(row[c])
    else:
        for c in range(row.size):
            column[c] += row[c]


@numba.njit(**_OPTIONS)
def _leave(column: NDArray[np.float64], row: NDArray[np.floating], square: bool) -> None:
    if square:
        for c in range(row.size):
            column[c] -= np.float64(row[c]) * np.float64(row[c])
    else:
        for c in range(row.size):
            column[c] -= row[c]


@numba.njit(**_OPTIONS)
def window_means(
    values: Float[np.ndarray, "row col"], radius: int, square: bool, out: Float[np.ndarray, "row col"]
) -> None:
    """Write the mean of ``values``, or of their squares, over (2 radius + 1)² pixels around each into ``out``."""
    rows, cols = values.shape
    column = np.zeros(cols)
    for r in range(min(radius, rows)):
        _enter(column, values[r], square)
    for r in range(rows):
        if r + radius < rows:
            _enter(column, values[r + radius], square)
        if r > radius:
            _leave(column, values[r - radius - 1], square)
        height = min(r + radius, rows - 1) - max(r - radius, 0) + 1
        total = 0.0
        for c in range(min(radius, cols)):
            total += column[c]
        for c in range(cols):
            if c + radius < cols:
                total += column[c + radius]
            if c > radius:
                total -= column[c - radius - 1]
            width = min(c + radius, cols - 1) - max(c - radius, 0) + 1
            out[r, c] = total / (height * width)


@numba.njit(**_OPTIONS)
def add_shares(
    energy: Float[np.ndarray, "row col"],
    share: Float[np.ndarray, "#row #col"],
    seen: Float[np.ndarray, "row col"],
    rest: Float[np.ndarray, "row col"],
) -> None:
    """Add share · energy to ``seen`` and (1 - share) · energy to ``rest``."""
    rows, cols = energy.shape
    down, right = int(share.shape[0] > 1), int(share.shape[1] > 1)
    for r in range(rows):
        for c in range(cols):
            part = share[r * down, c * right] * energy[r, c]
            seen[r, c] += part
            rest[r, c] += energy[r, c] - part


@numba.njit(**_OPTIONS)
def split_squares(values: Float[np.ndarray, "row col"], share: Float[np.ndarray, "#row #col"]) -> tuple[float, float]:
    """Return Σ share values² and Σ (1 - share) values², summed in float64."""
    rows, cols = values.shape
    down, right = int(share.shape[0] > 1), int(share.shape[1] > 1)
    seen = rest = 0.0
    for r in range(rows):
        for c in range(cols):
            energy = np.float64(values[r, c]) * np.float64(values[r, c])
            part = share[r * down, c * right] * energy
            seen += part
            rest += energy - part
    return seen, rest

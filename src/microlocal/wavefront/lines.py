"""Lines through the points of an edge: place, normal and curvature of each with less noise than it was found with.

Neighbours of a point lie on a piece of a circle. With L the signed length of the chord to a neighbour along the edge,
φ the angle by which the chord leaves the tangent for the normal's side, and t by how much the neighbour's normal is
turned, both counted from the point's own normal,

    L φ = b - θ L + κ L²/2,      t = θ - κ s,      s the distance along the chord that halves the turn.

b moves the point along its normal, θ turns the normal, κ is the curvature, positive where the centre lies on the side
that the normal points to. Both equations are solved at once by least squares; places weigh as much more than normals
as these are noisier, which the lines of the image tell themselves.

No width of the window is best for all lines, and none may reach around a corner. So every point is asked with several
widths, with the neighbours of both sides and of one side alone, for a circle and for a straight line. An answer weighs
by the square of its inverse risk, the variance of θ: what its window leaves unexplained times what the window makes of
that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from microlocal.core.geometry import Array

WIDTHS, TYPICAL = (2.0, 4.0, 8.0), 4.0  # standard deviations of the windows, pixels; of that for the image's noise
REACH = 3.0  # standard deviations
AT_ONCE = 4000  # points whose neighbours are held in memory
# Neighbours on one line: as far across, pixels, of alike direction.
ACROSS, ALIKE_RAD = 1.5, np.radians(35.0)
ONE_SIDE, FEWEST = 0.6, 4  # pixels by which a window of one side reaches to the other, and points in it
KNOWN = 2.0  # points with the usual noise that every window is believed to hold beside its own
ROUND = 0.01  # pixels², what κ is held at zero by where there are no neighbours
RATIO = (1e-4, 1.0)  # of the noise of normals (rad) and places (pixels), squared
Counts = NDArray[np.int64]


class Line(NamedTuple):
    """What is known of every point: ``shift`` along the normal, pixels, ``turn``, radians, ``curvature``, 1/pixel."""

    shift: Array
    turn: Array
    curvature: Array


class _Pairs(NamedTuple):
    """Points ``of`` and neighbours: the chord's ``length``, the distance ``along``, ``lift`` = L φ, ``turn`` = t."""

    points: int
    of: Counts
    length: Array
    along: Array
    lift: Array
    turn: Array

    def sums(self, values: NDArray[np.floating]) -> Array:
        """Sum over the neighbours of every point."""
        return np.asarray(np.bincount(self.of, values, self.points), dtype=np.float64)


class _Answer(NamedTuple):
    line: Array  # (point, 3): b, θ, κ
    spread: NDArray[np.floating]  # variance of θ for unit noise of normals
    unexplained: tuple[NDArray[np.floating], NDArray[np.floating]]  # mean squares of what places and normals leave


def fitted(right: Array, up: Array, normal: Array) -> Line:
    """Return shift, turn and curvature of points at (right, up), pixels, with normals in radians."""
    if right.size == 0:
        return Line(np.zeros(0), np.zeros(0), np.zeros(0))
    places = np.stack([right, up], axis=1)
    tree = cKDTree(places)
    parts = np.array_split(np.arange(right.size), -(-right.size // AT_ONCE))
    ratio, noise = _noise(
        [_pairs(tree, places, normal, part, REACH * TYPICAL) for part in parts[:: 1 + len(parts) // 8]]
    )
    reach = REACH * max(WIDTHS)
    return Line(*np.hstack([_best(_pairs(tree, places, normal, part, reach), ratio, noise) for part in parts]))


def _best(pairs: _Pairs, ratio: float, noise: float) -> Array:
    """Return shift, turn and curvature (3, point) by all windows."""
    lines, risks = [], []
    for width in WIDTHS:
        for side in (0, -1, 1):
            weight = _window(pairs, width, side)
            few = (pairs.sums(1.0 * (weight > 0.1)) < FEWEST) if side else np.zeros(pairs.points, dtype=bool)
            total = pairs.sums(weight)
            for found in _solved(pairs, weight, ratio):
                left = ratio * found.unexplained[0] + found.unexplained[1]
                left = (total * left + 2 * KNOWN * noise) / (2 * total + 2 * KNOWN)
                lines.append(found.line)
                risks.append(np.where(few, np.inf, left * found.spread))
    risk = np.array(risks)
    share = (risk.min(axis=0) / risk) ** 2
    best: Array = np.einsum("wp,wpk->kp", share / share.sum(axis=0), np.array(lines))
    return best


def _pairs(tree: cKDTree, places: Array, normal: Array, part: Counts, reach: float) -> _Pairs:
    """Return the points of a part with themselves and with their neighbours on one line."""
    near = cKDTree(places[part]).sparse_distance_matrix(tree, reach, output_type="ndarray")
    i, j = near["i"], near["j"]
    turn = (normal[j] - normal[part[i]] + np.pi / 2) % np.pi - np.pi / 2
    i, j, turn = (values[np.abs(turn) < ALIKE_RAD] for values in (i, j, turn))
    own = normal[part[i]]
    dx, dy = (places[j] - places[part[i]]).T
    # Along and across the chord's own direction, so that neighbours on a circle count as on one line.
    middle = own + turn / 2
    alike = np.abs(dx * np.cos(middle) + dy * np.sin(middle)) < ACROSS
    i, own, dx, dy, turn, middle = (values[alike] for values in (i, own, dx, dy, turn, middle))
    along, lift = dy * np.cos(own) - dx * np.sin(own), dx * np.cos(own) + dy * np.sin(own)
    length = np.copysign(np.hypot(along, lift), along)
    lift = length * np.arctan2(np.copysign(1.0, along) * lift, np.abs(along))
    return _Pairs(part.size, i, length, dy * np.cos(middle) - dx * np.sin(middle), lift, turn)


def _noise(parts: list[_Pairs]) -> tuple[float, float]:
    """Return how much more places are to weigh than normals, and the usual mean square that normals leave."""
    ratio = 0.1
    for _ in range(2):
        left = [_solved(pairs, _window(pairs, TYPICAL, 0), ratio)[1].unexplained for pairs in parts]
        places, normals = (float(np.median(np.concatenate(values))) for values in zip(*left, strict=True))
        ratio = float(np.clip(normals / max(places, 1e-9), *RATIO))
    return ratio, max(normals, 1e-9)


def _window(pairs: _Pairs, width: float, side: int) -> Array:
    weight: Array = np.exp(-((pairs.along / width) ** 2) / 2)
    return weight if side == 0 else weight * (pairs.length * side > -ONE_SIDE)


def _solved(pairs: _Pairs, weight: Array, ratio: float) -> tuple[_Answer, _Answer]:
    """Solve the equations of every point for a straight line, κ = 0, and for a circle."""
    one, zero = np.ones_like(weight), np.zeros_like(weight)
    places, normals = [one, -pairs.length, pairs.length**2 / 2], [zero, one, -pairs.along]
    matrix, sides = np.empty((pairs.points, 3, 3)), np.empty((pairs.points, 3))
    for k in range(3):
        sides[:, k] = pairs.sums(weight * (ratio * places[k] * pairs.lift + normals[k] * pairs.turn))
        for m in range(k, 3):
            matrix[:, k, m] = pairs.sums(weight * (ratio * places[k] * places[m] + normals[k] * normals[m]))
            matrix[:, m, k] = matrix[:, k, m]
    total = pairs.sums(weight)
    matrix[:, 2, 2] += ROUND * total

    def answer(size: int) -> _Answer:
        inverse, line = np.linalg.inv(matrix[:, :size, :size]), np.zeros((pairs.points, 3))
        line[:, :size] = np.einsum("pkm,pm->pk", inverse, sides[:, :size])
        left = (
            pairs.sums(weight * _left(pairs, told, columns[:size], line)) / total
            for told, columns in ((pairs.lift, places), (pairs.turn, normals))
        )
        return _Answer(line, inverse[:, 1, 1], (next(left), next(left)))

    return answer(2), answer(3)


def _left(pairs: _Pairs, told: Array, columns: list[Array], line: Array) -> Array:
    """Return the squares of what a point's line leaves of what its neighbours tell."""
    parts = np.stack([line[pairs.of, k] * column for k, column in enumerate(columns)])
    left: Array = (told - parts.sum(axis=0)) ** 2
    return left

"""Many steps of two-dimensional nonlinear diffusion, and back through them, in tiles that stay in a core's cache.

    u_{l+1} = α_l u_l + β_l u_{l-1} + γ_l D(u_l),    D(u) = -Kᵀ F(K u),    K = (D_row, D_col) forward differences

A tile is a run of whole rows. It is copied with as many rows around it as a launch takes steps, is stepped there, and
what is still right, its own rows, is copied back: a pixel costs memory traffic once a launch instead of once a step,
and every pixel is computed from the same numbers in the same order, whatever the tiles. u_{-1} = u_0. The
plain formula is ``diffusion_torch``.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.kernels.diffusivities import OPTIONS, Kind, bend, look_up, sorted_in, tabled, weight
from microlocal.kernels.pool import at_once
from microlocal.kernels.scratch import Room, lent
from microlocal.kernels.threads import threads_allowed

Floats = NDArray[np.floating]
Images = Float[np.ndarray, "batch row col"]
Weights = Float[np.ndarray, "batch step 3"]
Place = tuple[int, int, int]  # which image, and begin and end of the tile

_SERIAL = {**OPTIONS, "cache": True}
_SUMMED = {"nogil": True, "cache": True, "fastmath": {"contract", "reassoc"}}  # a sum in lanes, the same every time
_CACHE = 1 << 20  # bytes of a core's cache that a tile may take
_LANES = 16  # numbers of a vector; rows of a tile are so much longer than these, or they would share cache lines
_RIGHT, _SQUARE, _CELL = 2, 3, 4  # of the lines
_STEPS, _MOST_STEPS, _STEPS_BACK = 10, 25, 4  # of a launch
_WORTH_A_LAUNCH = 6_000_000  # updates: waking threads takes as long as a tenth of them
_WORTH_A_SECOND_THREAD = 200_000  # updates of a launch
_STORE = 1 << 29  # bytes of images kept on the way back


# Rows are named by their numbers instead of cut out: counting references to slices takes longer than the arithmetic.
# ``lines`` (5, _LANES + pixel) holds fluxes of a row: two of those from a row to the next, in turn; in _RIGHT those
# from a pixel to the next, where the one before the first pixel stays 0; in the others what tables need.
@numba.njit(**_SERIAL)
def _weighted(kind: Kind, lines: Floats, line: int) -> None:
    """Multiply a line by the weights that the table says, which are left in the line of squares."""
    room = lines.shape[1]
    look_up(kind, lines, _CELL * room + _LANES, _SQUARE * room + _LANES, line * room + _LANES, room - _LANES)


@numba.njit(**_SERIAL)
def _fluxes(kind: Kind, u: Floats, i: int, k: int, right: int, lines: Floats, line: int) -> None:
    """Φ of the differences between row i and row k, or the pixels to its ``right``."""
    for j in range(lines.shape[1] - _LANES):
        d = u[k, j + right] - u[i, j]
        lines[_CELL, j + _LANES], lines[_SQUARE, j + _LANES] = sorted_in(kind, d * d)
        lines[line, j + _LANES] = d
    _weighted(kind, lines, line)


@numba.njit(**_SERIAL)
def _coupled(kind: Kind, u: Floats, i: int, k: int, lines: Floats, down: int) -> None:
    """g(|∇u|) ∇u of a row."""
    for j in range(lines.shape[1] - _LANES):
        d, r = u[k, j] - u[i, j], u[i, j + 1] - u[i, j]
        lines[_CELL, j + _LANES], lines[_SQUARE, j + _LANES] = sorted_in(kind, d * d + r * r)
        lines[down, j + _LANES] = d
    _weighted(kind, lines, down)
    for j in range(lines.shape[1] - _LANES):
        lines[_RIGHT, j + _LANES] = lines[_SQUARE, j + _LANES] * (u[i, j + 1] - u[i, j])


@numba.njit(**_SERIAL)
def _row_fluxes(kind: Kind, coupled: bool, u: Floats, i: int, lines: Floats, down: int) -> None:
    """The fluxes from row i to the next and to the right, from a table; the last row sends nothing on."""
    k = min(i + 1, u.shape[0] - 1)
    if coupled:
        _coupled(kind, u, i, k, lines, down)
    else:
        _fluxes(kind, u, i, k, 0, lines, down)
        _fluxes(kind, u, i, i, 1, lines, _RIGHT)


@numba.njit(**_SERIAL)
def _balance(lines: Floats, j: int, up: int, down: int) -> float:
    """What flows into a pixel less what flows out."""
    across = lines[_RIGHT, j + _LANES] - lines[_RIGHT, j + _LANES - 1]
    return (lines[down, j + _LANES] - lines[up, j + _LANES]) + across


@numba.njit(**_SERIAL)
def _advance(u: Floats, out: Floats, i: int, weights: Floats, k: int, lines: Floats, up: int, down: int) -> None:
    """out <- α u + β out + γ D(u), a row; where β is zero ``out`` is not read."""
    alpha, beta, gamma = weights[k, 0], weights[k, 1], weights[k, 2]
    if beta == 0:
        for j in range(lines.shape[1] - _LANES):
            out[i, j] = alpha * u[i, j] + gamma * _balance(lines, j, up, down)
    else:
        for j in range(lines.shape[1] - _LANES):
            out[i, j] = alpha * u[i, j] + beta * out[i, j] + gamma * _balance(lines, j, up, down)


@numba.njit(**_SERIAL)
def _row_at_once(
    kind: Kind, coupled: bool, u: Floats, out: Floats, i: int, weights: Floats, k: int, lines: Floats
) -> None:
    """Fluxes of a row and ``_advance`` in one loop, for diffusivities with a formula; line 0 keeps those downwards.

    What came from the left is carried from pixel to pixel, which vectors take from the one before.
    """
    alpha, beta, gamma = weights[k, 0], weights[k, 1], weights[k, 2]
    below = min(i + 1, u.shape[0] - 1)
    left = zero = u.dtype.type(0)
    for j in range(lines.shape[1] - _LANES):
        d, r = u[below, j] - u[i, j], u[i, j + 1] - u[i, j]
        if coupled:
            g = weight(kind, d * d + r * r)
            down, right = g * d, g * r
        else:
            down, right = weight(kind, d * d) * d, weight(kind, r * r) * r
        before = beta * out[i, j] if beta != 0 else zero
        out[i, j] = alpha * u[i, j] + before + gamma * ((down - lines[0, j + _LANES]) + (right - left))
        lines[0, j + _LANES] = down
        left = right


@numba.njit(**_SERIAL)
def _pad(u: Floats, i: int, cols: int) -> None:
    """Repeat the last pixel of a row to its right, where nothing then flows: loops may run over whole vectors."""
    last = u[i, cols - 1]
    for j in range(cols, u.shape[1]):
        u[i, j] = last


@numba.njit(**_SERIAL)
def _nothing_flows(lines: Floats) -> None:
    for line in range(lines.shape[0]):
        for j in range(lines.shape[1]):
            lines[line, j] = 0


@numba.njit(**_SERIAL)
def _step(
    kind: Kind,
    coupled: bool,
    u: Floats,
    out: Floats,
    weights: Floats,
    k: int,
    cols: int,
    begin: int,
    end: int,
    lines: Floats,
) -> None:
    """Step k of the rows from ``begin`` to ``end``; ``out`` holds what was before ``u``.

    Of the row before them only what flows on is right; nothing reads it after this step.
    """
    _nothing_flows(lines)
    for i in range(max(begin - 1, 0), end):
        if tabled(kind):
            _row_fluxes(kind, coupled, u, i, lines, i % 2)
            _advance(u, out, i, weights, k, lines, (i + 1) % 2, i % 2)
        else:
            _row_at_once(kind, coupled, u, out, i, weights, k, lines)
        _pad(out, i, cols)


@numba.njit(**_SERIAL)
def _copied(source: Floats, target: Floats, at: int, to: int, count: int) -> None:
    """Copy ``count`` rows, as long as the shorter, from ``at`` to ``to``."""
    cols = min(source.shape[1], target.shape[1])
    for i in range(count):
        for j in range(cols):
            target[to + i, j] = source[at + i, j]
        _pad(target, to + i, cols)


@numba.njit(**_SERIAL)
def _tile(
    kind: Kind, coupled: bool, source: Floats, target: Floats, weights: Floats, place: Place, u: Floats, lines: Floats
) -> None:
    """All steps with ``weights`` (step, 3) of a tile; source, target (level, batch, row, col); u, room."""
    image, begin, end = place
    steps, levels, rows, cols = weights.shape[0], source.shape[0], source.shape[2], source.shape[3]
    low, high = max(0, begin - steps), min(rows, end + steps)
    now, before = u[0, : high - low], u[1, : high - low]
    _copied(source[0, image], now, low, 0, high - low)
    if levels > 1:
        _copied(source[1, image], before, low, 0, high - low)
    for k in range(steps):
        more = steps - 1 - k
        first, last = max(low, begin - more) - low, min(high, end + more) - low
        _step(kind, coupled, now, before, weights, k, cols, first, last, lines)
        now, before = before, now
    _copied(now, target[0, image], begin - low, begin, end - begin)
    if levels > 1:
        _copied(before, target[1, image], begin - low, begin, end - begin)


@numba.njit(**_SERIAL)
def _tiles(
    kind: Kind,
    coupled: bool,
    source: Floats,
    target: Floats,
    weights: Floats,
    tiles: int,
    first: int,
    last: int,
    u: Floats,
    lines: Floats,
) -> None:
    """All steps of the tiles from ``first`` to ``last``, counted through the images; weights (batch, step, 3)."""
    rows = source.shape[2]
    for job in range(first, last):
        image, tile = job // tiles, job % tiles
        place = (image, tile * rows // tiles, (tile + 1) * rows // tiles)
        _tile(kind, coupled, source, target, weights[image], place, u, lines)


@numba.njit(**_SERIAL)
def _slopes(kind: Kind, u: Floats, v: Floats, i: int, k: int, right: int, lines: Floats, line: int) -> None:
    """Φ' of the differences as in ``_fluxes``, times those of v."""
    for j in range(lines.shape[1] - _LANES):
        d = u[k, j + right] - u[i, j]
        q = d * d
        g = weight(kind, q)
        lines[line, j + _LANES] = (g + bend(kind, q, g)) * (v[k, j + right] - v[i, j])


@numba.njit(**_SERIAL)
def _coupled_slopes(kind: Kind, u: Floats, v: Floats, i: int, k: int, lines: Floats, down: int) -> None:
    """(g I + 2 g'(q) ∇u ∇uᵀ) ∇v of a row, q = |∇u|²."""
    tiny = u.dtype.type(1e-30)
    for j in range(lines.shape[1] - _LANES):
        d, r = u[k, j] - u[i, j], u[i, j + 1] - u[i, j]
        e, s = v[k, j] - v[i, j], v[i, j + 1] - v[i, j]
        q = d * d + r * r
        g = weight(kind, q)
        along = bend(kind, q, g) * (d * e + r * s) / max(q, tiny)
        lines[down, j + _LANES] = g * e + along * d
        lines[_RIGHT, j + _LANES] = g * s + along * r


@numba.njit(**_SERIAL)
def _row_slopes(kind: Kind, coupled: bool, u: Floats, v: Floats, i: int, lines: Floats, down: int) -> None:
    """The fluxes of row i as they change when u does, by v."""
    k = min(i + 1, u.shape[0] - 1)
    if coupled:
        _coupled_slopes(kind, u, v, i, k, lines, down)
    else:
        _slopes(kind, u, v, i, k, 0, lines, down)
        _slopes(kind, u, v, i, i, 1, lines, _RIGHT)


@numba.njit(**_SERIAL)
def _step_back(
    kind: Kind,
    coupled: bool,
    u: Floats,
    v: Floats,
    out: Floats,
    weights: Floats,
    k: int,
    cols: int,
    begin: int,
    end: int,
    lines: Floats,
) -> None:
    """The transposed step k of the rows from ``begin`` to ``end``: as ``_step``, linear in v about the state u."""
    _nothing_flows(lines)
    for i in range(max(begin - 1, 0), end):
        _row_slopes(kind, coupled, u, v, i, lines, i % 2)
        if i >= begin:
            _advance(v, out, i, weights, k, lines, (i + 1) % 2, i % 2)
            _pad(out, i, cols)


@numba.njit(**_SUMMED)
def _dot(one: Floats, other: Floats, begin: int, end: int, cols: int) -> float:
    """The sum of products over rows, each summed in its own dtype."""
    total = 0.0
    for i in range(begin, end):
        row = one.dtype.type(0)
        for j in range(cols):
            row += one[i, j] * other[i, j]
        total += np.float64(row)
    return total


@numba.njit(**_SERIAL)
def _tile_back(
    kind: Kind,
    coupled: bool,
    start: Floats,
    source: Floats,
    target: Floats,
    weights: Floats,
    transposed: Floats,
    place: Place,
    u: Floats,
    lines: Floats,
    sums: Floats,
    summed: bool,
) -> None:
    """Back through the steps of a tile; start (level, batch, row, col), sums (step, 3).

    States are computed anew: that before step k is in u[k + 1], what was before the first in u[0]. There is room for
    v, the slope by the state two steps on, and D(u) behind them.
    """
    image, begin, end = place
    steps, levels, rows, cols = weights.shape[0], start.shape[0], start.shape[2], start.shape[3]
    low, high = max(0, begin - 2 * steps), min(rows, end + 2 * steps)
    here = slice(0, high - low)
    _copied(start[levels - 1, image], u[0], low, 0, high - low)
    _copied(start[0, image], u[1], low, 0, high - low)
    for k in range(steps - 1):
        more = 2 * steps - 1 - k
        first, last = max(low, begin - more) - low, min(high, end + more) - low
        if weights[k, 1] != 0:
            _copied(u[k], u[k + 2], 0, 0, high - low)
        _step(kind, coupled, u[k + 1, here], u[k + 2, here], weights, k, cols, first, last, lines)
    v, after = u[steps + 1, here], u[steps + 2, here]
    only = np.zeros((steps, 3), u.dtype)
    only[:, 2] = 1  # α = β = 0, γ = 1: D(u)
    _copied(source[0, image], v, low, 0, high - low)
    _copied(source[1, image], after, low, 0, high - low)
    for k in range(steps - 1, -1, -1):
        if summed:
            these = begin - low, end - low, cols
            _step(kind, coupled, u[k + 1, here], u[steps + 3, here], only, k, cols, begin - low, end - low, lines)
            sums[k, 0] += _dot(v, u[k + 1], *these)
            sums[k, 1] += _dot(v, u[k], *these)
            sums[k, 2] += _dot(v, u[steps + 3], *these)
        first, last = max(low, begin - k) - low, min(high, end + k) - low
        _step_back(kind, coupled, u[k + 1, here], v, after, transposed, k, cols, first, last, lines)
        v, after = after, v
    _copied(v, target[0, image], begin - low, begin, end - begin)
    _copied(after, target[1, image], begin - low, begin, end - begin)


@numba.njit(**_SERIAL)
def _tiles_back(
    kind: Kind,
    coupled: bool,
    start: Floats,
    source: Floats,
    target: Floats,
    weights: Floats,
    transposed: Floats,
    tiles: int,
    sums: Floats,
    summed: bool,
    first: int,
    last: int,
    u: Floats,
    lines: Floats,
) -> None:
    """Back through the steps of the tiles from ``first`` to ``last``; sums (batch, tile, step, 3)."""
    rows = start.shape[2]
    for job in range(first, last):
        image, tile = job // tiles, job % tiles
        place = (image, tile * rows // tiles, (tile + 1) * rows // tiles)
        _tile_back(
            kind, coupled, start, source, target, weights[image], transposed[image], place, u, lines,
            sums[image, tile], summed,
        )  # fmt: skip


class Plan(NamedTuple):
    """How many tiles an image is cut into, how many steps a launch takes, and how many rows a tile has with its rim."""

    tiles: int
    chunk: int
    rows: int


def _planned(shape: tuple[int, ...], itemsize: int, steps: int, chunk: int, copies: int, rim: int) -> Plan:
    """Return the plan for tiles of which ``copies`` fit into the cache, with ``rim`` rows around for every step."""
    rows, cols = shape[-2:]
    room = _CACHE // (copies * (_wide(cols) + _LANES) * itemsize)
    chunk = max(1, min(chunk, steps, room // (6 * rim)))
    own = max(room - 2 * rim * chunk, 4 * rim * chunk, 8)
    threads = threads_allowed()
    tiles = -(-rows // own)
    if shape[0] < 4 * threads:  # as many tiles for each
        tiles = min(-(-tiles // threads) * threads, max(1, rows // 8))
    return Plan(tiles, chunk, min(rows, -(-rows // tiles) + 2 * rim * chunk))


def _launched(pixels: int) -> int:
    """Return how many steps a launch takes: more of small images, for which threads are woken too often otherwise."""
    return _STEPS if threads_allowed() == 1 else min(max(_STEPS, _WORTH_A_LAUNCH // max(pixels, 1)), _MOST_STEPS)


def evolve(kind: Kind, coupled: bool, image: Images, weights: Weights) -> Images:
    """Return the images after all steps, of their dtype."""
    weights = _begun(weights, image)
    levels = 2 if bool(weights[:, :, 1].any()) else 1
    plan = _planned(image.shape, image.itemsize, weights.shape[1], _launched(image.size), 2, 1)
    with lent() as room:
        return _last(kind, coupled, np.repeat(image[None], levels, axis=0), weights, plan, room)[0]


def evolve_back(
    kind: Kind, coupled: bool, image: Images, weights: Weights, slope: Images, summed: bool
) -> tuple[Images, Weights]:
    """Return the slopes by the images and, if ``summed``, by the weights, given ``slope`` by the last images.

    Launches begin at states that are kept; where those would take more than ``_STORE`` bytes, only some are kept, and
    those between them computed again.
    """
    weights = _begun(weights, image)
    steps, levels = weights.shape[1], 2 if summed or bool(weights[:, :, 1].any()) else 1
    plan = _planned(image.shape, image.itemsize, steps, _STEPS_BACK, _STEPS_BACK + 4, 2)
    launches = -(-steps // plan.chunk)
    stored = launches if launches * levels * image.nbytes <= _STORE else math.isqrt(launches)
    stride = stored * plan.chunk
    starts = [np.repeat(image[None], levels, axis=0)]
    transposed = weights.copy()  # β of a step brings the slope by the state two steps on
    transposed[:, :-1, 1], transposed[:, -1, 1] = weights[:, 1:, 1], 0
    slopes = np.zeros((2, *image.shape), image.dtype)
    slopes[0] = slope
    sums = np.zeros((image.shape[0], steps, 3))
    with lent() as room:
        for first in range(0, steps - stride, stride):
            starts.append(_last(kind, coupled, starts[-1], weights[:, first : first + stride], plan, room))
        for k in reversed(range(len(starts))):
            part = slice(k * stride, (k + 1) * stride)
            states = _states(kind, coupled, starts.pop(), weights[:, part], plan, room)
            used = weights[:, part], transposed[:, part]
            slopes, sums[:, part] = _back(kind, coupled, states, slopes, *used, plan, summed, room)
    sums[:, 0, 1] = sums[:, 0, 0]
    return slopes[0], sums.astype(image.dtype)


def _begun(weights: Weights, image: Images) -> Weights:
    """Return the weights in the dtype of the image, without a state before the first."""
    weights = weights.astype(image.dtype)
    weights[:, 0, 0] += weights[:, 0, 1]
    weights[:, 0, 1] = 0
    return weights


def _last(kind: Kind, coupled: bool, start: Floats, weights: Weights, plan: Plan, room: Room) -> Floats:
    """Return the last state and, where ``start`` (level, batch, row, col) has two, the one before it."""
    last, between = np.empty_like(start), room("between", start.shape, start.dtype)
    launches = -(-weights.shape[1] // plan.chunk)
    _launch(kind, coupled, (last, between) if launches % 2 else (between, last), start, weights, plan, room)
    return last


def _states(kind: Kind, coupled: bool, start: Floats, weights: Weights, plan: Plan, room: Room) -> Floats:
    """Return the states after every launch, and ``start`` before them."""
    states = room("states", (1 + -(-weights.shape[1] // plan.chunk), *start.shape), start.dtype)
    states[0] = start
    _launch(kind, coupled, list(states[1:]), start, weights, plan, room)
    return states


def _launch(
    kind: Kind, coupled: bool, states: Sequence[Floats], start: Floats, weights: Weights, plan: Plan, room: Room
) -> None:
    """Take all steps, into ``states`` in turn after every launch."""
    shares, source = _shares(plan, start, 2, room), start
    for launch, first in enumerate(range(0, weights.shape[1], plan.chunk)):
        target = states[launch % len(states)]
        used = np.ascontiguousarray(weights[:, first : first + plan.chunk])
        at_once([partial(_tiles, kind, coupled, source, target, used, plan.tiles, *share) for share in shares])
        source = target


def _back(
    kind: Kind,
    coupled: bool,
    states: Floats,
    start: Floats,
    weights: Weights,
    transposed: Weights,
    plan: Plan,
    summed: bool,
    room: Room,
) -> tuple[Floats, Weights]:
    """Return slopes (2, batch, row, col) by the first state and the one before it, and those by the weights."""
    batch, steps = weights.shape[:2]
    slopes = np.empty((2, *start.shape), start.dtype)
    slopes[0] = start
    sums = np.zeros((batch, plan.tiles, steps, 3))
    shares = _shares(plan, start, plan.chunk + 4, room)
    launches = -(-steps // plan.chunk)
    for turn, launch in enumerate(reversed(range(launches))):
        part = slice(launch * plan.chunk, (launch + 1) * plan.chunk)
        ends = states[launch], slopes[turn % 2], slopes[(turn + 1) % 2]
        used = (np.ascontiguousarray(w[:, part]) for w in (weights, transposed))
        found = np.zeros((batch, plan.tiles, part.stop - part.start, 3))
        given = (kind, coupled, *ends, *used, plan.tiles, found, summed)
        at_once([partial(_tiles_back, *given, *share) for share in shares])
        sums[:, :, part] = found[:, :, : steps - part.start]
    return slopes[launches % 2], sums.sum(axis=1)


def _shares(plan: Plan, like: Floats, copies: int, room: Room) -> list[tuple[int, int, Floats, Floats]]:
    """Return the first and last of the tiles of all images, and room for one, for every thread that is worth waking."""
    jobs, wide = like.shape[1] * plan.tiles, _wide(like.shape[-1])
    threads = min(threads_allowed(), jobs) if like[0].size * plan.chunk > _WORTH_A_SECOND_THREAD else 1
    return [
        (
            k * jobs // threads,
            (k + 1) * jobs // threads,
            room(f"tile {k}", (copies, plan.rows, wide + _LANES), like.dtype),
            room(f"lines {k}", (5, wide + _LANES), like.dtype),
        )
        for k in range(threads)
    ]


def _wide(cols: int) -> int:
    """Return the length of a row with at least one pixel more, in whole vectors."""
    return (cols // _LANES + 1) * _LANES

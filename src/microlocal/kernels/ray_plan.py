"""Rays sorted for the vector kernels: runs, blocks, and for every pixel a guess which ray comes first.

A *run* is a stretch of neighbouring rays of one view that are all steep or all flat; along a row its positions
x[k] = offset[k] + slope[k] r are monotone in k. A *block* is as many rays of a run as fit into one window of two
registers at every row. The adjoint needs the inverse of k -> x[k]: it is kept at every 16th pixel of every 16th
row (or more often) and interpolated bilinearly; ``slack`` is the measured error of that, by which the search for rays
is widened, so that no ray with weight is left out whatever the geometry.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import lanes_of

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

CELL = 16  # pixels from one stored guess to the next
CHUNK = 8  # views whose blocks are sorted by their place on the detector: they share what is in the cache
_SMALL = 0.1  # rays; an error up to here costs next to nothing
FAR = -1e6  # the position of rays that are not there


class RayPlan(NamedTuple):
    """Tables of the vector kernels for one geometry, grid and number type. Positions count pixel 0 as ``pad``."""

    offsets: Floats  # of all runs, one after the other, each between two pads of rays that are far away
    slopes: Floats
    tables: Floats  # z of all runs, laid out alike, with positions (a + b r) + (c + d r) z[k] in row r
    lines: Floats  # (run, 4): a, b, c, d
    runs: Counts  # (run, 6): view, is flat, first ray, rays, place in the tables, place in ``guesses``
    widths: Counts  # (run,): pixels whose rays fit into one window
    slacks: Floats  # (run,)
    tall: Counts  # (1,): rows from one stored guess to the next
    blocks: Counts  # (block, 6): is flat, place in the tables, datum, rays, first row, last row + 1
    chunks: Counts  # (chunk + 1,): where the blocks of the next views begin; in a chunk, neighbours come together
    guesses: Floats  # (run's rows and pixels, flat)


def runs_of(steep: NDArray[np.bool_]) -> Iterator[tuple[int, bool, int, int]]:
    """Yield (view, is steep, first, count) of every stretch of rays of a kind, view by view."""
    for view, row in enumerate(steep):
        ends = np.flatnonzero(np.diff(row)) + 1
        for first, last in zip([0, *ends], [*ends, row.size], strict=True):
            yield view, bool(row[first]), int(first), int(last - first)


def plan(
    offsets: NDArray[np.float64],
    slopes: NDArray[np.float64],
    steep: NDArray[np.bool_],
    shape: tuple[int, int],
    dtype: type[np.floating],
) -> RayPlan | None:
    """Return the tables, or None where rays cross inside the image: then only the plain kernels can serve.

    Guesses are kept as far apart as keeps their error small: near a source they must be close together.
    """
    for tall in (CELL, CELL // 4, 1):
        made = _plan(offsets, slopes, steep, shape, dtype, tall)
        if made is not None and (tall == 1 or made.slacks.max() < _SMALL):
            return made
    return None


def _plan(
    offsets: NDArray[np.float64],
    slopes: NDArray[np.float64],
    steep: NDArray[np.bool_],
    shape: tuple[int, int],
    dtype: type[np.floating],
    tall: int,
) -> RayPlan | None:
    lanes = lanes_of(np.dtype(dtype).itemsize)
    pad = 2 * lanes
    tables: list[tuple[Floats, Floats, Floats]] = []
    runs, widths, slacks, blocks, guesses, lines_of = [], [], [], [], [], []
    place = guess_place = 0
    for view, is_steep, first, count in runs_of(steep):
        lines, across = shape if is_steep else shape[::-1]
        # The table counts the pixel before the first as 0.
        o = offsets[view, first : first + count] - 1 + pad
        s = slopes[view, first : first + count]
        pencil = _pencil(o, s)
        if pencil is None or not _monotone(o, s, lines):
            return None
        guess, slack = _guesses(o, s, lines, across, pad, tall)
        density = float(np.abs(np.diff(guess, axis=1)).max()) / CELL
        width = int((pad - 4 - 2 * density - 2 * slack) / max(density, 1e-3)) + 1
        if not (slack < 1 and width >= 1):
            return None
        size = -(-(count + 2 * pad) // lanes) * lanes
        tables.append((_between(o, pad, size, FAR), _between(s, pad, size, 0.0), _between(pencil[0], pad, size, FAR)))
        lines_of.append(pencil[1])
        runs.append((view, int(not is_steep), first, count, place, guess_place))
        widths.append(min(width, lanes))
        slacks.append(slack)
        guesses.append(guess.ravel())
        datum = view * steep.shape[1] + first
        blocks += _blocks(o, s, lines, across, pad, (int(not is_steep), place + pad, datum))
        place, guess_place = place + size, guess_place + guess.size
    block_table = np.array(blocks, np.int64).reshape(-1, 6)
    block_view, block_ray = np.divmod(block_table[:, 2], steep.shape[1])
    chunk = block_view // CHUNK
    order = np.lexsort((block_view, block_ray, block_table[:, 0], chunk))
    return RayPlan(
        np.concatenate([t[0] for t in tables]).astype(dtype),
        np.concatenate([t[1] for t in tables]).astype(dtype),
        np.concatenate([t[2] for t in tables]).astype(dtype),
        np.array(lines_of, dtype),
        np.array(runs, np.int64),
        np.array(widths, np.int64),
        np.array(slacks, dtype),
        np.array([tall]),
        block_table[order],
        np.searchsorted(chunk[order], np.arange(-(-steep.shape[0] // CHUNK) + 1)),
        np.concatenate(guesses).astype(dtype),
    )


def _pencil(o: Floats, s: Floats) -> tuple[Floats, tuple[float, float, float, float]] | None:
    """Write parallel rays, or rays through one point, as (a + b r) + (c + d r) z[k]; None for any other bundle."""
    middle = float(s[s.size // 2])
    if np.ptp(s) < 1e-12:
        return o, (0.0, middle, 1.0, 0.0)
    z = s - middle
    slope = float(np.dot(z - z.mean(), o - o.mean()) / np.dot(z - z.mean(), z - z.mean()))
    shift = float(o.mean() - slope * z.mean())
    if np.abs(o - shift - slope * z).max() > 1e-9 * (1 + np.abs(o).max()):
        return None
    return z, (shift, middle, slope, 1.0)


def _between(values: Floats, pad: int, size: int, beyond: float) -> Floats:
    table = np.full(size, beyond)
    table[pad : pad + values.size] = values
    return table


def _monotone(o: Floats, s: Floats, lines: int) -> bool:
    """Whether the rays keep their order at every row (positions are affine in the row: both ends suffice)."""
    ends = np.diff(o), np.diff(o + s * (lines - 1))
    return bool(all((e > 0).all() for e in ends) or all((e < 0).all() for e in ends))


def _blocks(
    o: Floats, s: Floats, lines: int, across: int, pad: int, places: tuple[int, int, int]
) -> list[tuple[int, ...]]:
    """Cut a run into blocks, each with the rows (first, last + 1) at which one of its rays touches the image."""
    spacing = max(float(np.abs(np.diff(o + s * r)).max(initial=1e-9)) for r in (0, lines - 1))
    count = int(min(pad // 2, (pad - 3) // spacing + 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        entry, leave = (pad - 1 - o) / s, (pad + across - o) / s
    inside = (o > pad - 1) & (o < pad + across)
    low = np.where(s == 0, np.where(inside, 0, lines), np.minimum(entry, leave))
    high = np.where(s == 0, np.where(inside, lines, 0), np.maximum(entry, leave))
    firsts = np.arange(0, o.size, count)
    begin = np.clip(np.floor(np.minimum.reduceat(low, firsts)), 0, lines).astype(np.int64)
    end = np.clip(np.ceil(np.maximum.reduceat(high, firsts)) + 1, 0, lines).astype(np.int64)
    flat, place, datum = places
    return [
        (flat, place + f, datum + f, min(count, o.size - f), b, e)
        for f, b, e in zip(firsts.tolist(), begin.tolist(), end.tolist(), strict=True)
        if b < e
    ]


def _guesses(o: Floats, s: Floats, lines: int, across: int, pad: int, tall: int) -> tuple[Floats, float]:
    """Return where the inverse begins, (cell rows + 1, cell columns + 1), counted in the table, and its error.

    Entry (i, e) belongs to row ``tall`` i (the last one to the last row) and to position 16 e - 1, whose first ray is
    the first with weight for pixel 16 e; or 16 e + 1 where positions decrease with k.
    """
    spread = 4  # virtual rays beyond the ends, so that the error is measured there as well
    k = np.arange(-spread, o.size + spread)
    o, s = _extended(o, spread), _extended(s, spread) if o.size > 1 else np.pad(s, spread, mode="edge")
    return _inverse(o, s, k.astype(np.float64) + pad, lines, -(-across // CELL), float(pad), tall)


def _extended(values: Floats, by: int) -> Floats:
    """Values with ``by`` more on either side, continued linearly; a single one with spacing one."""
    before, after = (values[1] - values[0], values[-1] - values[-2]) if values.size > 1 else (1.0, 1.0)
    steps = np.arange(1, by + 1)
    return np.concatenate([values[0] - before * steps[::-1], values, values[-1] + after * steps])


@numba.njit(cache=True)
def _inverse(
    o: Floats, s: Floats, index: Floats, lines: int, cells: int, pad: float, tall: int
) -> tuple[Floats, float]:
    rows = (lines + tall - 1) // tall
    guess = np.empty((rows + 1, cells + 1))
    increasing = o[-1] > o[0]
    origin = pad - 1 if increasing else pad + 1
    for i in range(rows + 1):
        r = min(i * tall, lines - 1)
        x = o + s * r
        for e in range(cells + 1):
            guess[i, e] = _interpolated(x, index, origin + CELL * e, increasing)
    worst = 0.0
    for i in range(rows):
        below = i + 1
        middle = (min(i * tall, lines - 1) + min(below * tall, lines - 1)) / 2
        for k in range(o.size):
            q = (o[k] + s[k] * middle - origin) / CELL
            if 0 <= q <= cells:
                e = min(int(q), cells - 1)
                left, right = guess[i, e] + guess[below, e], guess[i, e + 1] + guess[below, e + 1]
                worst = max(worst, abs((left + (q - e) * (right - left)) / 2 - index[k]))
    return guess, 1.5 * worst


@numba.njit(cache=True)
def _interpolated(x: Floats, index: Floats, position: float, increasing: bool) -> float:
    """The index at which monotone x takes the value ``position``, linearly between its entries and beyond them."""
    low, high = 0, x.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if (x[middle] < position) == increasing:
            low = middle
        else:
            high = middle
    return index[low] + (position - x[low]) / (x[high] - x[low])

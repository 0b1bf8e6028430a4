"""Rays sorted for the vector kernels: runs, blocks, and for every run a table from positions back to rays.

A *run* is a stretch of neighbouring rays of one view that are all steep or all flat and lie on one line or through
one point: in row r ray k crosses x[k] = (a + b r) + (c + d r) z[k], monotone in k over the rows where the run touches
the image. A *block* is as many rays of a run as fit into one window of two registers at every row. The adjoint needs
the inverse of k -> x[k]: first z by the formula, then k(z), which is one smooth function for all rows and is kept at
equidistant ``knots``. Rows and pixels between the corners of a cell are interpolated; ``slack`` is the measured
error of that, by which the search for rays is widened, so that no ray with weight is left out.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import lanes_of

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]
Pencil = tuple[float, float, float, float]

CELL = 16  # pixels from one guess to the next
CHUNK = 8  # views whose blocks are sorted by their place on the detector: they share what is in the cache
KNOTS = 256  # steps of the table k(z)
FAR = -1e6  # the position of rays that are not there
SMALL = 0.1  # rays; an error up to here costs next to nothing; larger ones are not trusted without a proof
_BEYOND = 4  # rays by which k(z) is continued beyond either end of a run
_PROBES = 64  # rays of a run at which the error is measured in every strip


class RayPlan(NamedTuple):
    """Tables of the vector kernels for one geometry, grid and number type. Positions count pixel 0 as ``pad``."""

    offsets: Floats  # of all runs, one after the other, each between two pads of rays that are far away
    slopes: Floats
    tables: Floats  # z of all runs, laid out alike
    lengths: Floats  # (datum,): the length of a ray's steps, by which its sum is multiplied
    lines: Floats  # (run, 6): a, b, c, d, the first knot of z and the number of knots in a unit of z
    runs: Counts  # (run, 7): view, is flat, first ray, rays, place in the tables, first row, last row + 1
    slacks: Floats  # (run,)
    tall: Counts  # (1,): rows from one corner of the cells to the next
    blocks: Counts  # (block, 6): is flat, place in the tables, datum, rays, first row, last row + 1
    chunks: Counts  # (chunk + 1,): where the blocks of the next views begin; in a chunk, neighbours come together
    knots: Floats  # (run, KNOTS + 1): k, counted in the tables, at the knots of z


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
    lengths: NDArray[np.float64],
    shape: tuple[int, int],
    dtype: type[np.floating],
) -> RayPlan | None:
    """Return the tables, or None where rays cross inside the image: then only the plain kernels can serve.

    Corners of the cells are as far apart as keeps the error small, or little above that of corners in every row: along
    a row, where rays fan out, there is an error that no rows nearer to each other make smaller.
    """
    arguments = offsets, slopes, steep, lengths, shape, dtype
    coarse = _plan(*arguments, CELL)
    if coarse is not None and _slack(coarse) < SMALL:
        return coarse
    fine = _plan(*arguments, 1)
    if fine is not None:
        for made in (coarse, _plan(*arguments, CELL // 4)):
            if made is not None and _slack(made) < _slack(fine) + SMALL:
                return made
    return fine


def _slack(made: RayPlan) -> float:
    return float(made.slacks.max(initial=0))


def _plan(
    offsets: NDArray[np.float64],
    slopes: NDArray[np.float64],
    steep: NDArray[np.bool_],
    lengths: NDArray[np.float64],
    shape: tuple[int, int],
    dtype: type[np.floating],
    tall: int,
) -> RayPlan | None:
    lanes = lanes_of(np.dtype(dtype).itemsize)
    pad = 2 * lanes
    tables: list[tuple[Floats, Floats, Floats]] = []
    runs, slacks, blocks, knots, lines_of = [], [], [], [], []
    place = 0
    for view, is_steep, first, count in runs_of(steep):
        lines, across = shape if is_steep else shape[::-1]
        # The table counts the pixel before the first as 0.
        o = offsets[view, first : first + count] - 1 + pad
        s = slopes[view, first : first + count]
        low, high = _touched(o, s, lines, across, pad)
        begin, end = int(low.min()), int(high.max())
        if begin >= end:
            continue
        pencil = _pencil(o, s)
        if pencil is None or not _monotone(o, s, begin, end):
            return None
        z, (a, b, c, d) = pencil
        knot, scale, k_of = _inverse(z, pad)
        line = (a, b, c, d, knot, scale)
        density = _density(o, s, begin, end)
        seen = _probes(low < high)
        slack = _error(o, s, seen, np.array(line), k_of, begin, end, tall, across, float(pad))
        if pixels_of(pad, density, slack) < 1:
            return None
        size = -(-(count + 2 * pad) // lanes) * lanes
        tables.append((_between(o, pad, size, FAR), _between(s, pad, size, 0.0), _between(z, pad, size, FAR)))
        lines_of.append(line)
        runs.append((view, int(not is_steep), first, count, place, begin, end))
        slacks.append(slack)
        knots.append(k_of)
        datum = view * steep.shape[1] + first
        blocks += _blocks(o, s, low, high, pad, (int(not is_steep), place + pad, datum))
        place += size
    block_table = np.array(blocks, np.int64).reshape(-1, 6)
    block_view, block_ray = np.divmod(block_table[:, 2], steep.shape[1])
    chunk = block_view // CHUNK
    order = np.lexsort((block_view, block_ray, block_table[:, 0], chunk))
    offset_table, slope_table, z_table = _joined(tables)
    return RayPlan(
        offset_table.astype(dtype),
        slope_table.astype(dtype),
        z_table.astype(dtype),
        np.ascontiguousarray(lengths.ravel(), dtype),
        np.array(lines_of).reshape(-1, 6),
        np.array(runs, np.int64).reshape(-1, 7),
        np.array(slacks, dtype),
        np.array([tall]),
        block_table[order],
        np.searchsorted(chunk[order], np.arange(-(-steep.shape[0] // CHUNK) + 1)),
        np.array(knots, dtype).reshape(-1, KNOTS + 1),
    )


def _joined(tables: list[tuple[Floats, Floats, Floats]]) -> tuple[Floats, Floats, Floats]:
    parts = zip(*tables, strict=True) if tables else [()] * 3  # no run at all: no ray meets the image
    offsets, slopes, z = (np.concatenate([np.zeros(0), *part]) for part in parts)
    return offsets, slopes, z


def _touched(o: Floats, s: Floats, lines: int, across: int, pad: int) -> tuple[Counts, Counts]:
    """The rows (first, last + 1) at which each ray touches the image; (lines, 0) for one that never does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        entry, leave = (pad - 1 - o) / s, (pad + across - o) / s
    inside = (o > pad - 1) & (o < pad + across)
    low = np.where(s == 0, np.where(inside, 0, lines), np.minimum(entry, leave))
    high = np.where(s == 0, np.where(inside, lines, 0), np.maximum(entry, leave))
    begin = np.clip(np.floor(low), 0, lines).astype(np.int64)
    end = np.clip(np.ceil(high) + 1, 0, lines).astype(np.int64)
    misses = begin >= end
    return np.where(misses, lines, begin), np.where(misses, 0, end)


def _pencil(o: Floats, s: Floats) -> tuple[Floats, Pencil] | None:
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


def _monotone(o: Floats, s: Floats, begin: int, end: int) -> bool:
    """Whether the rays keep their order in these rows (positions are affine in the row: both ends suffice)."""
    ends = np.diff(o + s * begin), np.diff(o + s * (end - 1))
    return bool(all((e > 0).all() for e in ends) or all((e < 0).all() for e in ends))


def _spacings(o: Floats, s: Floats, begin: int, end: int) -> Floats:
    """The distances of neighbouring rays in the first and in the last row, between which all others lie."""
    return np.abs(np.concatenate([np.diff(o + s * r) for r in (begin, end - 1)]))


def _density(o: Floats, s: Floats, begin: int, end: int) -> float:
    """The largest number of rays in the width of a pixel."""
    return 1 / float(_spacings(o, s, begin, end).min(initial=1.0))


def _blocks(
    o: Floats, s: Floats, low: Counts, high: Counts, pad: int, places: tuple[int, int, int]
) -> list[tuple[int, ...]]:
    """Cut a run into blocks, each with the rows (first, last + 1) at which one of its rays touches the image."""
    spacing = float(_spacings(o, s, int(low.min()), int(high.max())).max(initial=1e-9))
    count = int(min(pad // 2, (pad - 3) // spacing + 1))
    firsts = np.arange(0, o.size, count)
    begin, end = np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)
    flat, place, datum = places
    return [
        (flat, place + f, datum + f, min(count, o.size - f), b, e)
        for f, b, e in zip(firsts.tolist(), begin.tolist(), end.tolist(), strict=True)
        if b < e
    ]


def _inverse(z: Floats, pad: int) -> tuple[float, float, Floats]:
    """Return the first knot of z, the number of knots in a unit of z, and k (counted in the tables) at the knots."""
    wide = _extended(z, _BEYOND)
    k = np.arange(-_BEYOND, z.size + _BEYOND) + float(pad)
    scale = KNOTS / float(wide[-1] - wide[0])
    return float(wide[0]), scale, np.interp(np.arange(KNOTS + 1), (wide - wide[0]) * scale, k)


def _extended(values: Floats, by: int) -> Floats:
    """Values with ``by`` more on either side, continued linearly; a single one with spacing one."""
    before, after = (values[1] - values[0], values[-1] - values[-2]) if values.size > 1 else (1.0, 1.0)
    steps = np.arange(1, by + 1)
    return np.concatenate([values[0] - before * steps[::-1], values, values[-1] + after * steps])


@numba.njit(cache=True, nogil=True)
def pixels_of(window: int, density: float, slack: float) -> int:
    """How many neighbouring pixels find all their rays in one window, at so many rays in the width of a pixel."""
    return int((window - 2.01 - 2 * density - 2 * slack) / max(density, 1e-3) + 1)


@numba.njit(cache=True, nogil=True)
def ray_at(line: Floats, k_of: Floats, row: int, pad: float, guess: Floats) -> None:
    """guess[e] = k, counted in the tables, at the corner e of a row's cells.

    Corner e lies where the first ray with weight for pixel 16 e does: at 16 e - 1, or 16 e + 1 where positions fall.
    """
    inverse = 1 / (line[2] + line[3] * row)
    step = inverse * line[5]
    corner = pad - 1 if step > 0 else pad + 1
    start = (corner - line[0] - line[1] * row) * step - line[4] * line[5]
    for e in range(guess.size):
        at = start + CELL * step * e
        i = min(max(int(at), 0), KNOTS - 1)
        guess[e] = k_of[i] + (at - i) * (k_of[i + 1] - k_of[i])


def _probes(touching: NDArray[np.bool_]) -> Counts:
    """Some of the rays that touch the image, with the first and the last of them."""
    rays = np.flatnonzero(touching)
    return np.unique(rays[np.linspace(0, rays.size - 1, _PROBES).astype(int)])


@numba.njit(cache=True)
def _error(
    o: Floats,
    s: Floats,
    seen: Counts,
    line: Floats,
    k_of: Floats,
    begin: int,
    end: int,
    tall: int,
    across: int,
    pad: float,
) -> float:
    """One and a half times the largest error of a ray's interpolated place, in rays, at and between the corners."""
    cells = (across + CELL - 1) // CELL
    above, below = np.empty(cells + 1), np.empty(cells + 1)
    worst = 0.0
    for strip in range(begin // tall, (end - 1) // tall + 1):
        top, last = max(strip * tall, begin), min(strip * tall + tall, end) - 1
        ray_at(line, k_of, top, pad, above)
        ray_at(line, k_of, last, pad, below)
        corner = pad - 1 if above[1] > above[0] else pad + 1
        for down in (0.0, 0.25, 0.5, 0.75, 1.0):
            row = top + down * (last - top)
            for k in seen:
                q = (o[k] + s[k] * row - corner) / CELL
                if 0 <= q <= cells:
                    e = min(int(q), cells - 1)
                    left = above[e] + down * (below[e] - above[e])
                    right = above[e + 1] + down * (below[e + 1] - above[e + 1])
                    worst = max(worst, abs(left + (q - e) * (right - left) - (pad + k)))
    return 1.5 * worst

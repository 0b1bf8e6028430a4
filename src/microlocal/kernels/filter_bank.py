"""The force Kᵀ Φ(K u) of a bank of filters on the CPU, a row of eight filters at a time: nothing of K u is kept.

Between K and Kᵀ lie as many images as there are filters, which would go through memory four times. Here a row of eight
of them is computed, goes through Φ and back into the image, and stays in the nearest cache meanwhile. All are sums of
shifted rows (``combinations``). Large images are cut into tiles with a rim as wide as a filter; every pixel of the
force is computed from the same numbers in the same order, whatever the tiles.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from microlocal.kernels.combinations import TERMS, added, combined, correlated, pixels_at_once
from microlocal.kernels.diffusivities import OPTIONS, Kind, flux, slope
from microlocal.kernels.lanes import lanes_of, whole_registers, zeros
from microlocal.kernels.pool import at_once
from microlocal.kernels.threads import threads_allowed

Floats = NDArray[np.floating]
Whole = NDArray[np.int64]
Images = Float[np.ndarray, "batch row col"]
Filters = Float[np.ndarray, "filter down right"]
Mixtures = Float[np.ndarray, "batch filter part"]
Place = tuple[slice, slice]  # rows and columns
Tile = tuple[int, slice, slice]  # and which image

_SERIAL = {**OPTIONS, "cache": True}
_SUMMED = {"nogil": True, "cache": True, "fastmath": {"contract", "reassoc"}, "error_model": "numpy"}
_TOGETHER = 8  # filters
_HIGH, _WIDE = 256, 480  # pixels of a tile: eight rows of filters, and as many of the image, in the nearest cache
_WORTH_A_SECOND_THREAD = 4_000_000  # multiply-adds


class Bank(NamedTuple):
    """Filters in groups of eight, as sums of rows take them, and their mixtures."""

    ahead: Floats  # (group, pixel of a filter, filter)
    back: Floats  # (group, column of a filter and filter, row of a filter)
    shares: Floats  # (group, filter, part)
    scales: Floats


class Lines(NamedTuple):
    """Room for rows of K u: ``rows`` (1 + filter, pixel), each before zeros as wide as a filter."""

    rows: Floats
    other: Floats
    line: Floats
    slopes: Floats
    inside: Floats  # 1 where a pixel is one of K u, else 0


class Places(NamedTuple):
    """Where things are, counted through all rows of their arrays."""

    high: int  # rows of K u
    step: int  # pixels at once
    taps: Whole  # pixels under a filter
    several: Whole  # the same, and some once more, as many as products of rows take
    terms: Whole  # pixels of K u, of all filters, over a pixel
    lanes: tuple[int, ...]
    rows: tuple[int, ...]


class Room(NamedTuple):
    out: Floats
    lines: Lines
    places: Places
    wide: int  # what images are padded to


class Sums(NamedTuple):
    """Slopes by filters (group, pixel of a filter, filter and lane), and by shares and scales (group, filter, part)."""

    filters: Floats
    shares: Floats
    scales: Floats


@numba.njit(**_SERIAL)
def _activated(kind: Kind, bank: Bank, group: int, lines: Lines) -> None:
    """Φ of a row of all filters of a group, in its place."""
    rows, line = lines.rows, lines.line
    for m in range(bank.shares.shape[1]):
        for part in range(bank.shares.shape[2]):
            share, scale = bank.shares[group, m, part], bank.scales[group, m, part]
            size = line.dtype.type(1) / np.sqrt(scale)
            if part == 0:
                for j in range(line.size):
                    line[j] = share * flux(kind, rows[m + 1, j], scale, size)
            else:
                for j in range(line.size):
                    line[j] += share * flux(kind, rows[m + 1, j], scale, size)
        for j in range(line.size):
            rows[m + 1, j] = line[j] * lines.inside[j]


@numba.njit(**_SERIAL)
def _filtered(bank: Bank, group: int, image: Floats, i: int, rows: Floats, width: int, places: Places) -> None:
    """Row i of K of an image, of all filters of a group."""
    for j in range(0, width, places.step):
        at = i * image.shape[1] + j
        combined(bank.ahead, group, places.taps, image, at, rows, rows.shape[1] + j, places.lanes)


@numba.njit(**_SERIAL)
def _spread(bank: Bank, group: int, rows: Floats, i: int, out: Floats, places: Places) -> None:
    """Add Kᵀ of row i of all filters of a group."""
    for j in range(0, out.shape[1], places.step):
        to = i * out.shape[1] + j
        added(bank.back, group, places.terms, rows, rows.shape[1] + j, out, to, places.rows)


@numba.njit(**_SERIAL)
def _force(kind: Kind, bank: Bank, image: Floats, out: Floats, lines: Lines, places: Places) -> None:
    """out += Kᵀ Φ(K image)."""
    for i in range(places.high):
        for group in range(bank.ahead.shape[0]):
            _filtered(bank, group, image, i, lines.rows, lines.line.size, places)
            _activated(kind, bank, group, lines)
            _spread(bank, group, lines.rows, i, out, places)


@numba.njit(**_SUMMED)
def _turned_back(kind: Kind, bank: Bank, group: int, lines: Lines, sums: Sums, summed: bool) -> None:
    """``other`` <- Φ'(rows) other and rows <- Φ(rows); slopes by shares and scales, if ``summed``, are added."""
    rows, other, line, slopes = lines.rows, lines.other, lines.line, lines.slopes
    one, half = line.dtype.type(1), line.dtype.type(0.5)
    for m in range(bank.shares.shape[1]):
        for j in range(line.size):
            line[j], slopes[j] = 0, 0
            other[m + 1, j] *= lines.inside[j]
        for part in range(bank.shares.shape[2]):
            share, scale = bank.shares[group, m, part], bank.scales[group, m, part]
            size = one / np.sqrt(scale)
            by_share, by_scale = line.dtype.type(0), line.dtype.type(0)
            for j in range(line.size):
                s = rows[m + 1, j]
                through, steep = flux(kind, s, scale, size), slope(kind, s, scale, size)
                line[j] += share * through
                slopes[j] += share * steep
                by_share += other[m + 1, j] * through
                by_scale += other[m + 1, j] * (s * steep - through)
            if summed and scale > 0:
                sums.shares[group, m, part] += by_share
                sums.scales[group, m, part] += half * share / scale * by_scale
        for j in range(line.size):
            rows[m + 1, j] = line[j] * lines.inside[j]
            other[m + 1, j] *= slopes[j]


@numba.njit(**_SERIAL)
def _force_back(
    kind: Kind,
    bank: Bank,
    image: Floats,
    pull: Floats,
    out: Floats,
    lines: Lines,
    places: Places,
    sums: Sums,
    own: tuple[int, int],
) -> None:
    """out += Kᵀ (Φ'(K image) K pull); slopes by what is learned from the rows of K u from own[0] to own[1]."""
    rows, other = lines.rows, lines.other
    width = lines.line.size
    for i in range(places.high):
        summed = own[0] <= i < own[1]
        for group in range(bank.ahead.shape[0]):
            _filtered(bank, group, image, i, rows, width, places)
            _filtered(bank, group, pull, i, other, width, places)
            _turned_back(kind, bank, group, lines, sums, summed)
            _spread(bank, group, other, i, out, places)
            if summed:
                at, begin, lanes = i * image.shape[1], rows.shape[1], places.lanes
                correlated(sums.filters, group, places.several, pull, at, rows, begin, lanes, width)
                correlated(sums.filters, group, places.several, image, at, other, begin, lanes, width)


def filter_force(
    kind: Kind, images: Images, filters: Filters, mixtures: tuple[Mixtures, Mixtures], dilation: int
) -> Images:
    """Return Kᵀ Φ(K u) for images no smaller than a filter.

    ``mixtures``: shares and scales of Φ = Σ_j share_j of ``kind`` at contrast 1/√scale_j.
    """
    force, rims = np.empty_like(images), _rims(filters, dilation)
    banks = [_bank(filters, *mixture) for mixture in zip(*mixtures, strict=True)]

    def work(tiles: list[Tile]) -> None:
        for which, *place in tiles:
            seen, own = _with_rim(place, images.shape[1:], rims)
            image = images[which][seen]
            room = _room(image.shape, filters, dilation)
            _force(kind, banks[which], _padded(image, room), room.out, room.lines, room.places)
            force[which][tuple(place)] = room.out[own]

    at_once([partial(work, tiles) for tiles in _shared(images, filters, _WIDE)])
    return force


def filter_force_back(
    kind: Kind,
    images: Images,
    pull: Images,
    filters: Filters,
    mixtures: tuple[Mixtures, Mixtures],
    dilation: int,
) -> tuple[Images, Filters, Mixtures, Mixtures]:
    """Return the slopes of Σ pull · force by the images, the filters, the shares and the scales."""
    back, rims = np.empty_like(images), _rims(filters, dilation)
    banks = [_bank(filters, *mixture) for mixture in zip(*mixtures, strict=True)]

    def work(tiles: list[Tile]) -> list[tuple[int, Sums]]:
        found = []
        for which, *place in tiles:
            seen, own = _with_rim(place, images.shape[1:], rims)
            room, sums = _room(images[which][seen].shape, filters, dilation), _no_sums(banks[which], filters)
            both = (_padded(array[which][seen], room) for array in (images, pull))
            rows = own[0].start, own[0].stop
            _force_back(kind, banks[which], *both, room.out, room.lines, room.places, sums, rows)
            back[which][tuple(place)] = room.out[own]
            found.append((which, sums))
        return found

    parts = [
        part for some in at_once([partial(work, t) for t in _shared(images, filters, images.shape[2])]) for part in some
    ]
    by_shares, by_scales = (np.zeros_like(values) for values in mixtures)
    for which, sums in parts:
        by_shares[which] += sums.shares.reshape(-1, by_shares.shape[2])[: len(filters)]
        by_scales[which] += sums.scales.reshape(-1, by_scales.shape[2])[: len(filters)]
    return back, _collected([sums.filters for _, sums in parts], filters), by_shares, by_scales


def _rims(filters: Filters, dilation: int) -> list[int]:
    return [dilation * (side - 1) for side in filters.shape[1:]]


def _shared(images: Images, filters: Filters, wide: int) -> list[list[Tile]]:
    """Return tiles no wider than ``wide``, for every thread that is worth waking."""
    threads = threads_allowed() if 2 * filters.size * images.size > _WORTH_A_SECOND_THREAD else 1
    rows, cols = images.shape[1:]
    counts = max(-(-rows // _HIGH), min(-(-threads // len(images)), rows)), -(-cols // wide)
    down, right = (
        [slice(k * n // count, (k + 1) * n // count) for k in range(count)]
        for n, count in zip((rows, cols), counts, strict=True)
    )
    tiles = [(which, *place) for which in range(len(images)) for place in product(down, right)]
    return [tiles[k::threads] for k in range(min(threads, len(tiles)))]


def _with_rim(place: Sequence[slice], shape: tuple[int, ...], rims: list[int]) -> tuple[Place, Place]:
    """Return what of an image the force at a place depends on, and where the place is in that."""
    seen = [slice(max(at.start - rim, 0), min(at.stop + rim, n)) for at, rim, n in zip(place, rims, shape, strict=True)]
    own = [slice(at.start - wide.start, at.stop - wide.start) for at, wide in zip(place, seen, strict=True)]
    return (seen[0], seen[1]), (own[0], own[1])


def _bank(filters: Filters, shares: Floats, scales: Floats) -> Bank:
    groups = -(-len(filters) // _TOGETHER)

    def grouped(values: Floats) -> Floats:
        whole = np.zeros((groups * _TOGETHER, *values.shape[1:]), filters.dtype)
        whole[: len(values)] = values
        return whole.reshape(groups, _TOGETHER, *values.shape[1:])

    bank = grouped(filters)
    ahead = np.ascontiguousarray(bank.transpose(0, 2, 3, 1)).reshape(groups, -1, _TOGETHER)
    back = np.ascontiguousarray(bank.transpose(0, 3, 1, 2)).reshape(groups, -1, filters.shape[1])
    return Bank(ahead, back, grouped(shares), grouped(scales))


def _room(shape: tuple[int, ...], filters: Filters, dilation: int) -> Room:
    """Return room for the force of an image of this shape, and where things are in it."""
    (rows, cols), (high, rim), step = shape, _rims(filters, dilation), pixels_at_once(filters.dtype)
    wide, own = whole_registers(cols, step), whole_registers(cols - rim, step)
    shapes = (_TOGETHER + 1, wide + rim), (_TOGETHER + 1, wide + rim), (own,), (own,), (own,)
    lines = Lines(*(zeros(shape, filters.dtype) for shape in shapes))
    lines.inside[: cols - rim] = 1
    down, right = (dilation * np.arange(side) for side in filters.shape[1:])
    taps, stride = (down[:, None] * (own + rim) + right).ravel(), lines.rows.shape[1]
    places = Places(
        rows - high,
        step,
        taps,
        several=np.append(taps, np.zeros(-len(taps) % TERMS, taps.dtype)),
        terms=(np.arange(_TOGETHER) * stride - right[:, None]).ravel(),
        lanes=tuple(k * stride for k in range(_TOGETHER)),
        rows=tuple(int(k) * wide for k in down),
    )
    return Room(zeros((rows, wide), filters.dtype), lines, places, own + rim)


def _padded(image: Floats, room: Room) -> Floats:
    wide = zeros((image.shape[0], room.wide), image.dtype)
    wide[:, : image.shape[1]] = image
    return wide


def _no_sums(bank: Bank, filters: Filters) -> Sums:
    groups, taps, _ = bank.ahead.shape
    lanes = _TOGETHER * lanes_of(filters.itemsize)
    by_filters = zeros((groups, whole_registers(taps, TERMS), lanes), filters.dtype)
    return Sums(by_filters, np.zeros_like(bank.shares), np.zeros_like(bank.scales))


def _collected(sums: list[Floats], filters: Filters) -> Filters:
    """Return the slopes by the filters, of all tiles and lanes, as the filters are."""
    groups, _, lanes = sums[0].shape
    total = sum(part.reshape(groups, -1, _TOGETHER, lanes // _TOGETHER).sum(axis=3, dtype=np.float64) for part in sums)
    taps = total[:, : filters[0].size].transpose(0, 2, 1)
    found: Filters = taps.reshape(-1, *filters.shape[1:])[: len(filters)].astype(filters.dtype)
    return found

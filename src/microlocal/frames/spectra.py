"""The frequency responses of cone-adapted shearlets in two and three dimensions, each on the box where it lives.

The directions of a scale are the lattice points n on the surface of the cube [-K, K]^d, up to sign. In the pyramid of
frequencies whose largest component is ξ_p,

    |ψ̂_{j,n}(ξ)|² = W_j(|ξ_p|)² Π_{a≠p} g(K ξ_a/|ξ_p| - sign(ξ_p n_p) n_a)²      if |n_p| = K, else 0

with Meyer's windows W_j and g. A point n inside of a face of the cube lives in one pyramid; one on an edge or a corner
is glued from two or three (Guo and Labate, 2013). Over all n the squares add up to W_j², over all scales to one.

Frequencies are k/N with signed k; the Nyquist frequencies ±1/2 are one frequency of the grid, and the squares there
are the means over the two signs of each, so that real images have real coefficients at every size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from microlocal.frames.windows import bump_squared, low_pass_squared

Array = NDArray[np.float64]
Interval = tuple[int, int]  # first and last signed frequency number of an axis


@dataclass(frozen=True)
class Element:
    """One filter: the ring between two low-pass cutoffs (None: none), and the direction n with its K.

    ``node`` lists the components of n in the order of the array's axes; it is empty for the low-pass, whose cutoff is
    ``outer``.
    """

    inner: float | None
    outer: float | None
    node: tuple[int, ...] = ()
    shears: int = 1

    @property
    def pyramids(self) -> tuple[int, ...]:
        """The axes p with |n_p| = K."""
        return tuple(p for p, n in enumerate(self.node) if abs(n) == self.shears)

    def ring(self, frequency: Array) -> Array:
        """Return W² at |ξ_p|."""
        outer = np.ones_like(frequency) if self.outer is None else low_pass_squared(np.abs(frequency), self.outer)
        return outer if self.inner is None else outer - low_pass_squared(np.abs(frequency), self.inner)


def squared_response(element: Element, frequencies: Sequence[Array], one_sided: bool = False) -> Array:
    """Return |ψ̂|² on the product grid of ``frequencies`` (cycles per pixel, one array an axis).

    ``one_sided`` keeps the half n·ξ > 0 of the frequencies alone.
    """
    dims = len(frequencies)
    grids = [_along(f, axis, dims) for axis, f in enumerate(frequencies)]
    if not element.node:  # W² of the largest component is the least of the components' W², since W falls
        parts = [element.ring(f) for f in grids]
        return np.minimum.reduce(np.broadcast_arrays(*parts))
    total = np.zeros([len(f) for f in frequencies])
    for p in element.pyramids:
        sign = math.copysign(1, element.node[p])
        kept = sign * grids[p] > 0 if one_sided else grids[p] != 0
        part = element.ring(grids[p]) * kept
        for a in range(dims):
            if a != p:
                part = part * _fan(grids[a], grids[p], element.shears, sign * element.node[a], a > p)
        total += part
    return total


def _fan(across: Array, along: Array, shears: int, shear: float, ties: bool) -> Array:
    """Return g(K ξ_a/ξ_p - k)² where ξ_p dominates ξ_a; where both are as large, the first axis does."""
    safe = np.where(along == 0, 1.0, along)
    inside = np.abs(across) <= np.abs(along) if ties else np.abs(across) < np.abs(along)
    return np.where(inside, bump_squared(shears * across / safe - shear), 0.0)


def _along(values: Array, axis: int, dims: int) -> Array:
    return values.reshape([-1 if k == axis else 1 for k in range(dims)])


def folded_response(element: Element, shape: Sequence[int], box: Sequence[Interval]) -> Array:
    """Return |ψ̂|² at the frequency numbers of ``box``, with the means over both signs of the Nyquist frequencies."""
    frequencies = [np.arange(first, last + 1) / n for (first, last), n in zip(box, shape, strict=True)]
    return _folded(element, frequencies, 0)


def _folded(element: Element, frequencies: list[Array], axis: int) -> Array:
    if axis == len(frequencies):
        return squared_response(element, frequencies)
    values = _folded(element, frequencies, axis + 1)
    for k in np.flatnonzero(np.abs(frequencies[axis]) == 0.5):
        both = [[*frequencies[:axis], np.array([sign]), *frequencies[axis + 1 :]] for sign in (-0.5, 0.5)]
        mean = (_folded(element, both[0], axis + 1) + _folded(element, both[1], axis + 1)) / 2
        values[(slice(None),) * axis + (slice(k, k + 1),)] = mean
    return values


def trapezoid_response(element: Element, shape: Sequence[int], box: Sequence[Interval]) -> Array:
    """Return 2 |ψ̂|² on the half n·ξ > 0, halved once for every Nyquist frequency among the components.

    The numbers of ``box`` run from -N/2 to N/2 with both ends: summed over all numbers of one frequency and its
    negative, this is twice the folded response, hence a real image keeps its energy in complex coefficients of one
    side. The low-pass is its own mirror and keeps |ψ̂|².
    """
    frequencies = [np.arange(first, last + 1) / n for (first, last), n in zip(box, shape, strict=True)]
    values = squared_response(element, frequencies, one_sided=True)
    for axis, f in enumerate(frequencies):
        values = values * _along(np.where(np.abs(f) == 0.5, 0.5, 1.0), axis, len(shape))
    return 2 * values if element.node else values


def one_sided_box(element: Element, shape: Sequence[int]) -> list[Interval]:
    """Return a box of frequency numbers that holds the half n·ξ > 0 of the support, from -⌊N/2⌋ to ⌊N/2⌋."""
    high = 0.5 if element.outer is None else element.outer
    if not element.node:
        return [_numbers(-high, high, n) for n in shape]
    low = 0.0 if element.inner is None else element.inner / 2
    ranges = [_range(element, p, low, min(high, 0.5)) for p in element.pyramids]
    return [
        _numbers(min(r[axis][0] for r in ranges), max(r[axis][1] for r in ranges), n) for axis, n in enumerate(shape)
    ]


def _range(element: Element, p: int, low: float, high: float) -> list[tuple[float, float]]:
    """Return the frequencies, axis by axis, of the piece in the pyramid of axis p."""
    found = []
    for axis, n in enumerate(element.node):
        below, above = (n, n) if axis == p else (max(n - 1, -element.shears), min(n + 1, element.shears))
        ends = [t / element.shears * radius for t in (below, above) for radius in (low, high)]
        found.append((min(ends), max(ends)))
    return found


def _numbers(low: float, high: float, n: int) -> Interval:
    """Return the frequency numbers strictly inside of (low, high), where windows vanish at the ends, Nyquist's too."""
    first = -(n // 2) if low <= -0.5 else math.floor(low * n) + 1
    last = n // 2 if high >= 0.5 else math.ceil(high * n) - 1
    return first, last


def half_boxes(element: Element, shape: Sequence[int]) -> list[list[Interval]]:
    """Return the boxes, one or two, that hold both halves of the support on the half spectrum (last number >= 0).

    At the numbers 0 and N/2 of the last axis both halves meet, so that a box there is symmetric in the other axes.
    """
    box = one_sided_box(element, shape)
    first, last = box[-1]
    if element.node and last <= 0 and first < 0:
        return half_boxes(replace(element, node=tuple(-n for n in element.node)), shape)
    around = [_at_most((min(a, -b), max(-a, b)), n) for (a, b), n in zip(box, shape, strict=True)][:-1]
    if first <= 0:
        return [[*around, (0, max(-first, last))]]
    plain = [_at_most(interval, n) for interval, n in zip(box, shape, strict=True)][:-1]
    if 2 * last == shape[-1]:
        boxes = [[*plain, (first, last - 1)], [*around, (last, last)]]
        return boxes if first < last else boxes[1:]
    return [[*plain, (first, last)]]


def _at_most(interval: Interval, n: int) -> Interval:
    """Return the interval without its last numbers, should it be longer than one period."""
    return interval[0], min(interval[1], interval[0] + n - 1)


def pieces(interval: Interval, n: int) -> list[tuple[slice, slice]]:
    """Return (where on the grid of n frequencies, where in the box) of an interval's pieces: negative numbers wrap."""
    first, last = interval
    found = []
    if first < 0:
        end = min(last, -1)
        found.append((slice(n + first, n + end + 1), slice(0, end - first + 1)))
    if last >= 0:
        start = max(first, 0)
        found.append((slice(start, last + 1), slice(start - first, last - first + 1)))
    return found

"""Filters at the sampling rate that their frequencies need.

Half of a real filter's support, n·ξ > 0, carries all of a real image. It lies in a sheared box; taken modulo a smaller
grid of M frequencies no two of its points fall together, when the grid is as wide as the box along one axis and, along
the others, as the longest line through the support (wrapping, as in the fast discrete curvelet transform of Candès,
Demanet, Donoho and Ying, 2006). The inverse FFT on that grid gives M complex coefficients instead of N real ones.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from microlocal.frames.spectra import Array, Element, Interval, one_sided_box, trapezoid_response

Place = tuple[slice, ...]
_CHUNK = slice(None)  # spectra have one leading axis


@dataclass(frozen=True)
class Samples:
    """One filter on its own grid: blocks (place in the centred spectrum, place in the grid, values of √2 ψ̂).

    The low-pass is its own mirror: its coefficients are real, and ``centre`` shifts frequency zero to the first place.
    """

    grid: tuple[int, ...]
    blocks: tuple[tuple[Place, Place, Tensor], ...]
    centre: tuple[int, ...] | None = None

    @property
    def components(self) -> int:
        """Real numbers a coefficient."""
        return 1 if self.centre else 2

    @property
    def count(self) -> int:
        """Real numbers in all."""
        return self.components * math.prod(self.grid)

    def energy(self) -> float:
        """Return the sum of the squares of the values."""
        return sum(float(values.double().square().sum()) for _, _, values in self.blocks)

    def to(self, like: Float[Tensor, "..."]) -> "Samples":
        """Return the filter in the precision and on the device of ``like``."""
        blocks = tuple((there, here, values.to(like.device, like.dtype)) for there, here, values in self.blocks)
        return Samples(self.grid, blocks, self.centre)

    def analyse(self, spectrum: Complex[Tensor, "chunk ..."]) -> Float[Tensor, "chunk count"]:
        """Return the coefficients of images with this centred spectrum; complex ones as pairs."""
        axes = tuple(range(1, spectrum.ndim))
        wrapped = spectrum.new_zeros((len(spectrum), *self.grid))
        for there, here, values in self.blocks:
            wrapped[(_CHUNK, *here)].addcmul_(spectrum[(_CHUNK, *there)], values)
        if self.centre:
            return torch.fft.ifftn(wrapped.roll(self.centre, axes), dim=axes, norm="ortho").real.flatten(1)
        return torch.view_as_real(torch.fft.ifftn(wrapped, dim=axes, norm="ortho")).flatten(1)

    def spectrum(self, coefficients: Float[Tensor, "chunk count"], out: Complex[Tensor, "chunk ..."]) -> None:
        """Write the spectra of coefficients (chunk, *grid) into ``out``."""
        axes = tuple(range(1, out.ndim))
        if self.centre:
            plain = torch.fft.fftn(torch.unflatten(coefficients, -1, self.grid), dim=axes, norm="ortho")
            out.copy_(plain.roll([-shift for shift in self.centre], axes))
        else:
            pairs = torch.view_as_complex(torch.unflatten(coefficients, -1, (*self.grid, 2)).contiguous())
            torch.fft.fftn(pairs, dim=axes, norm="ortho", out=out)

    def synthesise(self, coefficients: Float[Tensor, "chunk count"], total: Complex[Tensor, "chunk ..."]) -> None:
        """Add the centred spectrum of the filter's part to ``total``."""
        wrapped = total.new_empty((len(total), *self.grid))
        self.spectrum(coefficients, wrapped)
        for there, here, values in self.blocks:
            total[(_CHUNK, *there)].addcmul_(wrapped[(_CHUNK, *here)], values)


def sample(element: Element, shape: tuple[int, ...]) -> Samples:
    """Return an element on the smallest grid that holds it, in float64."""
    box = one_sided_box(element, shape)
    values = np.sqrt(trapezoid_response(element, shape, box))
    if not values.any():  # a filter between the frequencies of a small image keeps one coefficient, zero
        return Samples((1,) * len(shape), ())
    values, starts = _trimmed(values, [first + n // 2 for (first, _), n in zip(box, shape, strict=True)])
    if not element.node:
        grid = tuple(next_fast_len(n) for n in values.shape)
        grid = (*grid[:-1], grid[-1] + grid[-1] % 2)
        return Samples(grid, _blocks(values, starts, grid), tuple(-(n // 2) for n in values.shape))
    grid = min((_grid(values > 0, axis) for axis in range(values.ndim)), key=math.prod)
    return Samples(grid, _blocks(values, starts, grid))


def _grid(support: NDArray[np.bool_], axis: int) -> tuple[int, ...]:
    """Return the grid that is as wide as the support along ``axis``, elsewhere as its longest line."""
    grid = []
    for other in range(support.ndim):
        rest = tuple(a for a in range(support.ndim) if a not in (axis, other))
        plane = support.any(axis=rest)  # what lies over the pair of axes, or over the one
        if other == axis:
            grid.append(support.shape[axis])
        else:
            lines = plane if axis < other else plane.T
            numbers = np.arange(lines.shape[1])
            last = np.where(lines, numbers, -1).max(axis=1)
            first = np.where(lines, numbers, lines.shape[1]).min(axis=1)
            grid.append(int((last - first + 1).max()))
    return tuple(next_fast_len(n) for n in grid)


def _trimmed(values: Array, starts: Sequence[int]) -> tuple[Array, list[int]]:
    """Return the values without the zeros around them, and where they start now."""
    kept = [np.flatnonzero(values.any(axis=tuple(a for a in range(values.ndim) if a != k))) for k in range(values.ndim)]
    place = tuple(slice(int(k[0]), int(k[-1]) + 1) for k in kept)
    return values[place], [start + int(k[0]) for start, k in zip(starts, kept, strict=True)]


def _blocks(values: Array, starts: Sequence[int], grid: tuple[int, ...]) -> tuple[tuple[Place, Place, Tensor], ...]:
    """Cut the values at the multiples of the grid; leave out what is zero."""
    found = []
    tiles = [range(0, n, m) for n, m in zip(values.shape, grid, strict=True)]
    for corner in itertools.product(*tiles):
        tile = values[tuple(slice(c, c + m) for c, m in zip(corner, grid, strict=True))]
        if tile.any():
            block, offsets = _trimmed(tile, [0] * values.ndim)
            here = tuple(slice(o, o + n) for o, n in zip(offsets, block.shape, strict=True))
            shifts = [s + c for s, c in zip(starts, corner, strict=True)]
            there = tuple(slice(s + h.start, s + h.stop) for s, h in zip(shifts, here, strict=True))
            found.append((there, here, torch.from_numpy(np.ascontiguousarray(block))))
    return tuple(found)


def centred_interval(n: int) -> Interval:
    """Return the frequency numbers of a centred spectrum: from -⌊n/2⌋ to ⌊n/2⌋, Nyquist's twice."""
    return -(n // 2), n // 2

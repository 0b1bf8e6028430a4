"""Compactly supported shearlets: ShearLab's construction, faithful to the continuum theory, with its dual frame.

Every filter is a finite filter of the pixel grid. With the maximally flat low-pass h, its mirror g(ω) = h(ω + π), the
fan P (see ``maxflat``), and h_n(ω) = h(ω) h(2ω) … h(2^(n-1) ω), the element (j, k) of the horizontal cone is

    ψ̂_{j,k}(ω) = h_l(ω_x) g(2^l ω_x) Σ_{m < 2^s} h_s(θ_m)² W_s(ω_x, ω_y - k θ_m),        θ_m = (ω_x + 2π m) / 2^s
    W_s(ω) = P(ω_x, 2^(s+1) ω_y) h_(s+1)(ω_y) / |P|_1

for l = levels from the finest scale and s its shear level. The sum over m is the digital shearing: upsample x by 2^s,
low-pass, shear by k whole pixels, low-pass, downsample. The vertical cone has x and y exchanged and |k| < 2^s only, as
the two elements on the seam would be there twice. All responses are real and even. The frame is not tight: for four
scales with shear levels (1, 1, 2, 2) the bounds are 0.0669 and 1, the condition of synthesis is their ratio 14.9.

Reference: Kutyniok, Lim and Reisenhofer (2016), section 3.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, shape_of
from microlocal.core.registry import register
from microlocal.frames.base import FilterIndex
from microlocal.frames.fourier import FourierFrame
from microlocal.frames.lanes import lanes
from microlocal.frames.maxflat import FLATNESS, absolute_sum_of_fan, doubled, fan, low_pass, low_pass_cascade
from microlocal.frames.shearlet import checked_shears, shearlet_index
from microlocal.frames.storage import empty

REACH = 128  # pixels beyond which a filter of four scales, or its dual, holds less than 1e-6 of what it sees

Array = NDArray[np.float64]
Wedge = tuple[int, int, int, int]  # level, shear, pixels across, pixels along


def default_shear_levels(scales: int) -> tuple[int, ...]:
    """Return ⌈j/2⌉ for j = 1 … scales, parabolic scaling: 2^(⌈j/2⌉) shears to each side."""
    return tuple(math.ceil(j / 2) for j in range(1, scales + 1))


def _taps(level: int, across: int) -> Array:
    """Return d of W_s(ω_x, ω)/|P|_1 = Σ_n d_n(ω_x) cos nω, (n, ω_x), at the frequencies >= 0 of ``across`` pixels."""
    degree = 2 * FLATNESS * 2 ** (level + 1) + 4 * (2 ** (level + 1) - 1)  # of the fan, and of the low-pass
    points = 2 * (degree + 1)
    cosine = np.cos(2 * np.pi * np.arange(points) / points)[:, None]
    directions = fan(np.cos(_frequencies(across))[None, :], doubled(cosine, level + 1))
    directions *= low_pass_cascade(cosine, level + 1)
    taps: Array = np.fft.rfft(directions, axis=0).real[:-1] * (2 / points / absolute_sum_of_fan())
    taps[0] /= 2
    return taps


def _frequencies(pixels: int) -> Array:
    """Return the frequencies >= 0."""
    return 2 * np.pi * np.arange(pixels // 2 + 1, dtype=np.float64) / pixels


def _turned(numbers: NDArray[np.int64], period: int) -> NDArray[np.complex128]:
    """Return exp(2πi numbers/period) from a table: large numbers cost no accuracy."""
    table: NDArray[np.complex128] = np.exp(2j * np.pi * np.arange(period) / period)
    return table[numbers % period]


def _wedge(level: int, shear: int, across: int, along: int) -> tuple[Tensor, Tensor]:
    """Return the two parts of a sheared wedge at the frequencies >= 0 of so many pixels, each (along, across).

    Along ω_y it has so few taps that two products of matrices make it:

        Σ_m h_s² W_s(ω_x, ω_y - k θ_m) = Σ_n cos(n ω_y) d_n Σ_m h_s² cos(n k θ_m) + sin(n ω_y) d_n Σ_m h_s² sin(n k θ_m)

    The first part is even in either frequency and in k, the second odd: they give the other quarters, and -k.
    """
    taps, parts = _taps(level, across), 2**level
    n, phases = np.arange(len(taps))[:, None], np.zeros(taps.shape, dtype=np.complex128)
    for m in range(parts):
        fine = np.arange(across // 2 + 1) + across * m  # θ_m in units of 2π / (across parts)
        weight = low_pass_cascade(np.cos(2 * np.pi * fine / (across * parts)), level) ** 2
        phases += weight * _turned(shear * n * fine, across * parts)
    waves = torch.from_numpy(_turned(np.arange(along // 2 + 1)[:, None] * n.T, along))
    sums = torch.from_numpy(taps * phases)
    return waves.real @ sums.real, waves.imag @ sums.imag


def _band(level: int, frequency: Array) -> Array:
    """Return h_l(ω) g(2^l ω), the wavelet ``level`` below the finest."""
    cosine = np.cos(frequency)
    return low_pass_cascade(cosine, level) * low_pass(-doubled(cosine, level))


@functools.lru_cache(maxsize=4)
def compact_shearlet_filters(shape: tuple[int, int], shear_levels: tuple[int, ...]) -> Float[Tensor, "filter row half"]:
    """Return ψ̂ of every filter on the half spectrum, float64 (filter, rows, cols // 2 + 1): real and even."""
    rows, cols = shape
    wy, wx, scales = _frequencies(rows), _frequencies(cols), len(shear_levels)
    records = shearlet_index([2**level for level in shear_levels])[1:]
    keys = [_key(record, shear_levels, shape) for record in records]
    distinct = list(dict.fromkeys(keys))
    parts: dict[Wedge, tuple[Tensor, Tensor]] = {}
    filters = empty((1 + len(records), rows, len(wx)), torch.empty(0, dtype=torch.float64))
    low = torch.from_numpy(low_pass_cascade(np.cos(wy), scales)[:, None] * low_pass_cascade(np.cos(wx), scales))
    _unfold(low, low, filters[0])

    def make(queue: Iterator[int]) -> None:
        for number in queue:
            parts[distinct[number]] = _wedge(*distinct[number])

    def write(queue: Iterator[int]) -> None:
        for number in queue:
            record, (even, odd) = records[number], parts[keys[number]]
            vertical = record.cone == "vertical"
            band = torch.from_numpy(_band(scales - 1 - record.scale, wy if vertical else wx))
            even, odd = even * band, odd * math.copysign(1, record.shear) * band
            down, up = even - odd, even + odd
            _unfold(*((down.T, up.T) if vertical else (down, up)), filters[1 + number])

    with lanes(filters) as run:
        run(make, len(distinct), filters.numel())
        run(write, len(records), filters.numel())
    return filters


def _key(record: FilterIndex, shear_levels: tuple[int, ...], shape: tuple[int, int]) -> Wedge:
    """Return the arguments of ``_wedge`` for a filter: filters of one level and of opposite shears share theirs."""
    pixels = shape if record.cone == "vertical" else shape[::-1]
    return shear_levels[record.scale], abs(record.shear), pixels[0], pixels[1]


def _unfold(down: Tensor, up: Tensor, out: Tensor) -> None:
    """Write a filter from its quarters where ω_y <= 0, on the rows numbered from zero on, and where ω_y > 0."""
    out[: len(down)] = down
    out[len(down) :] = up[1 : len(out) - len(down) + 1].flip(0)


def _samples() -> list["CompactShearletFrame"]:
    return [
        CompactShearletFrame((32, 32), shear_levels=(1,)),
        CompactShearletFrame((31, 40), scales=2),
        CompactShearletFrame((36, 33), shear_levels=(0, 2)),
    ]


@register("frame", "compact-shearlet", samples=_samples, reference="kutyniok2016")
class CompactShearletFrame(FourierFrame):
    """Compactly supported cone-adapted shearlets: (*batch, row, col) -> (*batch, filter, row, col).

    Parameters: ``shape`` of the image, any rows and columns (filters longer than the image wrap around); ``scales``,
    how many (default 4, fewer for small images); ``shear_levels`` s of each scale from coarse to fine, 2^s shears to
    each side (default ⌈j/2⌉). Four scales give 49 filters.

    Guarantees: ``inverse`` undoes ``forward`` exactly, by the canonical dual frame; ``bounds`` are exact.

    >>> frame = CompactShearletFrame((40, 31), scales=2)
    >>> x = torch.rand(40, 31, dtype=torch.float64)
    >>> bool(torch.allclose(frame.inverse(frame(x)), x))
    True
    >>> round(frame.condition(), 1) > 1
    True
    """

    filters: tuple[FilterIndex, ...]

    def __init__(
        self, shape: tuple[int, int], scales: int | None = None, shear_levels: Sequence[int] | None = None
    ) -> None:
        self._size = shape_of(shape, [self.domain_axes], "CompactShearletFrame")
        fitting = max(1, min(4, int(math.log2(max(min(self._size), 2))) - 3))
        who = type(self).__name__
        count = fitting if scales is None else at_least(scales, 1, "scales", who)
        levels = default_shear_levels(count) if shear_levels is None else shear_levels
        self.shear_levels = checked_shears(levels, scales, who, name="shear_levels", least=0)
        super().__init__(self._size, shearlet_index([2**level for level in self.shear_levels]))

    def _responses(self) -> Tensor:
        return compact_shearlet_filters((self._size[0], self._size[1]), self.shear_levels)

    def condition(self) -> float:
        """Return B/A, the factor by which rounding and noise may grow through the synthesis, squared."""
        lower, upper = self.bounds()
        return upper / lower

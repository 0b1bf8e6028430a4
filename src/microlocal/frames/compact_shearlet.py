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
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, shape_of
from microlocal.core.registry import register
from microlocal.frames.base import FilterIndex
from microlocal.frames.fourier import FourierFrame
from microlocal.frames.maxflat import absolute_sum_of_fan, doubled, fan, low_pass, low_pass_cascade
from microlocal.frames.shearlet import shearlet_index

Array = NDArray[np.float64]


def default_shear_levels(scales: int) -> tuple[int, ...]:
    """Return ⌈j/2⌉ for j = 1 … scales, parabolic scaling: 2^(⌈j/2⌉) shears to each side."""
    return tuple(math.ceil(j / 2) for j in range(1, scales + 1))


def _wedge(level: int, shear: int, across: Array, along: Array) -> Array:
    """Return the sheared wedge of a shear level around the line ω_along = shear/2^level ω_across."""
    total = np.zeros(np.broadcast_shapes(across.shape, along.shape))
    cos_across, parts = np.cos(across), 2**level
    for m in range(parts):
        fine = (across + 2 * np.pi * m) / parts
        cosine = np.cos(along - shear * fine)
        directions = fan(cos_across, doubled(cosine, level + 1)) * low_pass_cascade(cosine, level + 1)
        total += low_pass_cascade(np.cos(fine), level) ** 2 * directions
    return total / absolute_sum_of_fan()


def _band(level: int, frequency: Array) -> Array:
    """Return h_l(ω) g(2^l ω), the wavelet ``level`` below the finest."""
    cosine = np.cos(frequency)
    return low_pass_cascade(cosine, level) * low_pass(-doubled(cosine, level))


@functools.lru_cache(maxsize=4)
def compact_shearlet_filters(shape: tuple[int, int], shear_levels: tuple[int, ...]) -> Float[Tensor, "filter row half"]:
    """Return ψ̂ of every filter on the half spectrum, float64 (filter, rows, cols // 2 + 1): real and even."""
    rows, cols = shape
    wy: Array = -2 * np.pi * np.asarray(np.fft.fftfreq(rows), dtype=np.float64)[:, None]  # y up
    wx: Array = 2 * np.pi * np.arange(cols // 2 + 1, dtype=np.float64)[None, :] / cols
    scales = len(shear_levels)
    wedges: dict[tuple[int, str, int], Array] = {}
    filters = [low_pass_cascade(np.cos(wx), scales) * low_pass_cascade(np.cos(wy), scales)]
    for record in shearlet_index([2**level for level in shear_levels])[1:]:
        level, vertical = shear_levels[record.scale], record.cone == "vertical"
        across, along = (wy, wx) if vertical else (wx, wy)
        key = (level, record.cone, record.shear)
        if key not in wedges:
            wedges[key] = _wedge(level, record.shear, across, along)
        filters.append(wedges[key] * _band(scales - 1 - record.scale, across))
    return torch.from_numpy(np.stack(filters))


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
        count = fitting if scales is None else at_least(scales, 1, "scales", "CompactShearletFrame")
        self.shear_levels = default_shear_levels(count) if shear_levels is None else tuple(shear_levels)
        at_least(len(self.shear_levels), 1, "scales", "CompactShearletFrame")
        for level in self.shear_levels:
            at_least(level, 0, "shear_levels", "CompactShearletFrame")
        super().__init__(self._size, shearlet_index([2**level for level in self.shear_levels]))

    def _responses(self) -> Tensor:
        return compact_shearlet_filters((self._size[0], self._size[1]), self.shear_levels)

    def condition(self) -> float:
        """Return B/A, the factor by which rounding and noise may grow through the synthesis, squared."""
        lower, upper = self.bounds()
        return upper / lower

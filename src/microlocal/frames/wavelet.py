"""Orthogonal and biorthogonal wavelets on a periodic grid, as many coefficients as pixels.

Level by level, a two-channel filter bank splits the lowest band along every axis; the coefficients lie in one array in
Mallat's order, the low-pass in the first corner and each detail beside it:

    (*batch, row, col) -> (*batch, row, col)         low  | high along col
                                                     -----+---------------
                                                     high along row | both

A size that 2^levels does not divide is continued by zeros up to one it does: analysis stays an isometry for orthogonal
filters, synthesis cuts the zeros off, and there are a few more coefficients than pixels.
Reference: Mallat (1989); Cohen, Daubechies and Feauveau (1992) for biorthogonal filters.
"""

import functools
import math
from dataclasses import dataclass
from itertools import product
from types import EllipsisType

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from microlocal.core.checks import at_least, shape_of
from microlocal.core.registry import register
from microlocal.frames.base import Frame
from microlocal.frames.wavelet_filters import default_levels, level_bounds, wavelet_filters
from microlocal.kernels.periodic_filters import Pair, merge, split
from microlocal.kernels.threads import fft_threads_for
from microlocal.operators.base import linear_pair

Place = tuple[EllipsisType | slice, ...]
AXES = {1: "sample", 2: "row, col", 3: "slice, row, col"}


@dataclass(frozen=True)
class WaveletIndex:
    """What one band of a wavelet transform looks at.

    ``scale`` counts from coarse (0) to fine, -1 is the low-pass; ``high`` says for every axis whether it was filtered
    by the high-pass; ``band`` the nominal lowest and highest frequency along those axes, in cycles per pixel.
    """

    scale: int
    high: tuple[bool, ...]
    band: tuple[float, float]

    @property
    def normal(self) -> tuple[float, ...]:
        """The diagonal of the axes filtered by the high-pass, (x right, y up); a wavelet knows no other directions."""
        along = [float(h) for h in reversed(self.high)] if any(self.high) else [1.0] + [0.0] * (len(self.high) - 1)
        return tuple(component / math.sqrt(sum(along)) for component in along)

    @property
    def key(self) -> tuple[object, ...]:
        return self.scale, self.high


def wavelet_index(dimensions: int, levels: int) -> tuple[WaveletIndex, ...]:
    """Return the record of every band: the low-pass, then scale by scale the 2^d - 1 details."""
    kinds = list(product((False, True), repeat=dimensions))
    low = WaveletIndex(-1, kinds[0], (0.0, 2.0 ** -(levels + 1)))
    return low, *(
        WaveletIndex(scale, kind, (2.0 ** (scale - levels - 1), 2.0 ** (scale - levels)))
        for scale in range(levels)
        for kind in kinds[1:]
    )


def _samples() -> list["WaveletFrame"]:
    return [
        WaveletFrame((16, 24), "db2", levels=2),
        WaveletFrame((15, 22), "haar", levels=2),
        WaveletFrame((12, 16), "bior2.2", levels=2),
        WaveletFrame((32,), "sym4"),
        WaveletFrame((4, 6, 8), "haar", levels=1),
    ]


@register("frame", "wavelet", samples=_samples, reference="mallat1989")
class WaveletFrame(Frame):
    """Decimated wavelets, (*batch, *shape) -> (*batch, *padded shape) in Mallat's order; signals, images or volumes.

    Parameters: ``shape``, one to three axes of any size; ``wavelet``, a discrete wavelet of PyWavelets by name;
    ``levels``, as many as keep the coarsest filter inside of the image unless given.

    Guarantees: ``inverse`` undoes ``forward``; orthogonal filters make a Parseval frame (an orthogonal map where
    2^levels divides the shape), biorthogonal ones a frame whose computed ``bounds`` hold. The coefficients are those
    of ``pywt.wavedecn(mode="periodization")``.

    >>> frame = WaveletFrame((16, 16), "db2", levels=2)
    >>> x = torch.rand(16, 16, dtype=torch.float64)
    >>> bool(torch.allclose(frame.inverse(frame(x)), x))
    True
    """

    directional = False

    def __init__(self, shape: tuple[int, ...], wavelet: str = "db4", levels: int | None = None) -> None:
        self.wavelet = wavelet_filters(wavelet, "WaveletFrame")
        size = shape_of(shape, AXES.values(), "WaveletFrame")
        count = default_levels(size, self.wavelet) if levels is None else levels
        self.levels = at_least(count, 1, "levels", "WaveletFrame")
        unit = 2**self.levels
        padded = tuple(-(-n // unit) * unit for n in size)
        super().__init__(size, wavelet_index(len(size), self.levels), padded)
        self.domain_axes = self.codomain_axes = AXES[len(size)]
        self.register_buffer("_band_of", self._numbers(), persistent=False)

    _band_of: Tensor
    filters: tuple[WaveletIndex, ...]

    def _places(self) -> list[Place]:
        """Return where every band lies in the array of coefficients, batch axes included."""
        places = []
        for record in self.filters:
            level = self.levels - max(record.scale, 0)
            sizes = [n >> level for n in self.codomain_shape]
            ranges = (slice(n, 2 * n) if h else slice(n) for n, h in zip(sizes, record.high, strict=True))
            places.append((..., *ranges))
        return places

    def _numbers(self) -> Tensor:
        numbers = torch.zeros(self.codomain_shape, dtype=torch.long)
        for k, place in enumerate(self._places()):
            numbers[place] = k
        return numbers

    def bands(self, coefficients: Float[Tensor, "..."]) -> tuple[Float[Tensor, "..."], ...]:
        """Return views of the coefficients of every band: the low-pass, then from coarse to fine. Raises ShapeError."""
        self._check_coefficients(coefficients, "bands")
        return tuple(coefficients[place] for place in self._places())

    def spread(self, values: Float[Tensor, " filter"]) -> Float[Tensor, "..."]:
        """Return one value a band at the places of its coefficients, of the coefficients' shape. Raises ShapeError."""
        self._check_values(values)
        return values[self._band_of]

    def _forward(self, x: Tensor) -> Tensor:
        with fft_threads_for(x.numel()):  # barriers of idle threads cost more than these sums
            return linear_pair(x, self._analysis, self._synthesis)

    def _adjoint(self, y: Tensor) -> Tensor:
        with fft_threads_for(y.numel()):
            return linear_pair(y, self._synthesis, self._analysis)

    def _inverse(self, y: Tensor) -> Tensor:
        dual = self.wavelet.dual
        with fft_threads_for(y.numel()):
            return linear_pair(y, lambda c: self._synthesis(c, dual), lambda x: self._analysis(x, dual))

    def _corner(self, level: int) -> Place:
        return ..., *(slice(n >> level) for n in self.codomain_shape)

    def _analysis(self, x: Tensor, filters: Pair | None = None) -> Tensor:
        pair = self.wavelet.analysis if filters is None else filters
        missing = [m - n for n, m in zip(self.domain_shape, self.codomain_shape, strict=True)]
        result = pad(x, [part for end in reversed(missing) for part in (0, end)]) if any(missing) else x.clone()
        for level in range(self.levels):
            corner = self._corner(level)
            block = result[corner]
            for axis in range(-len(self.domain_shape), 0):
                block = torch.cat(split(block, pair, axis), dim=axis)
            result[corner] = block
        return result

    def _synthesis(self, y: Tensor, filters: Pair | None = None) -> Tensor:
        inside: Place = (..., *(slice(n) for n in self.domain_shape))
        return self._padded_synthesis(y, filters)[inside]

    def _padded_synthesis(self, y: Tensor, filters: Pair | None = None) -> Tensor:
        pair = self.wavelet.analysis if filters is None else filters
        result = y.clone()
        for level in reversed(range(self.levels)):
            corner = self._corner(level)
            block = result[corner]
            for axis in range(-len(self.domain_shape), 0):
                low, high = block.chunk(2, dim=axis)
                block = merge(low, high, pair, axis)
            result[corner] = block
        return result

    @functools.cached_property
    def _bounds(self) -> tuple[float, float]:
        bounds = (1.0, 1.0)
        for level in reversed(range(self.levels)):
            bounds = level_bounds(tuple(n >> level for n in self.codomain_shape), self.wavelet, bounds)
        return bounds

    def bounds(self) -> tuple[float, float]:
        """Return frame bounds (A, B): one for orthogonal filters up to the rounding of their taps.

        For biorthogonal ones they are computed level by level from the filters, exact for one level, safe for more.
        """
        return self._bounds

    @functools.cached_property
    def _norms(self) -> Tensor:
        units = torch.zeros((len(self.filters), *self.codomain_shape), dtype=torch.float64)
        for k, band in enumerate(self.bands(units)):
            middle = tuple(n // 2 for n in band.shape[1:])
            band[k][middle] = 1.0
        atoms = self._padded_synthesis(units.to(self._band_of.device))  # a coarse atom may end beyond the image
        return atoms.flatten(start_dim=1).norm(dim=1)

    def filter_norms(self) -> Float[Tensor, " filter"]:
        """Return the l2 norm of the whole atom in the middle of every band, (filter,): how it passes white noise."""
        return self._norms

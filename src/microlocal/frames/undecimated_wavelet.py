"""Undecimated (stationary) wavelets: the same filters at every pixel, so that a moved image has moved coefficients.

The two-channel filters are spread by 2^l at level l instead of decimating their output. For orthogonal filters
|h(ω)|² + |g(ω)|² = 2 at every frequency, so that dividing each level by √2 along every axis makes a Parseval frame.
Reference: Coifman and Donoho (1995).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from microlocal.core.checks import at_least, shape_of
from microlocal.core.registry import register
from microlocal.frames.fourier import FourierFrame
from microlocal.frames.wavelet import AXES, WaveletIndex, wavelet_index
from microlocal.frames.wavelet_filters import default_levels, wavelet_filters


def _channel(count: int, taps: Sequence[float], level: int, half: bool) -> Tensor:
    """Return the response of a filter spread by 2^level on a periodic axis, centred, over √2: complex128."""
    frequency = 2 * math.pi * torch.arange(count // 2 + 1 if half else count, dtype=torch.float64) / count
    offsets = 2**level * (len(taps) // 2 - torch.arange(len(taps), dtype=torch.float64))
    phases = torch.exp(1j * torch.outer(frequency, offsets))
    return phases @ torch.tensor(taps, dtype=torch.complex128) / math.sqrt(2)


def _samples() -> list["UndecimatedWaveletFrame"]:
    return [
        UndecimatedWaveletFrame((12, 17), "db2", levels=2),
        UndecimatedWaveletFrame((9, 8), "bior2.2", levels=1),
        UndecimatedWaveletFrame((16,), "sym4"),
    ]


@register("frame", "undecimated-wavelet", samples=_samples, reference="coifman1995")
class UndecimatedWaveletFrame(FourierFrame):
    """Stationary wavelets, (*batch, *shape) -> (*batch, band, *shape): signals, images or volumes of any size.

    Parameters: ``shape``; ``wavelet``, a discrete wavelet of PyWavelets by name; ``levels``. An image has 3 levels + 1
    bands: the low-pass, then from coarse to fine.

    Guarantees: Parseval for orthogonal filters; ``inverse`` undoes ``forward`` for all, by the canonical dual. The
    coefficients are those of ``pywt.swtn(norm=True)`` (which wants sizes that 2^levels divides).

    >>> frame = UndecimatedWaveletFrame((20, 15), "sym4")
    >>> x = torch.rand(20, 15, dtype=torch.float64)
    >>> bool(torch.allclose(frame.adjoint(frame(x)), x))
    True
    """

    directional = False
    filters: tuple[WaveletIndex, ...]

    def __init__(self, shape: tuple[int, ...], wavelet: str = "db4", levels: int | None = None) -> None:
        self.wavelet = wavelet_filters(wavelet, "UndecimatedWaveletFrame")
        self._size = shape_of(shape, AXES.values(), "UndecimatedWaveletFrame")
        count = default_levels(self._size, self.wavelet) if levels is None else levels
        self.levels = at_least(count, 1, "levels", "UndecimatedWaveletFrame")
        super().__init__(self._size, wavelet_index(len(self._size), self.levels))
        self.domain_axes = AXES[len(self._size)]
        self.codomain_axes = f"band, {self.domain_axes}"

    def _responses(self) -> Tensor:
        axes = [self._axis(n, half=k == len(self._size) - 1) for k, n in enumerate(self._size)]
        bands = []
        for record in wavelet_index(len(self._size), self.levels):
            band = torch.ones((), dtype=torch.complex128)
            for responses, high in zip(axes, record.high, strict=True):
                band = band.unsqueeze(-1) * responses[self.levels - 1 - max(record.scale, 0), int(high)]
            bands.append(band)
        return torch.stack(bands)

    def _axis(self, count: int, half: bool) -> Tensor:
        """Return the low- and high-pass of every level after the low-passes above it, (level, 2, frequency)."""
        low_pass, levels = torch.ones((), dtype=torch.complex128), []
        for level in range(self.levels):
            low, high = (_channel(count, taps, level, half) for taps in self.wavelet.analysis)
            levels.append(torch.stack((low_pass * low, low_pass * high)))
            low_pass = low_pass * low
        return torch.stack(levels)

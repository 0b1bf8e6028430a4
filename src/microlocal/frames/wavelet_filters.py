"""The filters of wavelets by name, from PyWavelets, and what their alias terms say about frame bounds.

A two-channel bank (h, g) maps the frequencies ω and ω + π of one axis to the low- and high-pass channel by

    P(ω) = [h(ω) h(ω + π); g(ω) g(ω + π)] / √2,

so that its frame bounds are the extreme squares of the singular values of P over the grid of frequencies.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pywt
from numpy.typing import NDArray

from microlocal.core.errors import UnknownNameError
from microlocal.kernels.periodic_filters import Pair

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WaveletFilters:
    """A named wavelet: the pair that analyses, the pair whose transpose inverts it, and whether they are one."""

    name: str
    analysis: Pair
    dual: Pair
    orthogonal: bool

    @property
    def length(self) -> int:
        return len(self.analysis[0])


APPROXIMATE = "dmey"  # PyWavelets' 62 taps of an infinite filter: they miss biorthogonality by 2e-3


def wavelet_names() -> list[str]:
    """Return the names of the wavelets that reconstruct exactly: "haar", "db4", "sym8", "coif2", "bior4.4", …"""
    return [name for name in pywt.wavelist(kind="discrete") if name != APPROXIMATE]


def wavelet_filters(name: str, who: str) -> WaveletFilters:
    """Return the filters of a wavelet; raises UnknownNameError listing :func:`wavelet_names` for any other name."""
    if name not in wavelet_names():
        raise UnknownNameError(who, name, wavelet_names())
    wavelet = pywt.Wavelet(name)
    low, dual = _sharpened(np.asarray(wavelet.dec_lo), np.asarray(wavelet.rec_lo)[::-1], bool(wavelet.orthogonal))
    signs = (-1.0) ** np.arange(len(low))
    analysis = (_taps(low), _taps(-signs * dual[::-1]))
    return WaveletFilters(name, analysis, (_taps(dual), _taps(-signs * low[::-1])), bool(wavelet.orthogonal))


def _taps(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _sharpened(low: Array, dual: Array, orthogonal: bool) -> tuple[Array, Array]:
    """Return the pair after Newton steps on Σ_k h[k] h̃[k + 2m] = δ_m, of least change.

    The tabulated taps of several wavelets carry eleven digits only, which would show in the reconstruction.
    """
    shifts = range(1 - len(low) // 2, len(low) // 2)
    for _ in range(3):
        matrix = np.stack([_shifted(low, 2 * m) for m in shifts])
        gap = matrix @ dual - np.array([float(m == 0) for m in shifts])
        if orthogonal:
            both = matrix + np.stack([_shifted(low, -2 * m) for m in shifts])
            low = dual = low - np.linalg.lstsq(both, gap, rcond=1e-10)[0]
        else:
            support = dual != 0.0
            dual = dual.copy()
            dual[support] -= np.linalg.lstsq(matrix[:, support], gap, rcond=1e-10)[0]
    return low, dual


def _shifted(taps: Array, by: int) -> Array:
    moved = np.zeros_like(taps)
    if by >= 0:
        moved[by:] = taps[: len(taps) - by]
    else:
        moved[:by] = taps[-by:]
    return moved


def default_levels(shape: tuple[int, ...], filters: WaveletFilters) -> int:
    """Return how many levels keep the coarsest filter inside of the image: at least 1, at most 6."""
    return max(1, min(6, pywt.dwt_max_level(min(shape), filters.length)))


def level_bounds(shape: tuple[int, ...], filters: WaveletFilters, low: tuple[float, float]) -> tuple[float, float]:
    """Return (A, B) of one level on a periodic grid whose lowest channel is passed on with frame bounds ``low``.

    |T x|² lies between A' |lowest channel|² + |details|² and the same with B': the extreme eigenvalues of both are
    computed over the grid's frequencies, where the 2^d aliases of a frequency mix.
    """
    axes = [_alias_matrices(count, filters) for count in shape]
    if filters.orthogonal:  # singular values one up to the rounding of the taps: the product of the axes' extremes
        extremes = [np.linalg.svd(matrices, compute_uv=False) ** 2 for matrices in axes]
        least, largest = (float(np.prod([f(e) for e in extremes])) for f in (np.min, np.max))
        return min(1.0, low[0]) * least, max(1.0, low[1]) * largest
    matrices = axes[0]
    for more in axes[1:]:
        size = 2 * matrices.shape[-1]
        matrices = np.einsum("pij,qkl->pqikjl", matrices, more).reshape(-1, size, size)
    weighted = []
    for weight in low:
        scale = np.ones((matrices.shape[-1], 1))
        scale[0] = np.sqrt(weight)
        weighted.append(np.linalg.svd(scale * matrices, compute_uv=False) ** 2)
    return float(weighted[0].min()), float(weighted[1].max())


def _alias_matrices(count: int, filters: WaveletFilters) -> NDArray[np.complex128]:
    """Return P(ω) for the count/2 pairs of aliased frequencies, (count/2, channel, alias)."""
    frequency = 2 * np.pi * np.arange(count // 2) / count
    response = np.empty((count // 2, 2, 2), dtype=np.complex128)
    for channel, alias in product(range(2), range(2)):
        taps = np.asarray(filters.analysis[channel])
        phase = np.exp(-1j * np.outer(frequency + alias * np.pi, np.arange(len(taps))))
        response[:, channel, alias] = phase @ taps / np.sqrt(2)
    return response

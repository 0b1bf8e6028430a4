"""Two-channel filters on a periodic axis, decimated by two, and their exact transpose.

    low[k] = Σ_j h[j] x[2k + F/2 - j],      high[k] = Σ_j g[j] x[2k + F/2 - j]      (indices modulo n)

This is the "periodization" mode of PyWavelets and MATLAB. Reference: Mallat, A Wavelet Tour, section 7.3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Pair = tuple[Sequence[float], Sequence[float]]


def _indices(count: int, length: int, device: torch.device) -> Tensor:
    """Return which samples stand under the sliding window, in order, wrapped around as often as needed."""
    return torch.arange(1 - length // 2, count + length - length // 2 - 1, device=device) % count


def _under_tap(extended: Tensor, axis: int, tap: int, count: int) -> Tensor:
    """Return the view of every second sample from ``tap`` on: what one tap of the filter multiplies."""
    index: list[slice] = [slice(None)] * extended.ndim
    index[axis] = slice(tap, tap + count - 1, 2)
    return extended[tuple(index)]


def split(x: Float[Tensor, "..."], filters: Pair, axis: int) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return (low, high) along ``axis``, each half as long; the axis has even length, the filters an even one too."""
    count, length = x.shape[axis], len(filters[0])
    extended = x.index_select(axis, _indices(count, length, x.device))
    low = high = torch.zeros((), dtype=x.dtype, device=x.device)
    for tap, (h, g) in enumerate(zip(reversed(filters[0]), reversed(filters[1]), strict=True)):
        samples = _under_tap(extended, axis, tap, count)
        low = torch.add(low, samples, alpha=h)
        high = torch.add(high, samples, alpha=g)
    return low, high


def merge(low: Float[Tensor, "..."], high: Float[Tensor, "..."], filters: Pair, axis: int) -> Float[Tensor, "..."]:
    """Return the transpose of :func:`split` applied to (low, high): the inverse, where the filters are orthogonal."""
    count, length = 2 * low.shape[axis], len(filters[0])
    indices = _indices(count, length, low.device)
    shape = list(low.shape)
    shape[axis] = len(indices)
    extended = low.new_zeros(shape)
    for tap, (h, g) in enumerate(zip(reversed(filters[0]), reversed(filters[1]), strict=True)):
        samples = _under_tap(extended, axis, tap, count)
        samples.add_(low, alpha=h).add_(high, alpha=g)
    shape[axis] = count
    return low.new_zeros(shape).index_add_(axis, indices, extended)

"""Mixtures of a diffusivity at several contrasts, in one pass over memory: what plain formulas take a dozen for."""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.diffusivities import OPTIONS, Kind, flux
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]

_AT_ONCE = 2048  # numbers, which stay in the nearest cache from one contrast to the next


@numba.njit(parallel=True, cache=True, **OPTIONS)
def _mixed(kind: Kind, s: Floats, shares: Floats, scales: Floats, out: Floats) -> None:
    """s, out (lane, pixel), shares and scales (lane, part): out <- s Σ share g(√scale |s|)."""
    lanes, pixels = s.shape
    pieces = (pixels + _AT_ONCE - 1) // _AT_ONCE
    for job in numba.prange(lanes * pieces):
        lane, first = job // pieces, job % pieces * _AT_ONCE
        last = min(first + _AT_ONCE, pixels)
        for part in range(shares.shape[1]):
            share, scale = shares[lane, part], scales[lane, part]
            size = shares.dtype.type(1) / np.sqrt(scale)
            if part == 0:
                for k in range(first, last):
                    out[lane, k] = share * flux(kind, s[lane, k], scale, size)
            else:
                for k in range(first, last):
                    out[lane, k] += share * flux(kind, s[lane, k], scale, size)


def mixed(kind: Kind, s: Floats, shares: Floats, scales: Floats) -> Floats:
    """Return Σ_j share_j Φ of s (lane, pixel) at contrasts λ_j, Φ being that of ``kind`` at contrast one times λ_j.

    ``shares`` and ``scales`` = 1/λ² (lane, part).
    """
    out = np.empty_like(s)
    with threads_for(8 * s.size * shares.shape[1]):
        _mixed(kind, s, shares, scales, out)
    return out

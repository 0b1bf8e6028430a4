"""Voxel-driven backprojection with bilinear interpolation: what FDK wants (it is not an adjoint).

The place (v, u) on the panel that sees voxel (s, r, c) is a pair of quotients of affine functions with one denominator,
constant for parallel rays; a table of twelve numbers a view serves every geometry with a flat panel. Runs in parallel
over (volume, slice); within a slice view by view, so that the slice and the few panel rows it needs stay in the cache.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _accumulate(data: Floats, views: Floats, weights: Floats, power: int, volumes: Floats) -> None:
    """data (volume, view, v + 3, u + 3), zero-padded; views (view, 3, 4); volumes (volume, slice, row, col)."""
    count, slices, height, width = volumes.shape
    number = data.dtype.type
    zero, high, far = number(0), number(data.shape[2] - 2), number(data.shape[3] - 2)
    stride = np.int32(data.shape[3])
    for job in numba.prange(count * slices):
        volume, s = job // slices, job % slices
        for view in range(views.shape[0]):
            panel, weight, table = data[volume, view].reshape(-1), weights[view], views[view]
            for r in range(height):
                out = volumes[volume, s, r]
                depth, across, up = table[:, 0] + table[:, 1] * number(s) + table[:, 2] * number(r)
                depth_step, across_step, up_step = table[0, 3], table[1, 3], table[2, 3]
                for c in range(width):
                    inverse = number(1) / (depth + depth_step * number(c))
                    u = min(max((across + across_step * number(c)) * inverse, zero), far)
                    v = min(max((up + up_step * number(c)) * inverse, zero), high)
                    i, j = np.int32(v), np.int32(u)
                    at, share = i * stride + j, u - number(j)
                    below = panel[at] + share * (panel[at + 1] - panel[at])
                    above = panel[at + stride] + share * (panel[at + stride + 1] - panel[at + stride])
                    value = below + (v - number(i)) * (above - below)
                    out[c] += weight * value * (inverse * inverse if power == 2 else number(1))


def accumulate(data: Floats, views: Floats, weights: Floats, power: int, volumes: Floats) -> None:
    """Add Σ_view weight x data(view, v(s, r, c), u(s, r, c)) / depth^power to volumes (volume, slice, row, col).

    ``data`` (volume, view, v, u); ``views`` (view, 3, 4), the affine coefficients (constant, slice, row, col) of depth,
    u depth and v depth, with u, v counted from the first pixel; ``weights`` (view,); ``power`` 0 or 2. Beyond the panel
    the data count as zero.
    """
    padded = np.zeros((*data.shape[:2], data.shape[2] + 3, data.shape[3] + 3), data.dtype)
    padded[:, :, 1:-2, 1:-2] = data
    shifted = views.copy()
    shifted[:, 1:] += views[:, :1]  # the padding: one pixel further, times the depth
    with threads_for(volumes.size * data.shape[1]):
        _accumulate(padded, shifted.astype(data.dtype), weights.astype(data.dtype), power, volumes)

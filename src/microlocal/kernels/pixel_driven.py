"""Pixel-driven backprojection with linear interpolation: what filtered backprojection wants (it is not an adjoint).

The detector index seen by pixel (r, c) at a view is a quotient of affine functions of r and c, constant denominator
in parallel beam; a table of six numbers a view serves every planar geometry.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _accumulate(data: Floats, views: Floats, weights: Floats, power: int, images: Floats) -> None:
    """data (image, view, detector + 3), zero-padded; views (view, 6); images (image, row, col) is added to."""
    count, height, width = images.shape
    number = data.dtype.type
    top = number(data.shape[2] - 2)
    for job in numba.prange(count * height):
        image, r = job // height, job % height
        out = images[image, r]
        for view in range(views.shape[0]):
            line, weight = data[image, view], weights[view]
            above, below = views[view, 0] + views[view, 1] * number(r), views[view, 3] + views[view, 4] * number(r)
            above_step, below_step = views[view, 2], views[view, 5]
            for c in range(width):
                inverse = number(1) / (below + below_step * number(c))
                position = min(max((above + above_step * number(c)) * inverse, number(0)), top)
                j = np.int32(position)
                value = line[j] + (position - number(j)) * (line[j + 1] - line[j])
                out[c] += weight * value * (inverse * inverse if power == 2 else number(1))


def accumulate(data: Floats, views: Floats, weights: Floats, power: int, shape: tuple[int, int]) -> Floats:
    """Return Σ_view weight x data(view, index(r, c)) / denominator^power, images (image, row, col).

    ``data`` (image, view, detector); ``views`` (view, 6), the affine coefficients (constant, row, column) of numerator
    and denominator of the detector index, counted from the pixel before the first; ``weights`` (view,); ``power`` 0
    or 2. Beyond the detector the data count as zero.
    """
    images = np.zeros((data.shape[0], *shape), data.dtype)
    padded = np.pad(data, ((0, 0), (0, 0), (1, 2)))
    with threads_for(images.size * data.shape[1]):
        _accumulate(padded, views.astype(data.dtype), weights.astype(data.dtype), power, images)
    return images

"""adrt's approximate discrete Radon transform: sums along digital lines, N² log N, one thread as its wheel is built.

It knows 4N directions and 2N - 1 offsets of its own. Of these the nearest to each of our rays is looked up, by
``adrt.utils.coord_cart_to_adrt``: exactly the rays that are asked for. The other way, ``adrt.utils.interp_to_cart``
and linear resampling of its 4N angles and N offsets, is three times as slow (512²: 67 ms in place of 22) and hardly
more accurate (0.63 % in place of 0.73).
"""

import adrt
import numpy as np

VERSION = f"adrt {adrt.__version__}"


def _lookup(angles, size):
    """Return quadrant, height, slope and factor (0 outside) of the lines of a parallel beam of ``size`` pixels.

    Its angle is ours (the normal's, counter-clockwise) plus a quarter of a turn; half a turn more flips the offset.
    """
    turned = angles + np.pi / 2
    halves = np.floor(turned / np.pi + 1 / 2)
    offsets = ((size - 1) / 2 - np.arange(size)) / size
    theta, t = np.broadcast_arrays((turned - np.pi * halves)[:, None], np.where(halves % 2, -1, 1)[:, None] * offsets)
    quadrant, height, slope, factor = adrt.utils.coord_cart_to_adrt(theta, t, size)
    inside = (height >= 0) & (height < 2 * size - 1)
    return quadrant, np.clip(height, 0, 2 * size - 2), slope, np.where(inside, factor, 0.0)


def _forward(arrays):
    image, size = arrays["image"], arrays["image"].shape[0]
    quadrant, height, slope, factor = _lookup(arrays["angles"], size)
    nearest = np.ravel_multi_index((quadrant, height, slope.astype(np.int64)), (4, 2 * size - 1, size))
    lengths = factor.astype(image.dtype)
    return lambda: adrt.adrt(image).ravel()[nearest] * lengths


CASES = {"parallel forward": _forward}

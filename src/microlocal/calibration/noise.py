"""How noisy a scan is, from its own statistics."""

import math

from jaxtyping import Float
from torch import Tensor


def noise_level(data: Float[Tensor, "*batch angle detector"]) -> float:
    """Return σ of white noise per ray, from third differences along the detector.

    Differences d = g(u+2) - 3 g(u+1) + 3 g(u) - g(u-1) remove what is smooth and have standard deviation √20 σ; the
    median of |d| ignores the edges of the object. Noise that was smoothed beforehand is underestimated.
    """
    if data.shape[-1] < 4:
        return 0.0
    third = data[..., 3:] - 3 * data[..., 2:-1] + 3 * data[..., 1:-2] - data[..., :-3]
    return 1.4826 * float(third.abs().median()) / math.sqrt(20.0)

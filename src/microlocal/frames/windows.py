"""Meyer's windows: smooth bumps whose squares add up to one, from which band-limited frames are cut.

    v(x) = x⁴ (35 - 84 x + 70 x² - 20 x³),    v(x) + v(1 - x) = 1 on [0, 1]

Reference: Daubechies, Ten Lectures on Wavelets, section 4.2.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def meyer(x: Array) -> Array:
    """Return v at x, clamped to 0 below 0 and to 1 above 1."""
    x = np.clip(x, 0.0, 1.0)
    return x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)


def _falling(x: Array) -> Array:
    """Return cos²(π/2 v(x)), written as a sine, which is zero where the cosine of π/2 is not."""
    return np.sin(np.pi / 2 * (1 - meyer(x))) ** 2


def bump_squared(t: Array) -> Array:
    """Return g(t)² = cos²(π/2 v(|t|)), supported on [-1, 1], with Σ_k g(t - k)² = 1 over the integers."""
    return _falling(np.abs(t))


def low_pass_squared(frequency: Array, cutoff: float) -> Array:
    """Return φ² falling from one at ``cutoff``/2 to zero at ``cutoff``."""
    return _falling(2 * frequency / cutoff - 1)

"""The maximally flat filters from which compactly supported shearlets are made, as polynomials in cosines.

Low-pass of 9 taps: h(ω) = p(cos ω), p of degree four with h(0) = 1, h(π) = 0, |h(π/2)|² = 1/2 and p' = p'' = 0 at
ω = 0 (five derivatives in ω).

Fan of 17 x 17 taps: the diamond of Cooklev, Yoshida and Nishihara (1993) is the Bernstein polynomial of the sign of
1 - x - y on the unit square, at x = sin²(ω_x/2), y = sin²(ω_y/2),

    t = Σ_{i,j <= 4} sign(4 - i - j) B_i(x) B_j(y);

McClellan's transform r(t) of the quadratic r with r(1) = 1, r(-1) = 0, r(0)² = 1/2 makes it a filter, and moving it by
π along ω_x turns the diamond into a fan around the ω_x axis.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLATNESS = 4  # degree of the Bernstein polynomials: the filter called dmaxflat4


def _low_pass_coefficients() -> Array:
    conditions = [[1, 1, 1, 1, 1], [0, 1, 2, 3, 4], [0, 0, 2, 6, 12], [1, 0, 0, 0, 0], [1, -1, 1, -1, 1]]
    values = np.array([1.0, 0.0, 0.0, math.sqrt(0.5), 0.0])
    return np.asarray(np.linalg.solve(np.array(conditions, dtype=np.float64), values), dtype=np.float64)


_LOW = _low_pass_coefficients()


def low_pass(cosine: Array) -> Array:
    """Return h at cos ω; h(π - ω) is the high-pass of the pair."""
    value = np.full_like(cosine, _LOW[4])
    for coefficient in _LOW[3::-1]:
        value = value * cosine + coefficient
    return value


def doubled(cosine: Array, times: int) -> Array:
    """Return cos(2^times ω) from cos ω."""
    for _ in range(times):
        cosine = 2 * cosine * cosine - 1
    return cosine


def low_pass_cascade(cosine: Array, count: int) -> Array:
    """Return h(ω) h(2ω) … h(2^(count-1) ω), one for none."""
    value = np.ones_like(cosine)
    for _ in range(count):
        value *= low_pass(cosine)
        cosine = doubled(cosine, 1)
    return value


def _bernstein(x: Array) -> Array:
    degree = FLATNESS
    return np.stack([math.comb(degree, i) * x**i * (1 - x) ** (degree - i) for i in range(degree + 1)])


def fan(cos_x: Array, cos_y: Array) -> Array:
    """Return the fan filter: near 1 where |ω_x| > |ω_y|, near 0 elsewhere; ``cos_x`` broadcasts along rows."""
    signs = np.array([[np.sign(FLATNESS - i - j) for j in range(FLATNESS + 1)] for i in range(FLATNESS + 1)])
    along_x = np.tensordot(signs, _bernstein((1 + cos_x) / 2), axes=(0, 0))  # the shift by π: cos ω_x changes sign
    mapping = (along_x * _bernstein((1 - cos_y) / 2)).sum(axis=0)
    half = math.sqrt(0.5)
    return half * (1 + half * mapping + (half - 1) * mapping**2)


def absolute_sum_of_fan() -> float:
    """Return Σ|taps| of the fan filter, by which ShearLab divides it."""
    cosine = np.cos(2 * np.pi * np.arange(32) / 32)
    return float(np.abs(np.fft.ifft2(fan(cosine[None, :], cosine[:, None])).real).sum())

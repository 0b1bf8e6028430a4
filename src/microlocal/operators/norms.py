"""Norms of operators: a bound is an upper bound, an estimate comes from below, and the names keep them apart."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator, only_operators
from microlocal.operators.spaces import device_of, draw


def wielandt_bound(
    operator: LinearOperator, shape: tuple[int, ...], iterations: int = 12
) -> tuple[float, Float[Tensor, "..."]]:
    """Return a proved upper bound of |B| for a symmetric matrix without negative entries, and the vector it is from.

    For every positive x, |B| <= max_i (B x)_i / x_i (Collatz and Wielandt); power iteration improves x. Entries keep a
    small positive weight, and the factor 1 + 1e-9 covers the rounding of float64 sums.

    Reference: Horn and Johnson, Matrix Analysis, Theorem 8.1.26.
    """
    x, bound = torch.ones(shape, dtype=torch.float64, device=device_of(operator)), math.inf
    best = x
    for _ in range(iterations):
        image = operator(x)
        ratio = float((image / x).max())
        if ratio < bound:
            bound, best = ratio, x
        x = image / image.max().clamp_min(1e-300) + 1e-6
    return bound * (1 + 1e-9), best


def perron_bounds(operator: LinearOperator, iterations: int = 12) -> tuple[float, float]:
    """Return proved bounds (lower, upper) of |A| for a matrix without negative entries.

    For every positive x, |A x|/|x| <= |A| and |A|² <= max_i (AᵀA x)_i / x_i (Collatz and Wielandt; the Schur test
    with weights x), and power iteration moves x towards the vector at which both are equal: four iterations bring
    them within a few per cent of each other. Entries that A never sees keep a small positive weight, so x stays
    positive. The factor 1 + 1e-9 covers the rounding of float64 sums.

    Reference: Horn and Johnson, Matrix Analysis, Theorem 8.1.26.
    """
    x = torch.ones(operator.domain_shape, dtype=torch.float64, device=device_of(operator))
    lower, upper = 0.0, math.inf
    for _ in range(iterations):
        forward = operator(x)
        image = operator.adjoint(forward)
        lower = max(lower, float(forward.norm() / x.norm()))
        upper = min(upper, float((image / x).max()))
        x = image / image.max().clamp_min(1e-300) + 1e-6
    return lower, math.sqrt(upper) * (1 + 1e-9)


def norm_estimate(operator: LinearOperator, iterations: int = 50, seed: int = 0) -> float:
    """Return a lower estimate of |A| by power iteration on AᵀA, from a random start.

    Raises InputError for what is no operator, and fewer than one iteration.
    """
    only_operators((operator,), "norm_estimate")
    at_least(iterations, 1, "iterations", "norm_estimate")
    x = draw(operator, generator(seed))
    size = 0.0
    for _ in range(iterations):
        x = x / x.norm().clamp_min(1e-300)
        forward = operator(x)
        size = max(size, float(forward.norm()))
        x = operator.adjoint(forward)
    return size

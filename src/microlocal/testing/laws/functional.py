"""The laws of functionals. Samples act on tensors (2, 3, 3): small enough for brute force, with a component axis."""

import math

import torch
from torch import Tensor

from microlocal.core.seeding import generator
from microlocal.functionals.base import Functional, Proximable, Smooth
from microlocal.testing.violation import expect

SHAPE = (2, 3, 3)


def _draw(seed: int) -> Tensor:
    return 2 * torch.randn(SHAPE, dtype=torch.float64, generator=generator(seed))


def prox_beats_brute_force(functional: Functional) -> None:
    """No nearby or random point has a smaller F(z) + |z - x|²/(2τ) than the proximal point."""
    if not isinstance(functional, Proximable):
        return
    x, step, source = _draw(1), 0.6, generator(2)
    point = functional.prox(x, step)
    best = functional(point) + float((point - x).square().sum()) / (2 * step)
    expect(math.isfinite(best), f"{_name(functional)}: the proximal point lies outside of the domain")
    for size in (1e-4, 1e-2, 0.3, 2.0):
        for _ in range(50):
            z = point + size * torch.randn(SHAPE, dtype=torch.float64, generator=source)
            value = functional(z) + float((z - x).square().sum()) / (2 * step)
            expect(
                value >= best - 1e-9,
                f"{_name(functional)}: a point at distance {size} beats prox by {best - value:.3g}",
            )


def moreau_identity_holds(functional: Functional) -> None:
    """prox_{σF*}(y) + σ prox_{F/σ}(y/σ) = y: an overridden conjugate prox agrees with the prox."""
    if not isinstance(functional, Proximable):
        return
    y, sigma = _draw(3), 0.8
    gap = functional.conjugate_prox(y, sigma) + sigma * functional.prox(y / sigma, 1 / sigma) - y
    expect(float(gap.norm()) <= 1e-10, f"{_name(functional)}: Moreau's identity is off by {float(gap.norm()):.3g}")


def prox_is_firmly_nonexpansive(functional: Functional) -> None:
    """|Px - Py|² <= <Px - Py, x - y>."""
    if not isinstance(functional, Proximable):
        return
    for seed in range(10):
        x, y = _draw(10 + seed), _draw(30 + seed)
        moved = functional.prox(x, 0.7) - functional.prox(y, 0.7)
        slack = float((moved * (x - y)).sum() - moved.square().sum())
        expect(slack >= -1e-10, f"{_name(functional)}: firm nonexpansiveness is broken by {-slack:.3g}")


def gradient_matches_differences(functional: Functional) -> None:
    """The gradient's inner product with any direction is the central difference of the value."""
    if not isinstance(functional, Smooth):
        return
    x, direction, h = _draw(5), _draw(6), 1e-5
    slope = (functional(x + h * direction) - functional(x - h * direction)) / (2 * h)
    claimed = float((functional.grad(x) * direction).sum())
    expect(
        abs(slope - claimed) <= 1e-6 * max(abs(slope), 1), f"{_name(functional)}: slope {slope:.6g}, grad {claimed:.6g}"
    )


def lipschitz_bound_is_a_bound(functional: Functional) -> None:
    """|∇F(x) - ∇F(y)| <= L |x - y|."""
    if not isinstance(functional, Smooth):
        return
    x, y = _draw(7), _draw(8)
    ratio = float((functional.grad(x) - functional.grad(y)).norm() / (x - y).norm())
    bound = functional.lipschitz_bound()
    expect(ratio <= bound * (1 + 1e-9), f"{_name(functional)}: ratio {ratio:.6g}, declared {bound:.6g}")


def _name(functional: Functional) -> str:
    return type(functional).__name__


LAWS = (
    prox_beats_brute_force,
    moreau_identity_holds,
    prox_is_firmly_nonexpansive,
    gradient_matches_differences,
    lipschitz_bound_is_a_bound,
)

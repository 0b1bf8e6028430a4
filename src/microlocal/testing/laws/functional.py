"""The laws of functionals. Samples act on tensors (2, 3, 3): small enough for brute force, with a component axis."""

import math

import torch
from torch import Tensor

from microlocal.core.seeding import generator
from microlocal.functionals.base import Functional, Proximable, Smooth
from microlocal.operators.spaces import inner
from microlocal.testing.violation import expect

SHAPE = (2, 3, 3)


def _draw(seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2 * torch.randn(SHAPE, dtype=dtype, generator=generator(seed))


def _kinds(functional: Functional) -> tuple[torch.dtype, ...]:
    return (torch.float64, torch.complex128) if functional.takes_complex else (torch.float64,)


def prox_beats_brute_force(functional: Functional) -> None:
    """No nearby or random point has a smaller F(z) + |z - x|²/(2τ) than the proximal point, real or complex."""
    if not isinstance(functional, Proximable):
        return
    for dtype in _kinds(functional):
        x, step, source = _draw(1, dtype), 0.6, generator(2)
        point = functional.prox(x, step)
        best = functional(point) + float((point - x).norm()) ** 2 / (2 * step)
        expect(math.isfinite(best), f"{_name(functional)}: the proximal point lies outside of the domain")
        for size in (1e-4, 1e-2, 0.3, 2.0):
            for _ in range(50):
                z = point + size * torch.randn(SHAPE, dtype=dtype, generator=source)
                gain = best - functional(z) - float((z - x).norm()) ** 2 / (2 * step)
                expect(
                    gain <= 1e-9, f"{_name(functional)}: a {dtype} point at distance {size} beats prox by {gain:.3g}"
                )


def moreau_identity_holds(functional: Functional) -> None:
    """prox_{σF*}(y) + σ prox_{F/σ}(y/σ) = y: an overridden conjugate prox agrees with the prox."""
    if not isinstance(functional, Proximable):
        return
    for dtype in _kinds(functional):
        y, sigma = _draw(3, dtype), 0.8
        gap = functional.conjugate_prox(y, sigma) + sigma * functional.prox(y / sigma, 1 / sigma) - y
        off = float(gap.norm())
        expect(off <= 1e-10, f"{_name(functional)}: Moreau's identity is off by {off:.3g} for {dtype}")


def prox_is_firmly_nonexpansive(functional: Functional) -> None:
    """|Px - Py|² <= Re <Px - Py, x - y>."""
    if not isinstance(functional, Proximable):
        return
    for dtype in _kinds(functional):
        for seed in range(10):
            x, y = _draw(10 + seed, dtype), _draw(30 + seed, dtype)
            moved = functional.prox(x, 0.7) - functional.prox(y, 0.7)
            slack = inner(moved, x - y) - inner(moved, moved)
            expect(slack >= -1e-10, f"{_name(functional)}: firm nonexpansiveness is broken by {-slack:.3g} for {dtype}")


def gradient_matches_differences(functional: Functional) -> None:
    """The gradient's inner product with any direction is the central difference of the value."""
    if not isinstance(functional, Smooth):
        return
    for dtype in _kinds(functional):
        x, direction, h = _draw(5, dtype), _draw(6, dtype), 1e-5
        slope = (functional(x + h * direction) - functional(x - h * direction)) / (2 * h)
        claimed = inner(functional.grad(x), direction)
        expect(
            abs(slope - claimed) <= 1e-6 * max(abs(slope), 1),
            f"{_name(functional)}: slope {slope:.6g}, grad {claimed:.6g} for {dtype}",
        )


def lipschitz_bound_is_a_bound(functional: Functional) -> None:
    """|∇F(x) - ∇F(y)| <= L |x - y|."""
    if not isinstance(functional, Smooth):
        return
    for dtype in _kinds(functional):
        x, y = _draw(7, dtype), _draw(8, dtype)
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

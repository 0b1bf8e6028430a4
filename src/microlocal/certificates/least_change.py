"""What can be certified of an image that was brought nearer to its data: that no smaller change would have done.

    |d| <= (1 + ε) min { |d'| : |A (f + d') - g| <= ρ }

Every d' that leaves ρ or less has, by the inequality of Cauchy and Schwarz, for any y in the space of the data

    |d'| |A* y| >= Re <A d', y> >= Re <g - A f, y> - ρ |y|

and y = g - A (f + d) makes this sharp where d is the least change: a lower bound from the dual problem.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.data import size_of
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.spaces import inner
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver

CLAIM = "No image much nearer to that of the method leaves so little: |change| / |the least| stays below the bound."
SLACK = 0.05  # ε
ROUNDING = 1e-3  # of the residual
ATTACKS = (1, 2, 3, 5, 8, 13, 21)  # steps of conjugate gradients, whose iterates are small changes, too


def least_possible(
    operator: LinearOperator, gap: Inexact[Tensor, "..."], y: Inexact[Tensor, "..."], residual: float
) -> float:
    """Return a lower bound of |d| for which |A d - ``gap``| <= ``residual``, from any ``y`` beside the gap.

    >>> from microlocal.operators import Identity
    >>> gap = torch.tensor([[3.0, 4.0]])
    >>> least_possible(Identity((1, 2)), gap, gap, 1.0)
    4.0
    """
    back = float(operator.adjoint(y).norm())
    return max(inner(gap, y) - residual * float(y.norm()), 0.0) / back if back > 0 else 0.0


def _samples() -> list[Certificate]:
    ray = RayTransform(ParallelBeam((0.0, 0.8, 1.9), Detector(9, 1.0)), Grid((6, 7), 1.0))
    image = torch.rand(6, 7, dtype=torch.float64, generator=generator(0))
    data = ray(image) + 0.2 * torch.randn(ray.codomain_shape, dtype=torch.float64, generator=generator(1))
    change = cgls(ray, data - ray(image), Driver(200, tolerance=1e-12), damping=2.0).value
    left = float((ray(image + change) - data).norm() / data.norm())
    return [certify_least_change(ray, image, image + change, data, left)]


@register("certificate", "least-change", samples=_samples, reference="morozov1966")
def certify_least_change(
    operator: LinearOperator,
    before: Inexact[Tensor, "..."],
    after: Inexact[Tensor, "..."],
    data: Inexact[Tensor, "..."],
    residual: float,
) -> Certificate:
    """Certify that ``after`` leaves at most ``residual`` |g| unexplained, and that no image nearer to ``before`` does.

    Images (*batch, *domain) and ``data`` (*batch, *codomain). The value is the largest quotient, in the batch, of the
    change and the proved least one; one where nothing was changed. The attack looks for smaller changes among the
    iterates of conjugate gradients, each shortened until it leaves just that much.
    """
    triples = list(_one_by_one(operator, before, after, data))
    left = max(float((operator(f) - g).norm() / g.norm().clamp_min(1e-300)) for _, f, g in triples)
    within = left <= (1 + ROUNDING) * residual
    return Certificate(
        claim=CLAIM,
        kind=Kind.BOUNDED,
        value=max(_quotient(operator, *triple, residual) for triple in triples),
        bound=1 + SLACK,
        hypotheses=(Hypothesis(f"|A f - g| / |g| is at most {residual:.4g}", f"{left:.4g}", within),),
        reference="morozov1966",
        attack=lambda seed: max(_attacked(operator, *triple, residual) for triple in triples),
    )


def _one_by_one(
    operator: LinearOperator, before: Tensor, after: Tensor, data: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (f, f + d, g) of a batch, in double precision and the unit of the data."""
    unit = size_of(data)
    shapes = (operator.domain_shape, operator.domain_shape, operator.codomain_shape)
    doubled = ((x.to(torch.complex128) if x.is_complex() else x.double()) / unit for x in (before, after, data))
    yield from zip(*(x.reshape(-1, *shape) for x, shape in zip(doubled, shapes, strict=True)), strict=True)


def _quotient(operator: LinearOperator, before: Tensor, after: Tensor, data: Tensor, residual: float) -> float:
    change = float((after - before).norm())
    if change == 0:
        return 1.0
    gap = data - operator(before)
    least = least_possible(operator, gap, data - operator(after), residual * float(data.norm()))
    return change / max(least, 1e-300)


def _attacked(operator: LinearOperator, before: Tensor, after: Tensor, data: Tensor, residual: float) -> float:
    """Return the largest quotient of the change and another one that leaves as little; zero where none was found."""
    gap, own, worst = data - operator(before), float((after - before).norm()), 0.0
    if own == 0:
        return 1.0
    for steps in ATTACKS:
        other = cgls(operator, gap, Driver(steps, every=steps)).value
        share = _shortest(gap, operator(other), residual * float(data.norm()))
        if share is not None:
            worst = max(worst, own / max(share * float(other.norm()), 1e-300))
    return worst


def _shortest(gap: Tensor, seen: Tensor, residual: float) -> float | None:
    """Return the least t with |t s - e| <= ρ, for ``seen`` s and the ``gap`` e; None where there is none."""
    a, b, c = inner(seen, seen), inner(seen, gap), inner(gap, gap) - residual**2
    root = b * b - a * c
    return max((b - root**0.5) / a, 0.0) if a > 0 and root >= 0 else None

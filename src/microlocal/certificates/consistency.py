"""What can be certified of a learned part: that it does not contradict the measurement."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.data import size_of
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform

CLAIM = "The learned part does not contradict the measurement: |R f - g| / |R f* - g| - 1 stays below the bound."


def residual_growth(
    operator: LinearOperator,
    data: Float[Tensor, "*batch angle detector"],
    visible: Float[Tensor, "*batch row col"],
    image: Float[Tensor, "*batch row col"],
) -> float:
    """Return the largest |R f - g| / |R f* - g| - 1 of the batch, recomputed in float64; 0 where both are 0.

    Not a number where an image or the data is not.
    """
    unit = size_of(data)
    truth = data.double() / unit
    after, before = ((operator(x.double() / unit) - truth).flatten(-2).norm(dim=-1) for x in (image, visible))
    return _growth(after, before)


def _growth(after: Tensor, before: Tensor) -> float:
    """Return the largest growth; what is infinite both times has not stayed what it was."""
    same = (after == before) & after.isfinite()
    return float(torch.where(same, 0.0, after / before.clamp_min(1e-300) - 1).max())


def _samples() -> list[Certificate]:
    ray = RayTransform(ParallelBeam((0.0, 0.8, 1.9), Detector(9, 1.0)), Grid((6, 7), 1.0))
    visible = torch.rand(2, 6, 7, dtype=torch.float64, generator=generator(0))
    data = ray(visible) + 0.1 * torch.randn(2, *ray.codomain_shape, dtype=torch.float64, generator=generator(1))
    changed = visible + 0.005 * torch.randn(2, 6, 7, dtype=torch.float64, generator=generator(2))
    return [certify_consistency(ray, data, visible, changed, 0.05)]


@register("certificate", "data-consistency", samples=_samples, reference="schwab2019")
def certify_consistency(
    operator: LinearOperator,
    data: Float[Tensor, "*batch angle detector"],
    visible: Float[Tensor, "*batch row col"],
    image: Float[Tensor, "*batch row col"],
    epsilon: float,
    attack: Callable[[int], float] | None = None,
) -> Certificate:
    """Certify that what was added to f* = ``visible`` does not contradict the data: |R f - g| <= (1 + ε) |R f* - g|.

    The value is the growth of the residual, recomputed in float64 from both images, the largest of the batch.
    ``attack(seed)`` searches for data on which the same method breaks the bound and returns the largest growth;
    without one the growth is recomputed through the adjoint.
    """
    finite = bool(torch.isfinite(image).all() and torch.isfinite(visible).all())
    known = bool(torch.isfinite(data).all())
    return Certificate(
        claim=CLAIM,
        kind=Kind.BOUNDED,
        value=residual_growth(operator, data, visible, image),
        bound=epsilon,
        hypotheses=(
            Hypothesis("every pixel is finite", str(finite), finite),
            Hypothesis("every reading is finite", str(known), known),
        ),
        reference="schwab2019",
        attack=attack or (lambda seed: _growth_by_the_adjoint(operator, data, visible, image)),
    )


def _growth_by_the_adjoint(operator: LinearOperator, data: Tensor, visible: Tensor, image: Tensor) -> float:
    """Return the growth of the residual a second way: |R f - g|² = <f, R*(R f - 2 g)> + |g|², through the adjoint."""
    unit = size_of(data)
    truth = data.double() / unit

    def squared(image: Tensor) -> Tensor:
        x = image.double() / unit
        back = operator.adjoint(operator(x) - 2 * truth)
        return ((x * back).flatten(-2).sum(-1) + truth.square().flatten(-2).sum(-1)).clamp_min(0)

    return _growth(squared(image).sqrt(), squared(visible).sqrt())

"""Put what was learned where the measurement cannot see it: the projection on the null space of the ray transform.

    z = h - x,   x = argmin |R x - R h|²  by conjugate gradients from zero, ended as soon as |R z| <= δ

x lies in the range of R*, so z is h without what the data can see, up to δ: a regularised projection I - R_δ^+ R. Then

    f = f* + t z,   t in [0, 1] the largest with |R f - g| <= (1 + ε) |R f* - g|

t = 0 always fits, so the bound holds whatever h is. Reference: Schwab, Antholzer and Haltmeier (2019).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.toeplitz import Toeplitz
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver, Status

STEPS, CHECK_EVERY = 100, 5
SHARE = 0.5  # of the allowed growth of the residual that the projection may leave; the step length sees to the rest
ROUNDING = 0.99  # of the allowed growth that is used: the image is rounded after the step length is known


@dataclass(frozen=True, eq=False)
class Completion:
    """An image f = f* + t z: ``image`` (*batch, row, col); ``learned`` = t z; ``kept`` = t; ``misfit`` |R f - g|;
    ``before`` |R f* - g|, all of each image, (*batch,)."""

    image: Float[Tensor, "*batch row col"]
    learned: Float[Tensor, "*batch row col"]
    kept: Float[Tensor, "*batch"]
    misfit: Float[Tensor, "*batch"]
    before: Float[Tensor, "*batch"]


def null_space_part(
    operator: LinearOperator,
    image: Float[Tensor, "*batch row col"],
    leak: Float[Tensor, ""] | float,
    normal: LinearOperator | None = None,
    steps: int = STEPS,
) -> Float[Tensor, "*batch row col"]:
    """Return z, the image less what the operator sees of it: |A z| <= ``leak`` unless ``steps`` end it before.

    ``normal`` is A* A where that is cheaper. The batch is one problem with one ``leak``. Raises KeyboardInterrupt when
    it was interrupted: what is left by then is no part of the null space.
    """
    target = operator(image)
    seen = float(target.norm())
    if seen <= float(leak):
        return image
    driver = Driver(iterations=steps, every=CHECK_EVERY, tolerance=float(leak) / seen, task="projecting")
    found = cgls(operator, target, driver, normal=normal, criterion="residual")
    if found.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return image - found.value


def complete_consistently(
    operator: LinearOperator,
    data: Float[Tensor, "*batch angle detector"],
    visible: Float[Tensor, "*batch row col"],
    proposal: Float[Tensor, "*batch row col"],
    epsilon: float,
    normal: LinearOperator | None = None,
) -> Completion:
    """Return f* + t P(proposal - f*), whose residual is at most 1 + ``epsilon`` times that of f* = ``visible``.

    A proposal that is not finite is not followed at all. Raises KeyboardInterrupt, see ``null_space_part``. Guarantee:
    by construction, in the arithmetic of the data.
    """
    shape = visible.shape[: visible.ndim - len(operator.domain_shape)]
    pages = (x.reshape(-1, *x.shape[len(shape) :]) for x in (data, visible, proposal))
    found = [_completed(operator, g, f, p, epsilon, normal) for g, f, p in zip(*pages, strict=True)]
    return Completion(*(torch.stack(values).reshape((*shape, *values[0].shape)) for values in zip(*found, strict=True)))


def _completed(
    operator: LinearOperator,
    data: Float[Tensor, "angle detector"],
    visible: Float[Tensor, "row col"],
    proposal: Float[Tensor, "row col"],
    epsilon: float,
    normal: LinearOperator | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the fields of a completion for one image: what else is in a batch does not matter."""
    residual = operator(visible) - data
    before = _norm(residual)
    wish = torch.where(torch.isfinite(proposal), proposal, visible) - visible
    z = null_space_part(operator, wish, SHARE * epsilon * float(before), normal)
    kept = _longest_step(residual, operator(z), ROUNDING * epsilon)
    learned = kept * z
    image = visible + learned
    return image, learned, kept, _norm(operator(image) - data), before


def _longest_step(
    residual: Float[Tensor, "angle detector"], change: Float[Tensor, "angle detector"], epsilon: float
) -> Float[Tensor, ""]:
    """Return the largest t in [0, 1] with |r + t c| <= (1 + ε)|r|: the root of a quadratic."""
    r, c = residual.double(), change.double()
    a, b = _norm(c).square(), (r * c).sum(dim=(-2, -1))
    room = (epsilon**2 + 2 * epsilon) * _norm(r).square()
    root = (b.square() + a * room).sqrt()
    # The form without cancellation: t = room / (b + √(b² + a room)) for b >= 0, (√ - b)/a otherwise.
    longest = torch.where(b >= 0, room / (b + root).clamp_min(1e-300), (root - b) / a.clamp_min(1e-300))
    return torch.where(a > 0, longest.clamp(0.0, 1.0), 1.0).to(residual.dtype)


def _norm(x: Tensor) -> Tensor:
    return x.double().square().sum(dim=(-2, -1)).sqrt()


def quick_normal(ray: RayTransform) -> Toeplitz | None:
    """Return R* R where it is a convolution, which is what ``normal`` is for, else None."""
    normal = ray.normal()
    return normal if isinstance(normal, Toeplitz) else None

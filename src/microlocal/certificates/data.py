"""What can be certified of a reconstruction: how well it explains the measured data."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Inexact
from torch import Tensor

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.kernels import joseph_torch
from microlocal.operators.base import LinearOperator
from microlocal.operators.matrix import MatrixOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.spaces import inner


def relative_residual(
    operator: LinearOperator, image: Inexact[Tensor, "*batch row col"], data: Inexact[Tensor, "..."]
) -> float:
    """Return |A f - g| / |g|, recomputed in float64."""
    unit = size_of(data)
    image, data = _double(image) / unit, _double(data) / unit
    return float((operator(image) - data).norm() / data.norm().clamp_min(1e-300))


def size_of(data: Inexact[Tensor, "..."]) -> float:
    """Return the largest number of the data, one for none: a unit in which no square is lost, nor overflows.

    >>> size_of(torch.tensor([1e-200, -3e-200], dtype=torch.float64)), size_of(torch.zeros(2))
    (3e-200, 1.0)
    """
    size = float(_double(data).abs().max()) if data.numel() else 0.0
    return size or 1.0


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128) if x.is_complex() else x.double()


def _samples() -> list[Certificate]:
    ray = RayTransform(ParallelBeam((0.0, 0.8, 1.9), Detector(9, 1.0)), Grid((6, 7), 1.0))
    image = torch.rand(2, 6, 7, dtype=torch.float64, generator=generator(0))
    noise = 0.1 * torch.randn(2, *ray.codomain_shape, dtype=torch.float64, generator=generator(1))
    blur = MatrixOperator(torch.rand(9, 42, dtype=torch.float64, generator=generator(2)), (6, 7))
    blurred = blur(image) + 0.1 * torch.randn(2, 9, dtype=torch.float64, generator=generator(3))
    return [
        certify_residual(ray, image, ray(image) + noise, target=0.1),
        certify_residual(blur, image, blurred, target=0.1),
    ]


@register("certificate", "data-residual", samples=_samples, reference="morozov1966")
def certify_residual(
    operator: LinearOperator,
    image: Inexact[Tensor, "*batch row col"],
    data: Inexact[Tensor, "..."],
    target: float,
) -> Certificate:
    """Certify that the image explains the data up to the relative residual ``target``.

    The value is recomputed in float64 from the image itself, never taken from the solver; the attack recomputes it
    with a second, independent projector, or for operators that are no projectors by way of A*A and A*g. The zero image
    has residual one and explains nothing, so a bound above one, or a residual not below it, leaves the certificate
    without force: it does not hold.
    """
    name = "R" if isinstance(operator, RayTransform) else "A"
    return residual_certificate(
        f"The image explains the measured data: |{name} f - g| / |g| stays below the bound.",
        relative_residual(operator, image, data),
        target,
        finite=bool(torch.isfinite(image).all()),
        attack=lambda seed: _residual_of_the_oracle(operator, image, data, seed),
    )


def residual_certificate(
    claim: str, value: float, target: float, *, finite: bool, attack: Callable[[int], float]
) -> Certificate:
    """Return the certificate of a relative residual that was computed, with the second opinion that ``attack`` is."""
    return Certificate(
        claim=claim,
        kind=Kind.BOUNDED,
        value=value,
        bound=target,
        hypotheses=(
            Hypothesis("every pixel is finite", str(finite), finite),
            Hypothesis(
                "the residual is below that of the zero image, 1, and so is the bound",
                f"residual {value:.4g}, bound {target:.4g}",
                value < 1.0 and target <= 1.0,
            ),
        ),
        reference="morozov1966",
        attack=attack,
    )


def _residual_of_the_oracle(ray: LinearOperator, image: Tensor, data: Tensor, seed: int) -> float:
    del seed  # nothing is random here: the attack is a second opinion
    unit = size_of(data)
    image, data = _double(image) / unit, _double(data) / unit
    if not isinstance(ray, RayTransform):
        return _residual_by_adjoint(ray, image, data)
    images = image.reshape(-1, *ray.domain_shape)
    if ray.slices is not None:
        sums = ray.slices.project_directly(images)
    else:
        sums = joseph_torch.project(images, ray.offsets, ray.slopes, ray.steep) * ray.lengths
    gap = sums.reshape(data.shape) - data
    return float(gap.norm() / data.norm().clamp_min(1e-300))


def _residual_by_adjoint(operator: LinearOperator, image: Tensor, data: Tensor) -> float:
    """Return |A f - g| / |g| from |A f - g|² = <f, A*A f> - 2 <f, A*g> + |g|², which asks the adjoint too."""
    square = inner(image, operator.adjoint(operator(image))) - 2 * inner(image, operator.adjoint(data))
    whole = max(inner(data, data), 1e-300)
    return math.sqrt(max(square + whole, 0.0) / whole)

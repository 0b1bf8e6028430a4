"""What can be certified of a reconstruction: how well it explains the measured data."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.kernels import joseph_torch
from microlocal.operators.ray_transform import RayTransform


def relative_residual(
    ray: RayTransform, image: Float[Tensor, "*batch row col"], data: Float[Tensor, "*batch angle detector"]
) -> float:
    """Return |R f - g| / |g|, recomputed in float64."""
    return float((ray(image.double()) - data.double()).norm() / data.double().norm().clamp_min(1e-300))


def _samples() -> list[Certificate]:
    ray = RayTransform(ParallelBeam((0.0, 0.8, 1.9), Detector(9, 1.0)), Grid((6, 7), 1.0))
    image = torch.rand(2, 6, 7, dtype=torch.float64, generator=generator(0))
    noise = 0.1 * torch.randn(2, *ray.codomain_shape, dtype=torch.float64, generator=generator(1))
    return [certify_residual(ray, image, ray(image) + noise, target=0.1)]


@register("certificate", "data-residual", samples=_samples, reference="morozov1966")
def certify_residual(
    ray: RayTransform,
    image: Float[Tensor, "*batch row col"],
    data: Float[Tensor, "*batch angle detector"],
    target: float,
) -> Certificate:
    """Certify that the image explains the data up to the relative residual ``target``.

    The value is recomputed in float64 from the image itself, never taken from the solver; the attack recomputes it
    with a second, independent projector. The zero image has residual one and explains nothing, so a bound above one,
    or a residual not below it, leaves the certificate without force: it does not hold.
    """
    value = relative_residual(ray, image, data)
    finite = bool(torch.isfinite(image).all())
    return Certificate(
        claim="The image explains the measured data: |R f - g| / |g| stays below the bound.",
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
        attack=lambda seed: _residual_of_the_oracle(ray, image, data, seed),
    )


def _residual_of_the_oracle(ray: RayTransform, image: Tensor, data: Tensor, seed: int) -> float:
    del seed  # nothing is random here: the attack is a second opinion
    images = image.double().reshape(-1, *ray.domain_shape)
    if ray.slices is not None:
        sums = ray.slices.project_directly(images)
    else:
        sums = joseph_torch.project(images, ray.offsets, ray.slopes, ray.steep) * ray.lengths
    gap = sums.reshape(data.shape) - data.double()
    return float(gap.norm() / data.double().norm().clamp_min(1e-300))

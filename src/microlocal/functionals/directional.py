"""Total variation with an extra price on one direction.

    F(y) = Σ_pixels α |y|₂ + β |y·v|,     y the gradient, v a unit vector

Its conjugate is the indicator of the sum of the disc α B and the segment β [-v, v], a stadium: the dual prox projects
on it by taking the nearest point of the segment away, shrinking the rest into the disc, and adding it back.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step
from microlocal.functionals.norms import length, plain
from microlocal.kernels.dual_steps import stadium_step


def _samples() -> list["DirectionalL1"]:
    return [DirectionalL1(0.5, 0.8, 0.3), DirectionalL1(1.2, 0.4, 2.0)]


@register("functional", "directional-l1", samples=_samples, reference="rudin1992")
class DirectionalL1(Proximable):
    """F(y) = Σ α |y|₂ + β |y·v| of gradient fields (*batch, 2, row, col) with components (down, right).

    ``isotropic`` α > 0 and ``directional`` β > 0; ``normal_rad`` the angle of v = (x right, y up), so that edges with
    that normal cost (α + β) and edges across it α.
    """

    takes_complex = True

    def __init__(self, isotropic: float, directional: float, normal_rad: float) -> None:
        self.isotropic = positive(isotropic, "isotropic", "DirectionalL1")
        self.directional = positive(directional, "directional", "DirectionalL1")
        self.down, self.right = -math.sin(normal_rad), math.cos(normal_rad)

    def __call__(self, x: Float[Tensor, "*batch 2 row col"]) -> float:
        along = self._along(x)
        return float((self.isotropic * length(x, -3)[..., 0, :, :] + self.directional * along.abs()).sum())

    def prox(self, x: Float[Tensor, "*batch 2 row col"], step: Step) -> Float[Tensor, "*batch 2 row col"]:
        return x - step * self.conjugate_prox(x / step, 1 / step)

    def conjugate_prox(self, y: Float[Tensor, "*batch 2 row col"], step: Step) -> Float[Tensor, "*batch 2 row col"]:
        """Return the projection of every pixel's vector on the stadium α B + β [-v, v]."""
        del step
        along = self._along(y)
        if along.is_complex():
            along = along * (self.directional / along.abs().clamp_min(self.directional))
        else:
            along = along.clamp(-self.directional, self.directional)
        segment = torch.stack((along * self.down, along * self.right), dim=-3)
        rest = y - segment
        size = length(rest, -3)
        return segment + rest * (self.isotropic / size.clamp_min(self.isotropic))

    def dual_step(
        self, y: Float[Tensor, "*batch 2 row col"], image: Float[Tensor, "*batch 2 row col"], step: Step
    ) -> Float[Tensor, "*batch 2 row col"]:
        if not plain(y, image, step):
            return super().dual_step(y, image, step)
        sizes, normal = (self.isotropic, self.directional), (self.down, self.right)
        for old, new in zip(y.reshape(-1, *y.shape[-3:]), image.reshape(-1, *y.shape[-3:]), strict=True):
            stadium_step(old.numpy(), new.numpy(), float(step), sizes, normal)
        return image

    def _along(self, y: Tensor) -> Tensor:
        return self.down * y[..., 0, :, :] + self.right * y[..., 1, :, :]

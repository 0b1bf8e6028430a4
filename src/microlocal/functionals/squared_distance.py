"""The data term of least squares."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Smooth, Step


def _samples() -> list["SquaredDistance"]:
    return [SquaredDistance(torch.zeros(1)), SquaredDistance(torch.tensor([0.3]), weight=2.5)]


@register("functional", "squared-distance", samples=_samples, reference="chambolle2011")
class SquaredDistance(Proximable, Smooth):
    """F(x) = w/2 |x - b|².

    ``target`` b broadcasts to x; ``weight`` w > 0.

    >>> SquaredDistance(torch.tensor([1.0]))(torch.tensor([3.0]))
    2.0
    """

    takes_complex = True

    def __init__(self, target: Float[Tensor, "..."], weight: float = 1.0) -> None:
        self.target, self.weight = target, positive(weight, "weight", "SquaredDistance")

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        gap = x - self.target.to(x.dtype)
        return 0.5 * self.weight * float((gap * gap.conj()).real.sum())

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        scaled = torch.as_tensor(step * self.weight, dtype=x.dtype)
        return (x + scaled * self.target.to(x.dtype)) / (1 + scaled)

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return (y - σ b)/(1 + σ/w); also right where σ is zero, as on rays that miss the grid."""
        sigma = torch.as_tensor(step, dtype=y.dtype)
        return (y - sigma * self.target.to(y.dtype)) / (1 + sigma / self.weight)

    def dual_step(self, y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        sigma = torch.as_tensor(step, dtype=y.dtype)
        if image.dtype != y.dtype or image.shape != y.shape or image.requires_grad or y.requires_grad:
            return super().dual_step(y, image, step)
        moved = image.sub_(self.target.to(y.dtype)).mul_(sigma).add_(y)  # in place: images may be large
        return moved.div_(1 + sigma / self.weight)

    def grad(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.weight * (x - self.target.to(x.dtype))

    def lipschitz_bound(self) -> float:
        return self.weight

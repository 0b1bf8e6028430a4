"""The norms of sparse regularisation: weighted l1, and l1 of vectors at each pixel."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step


def _l1_samples() -> list["WeightedL1"]:
    return [WeightedL1(0.7), WeightedL1(torch.tensor([0.0, 1.3]).reshape(2, 1, 1))]


@register("functional", "weighted-l1", samples=_l1_samples, reference="beck2009")
class WeightedL1(Proximable):
    """F(x) = Σ w |x|, whose proximal map is soft shrinkage by τ w.

    ``weights`` w >= 0, a number or a tensor that broadcasts to x.

    >>> WeightedL1(1.0).prox(torch.tensor([3.0, -0.5]), 1.0).tolist()
    [2.0, -0.0]
    """

    def __init__(self, weights: float | Tensor) -> None:
        self.weights = weights

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        weights = self.weights.to(x.dtype) if isinstance(self.weights, Tensor) else self.weights
        return float((weights * x.abs()).sum())

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        threshold = step * torch.as_tensor(self.weights, dtype=x.dtype)
        return torch.sign(x) * (x.abs() - threshold).clamp_min(0)

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return the projection on |y| <= w: the conjugate is an indicator, so the step does not matter."""
        del step
        limit = torch.as_tensor(self.weights, dtype=y.dtype)
        return torch.maximum(torch.minimum(y, limit), -limit)


def _group_samples() -> list["GroupL1"]:
    return [GroupL1(0.8), GroupL1(torch.tensor([[1.5]]))]


@register("functional", "group-l1", samples=_group_samples, reference="rudin1992")
class GroupL1(Proximable):
    """F(y) = Σ_pixels w |y(·, pixel)|₂ over the component axis -3: with a gradient, isotropic total variation.

    ``weights`` w >= 0, a number or a tensor that broadcasts to (*batch, row, col).
    """

    def __init__(self, weights: float | Tensor) -> None:
        self.weights = weights

    def __call__(self, x: Float[Tensor, "*batch component row col"]) -> float:
        weights = self.weights.to(x.dtype) if isinstance(self.weights, Tensor) else self.weights
        return float((weights * torch.linalg.vector_norm(x, dim=-3)).sum())

    def prox(self, x: Float[Tensor, "*batch component row col"], step: Step) -> Float[Tensor, "..."]:
        size = torch.linalg.vector_norm(x, dim=-3, keepdim=True)
        threshold = step * _with_component_axis(self.weights, x)
        return x * (1 - threshold / size.clamp_min(torch.finfo(x.dtype).tiny)).clamp_min(0)

    def conjugate_prox(self, y: Float[Tensor, "*batch component row col"], step: Step) -> Float[Tensor, "..."]:
        """Return the projection on |y(·, pixel)| <= w."""
        del step
        size = torch.linalg.vector_norm(y, dim=-3, keepdim=True)
        limit = _with_component_axis(self.weights, y)
        return y * (limit / torch.maximum(size, limit).clamp_min(torch.finfo(y.dtype).tiny))


def _with_component_axis(weights: float | Tensor, like: Tensor) -> Tensor:
    values = torch.as_tensor(weights, dtype=like.dtype)
    return values.unsqueeze(-3) if values.ndim >= 2 else values

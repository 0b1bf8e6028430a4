"""The norms of sparse regularisation: weighted l1, and l1 of vectors at each pixel."""

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step, weights_of
from microlocal.kernels.dual_steps import clip_step, shorten_step


def _l1_samples() -> list["WeightedL1"]:
    return [WeightedL1(0.7), WeightedL1(torch.tensor([0.0, 1.3]).reshape(2, 1, 1))]


@register("functional", "weighted-l1", samples=_l1_samples, reference="beck2009")
class WeightedL1(Proximable):
    """F(x) = Σ w |x|, whose proximal map is soft shrinkage by τ w; of complex numbers, of the modulus.

    ``weights`` w >= 0, a number or a tensor that broadcasts to x.

    >>> WeightedL1(1.0).prox(torch.tensor([3.0, -0.5]), 1.0).tolist()
    [2.0, -0.0]
    """

    takes_complex = True

    def __init__(self, weights: float | Tensor) -> None:
        self.weights = weights_of(weights, "WeightedL1")

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        size = x.abs()
        weights = self.weights.to(size.dtype) if isinstance(self.weights, Tensor) else self.weights
        return float((weights * size).sum())

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        threshold = step * torch.as_tensor(self.weights, dtype=x.real.dtype)
        return torch.sgn(x) * (x.abs() - threshold).clamp_min(0)

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return the projection on |y| <= w: the conjugate is an indicator, so the step does not matter."""
        del step
        limit = torch.as_tensor(self.weights, dtype=y.real.dtype)
        return _within(y, y.abs(), limit) if y.is_complex() else torch.maximum(torch.minimum(y, limit), -limit)

    def dual_step(self, y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        weights = torch.as_tensor(self.weights, dtype=image.dtype)
        if not plain(y, image, step) or weights.shape[-2:].numel() != 1 or image.ndim < max(3, weights.ndim):
            return super().dual_step(y, image, step)
        lanes = weights.expand(*image.shape[:-2], 1, 1).reshape(-1).contiguous()
        clip_step(_lanes(y), _lanes(image), float(step), lanes.numpy())
        return image


def _group_samples() -> list["GroupL1"]:
    return [GroupL1(0.8), GroupL1(torch.tensor([[1.5]])), GroupL1(0.8, axes=1)]


@register("functional", "group-l1", samples=_group_samples, reference="rudin1992")
class GroupL1(Proximable):
    """F(y) = Σ_pixels w |y(·, pixel)|₂ over the component axis: with a gradient, isotropic total variation.

    Complex vectors have the norm of their real and imaginary parts together.
    ``weights`` w >= 0, a number or a tensor that broadcasts to (*batch, *pixel); ``axes`` of the pixels, which follow
    that of the components: 2 for images, 3 for volumes.
    """

    takes_complex = True

    def __init__(self, weights: float | Tensor, axes: int = 2) -> None:
        self.weights = weights_of(weights, "GroupL1")
        self.axes = at_least(axes, 1, "axes", "GroupL1")

    def __call__(self, x: Float[Tensor, "*shape"]) -> float:
        size = length(x, -1 - self.axes).squeeze(-1 - self.axes)
        weights = self.weights.to(size.dtype) if isinstance(self.weights, Tensor) else self.weights
        return float((weights * size).sum())

    def prox(self, x: Float[Tensor, "*shape"], step: Step) -> Float[Tensor, "..."]:
        size = length(x, -1 - self.axes)
        threshold = step * self._with_component_axis(size)
        return x * (1 - threshold / size.clamp_min(torch.finfo(x.dtype).tiny)).clamp_min(0)

    def conjugate_prox(self, y: Float[Tensor, "*shape"], step: Step) -> Float[Tensor, "..."]:
        """Return the projection on |y(·, pixel)| <= w."""
        del step
        size = length(y, -1 - self.axes)
        return _within(y, size, self._with_component_axis(size))

    def dual_step(self, y: Float[Tensor, "*shape"], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        if not plain(y, image, step) or torch.as_tensor(self.weights).numel() != 1:
            return super().dual_step(y, image, step)
        for old, new in zip(self._pages(y), self._pages(image), strict=True):
            shorten_step(old.numpy(), new.numpy(), float(step), float(self.weights))
        return image

    def _with_component_axis(self, like: Tensor) -> Tensor:
        values = torch.as_tensor(self.weights, dtype=like.dtype)
        return values.unsqueeze(-1 - self.axes) if values.ndim >= self.axes else values

    def _pages(self, x: Tensor) -> Tensor:
        """Return x as (page, component, line, pixel)."""
        components, pixels = x.shape[-1 - self.axes], x.shape[-1]
        return x.reshape(-1, components, math.prod(x.shape[-self.axes : -1]), pixels)


def _within(y: Tensor, size: Tensor, limit: Tensor) -> Tensor:
    """Return y scaled down to the size ``limit`` where it is larger."""
    return y * (limit / torch.maximum(size, limit).clamp_min(torch.finfo(y.dtype).tiny))


def length(x: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """Return the lengths of vectors along an axis, which is kept; torch's own norm takes thirty times as long."""
    return (x.abs() if x.is_complex() else x).square().sum(dim=axis, keepdim=True).sqrt()


def plain(y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> bool:
    """Return whether the kernels can take these: contiguous, on the CPU, of one real kind, no gradients, one step."""
    if y.is_complex() or y.is_neg() or image.is_neg():
        return False
    same = y.shape == image.shape and y.dtype == image.dtype and y.is_contiguous() and image.is_contiguous()
    free = y.device.type == "cpu" == image.device.type and not (y.requires_grad or image.requires_grad)
    return same and free and torch.as_tensor(step).numel() == 1


def _lanes(x: Tensor) -> NDArray[np.floating]:
    return x.reshape(-1, x.shape[-2] * x.shape[-1]).numpy()

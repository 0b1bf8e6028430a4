"""An operator of one's own: pixels that are hidden, or known."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.registry import register
from microlocal.operators import LinearOperator


def _samples() -> list["Mask"]:
    return [Mask(torch.eye(4)), Mask(torch.arange(15.0).reshape(3, 5) - 4)]


@register("operator", "mask", samples=_samples)
class Mask(LinearOperator):
    """Multiply by a fixed mask: (A f)(x) = m(x) f(x), (*batch, row, col) -> (*batch, row, col)."""

    mask: Tensor

    def __init__(self, mask: Float[Tensor, "row col"]) -> None:
        super().__init__(tuple(mask.shape), tuple(mask.shape))
        self.register_buffer("mask", mask)

    def _forward(self, x: Tensor) -> Tensor:
        return self.mask.to(x.dtype) * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.mask.to(y.dtype) * y

    def norm_bound(self) -> float:
        return float(self.mask.abs().max())

"""The identity, for terms that act on the image itself."""

from torch import Tensor

from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator


@register("operator", "identity", samples=lambda: [Identity((3, 4)), Identity((5, 5))])
class Identity(LinearOperator):
    """I: (*batch, *shape) -> (*batch, *shape), of norm 1, on images and arrays of any other ``shape``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape, shape)

    def _forward(self, x: Tensor) -> Tensor:
        return x.clone()

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.clone()

    def norm_bound(self) -> float:
        return 1.0

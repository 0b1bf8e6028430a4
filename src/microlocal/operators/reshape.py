"""The same numbers in another arrangement: an isometry that lets operators of different shapes meet."""

import math

from torch import Tensor

from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator, sizes_of


@register("operator", "reshape", samples=lambda: [Reshape((3, 4), (2, 6)), Reshape((2, 3), (6,), is_complex=True)])
class Reshape(LinearOperator):
    """Rearrange arrays of ``shape`` into ``target`` in row-major order, of norm 1; ``Reshape(s, (-1,))`` flattens.

    >>> import torch
    >>> Reshape((2, 3), (-1,))(torch.arange(6.0).reshape(2, 3)).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """

    domain_axes = "before"
    codomain_axes = "after"

    def __init__(self, shape: tuple[int, ...], target: tuple[int, ...], *, is_complex: bool = False) -> None:
        shape = sizes_of(shape, "Reshape")
        if target == (-1,):
            target = (math.prod(shape),)
        if math.prod(shape) != math.prod(target):
            numbers = f"{math.prod(shape)} numbers"
            do = "Both shapes hold the same numbers; (-1,) flattens."
            raise ShapeError("Reshape", expected=f"a target of {numbers}", got=str(target), do=do)
        super().__init__(shape, target)
        self.domain_complex = self.codomain_complex = is_complex

    def _forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: x.ndim - len(self.domain_shape)], *self.codomain_shape).clone()

    def _adjoint(self, y: Tensor) -> Tensor:
        return y.reshape(*y.shape[: y.ndim - len(self.codomain_shape)], *self.domain_shape).clone()

    def norm_bound(self) -> float:
        return 1.0

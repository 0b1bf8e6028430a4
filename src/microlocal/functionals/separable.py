"""Sums of functionals of the components of a product: their proximal maps go side by side."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step
from microlocal.functionals.norms import WeightedL1
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.product import ProductSpace


def _samples() -> list["SeparableSum"]:
    parts = WeightedL1(0.6), SquaredDistance(torch.tensor([0.3]), 2.0)
    return [SeparableSum(ProductSpace(shapes), *parts) for shapes in (((3, 3), (3, 3)), ((1,), (2,)))]


@register("functional", "separable-sum", samples=_samples, reference="chambolle2011")
class SeparableSum(Proximable):
    """F(x_1, ..., x_n) = Σ_i F_i(x_i) over the components of a ``ProductSpace``, as of a ``BlockMatrix``.

    Parameters: ``space``; ``parts``, one functional a component. Raises InputError for another number of them.

    >>> space = ProductSpace(((2,), (1,)))
    >>> SeparableSum(space, WeightedL1(1.0), WeightedL1(2.0)).prox(torch.tensor([3.0, 0.5, 3.0]), 1.0).tolist()
    [2.0, 0.0, 1.0]
    """

    def __init__(self, space: ProductSpace, *parts: Proximable) -> None:
        if len(parts) != len(space.shapes):
            do = "Give one for every component; Box(-math.inf) is none at all."
            raise InputError("SeparableSum", expected=f"{len(space.shapes)} functionals", got=str(len(parts)), do=do)
        self.space, self.parts = space, parts
        self.takes_complex = all(part.takes_complex for part in parts)

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        return sum(part(image) for part, image in zip(self.parts, self.space.split(x), strict=True))

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        trios = zip(self.parts, self.space.split(x), self._steps(x, step), strict=True)
        return self.space.join(*(part.prox(image, own) for part, image, own in trios))

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        trios = zip(self.parts, self.space.split(y), self._steps(y, step), strict=True)
        return self.space.join(*(part.conjugate_prox(image, own) for part, image, own in trios))

    def dual_step(self, y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        columns = zip(self.parts, self.space.split(y), self.space.split(image), self._steps(y, step), strict=True)
        return self.space.join(*(part.dual_step(old, new, own) for part, old, new, own in columns))

    def _steps(self, like: Tensor, step: Step) -> tuple[Step, ...]:
        """Return the step of every component: the same number, or its part of a step for every entry."""
        if isinstance(step, Tensor) and step.numel() > 1:
            return self.space.split(step.expand(like.shape))
        return (step,) * len(self.parts)

"""Bounds on pixel values: non-negativity, a largest attenuation, a support."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step


def _samples() -> list["Box"]:
    return [Box(), Box(0.0, 0.5), Box(0.0, torch.tensor([[0.0, 1.0, 0.3]]))]


@register("functional", "box", samples=_samples, reference="chambolle2011")
class Box(Proximable):
    """F(x) = 0 where lower <= x <= upper at every pixel and ∞ elsewhere; the proximal map clips.

    ``lower`` and ``upper`` are numbers or tensors that broadcast to x; an upper bound of zero outside of a region is
    a support constraint. Raises InputError when lower exceeds upper anywhere or is NaN, and for complex x, which has no
    order, unless there is no bound at all.
    """

    def __init__(self, lower: float | Tensor = 0.0, upper: float | Tensor = math.inf) -> None:
        self.lower, self.upper = torch.as_tensor(lower), torch.as_tensor(upper)
        crossed = int((~(self.lower <= self.upper)).sum())  # NaN is in no order
        if crossed:
            got = f"lower > upper, or NaN, at {crossed} pixels"
            raise InputError("Box", expected="lower <= upper", got=got, do="Swap or mend the bounds.")

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        if self._is_free_of_order(x):
            return 0.0
        inside = (x >= self.lower.to(x.dtype)) & (x <= self.upper.to(x.dtype))
        return 0.0 if bool(inside.all()) else math.inf

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        del step
        if self._is_free_of_order(x):
            return x
        return torch.minimum(torch.maximum(x, self.lower.to(x.dtype)), self.upper.to(x.dtype))

    def _is_free_of_order(self, x: Tensor) -> bool:
        """Whether x is complex, which only a box without bounds can take."""
        if x.is_complex() and bool((self.lower > -math.inf).any() or (self.upper < math.inf).any()):
            do = "Take Box(-math.inf), or a functional of complex arrays."
            raise InputError("Box", expected="a real tensor", got=str(x.dtype), do=do)
        return x.is_complex()

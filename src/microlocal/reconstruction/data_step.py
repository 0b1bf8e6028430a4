"""The data's part of a fixed-point iteration: a fixed number of Chebyshev steps on A*A u = A*g.

    G(u) = u - q(A*A) (A*A u - A*g) = r(A*A) u + const,      r(t) = 1 - t q(t)

r is Chebyshev's polynomial of the degree n: r(0) = 1, it falls to -ε at t = δ and lies within [-ε, ε] on [δ, L] for the
proved bound L >= |A|². So G is a gradient step on the convex 1/2 <A u - g, q(AA*) (A u - g)>, averaged with (1 + ε)/2:
whatever A is, one step with n = 1 being the usual gradient step of the length 2/(L + δ). What the data determine well
is fitted at once instead of after n² iterations; the fixed n makes G an exact map, no inner solver stops early.

Reference: Saad (2003), section 12.3.2, for the recurrence.
"""

import copy
import math
from functools import cached_property
from typing import Self

import torch
from jaxtyping import Float, Inexact
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee
from microlocal.certificates.operators import operator_hypotheses
from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.operators.base import LinearOperator
from microlocal.operators.windows import Place

OVERSHOOT = 0.5  # ε


class DataStep(nn.Module):
    """G for an operator A and ``data`` (*batch, *codomain), on images (*batch, *domain).

    ``steps`` n >= 1. Raises InputError where no bound of |A| is known.

    >>> from microlocal.operators import Identity
    >>> step = DataStep(Identity((2, 2)), torch.ones(2, 2), steps=1)
    >>> step(torch.zeros(2, 2)).tolist(), step.guarantee().averaged
    ([[1.5, 1.5], [1.5, 1.5]], 0.75)
    """

    back: Tensor

    def __init__(self, operator: LinearOperator, data: Inexact[Tensor, "..."], steps: int = 1) -> None:
        super().__init__()
        self.steps = at_least(steps, 1, "steps", "DataStep")
        self.operator = operator
        self.largest = operator.norm_bound() ** 2
        if not 0 < self.largest < math.inf:
            do = "Give the operator a norm_bound(), or bound= where it wraps a foreign one."
            raise InputError("DataStep", expected="a finite norm bound", got=f"{self.largest}", do=do)
        ratio = math.cosh(math.acosh(1 / OVERSHOOT) / self.steps)
        self.least = self.largest * (ratio - 1) / (ratio + 1)
        self.operator = operator
        self.normal = operator.H @ operator  # not a faster approximation: A*A must not have a negative eigenvalue
        self.register_buffer(
            "back", operator.adjoint(data.to(torch.complex128) if data.is_complex() else data.double())
        )

    def forward(self, u: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch row col"]:
        """Return G(u), in float64 on the way: q magnifies what rounding does to A*A u - A*g by n²."""
        kind, u = u.dtype, u.to(self.back.dtype)
        middle, half = (self.largest + self.least) / 2, (self.largest - self.least) / 2
        slope = middle / half
        rho = 1 / slope
        rest = self.back - self.normal(u)
        move = rest / middle
        u = u + move
        for _ in range(self.steps - 1):
            rest = rest - self.normal(move)
            after = 1 / (2 * slope - rho)
            move = after * rho * move + 2 * after / half * rest
            rho, u = after, u + move
        return u.to(kind)

    @property
    def reach(self) -> int | None:
        """How many pixels away G can see; None where it is not known, or the operator has no ``window``."""
        near = getattr(self.operator, "reach", None) if hasattr(self.operator, "window") else None
        return None if near is None else 2 * near * self.steps

    def window(self, place: Place) -> Self:
        """Return G of a part of the image, with the same polynomial: it is this one but for ``reach`` pixels.

        Only for operators that have a ``window`` of their own.
        """
        part = copy.copy(self)
        part._modules, part._buffers = dict(self._modules), {"back": self.back[(..., *place)]}
        part.operator = self.operator.window(place)  # type: ignore[operator]
        part.normal = part.operator.H @ part.operator
        return part

    def residual_polynomial(self, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return r(t) in closed form: T_n((L + δ - 2t)/(L - δ))/T_n((L + δ)/(L - δ)), for 0 <= t <= L."""
        width = self.largest - self.least
        place = (self.largest + self.least - 2 * t) / width
        inside = torch.cos(self.steps * torch.acos(place.clamp(-1, 1)))
        outside = torch.cosh(self.steps * torch.acosh(place.clamp_min(1)))
        return torch.where(place > 1, outside, inside) * OVERSHOOT

    def guarantee(self) -> Guarantee:
        return Guarantee(lipschitz=1.0, averaged=(1 + OVERSHOOT) / 2)

    @cached_property
    def _tried(self) -> tuple[Hypothesis, ...]:
        return operator_hypotheses(self.operator)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        values = self.residual_polynomial(torch.linspace(0, self.largest, 4097, dtype=torch.float64))
        low, high = float(values.min()), float(values.max())
        inside = low >= -OVERSHOOT - 1e-9 and high <= 1 + 1e-9
        return (
            *self._tried,
            Hypothesis(f"-{OVERSHOOT:g} <= r <= 1 on [0, L]", f"{low:.6f} to {high:.6f}", inside),
        )

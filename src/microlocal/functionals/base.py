"""Functionals: a value, and the proximal map or the gradient that solvers use.

    prox_{τF}(x) = argmin_z F(z) + |z - x|²/(2τ),        prox_{σF*}(y) = y - σ prox_{F/σ}(y/σ)   (Moreau)

All act on the whole tensor, batch axes included: the value is summed over everything.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError

Step = float | Tensor


def weights_of(weights: float | Float[Tensor, "..."], who: str) -> float | Float[Tensor, "..."]:
    """Return weights, a number or a tensor, if none is negative or NaN; raises InputError otherwise."""
    values = torch.as_tensor(weights)
    bad = int((~(values >= 0)).sum())
    if bad:
        got = f"{bad} negative or NaN of {values.numel()}"
        raise InputError(who, expected="weights >= 0", got=got, do="Mend the weights: a price is not negative.")
    return weights


class Functional(ABC):
    """Base: a convex function of a real tensor and, where ``takes_complex``, of a complex one as of pairs of reals.

    Norms then take the modulus of every number, inner products are Re <x, y>.
    """

    takes_complex = False

    @abstractmethod
    def __call__(self, x: Float[Tensor, "..."]) -> float:
        """Return F(x), infinity outside of the domain."""


class Proximable(Functional):
    """A functional with a proximal map."""

    @abstractmethod
    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return prox of ``step`` x F at x; ``step`` is positive, a number or a tensor that broadcasts to x."""

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return prox of ``step`` x F* at y, by Moreau's identity."""
        return y - step * self.prox(y / step, 1 / step)

    def dual_step(self, y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return ``conjugate_prox`` at y + ``step`` x image; ``image`` may be overwritten, for it may be large."""
        return self.conjugate_prox(y + step * image, step)


class Smooth(Functional):
    """A functional with a gradient."""

    @abstractmethod
    def grad(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the gradient at x."""

    @abstractmethod
    def lipschitz_bound(self) -> float:
        """Return an upper bound of the gradient's Lipschitz constant."""

"""A composite problem: the sum of functionals of linear maps, and one constraint.

argmin_x Σ_i F_i(K_i x) + G(x)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.functionals.base import Proximable
from microlocal.operators.base import LinearOperator


@dataclass(frozen=True)
class Term:
    """F(K x). ``balance`` shifts its steps: σ x balance, τ / balance, which changes speed but not the solution.

    ``normal`` is K* K where it is cheaper than K and K* in turn (a convolution, say): solvers then stay in the space
    of x as far as they can. Only for F(y) = w/2 |y - b|². Raises InputError for a balance that is not positive.
    """

    operator: LinearOperator
    functional: Proximable
    balance: float = 1.0
    normal: LinearOperator | None = None

    def __post_init__(self) -> None:
        positive(self.balance, "balance", "Term")


@dataclass(frozen=True)
class Problem:
    """Minimise the sum of ``terms`` under ``constraint`` G, a proximable functional of the image itself.

    Often the indicator of a set (``Box``), but any will do: a ``SquaredDistance`` to a noisy image, say.
    """

    terms: Sequence[Term]
    constraint: Proximable

    def objective(self, x: Float[Tensor, "..."]) -> float:
        """Return Σ F_i(K_i x) + G(x)."""
        return sum(term.functional(term.operator(x)) for term in self.terms) + self.constraint(x)

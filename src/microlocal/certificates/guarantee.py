"""What is proved of a map of images, and how it passes through compositions, sums and averages.

    gain       |N(u) - c| <= gain |u - c| for the constants c that N leaves alone (0 always, others where it says so)
    lipschitz  |N(u) - N(v)| <= lipschitz |u - v|
    averaged   N = (1 - a) Id + a T with |T(u) - T(v)| <= |u - v|: what fixed-point iterations ask for; a < 1
    range      min u <= N(u) <= max u at every pixel
    signs      no row of N(u) has more sign changes than that of u, and no step of N adds one; c as for the gain
    mean       N(u) has the mean of u

Norms are Euclidean. Infinite: nothing is proved.

Reference: Combettes and Yamada (2015) for averaged maps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from microlocal.core.errors import InputError

ROUNDING = 1e-9


@dataclass(frozen=True)
class Guarantee:
    """What is proved of a map; the bounds are proved upper bounds, False and infinity mean that nothing is known.

    >>> firm = Guarantee(gain=1.0, lipschitz=1.0, averaged=0.5)
    >>> round(firm.then(firm).averaged, 4)
    0.6667
    """

    gain: float = math.inf
    lipschitz: float = math.inf
    averaged: float = math.inf
    range: bool = False
    signs: bool = False
    mean: bool = False

    def __post_init__(self) -> None:
        numbers = (self.gain, self.lipschitz, self.averaged)
        if any(math.isnan(x) or x < 0 for x in numbers):
            raise InputError("Guarantee", expected="bounds >= 0", got=str(numbers), do="Leave out what is not known.")

    @property
    def nonexpansive(self) -> bool:
        """Whether no two images get further apart."""
        return self.lipschitz <= 1 + ROUNDING

    def then(self, after: "Guarantee") -> "Guarantee":
        """Return what is proved of ``after`` applied to the result of this map."""
        return Guarantee(
            gain=_composed(self.gain, after.gain),
            lipschitz=_composed(self.lipschitz, after.lipschitz),
            averaged=_averaged_product(self.averaged, after.averaged),
            range=self.range and after.range,
            signs=self.signs and after.signs,
            mean=self.mean and after.mean,
        )

    def mixed(self, other: "Guarantee", weight: float) -> "Guarantee":
        """Return what is proved of (1 - w) N + w M for 0 <= w <= 1; raises InputError for another weight."""
        if not 0 <= weight <= 1:
            raise InputError("Guarantee.mixed", expected="a weight in [0, 1]", got=f"{weight:g}", do="Use plus.")
        one, two = 1 - weight, weight
        return Guarantee(
            gain=_product(one, self.gain) + _product(two, other.gain),
            lipschitz=_product(one, self.lipschitz) + _product(two, other.lipschitz),
            averaged=_product(one, self.averaged) + _product(two, other.averaged),
            range=(self.range or one == 0) and (other.range or two == 0),
            mean=(self.mean or one == 0) and (other.mean or two == 0),
        )

    def plus(self, other: "Guarantee") -> "Guarantee":
        """Return what is proved of the sum of both maps."""
        return Guarantee(gain=self.gain + other.gain, lipschitz=self.lipschitz + other.lipschitz)


IDENTITY = Guarantee(gain=1.0, lipschitz=1.0, averaged=0.0, range=True, signs=True, mean=True)


def chain(parts: Sequence[Guarantee]) -> Guarantee:
    """Return what is proved of maps applied one after the other; the identity for none."""
    return reduce(Guarantee.then, parts, IDENTITY)


def weakest(guarantees: Sequence[Guarantee]) -> Guarantee:
    """Return what is proved of all of several maps; nothing for none.

    >>> weakest([Guarantee(gain=1.0, lipschitz=1.0), Guarantee(gain=1.0, lipschitz=1.5, mean=True)])
    Guarantee(gain=1.0, lipschitz=1.5, averaged=inf, range=False, signs=False, mean=False)
    """
    if not guarantees:
        return Guarantee()
    return Guarantee(
        gain=max(g.gain for g in guarantees),
        lipschitz=max(g.lipschitz for g in guarantees),
        averaged=max(g.averaged for g in guarantees),
        range=all(g.range for g in guarantees),
        signs=all(g.signs for g in guarantees),
        mean=all(g.mean for g in guarantees),
    )


def gradient_step(step: float, curvature: float) -> Guarantee:
    """Return what is proved of u - τ ∇E(u) for a convex E whose gradient has the Lipschitz constant ``curvature``.

    It is averaged with a = τ L/2 for τ L < 2 (Baillon and Haddad), and 1-Lipschitz for τ L = 2.
    """
    share = step * curvature / 2
    if share <= 1:
        return Guarantee(gain=1.0, lipschitz=1.0, averaged=share if share < 1 else math.inf)
    return Guarantee(gain=2 * share - 1, lipschitz=2 * share - 1)


def _product(one: float, other: float) -> float:
    return 0.0 if 0.0 in (one, other) else one * other


def _composed(one: float, other: float) -> float:
    """Return the constant of a composition; none where one is not known: zero, and then a bias, is not zero."""
    return math.inf if math.inf in (one, other) else one * other


def _averaged_product(one: float, other: float) -> float:
    """Return the constant of a composition: (a + b - 2ab)/(1 - ab)."""
    if 0.0 in (one, other):
        return max(one, other)
    if max(one, other) >= 1:
        return math.inf
    return (one + other - 2 * one * other) / (1 - one * other)

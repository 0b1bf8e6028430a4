"""A certificate: a claim about a result or an object, with its bound, what it rests on, and a way to attack it.

The kind is part of the type of the claim: ``proved`` follows from a theorem whose hypotheses were checked here,
``bounded`` is an upper bound computed for this very object, ``estimated`` comes from sampling and is only a lower
estimate. ``falsify`` searches for a counterexample; a sound certificate survives it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from microlocal.core.errors import InputError


class Kind(StrEnum):
    """How a certificate's value is known, from strongest to weakest."""

    PROVED = "proved"
    BOUNDED = "bounded"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of the claim and the value that was measured for it."""

    statement: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Certificate:
    """A claim with its value and bound.

    Parameters: ``claim``, one sentence; ``kind``; ``value``, what was measured; ``bound``, what it may not exceed;
    ``hypotheses``; ``reference``, a key of the bibliography; ``attack``, a search that returns the worst value it
    finds (seeded), so that the claim is refuted when that exceeds the bound.

    Raises InputError when a hypothesis fails while the kind says ``proved``.
    """

    claim: str
    kind: Kind
    value: float
    bound: float
    hypotheses: tuple[Hypothesis, ...] = ()
    reference: str = ""
    attack: Callable[[int], float] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        broken = [h.statement for h in self.hypotheses if not h.holds]
        if broken and self.kind is Kind.PROVED:
            raise InputError(
                "Certificate",
                expected="every hypothesis to hold for a proved claim",
                got=f"{len(broken)} broken: {broken[0]}",
                do="Issue it as 'bounded' or 'estimated', or mend the hypothesis.",
            )

    @property
    def holds(self) -> bool:
        """Whether the measured value stays within the bound and every hypothesis holds."""
        return self.value <= self.bound and all(h.holds for h in self.hypotheses)

    def falsify(self, seed: int = 0) -> float:
        """Return the worst value an adversarial search finds; a sound certificate never exceeds its bound.

        Raises InputError for a certificate that was read from a file: the search is not kept there.
        """
        return self.value if self.attack is None else self.attack(seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain JSON values."""
        return {
            "claim": self.claim,
            "kind": str(self.kind),
            "value": self.value,
            "bound": self.bound,
            "holds": self.holds,
            "hypotheses": [asdict(h) for h in self.hypotheses],
            "reference": self.reference,
        }


def certificate_from_dict(fields: dict[str, Any]) -> Certificate:
    """Rebuild a certificate from :meth:`Certificate.to_dict`, without its attack: ``falsify`` says so."""
    return Certificate(
        claim=fields["claim"],
        kind=Kind(fields["kind"]),
        value=float(fields["value"]),
        bound=float(fields["bound"]),
        hypotheses=tuple(Hypothesis(**h) for h in fields["hypotheses"]),
        reference=fields["reference"],
        attack=_not_kept,
    )


def _not_kept(seed: int) -> float:
    """Stand for the attack of a certificate that was read from a file; raises InputError."""
    expected, got = f"a certificate as it was issued, to be attacked from seed {seed}", "one read from a file"
    raise InputError("falsify", expected=expected, got=got, do="Reconstruct again: the search is not kept in files.")

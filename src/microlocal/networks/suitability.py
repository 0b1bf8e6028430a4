"""Whether a network was trained for what it is asked to do: facts of a scan beside the ranges on the card."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROUNDING = 1e-3  # of a bound


@dataclass(frozen=True)
class Fact:
    """One number that describes a scan or its image, with the words that a report uses for it.

    ``slack`` is the share of a range by which it may lie outside: one view more or less, or, for what is known of some
    examples only, what more of them would have shown.
    """

    name: str
    value: float
    unit: str = ""
    slack: float = 0.02

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g}{self.unit}"


def unsuited(card: Mapping[str, Any], beam: str, facts: tuple[Fact, ...], *, partly: bool = False) -> list[str]:
    """Return, as phrases, in what a scan differs from all that the network of ``card`` was trained on; [] in nothing.

    The card has ``trained on``: {"beam": name, "ranges": {fact's name: [low, high]}}. A fact without a range on the
    card, or a range without a fact, is a difference too: nothing is known about it. ``partly``: the other facts are
    yet to come, and say nothing.

    >>> card = {"trained on": {"beam": "parallel", "ranges": {"missing wedge": [20, 90]}}}
    >>> unsuited(card, "parallel", (Fact("missing wedge", 120.0, "°"),))
    ['missing wedge 120° (trained: 20 to 90)']
    """
    trained = card.get("trained on", {})
    ranges = trained.get("ranges", {})
    found = [] if trained.get("beam") == beam else [f"beam {beam} (trained: {trained.get('beam', 'unknown')})"]
    for fact in facts:
        if fact.name not in ranges:
            found.append(f"{fact} (trained: unknown)")
            continue
        low, high = (float(end) for end in ranges[fact.name])
        slack = fact.slack * (high - low) + ROUNDING * max(abs(low), abs(high))
        if not (math.isfinite(fact.value) and low - slack <= fact.value <= high + slack):
            found.append(f"{fact} (trained: {low:.3g} to {high:.3g})")
    known = set(ranges) if partly else {fact.name for fact in facts}
    return found + [f"{name} is not known of this scan" for name in ranges if name not in known]

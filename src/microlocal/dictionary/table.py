"""The dictionary as tables: what every row is known as, its formulas, and what follows from it."""

from collections.abc import Sequence
from dataclasses import dataclass

from microlocal.core.registry import registered
from microlocal.dictionary.facts import Facts, facts
from microlocal.dictionary.named import KIND, nonlinearity
from microlocal.dictionary.nonlinearity import Formulas, Nonlinearity

SYMBOLS = {"diffusivity": "g(s)", "regulariser": "Ψ(s)", "shrinkage": "S(r)", "activation": "Φ(s)"}
FACES = tuple(SYMBOLS)


@dataclass(frozen=True, eq=False)
class Row:
    """A named nonlinearity, what it is good for in one sentence, where it is from, and what follows from it."""

    entry: Nonlinearity
    formulas: Formulas
    summary: str
    reference: str
    facts: Facts


def rows(names: Sequence[str] = (), contrast: float = 1.0) -> list[Row]:
    """Return the rows called ``names``, or all, of those with formulas; raises UnknownNameError.

    >>> [row.formulas.names["shrinkage"] for row in rows(["soft", "garrote", "hard"])]
    ['soft', 'garrote', 'hard']
    """
    from_registry = registered(KIND)
    found = []
    for name in names or from_registry:
        entry = nonlinearity(name, contrast)
        described = from_registry[name]
        if entry.formulas is None:
            continue
        found.append(Row(entry, entry.formulas, described.summary, described.reference, facts(entry)))
    return found

"""What was done to a picture, in the words of its page and its files: denoised, deblurred or inpainted."""

from dataclasses import dataclass, field
from typing import Any

SCALE = "Middle grey is nothing, black and white are −{reach} and {reach}; mean {mean}, standard deviation {std}."
REMOVED = f"Noise has no shapes: what can be recognised here was taken from the picture. {SCALE}"
CHANGED = f"The picture as it came minus the result: along edges what sharpened them, elsewhere noise. {SCALE}"
FILLED = "The pixels that were not known, as they are now; those that were are grey. What was filled in is {source}: \
no measurement says what stands there."


@dataclass(frozen=True)
class Job:
    """What was done: ``name``, also that of the file of the result; ``third``, the file of the other picture, its
    ``heading`` and what is said of it, ``intro``; ``lead``, a sentence before that on noise; ``facts`` for
    certificate.json.
    """

    name: str = "denoised"
    third: str = "removed"
    heading: str = "What was removed"
    intro: str = REMOVED
    lead: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def fills(self) -> bool:
        """Whether pixels were filled in."""
        return self.name == "inpainted"

    @property
    def undoes(self) -> bool:
        """Whether a measurement was undone, so that it can be told what the result leaves of the data."""
        return self.name == "deblurred"


DENOISED = Job()


def deblurred(words: str, rows: int, cols: int) -> Job:
    """Return the job of undoing a blur: its words, its rows and columns."""
    lead = f"The blur {words} ({cols} x {rows} pixels) was undone."
    facts = {"blur": {"what": words, "rows": rows, "cols": cols}}
    return Job("deblurred", "changed", "What was changed", CHANGED, lead, facts)


def inpainted(mask: str, pixels: int, share: float, network: bool) -> Job:
    """Return the job of filling pixels in: the file of the mask, their number, their share of all, by what."""
    source = "learned" if network else "undetermined"
    by = "a network" if network else "a model"
    lead = f"{100 * share:.3g} % of the pixels were not known, and {by} filled them in."
    facts = {"mask": mask, "filled": {"pixels": pixels, "share": share, "provenance": source}}
    return Job("inpainted", "filled", "What was filled in", FILLED.replace("{source}", source), lead, facts)

"""Which slices of a scan a network completes, and the sentences that say so: of the scan, and of each slice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NETWORK, WHY = "network", "network because"  # in the configuration: its name or "none", and the sentence


@dataclass(frozen=True)
class Verdict:
    """What was found of a network for the slices of a scan.

    Parameters: ``name`` of the network; ``differences``, in what each slice is unlike those that the network was
    trained on; ``forced``, whether it is used nevertheless.

    >>> Verdict("mine", ((), ("noise 63 % (trained: 0 to 5)",))).of_slice(1)
    'No network was used, for this scan is unlike those that were trained on (mine: noise 63 % (trained: 0 to 5)).'
    """

    name: str
    differences: tuple[tuple[str, ...], ...]
    forced: bool = False

    @property
    def left(self) -> tuple[int, ...]:
        """The slices that the network does not complete."""
        return () if self.forced else self._unlike

    @property
    def completed(self) -> tuple[int, ...]:
        """The slices that it completes."""
        return tuple(k for k in range(len(self.differences)) if k not in self.left)

    @property
    def _unlike(self) -> tuple[int, ...]:
        return tuple(k for k, found in enumerate(self.differences) if found)

    def of_slice(self, k: int) -> str:
        """Return why slice ``k`` was completed or not: what is said of it where it is alone."""
        phrases = "; ".join(self.differences[k])
        if not phrases:
            return f"The network {self.name} completed the image: the scan is like those it was trained on."
        if self.forced:
            return f"The network {self.name} was forced on a scan unlike those it knows: {phrases}."
        return unlike_all(f"{self.name}: {phrases}")

    def of_all(self) -> str:
        """Return the sentence for the whole scan, which names the slices that are left."""
        count, left = len(self.differences), self.left
        if not left or len(left) == count:
            return self.of_slice(self._unlike[0] if self._unlike else 0)
        others = f", nor {', '.join(map(str, left[1:]))}" if left[1:] else ""
        done = f"{count - len(left)} of {count} slices, like those it was trained on"
        but = f"slice {left[0]} ({'; '.join(self.differences[left[0]])})"
        return f"The network {self.name} completed {done}, but not {but}{others}."

    def record(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``config`` with the sentence for all, and, where some slices are unlike others, with that of each."""
        sentences, whole = [self.of_slice(k) for k in range(len(self.differences))], self.of_all()
        found = {**config, NETWORK: self.name if self.completed else "none", WHY: whole}
        if any(sentence != whole for sentence in sentences):
            for k, sentence in enumerate(sentences):
                own = {NETWORK: "none" if k in self.left else self.name, WHY: sentence}
                found[f"slice {k}"] = found.get(f"slice {k}", {}) | own
        return found


def unlike_all(reasons: str) -> str:
    """Return the sentence for a scan that no network suits, by the reasons."""
    return f"No network was used, for this scan is unlike those that were trained on ({reasons})."


def of_slice(config: Mapping[str, Any], k: int) -> dict[str, Any]:
    """Return what the configuration of several slices says of slice ``k``.

    >>> of_slice({"weight": 2.0, "slice 0": {"network": "none"}, "slice 1": {}}, 0)
    {'weight': 2.0, 'network': 'none'}
    """
    shared = {name: value for name, value in config.items() if not name.startswith("slice ")}
    return shared | config.get(f"slice {k}", {})

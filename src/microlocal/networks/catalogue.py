"""The weights at hand, in words: what they are for, what they were trained on, how well they did."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.networks.suitability import Fact, unsuited
from microlocal.networks.weights import read_card, shipped_weights, weights_file

IN_A_LINE = ("missing wedge", "noise", "noise of images in [0, 1]")
UNITS = {"missing wedge": "°", "noise": " %", "step between views": "°", "filled pixels": " %", "contrast": " %"}


def unit_of(fact: str) -> str:
    """Return the unit of a fact about scans, as it stands after the value.

    >>> unit_of("missing wedge"), unit_of("contrast at scale 2"), unit_of("views")
    ('°', ' %', '')
    """
    return UNITS.get(fact.partition(" at scale ")[0], "")


@dataclass(frozen=True)
class Weights:
    """A file of weights with its card.

    ``name``; ``path`` of the .safetensors; ``card``; ``shipped``, whether it comes with the package.
    """

    name: str
    path: Path
    card: Mapping[str, Any]
    shipped: bool = False

    @property
    def task(self) -> str:
        """What it was trained for."""
        return str(self.card.get("task", "unknown"))

    @property
    def beam(self) -> str:
        """The beam of the scans that it was trained on: "parallel", "fan", or empty where none was."""
        return str(self._trained.get("beam", ""))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The least and the greatest value of every fact of what it was trained on."""
        return {name: (float(low), float(high)) for name, (low, high) in self._trained.get("ranges", {}).items()}

    @property
    def blur(self) -> str:
        """What blurred its images: the words for a kernel, or the widths of Gaussians; empty where nothing did."""
        found = self._trained.get("data", {}).get("blur") or ""
        return f"{found['low']:.3g} to {found['high']:.3g} pixels" if isinstance(found, Mapping) else str(found)

    @property
    def metrics(self) -> dict[str, float]:
        """How well it did on its validation set."""
        return {name: float(value) for name, value in dict(self.card.get("metrics", {})).items()}

    @property
    def _trained(self) -> Mapping[str, Any]:
        return dict(self.card.get("trained on", {}))

    def trained_on(self) -> str:
        """Return what it was trained on, in a line.

        >>> ranges = {"missing wedge": [20, 90], "noise": [0.3, 5.0]}
        >>> Weights("a", Path("a"), {"trained on": {"beam": "parallel", "ranges": ranges}}).trained_on()
        'parallel beam, missing wedge 20 to 90°, noise 0.3 to 5 %'
        """
        beam = [f"{self.beam} beam"] if self.beam else []
        spans = {name: span for name, span in self.ranges.items() if name in IN_A_LINE}
        told = [f"{name} {low:.3g} to {high:.3g}{unit_of(name)}" for name, (low, high) in spans.items()]
        data = self._trained.get("data", {})
        folder, scenes = data.get("folder", ""), data.get("scenes", {})
        # Where a folder is named, scenes are made beside it only by those who mix both.
        made = [f"made images: {', '.join(scenes)}"] if scenes and ("photographs" in data or not folder) else []
        read = [f"images of {folder}"] if folder and data.get("photographs", 1) else []
        blur = [f"blur {self.blur}"] if self.blur else []
        return ", ".join([*beam, *blur, *told, *made, *read]) or "not recorded"

    def differences(self, beam: str, facts: tuple[Fact, ...]) -> list[str]:
        """Return in which of these facts a scan is unlike what it was trained on; facts not asked for do not count."""
        asked = {fact.name for fact in facts}
        ranges = {name: span for name, span in self.ranges.items() if name in asked}
        return unsuited({"trained on": {"beam": self.beam, "ranges": ranges}}, beam, facts)


def at_hand() -> list[Weights]:
    """Return the shipped weights; raises InputError where a card is damaged."""
    return [Weights(name, path, read_card(path), shipped=True) for name, path in shipped_weights().items()]


def find_weights(text: str | Path) -> Path:
    """Return the file of weights that a name of shipped ones or a path stands for, with its suffix.

    Raises UnknownNameError or InputError where there is neither, InputError for a card that is missing or damaged.
    """
    shipped = shipped_weights()
    if str(text) in shipped:
        return shipped[str(text)]
    given = Path(text)
    path = weights_file(text)
    if not path.is_file():
        if shipped and given.parent == Path() and given.suffix == "":
            raise UnknownNameError("weights", str(text), list(shipped))
        do = "Give the .safetensors file that microlocal train wrote, with its .json beside it."
        raise InputError(f"weights {path.stem}", expected="a file of weights", got=f"no file {path}", do=do)
    read_card(path)
    return path


def described(text: str | Path) -> Weights:
    """Return the weights of a name or a file; raises as ``find_weights``."""
    path = find_weights(text)
    found = Weights(path.stem, path, read_card(path))
    return replace(found, shipped=path in shipped_weights().values())

"""What a method is: a recipe from a scan to an image, and what it may be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.base import Certificate
from microlocal.core.brief import Brief
from microlocal.core.grid import Grid
from microlocal.core.progress import SILENT, Progress
from microlocal.core.scan import Scan

SHA256 = "SHA-256 of the network"  # in the configuration


@dataclass(frozen=True)
class Settings:
    """What a user may choose for any method.

    ``weight`` of the regulariser, None to have it chosen from the data; ``iterations``, None for the method's own
    number; ``seed`` of whatever is random; ``checkpoint``, a file to save and resume the last stage; ``progress``;
    ``network``, "auto" for the weights that suit the scan, "none" for none, or a file of weights; ``force``, use the
    network also on scans unlike those it was trained on. Of a volume whose slices come one after the other,
    ``settled``: the weights were chosen for all of it, and a slice that they do not suit is not refused but stays what
    the network would have been given; ``base``, the method of that image where no weights are left to say it.
    """

    weight: float | None = None
    iterations: int | None = None
    seed: int = 0
    checkpoint: Path | None = None
    progress: Progress = SILENT
    network: str = "auto"
    force: bool = False
    settled: bool = False
    base: str = ""


def _unchanged(data: Tensor) -> Tensor:
    return data


@dataclass(frozen=True, repr=False)
class Estimate(Brief):
    """What a method returns: an image (*batch, row, col) in 1/unit, and how it came about.

    ``notes`` are sentences for the user, ``config`` what was chosen, ``history`` the solver's record, ``correct`` the
    correction (air level, beam hardening) the method applied to measured data, the identity for most; ``learned``, what
    a network added to the image, None where there was none; ``certificates`` of the method's own.
    """

    image: Float[Tensor, "*batch row col"]
    notes: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)
    correct: Callable[[Tensor], Tensor] = _unchanged
    learned: Float[Tensor, "*batch row col"] | None = None
    certificates: tuple[Certificate, ...] = ()


def interrupted(config: Mapping[str, Any]) -> bool:
    """Return whether Ctrl-C ended a method, or that of one slice of several."""
    parts = [value for value in config.values() if isinstance(value, dict)]
    return config.get("status") == "interrupted" or any(map(interrupted, parts))


def network_record(name: str, card: Mapping[str, Any]) -> dict[str, str]:
    """Return what ``config`` says of the network that took part: its name, and the SHA-256 of its tensors."""
    return {"network": name, SHA256: str(card.get("sha256", "none: it is from no file"))}


NOT_USED = "The given {} was not used: this method has none."


def unused(settings: Settings, estimate: Estimate) -> list[str]:
    """Say which settings the method has no use for: a method records those that it used."""
    asked: dict[str, Any] = {"weight": settings.weight, "iterations": settings.iterations}
    asked["network"] = settings.network not in ("auto", "none") or settings.force
    known = {*estimate.config, *(("weight", "iterations") if "solver" in estimate.config else ())}
    return [NOT_USED.format(name) for name, v in asked.items() if v and name not in known]


Method = Callable[[Scan, Grid, Settings], Estimate]

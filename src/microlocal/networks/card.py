"""What every card of weights holds, and of what type: a card is held to it when it is read.

Entries that are not named here may stand beside: every task has its own.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microlocal.core.errors import InputError

Number = float | Literal["nan", "inf", "-inf"]  # as ``jsonable`` writes what JSON has no number for


class Entries(BaseModel):
    """Part of a card."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Data(Entries):
    """What the examples were made of."""

    objects: dict[str, float] = {}
    scenes: dict[str, float] = {}
    folder: str = ""


class TrainedOn(Entries):
    """What was trained on: the beam, the lowest and the highest value of every fact, the examples."""

    beam: str = ""
    ranges: dict[str, tuple[float, float]] = {}
    data: Data = Data()


class Training(Entries):
    """How it was trained, and what it began from."""

    sha256: str
    command: str = ""
    seed: int | None = None
    steps: int | None = None
    of_steps: int | None = None
    minutes: float | None = None
    device: str = ""
    metrics: dict[str, Number] = {}
    began_from: "Training | None" = Field(None, alias="began from")


class Card(Training):
    """A card; ``members`` of several networks in one file."""

    task: str = ""
    architecture: dict[str, Any]
    parameters: int = 0
    trained_on: TrainedOn = Field(TrainedOn(), alias="trained on")
    working_pixels: int = Field(1, alias="working pixels", ge=1)
    base: str = ""
    aligned: bool = False
    cascade: bool = False
    members: list[Training] = []


def check_card(text: str, who: str, do: str) -> None:
    """Raise InputError naming the first entry of a card in JSON that no card has so."""
    try:
        Card.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = " ".join(f"[{part}]" for part in fault["loc"])
        missing = fault["type"] == "missing"
        expected = f"{place} on its card" + ("" if missing else f": {fault['msg'].removeprefix('Input should be ')}")
        raise InputError(who, expected=expected, got="none" if missing else repr(fault["input"])[:80], do=do) from error

"""Recipes: one TOML file says what is trained on what, how long, and where the results go.

    task = "learn-the-invisible"
    seed = 0
    [data]                      # the task's own table
    [network]                   # the task's own table
    [run]
    steps = 20000
    batch = 8

Every mistake is told by file, key, what was expected and what came.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from microlocal.core.errors import InputError
from microlocal.core.registry import lookup
from microlocal.training.task import Task

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def _drawable(shares: dict[str, float]) -> dict[str, float]:
    if not (all(0 <= share < math.inf for share in shares.values()) and any(shares.values())):
        raise ValueError("shares of at least 0, and one above it")
    return shares


Shares = Annotated[dict[str, float], AfterValidator(_drawable)]  # how often each of some kinds comes
Widths = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]  # features of the levels of a network


class Table(BaseModel):
    """A table of a recipe: unknown keys and values of another type are refused. Tasks derive theirs from it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Run(Table):
    """The table [run]: how the network is trained, and where the results go."""

    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warmup: int = Field(0, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    ema: float = Field(0.999, ge=0, lt=1)
    precision: Precision = "auto"
    gradient_clip: float = Field(1.0, ge=0)
    pool: int = Field(0, ge=0)
    pool_folder: Path | None = Field(None, strict=False)
    validation: int = Field(16, ge=0)
    validate_every: int = Field(500, ge=1)
    checkpoint_minutes: float = Field(5.0, gt=0)
    workers: int = Field(0, ge=0)
    out: Path = Field(Path("microlocal-training"), strict=False)
    init_from: Path | None = Field(None, strict=False)
    stored: Literal["float32", "float16"] = "float32"


class Recipe(Table):
    """A recipe.

    Parameters: ``task``, a registered name; ``seed`` of everything random; ``data`` and ``network``, which the task
    checks; ``run``; ``text`` and ``origin``, the file as it was read.
    """

    task: str
    seed: int = Field(0, ge=0, lt=2**40)
    data: dict[str, Any] = {}
    network: dict[str, Any] = {}
    run: Run
    text: str = ""
    origin: str = "recipe"

    def with_run(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return the recipe with entries of [run] replaced; raises InputError as for a file."""
        run = checked(Run, self.run.model_dump() | dict(changes), f"{self.origin} [run]")
        return self.model_copy(update={"run": run})

    def build(self) -> Task:
        """Return the task; raises InputError naming the file, the table and the key that it refuses."""
        member = lookup("task", self.task, f"{self.origin}: task").member
        try:
            return member(self.data, self.network)
        except InputError as error:
            who = f"{self.origin} {error.who}"
            raise InputError(who, expected=error.expected, got=error.got, do=error.do) from error


Model = TypeVar("Model", bound=BaseModel)


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a TOML file; raises InputError.

    Relative paths of what is read (``init_from``, ``folder`` and a file of ``blur`` of [data]) start at the file's own
    folder, those of what is written (``out``, ``pool_folder``) where the command runs.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        fields = tomllib.loads(text)
    except (OSError, ValueError) as error:
        got = (getattr(error, "strerror", None) or str(error))[:160]
        raise InputError(str(file), expected="a recipe in TOML", got=got, do="docs/training.md shows one.") from error
    return recipe_from(_beside(fields, file.parent), text=text, origin=file.name)


def recipe_from(fields: Mapping[str, Any], text: str = "", origin: str = "recipe") -> Recipe:
    """Return the recipe of nested tables; raises InputError naming ``origin`` and the key.

    >>> recipe_from({"task": "any", "run": {"steps": 5, "bacth": 2}})
    Traceback (most recent call last):
    microlocal.core.errors.InputError: recipe [run] bacth: expected one of steps, batch, learning_rate, weight_decay,
    warmup, schedule, ema, precision, gradient_clip, pool, pool_folder, validation, validate_every, checkpoint_minutes,
    workers, out, init_from, stored, got 'bacth'. Did you mean 'batch'?
    """
    reserved = sorted({"text", "origin"} & set(fields))
    if reserved:
        raise _unknown(Recipe, reserved[0], origin)
    recipe = checked(Recipe, fields, origin)
    return recipe.model_copy(update={"text": text, "origin": origin})


def checked(model: type[Model], fields: Mapping[str, Any], who: str) -> Model:
    """Return ``model`` built from ``fields``; raises InputError for the first key that does not fit.

    Tasks call it as ``checked(DataTable, data, "[data]")``.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")  # a misspelt key also misses
        others = error.error_count() - 1
        more = f" ({others} more to mend after it.)" if others else ""
        raise _told(model, first, who, more) from error


def checked_kind(
    model: type[Model], fields: Mapping[str, Any], arguments: Mapping[str, Sequence[str]], who: str
) -> Model:
    """Return ``checked(model, fields, who)`` of a table whose ``kind`` says which of its other keys are read.

    ``arguments``, the keys that each kind reads. Raises InputError for a key that this kind does not read, with those
    that do.
    """
    found = checked(model, fields, who)
    kind = str(found.model_dump()["kind"])
    for key in fields:
        if key != "kind" and key not in arguments[kind]:
            readers = [other for other, keys in arguments.items() if key in keys]
            expected = f"a key that the kind {kind} reads: {', '.join(arguments[kind])}"
            got, do = (
                f"{key!r}, which {', '.join(readers)} read{'s' * (len(readers) == 1)}",
                "Remove it, or change kind.",
            )
            raise InputError(f"{who} {key}", expected=expected, got=got, do=do)
    return found


def dividing(part: int, whole: int, what: str) -> int:
    """Return ``part``; raises ValueError, for the validator of a table, unless it divides ``whole`` things."""
    if whole % part:
        raise ValueError(f"a divisor of the {whole} {what}")
    return part


def _told(model: type[BaseModel], fault: Any, who: str, more: str) -> InputError:
    """Return what pydantic found as an error of ours."""
    path = [str(part) for part in fault["loc"]]
    table, key = _table_of(model, path), path[-1] if path else ""
    place = " ".join([who, *(f"[{part}]" for part in path[:-1])])
    if fault["type"] == "extra_forbidden":
        return _unknown(table, key, place, more)
    if fault["type"] == "missing":
        return InputError(f"{place} {key}", expected="a value", got="none", do=f"Add {key} to the recipe.{more}")
    expected = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    do = f"Mend {key or 'it'}.{more}"
    return InputError(f"{place} {key}".rstrip(), expected=expected, got=repr(fault["input"])[:80], do=do)


def _unknown(table: type[BaseModel], key: str, place: str, more: str = "") -> InputError:
    known = [name for name in table.model_fields if name not in ("text", "origin")]
    near = get_close_matches(key, known, n=1)
    do = f"Did you mean {near[0]!r}?" if near else "Remove it."
    return InputError(f"{place} {key}", expected="one of " + ", ".join(known), got=repr(key), do=do + more)


def _table_of(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """Return the model of the table that holds the last part of ``path``."""
    for part in path[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model


def _beside(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let the paths of what is read start at the recipe's folder."""
    for table, key in (("data", "folder"), ("run", "init_from")):
        inner = fields.get(table)
        if isinstance(inner, dict) and isinstance(inner.get(key), str):
            fields[table] = inner | {key: str(folder / inner[key])}
    data = fields.get("data")
    if isinstance(data, dict) and isinstance(data.get("blur"), str) and (folder / data["blur"]).is_file():
        fields["data"] = data | {"blur": str(folder / data["blur"])}
    return fields

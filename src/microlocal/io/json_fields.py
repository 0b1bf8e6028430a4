"""The fields of a JSON file that people write beside their data: every fault is said with the file and the field."""

import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from microlocal.core.errors import GeometryError, InputError, ScanFileError

Made = TypeVar("Made")
MOST = 1 << 24  # of anything that is counted


def json_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a JSON object; raises ScanFileError for a file that holds none."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        got = f"{type(error).__name__}: {error}"[:160]
        raise ScanFileError(str(path), expected="a JSON file", got=got, do="Mend the JSON.") from error
    if not isinstance(fields, dict):
        got = f"a JSON {type(fields).__name__}"
        raise ScanFileError(str(path), expected="a JSON object {...}", got=got, do="Mend the JSON.")
    return fields


def grid_by(make: Callable[[dict[str, Any]], Made], fields: Any, unit: str, who: str, form: str) -> Made:
    """Return the grid that ``make`` makes of a value that may be anything, in ``unit`` if it names none.

    Raises ScanFileError, which tells the ``form``.
    """
    try:
        return make({"unit": unit} | fields)
    except (InputError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        got, do = f"{type(error).__name__}: {error}"[:120], "Mend the grid, or remove it to get the default."
        raise ScanFileError(who, expected=f"grid: {form}", got=got, do=do) from error


def known_only(fields: dict[str, Any], known: tuple[str, ...], who: str) -> None:
    """Raise ScanFileError for a field that has no meaning."""
    unknown = sorted(set(fields) - set(known))
    if unknown:
        expected = "fields among " + ", ".join(known)
        raise ScanFileError(who, expected=expected, got=", ".join(unknown), do="Correct or remove these.")


def choice(value: Any, known: Collection[str], field: str, who: str) -> str:
    """Return one of the ``known`` names; raises ScanFileError for anything else."""
    if not isinstance(value, str) or value not in tuple(known):
        expected = f"{field}: one of " + ", ".join(map(repr, known))
        raise ScanFileError(who, expected=expected, got=repr(value)[:80], do="Take one of these.")
    return value


def file_beside(name: Any, path: Path, field: str) -> Path | None:
    """Return the file that a field names, beside the JSON in ``path``; raises ScanFileError where it is not there."""
    if name is None:
        return None
    target = path.parent / name if isinstance(name, str) and "\0" not in name else None
    if target is None or not target.exists():
        got = f"{name!r}, which is not there"
        raise ScanFileError(str(path), expected=f"{field}: a file beside the JSON", got=got[:160], do="Mend the name.")
    return target


def axes_named(value: Any, allowed: Collection[Collection[str]], who: str) -> tuple[str, ...]:
    """Return the names of axes, in a list or divided by commas; raises ScanFileError unless they are one of a set.

    >>> axes_named("v, angle, u", [("angle", "v", "u")], "scan.json")
    ('v', 'angle', 'u')
    """
    names = [n.strip() for n in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or sorted(map(str, names)) not in [sorted(axes) for axes in allowed]:
        told = " or ".join('"{}"'.format(", ".join(axes)) for axes in allowed)
        expected = f"axes: {told} in the order of the array"
        raise ScanFileError(who, expected=expected, got=repr(value)[:120], do="Name the axes of the array.")
    return tuple(map(str, names))


def even_angles(fields: dict[str, Any], who: str) -> list[float]:
    """Return the angles of {first, step, count}; raises GeometryError.

    >>> even_angles({"first": 10, "step": 5, "count": 3}, "scan.json")
    [10.0, 15.0, 20.0]
    """
    first, step, count = (fields.get(k) for k in ("first", "step", "count"))
    if set(fields) != {"first", "step", "count"} or not (is_number(first) and is_number(step) and is_count(count)):
        expected = "angles_deg: a list, or {first: degrees, step: degrees, count: whole number}"
        raise GeometryError(who, expected=expected, got=repr(fields)[:120], do="Mend angles_deg.")
    return [float(first) + float(step) * i for i in range(int(count))]  # type: ignore[arg-type]


def is_number(value: Any) -> bool:
    """Whether a value of a JSON is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_count(value: Any) -> bool:
    """Whether a value of a JSON is a whole number above zero, and no absurd one."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST

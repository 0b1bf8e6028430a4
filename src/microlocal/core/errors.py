"""The errors a user can meet: each says who, what was expected, what came, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class MicrolocalError(Exception):
    """Base of every error that the library raises on purpose."""


class InputError(MicrolocalError, ValueError):
    """Input that cannot be used.

    The message reads "who: expected …, got …. what to do"; the parts stay available as attributes, so that a
    program can show them its own way.
    """

    def __init__(self, who: str, *, expected: str, got: str, do: str) -> None:
        super().__init__(f"{who}: expected {expected}, got {got}. {do}")
        self.who, self.expected, self.got, self.do = who, expected, got, do

    def __reduce__(self) -> tuple[Any, ...]:
        """Let the error travel between processes with all its parts."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[InputError], args: tuple[str, ...], parts: dict[str, str]) -> InputError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(parts)
    return error


class ShapeError(InputError):
    """An array whose shape does not fit the operator, frame or grid it is given to."""


class GeometryError(InputError):
    """A measurement geometry that no scanner has, or that does not fit the data."""


class ScanFileError(InputError):
    """A file that cannot be read as a scan."""


class OutputError(InputError):
    """A place where results cannot be written."""


class UnknownNameError(InputError):
    """A name that nothing is registered under."""

    def __init__(self, who: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(str(name), names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Take one of these names."
        super().__init__(who, expected="one of " + ", ".join(names), got=repr(name), do=hint)


class DivergenceError(MicrolocalError, ArithmeticError):
    """An iteration that left the finite numbers."""

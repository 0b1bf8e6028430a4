"""One place per thing: a member registers itself in its own file, and everything that lists members reads it here.

From an entry come the law tests, the command line's choices, listings, and the known names of an error message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from microlocal.core.errors import UnknownNameError

Member = TypeVar("Member", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """A registered member: its kind and name, the callable, tiny samples for the laws, and where it is described."""

    kind: str
    name: str
    member: Callable[..., Any]
    samples: Callable[[], Sequence[Any]] | None
    reference: str
    summary: str


_ENTRIES: dict[str, dict[str, Entry]] = {}


def register(
    kind: str, name: str, *, samples: Callable[[], Sequence[Any]] | None = None, reference: str = ""
) -> Callable[[Member], Member]:
    """Register the decorated class or function as ``name`` among the members of ``kind``.

    ``samples`` builds two to four tiny instances for the law suite; ``reference`` is a key of ``core.references``.
    """

    def decorate(member: Member) -> Member:
        summary = (member.__doc__ or "").strip().split("\n")[0]
        _ENTRIES.setdefault(kind, {})[name] = Entry(kind, name, member, samples, reference, summary)
        return member

    return decorate


def registered(kind: str) -> dict[str, Entry]:
    """Return the entries of ``kind`` by name, in the order of registration."""
    return dict(_ENTRIES.get(kind, {}))


def lookup(kind: str, name: str, who: str) -> Entry:
    """Return one entry; raises UnknownNameError listing the known names and the nearest one."""
    entries = _ENTRIES.get(kind, {})
    if name not in entries:
        raise UnknownNameError(who, name, entries)
    return entries[name]

"""The locks of kernels, which a fork waits for.

A forked child begins with the one thread that forked. A lock that another thread held at that moment would stay held in
the child for ever, and what it guards would be half done. So whoever forks first takes all of these locks: it waits for
calls that are under way, and the child begins with kernels that rest.
"""

import itertools
import os
import threading
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary


class Lock(Protocol):
    """threading.Lock or threading.RLock."""

    def acquire(self) -> bool:
        """Wait for the lock and take it."""

    def release(self) -> None:
        """Give it back."""


Kind = TypeVar("Kind", bound=Lock)

_ages: WeakKeyDictionary[Lock, int] = WeakKeyDictionary()
_count = itertools.count()
_held: list[list[Lock]] = []
_registry = threading.Lock()


def waited_for(lock: Kind) -> Kind:
    """Return ``lock``, to be waited for by every fork from now on; of two that are held at once, the outer comes first.

    >>> from threading import Lock
    >>> waited_for(Lock()).locked()
    False
    """
    with _registry:
        _ages[lock] = next(_count)
    return lock


def _take() -> None:
    _registry.acquire()
    taken = [lock for lock, _ in sorted(_ages.items(), key=lambda item: item[1])]
    for lock in taken:
        lock.acquire()
    _held.append(taken)


def _give_back() -> None:
    for lock in reversed(_held.pop()):
        lock.release()
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)

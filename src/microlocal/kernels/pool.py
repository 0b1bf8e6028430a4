"""The pool of plain threads for work that releases the interpreter: FFTs and spreading in shares, filters in lanes.

Starting a thread costs a tenth of a millisecond, and a new one begins with cold memory: what a call of a few
milliseconds shares out, waiting threads take up. They sleep when idle, and a forked child begins with none.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")

_pool: list[ThreadPoolExecutor] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.clear)  # threads do not survive a fork


def submit(call: Callable[[], Result]) -> "Future[Result]":
    """Start ``call`` in a thread of the pool, which has as many as the machine has cores."""
    if not _pool:
        _pool.append(ThreadPoolExecutor(os.cpu_count(), "microlocal"))
    return _pool[0].submit(call)


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Return what the calls return, the first made by the caller itself and the others by the pool meanwhile."""
    others = [submit(call) for call in calls[1:]]
    try:
        first = calls[0]()
    finally:
        wait(others)
    return [first, *(other.result() for other in others)]

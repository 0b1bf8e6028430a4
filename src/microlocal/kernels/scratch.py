"""Memory in which kernels keep what lies between their steps, the same from call to call.

Large arrays are new pages each time they are made, which the system fills with zeros first: for a stack of slices that
takes as long as half of the work on them, and where they lie may let a kernel take half as long again. So the steps of
a kernel share pieces of memory that stay, of up to ``KEPT`` bytes each, and hold whatever the last one left there.
``scratch`` is for those who hold the launch lock (``threads_for``), ``lent`` for any.
"""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import LINE, empty

KEPT = 32 << 20  # bytes of a piece: larger ones are made anew each time

Shape = tuple[int, ...]
Pieces = dict[str, NDArray[Any]]
Room = Callable[[str, Shape, np.dtype[Any]], NDArray[Any]]

_launched: Pieces = {}
_lent: Pieces = {}
_borrowed = threading.Lock()


def scratch(name: str, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of anything, at a cache line; ``name`` tells apart what is used at the same time.

    >>> scratch("rows", (3, 5), np.dtype("f4")).shape
    (3, 5)
    """
    return _piece(_launched, name, shape, dtype)


@contextmanager
def lent() -> Iterator[Room]:
    """Lend other pieces, by name as ``scratch``, to one caller at a time; to a second one, meanwhile, new memory.

    >>> with lent() as room:
    ...     room("rows", (3, 5), np.dtype("f4")).shape
    (3, 5)
    """
    alone = _borrowed.acquire(blocking=False)
    try:
        yield partial(_piece, _lent if alone else {})
    finally:
        if alone:
            _borrowed.release()


def _piece(pieces: Pieces, name: str, shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = math.prod(shape) * dtype.itemsize
    if size > KEPT:
        return empty(shape, dtype)
    if name not in pieces or pieces[name].size < size:
        pieces[name] = empty((-(-size // LINE) * LINE,), np.dtype(np.uint8))
    return pieces[name][:size].view(dtype).reshape(shape)

"""Memory in which kernels keep what lies between their steps, the same from call to call.

Large arrays are new pages each time they are made, which the system fills with zeros first: for a stack of slices that
takes as long as half of the work on them. So the steps of a kernel share pieces of memory that stay, of up to ``KEPT``
bytes each. They are the caller's only while it holds the launch lock (``threads_for``), and hold whatever the last one
left there.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.lanes import LINE, empty

KEPT = 32 << 20  # bytes of a piece: larger ones are made anew each time

_pieces: dict[str, NDArray[Any]] = {}


def scratch(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of anything, at a cache line; ``name`` tells apart what is used at the same time.

    >>> scratch("rows", (3, 5), np.dtype("f4")).shape
    (3, 5)
    """
    size = math.prod(shape) * dtype.itemsize
    if size > KEPT:
        return empty(shape, dtype)
    if name not in _pieces or _pieces[name].size < size:
        _pieces[name] = empty((-(-size // LINE) * LINE,), np.dtype(np.uint8))
    return _pieces[name][:size].view(dtype).reshape(shape)

"""Large images window by window: what a map that sees only so far does to a whole image, in bounded memory.

A window is computed with a margin as wide as the map can see, and the margin is cut away: the result is that of the
whole, up to rounding. For maps of periodic images the margin goes on at the other side.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from scipy.fft import next_fast_len
from torch import Tensor

from microlocal.core.progress import SILENT, Progress

WHOLE = 2048  # pixels: an image with longer sides is divided
TILE = 1024
TASK = "windows"

Place = tuple[slice, slice]
Part = TypeVar("Part")
Map = Callable[[Float[Tensor, "*batch row col"], Place], Float[Tensor, "*batch row col"]]


class Window(NamedTuple):
    """A part of an image (rows, cols): ``inner``, what is computed; ``outer``, with its margin; where it is in that."""

    inner: Place
    outer: Place
    within: Place


def windows(shape: tuple[int, int], margin: int, tile: int = TILE) -> Iterator[Window]:
    """Return the parts of an image, ``tile`` pixels a side, with ``margin`` pixels around them where there are any.

    >>> [(w.outer[1], w.within[1]) for w in windows((4, 10), 2, 6)]
    [(slice(0, 8, None), slice(0, 6, None)), (slice(4, 10, None), slice(2, 6, None))]
    """
    rows, cols = (list(_along(size, margin, tile)) for size in shape)
    for down in rows:
        for right in cols:
            yield Window(*((one, other) for one, other in zip(down, right, strict=True)))


def by_windows(
    run: Map,
    image: Float[Tensor, "*batch row col"],
    margin: int | None,
    whole: int = WHOLE,
    tile: int = TILE,
    progress: Progress = SILENT,
) -> Float[Tensor, "*batch row col"]:
    """Return ``run(image, place)``, in windows where a side is longer than ``whole`` and the margin is known.

    ``place`` is where the part that ``run`` is given lies in the image; ``progress`` is told of the windows.
    """
    shape = int(image.shape[-2]), int(image.shape[-1])
    if margin is None or max(shape) <= whole:
        return run(image, (slice(0, shape[0]), slice(0, shape[1])))
    found = torch.empty_like(image)
    for window in counted(list(windows(shape, margin, tile)), progress):
        part = run(image[(..., *window.outer)].contiguous(), window.outer)
        found[(..., *window.inner)] = part[(..., *window.within)]
    return found


class TorusWindow(NamedTuple):
    """A part of a periodic image: the ``rows`` and ``cols`` it is made of, and, ``within`` it, what is ``inner``."""

    rows: Int[Tensor, " row"]
    cols: Int[Tensor, " col"]
    inner: Place
    within: Place


def torus_windows(shape: tuple[int, int], margin: int, tile: int) -> list[TorusWindow]:
    """Return parts of a periodic image, all of one shape, that hold every pixel ``margin`` pixels away from their ends.

    Inside they are at most ``tile`` pixels a side, and their sides are lengths that Fourier transforms like. A side
    that is not longer than that is not divided.

    >>> [(w.cols.tolist(), w.inner[1]) for w in torus_windows((1, 8), 1, 4)]
    [([7, 0, 1, 2, 3, 4], slice(0, 4, None)), ([3, 4, 5, 6, 7, 0], slice(4, 8, None))]
    """
    rows, cols = (_around(size, margin, tile) for size in shape)
    return [
        TorusWindow(down[0], right[0], (down[1], right[1]), (down[2], right[2])) for down, right in product(rows, cols)
    ]


def counted(parts: Sequence[Part], progress: Progress) -> Iterator[Part]:
    """Return the parts one by one, and tell of each that is done."""
    progress.start(TASK, len(parts))
    for part in parts:
        yield part
        progress.advance(TASK)
    progress.finish(TASK)


def _around(size: int, margin: int, tile: int) -> list[tuple[Tensor, slice, slice]]:
    if size <= tile + 2 * margin:
        return [(torch.arange(size), slice(0, size), slice(0, size))]
    step = math.ceil(size / math.ceil(size / tile))
    length = min(next_fast_len(step + 2 * margin, real=True), size)
    firsts = sorted({min(first, size - step) for first in range(0, size, step)})
    return [
        (torch.arange(first - margin, first - margin + length) % size, slice(first, first + step),
         slice(margin, margin + step)) for first in firsts
    ]  # fmt: skip


def _along(size: int, margin: int, tile: int) -> Iterator[tuple[slice, slice, slice]]:
    for first in range(0, size, tile):
        last, begin = min(first + tile, size), max(first - margin, 0)
        yield slice(first, last), slice(begin, min(last + margin, size)), slice(first - begin, last - begin)

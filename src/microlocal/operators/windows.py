"""Large images window by window: what a map that sees only so far does to a whole image, in bounded memory.

A window is computed with a margin as wide as the map can see, and the margin is cut away: the result is that of the
whole, up to rounding.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

WHOLE = 2048  # pixels: an image with longer sides is divided
TILE = 1024

Place = tuple[slice, slice]
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
    run: Map, image: Float[Tensor, "*batch row col"], margin: int | None, whole: int = WHOLE, tile: int = TILE
) -> Float[Tensor, "*batch row col"]:
    """Return ``run(image, place)``, in windows where a side is longer than ``whole`` and the margin is known.

    ``place`` is where the part that ``run`` is given lies in the image.
    """
    shape = int(image.shape[-2]), int(image.shape[-1])
    if margin is None or max(shape) <= whole:
        return run(image, (slice(0, shape[0]), slice(0, shape[1])))
    found = torch.empty_like(image)
    for window in windows(shape, margin, tile):
        part = run(image[(..., *window.outer)].contiguous(), window.outer)
        found[(..., *window.inner)] = part[(..., *window.within)]
    return found


def _along(size: int, margin: int, tile: int) -> Iterator[tuple[slice, slice, slice]]:
    for first in range(0, size, tile):
        last, begin = min(first + tile, size), max(first - margin, 0)
        yield slice(first, last), slice(begin, min(last + margin, size)), slice(first - begin, last - begin)

"""Pictures of a page that compares before and after: 8 bits, one window for both, details at full resolution."""

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from microlocal.report.encode import base64_text, shrink

LARGEST = 1400  # pixels of a side that are shown as they are
DETAIL = 700
REACH = 3.0  # what is removed is black and white at this multiple of its standard deviation, zero in the middle grey

Plane = Float[np.ndarray, "channel row col"]


class View(NamedTuple):
    """A part of the picture, before and after and what was removed, changed or filled in, as data URIs."""

    title: str
    rows: int
    cols: int
    before: str
    after: str
    third: str


def views(
    before: Plane, after: Plane, third: Plane, window: tuple[float, float], of_third: tuple[float, float]
) -> Iterator[View]:
    """Yield the whole picture; where it is large, a detail of its middle first, and the whole reduced.

    ``third``, what was removed, changed or filled in, has a window of its own.
    """
    rows, cols = before.shape[-2:]
    planes, windows = (before, after, third), (window, window, of_third)
    if max(rows, cols) <= LARGEST:
        yield _view("", planes, windows)
        return
    middle = tuple(slice(max(n - DETAIL, 0) // 2, max(n - DETAIL, 0) // 2 + DETAIL) for n in (rows, cols))
    part = (slice(None), *middle)
    yield _view("The middle, pixel by pixel", [plane[part] for plane in planes], windows)
    reduced = [np.stack([shrink(channel, LARGEST // 2) for channel in plane]) for plane in planes]
    yield _view("The whole, reduced: means over blocks of pixels, which hide noise", reduced, windows)


def window_of(before: Plane, white: float | None, bits: int) -> tuple[float, float]:
    """Return which values are black and white: those of the file for 8 bits, otherwise nearly the range of all."""
    if white is not None and bits == 8:
        return 0.0, white
    low, high = (float(value) for value in np.percentile(before, [0.2, 99.8]))
    return low, high if high > low else low + 1.0


def grey(values: Plane, window: tuple[float, float]) -> UInt8[np.ndarray, "row col *channel"]:
    """Return values as 8 bits, black and white at the ends of the window."""
    low, high = window
    shown = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return shown[0] if len(shown) == 1 else np.moveaxis(shown, 0, -1)


def around_zero(reach: float) -> tuple[float, float]:
    """Return the window in which zero is the middle grey.

    >>> grey(np.array([[[-1.0, 0.0, 1.0]]]), around_zero(1.0))
    array([[  0, 128, 255]], dtype=uint8)
    """
    return -(reach or 1.0), reach or 1.0


def as_png(values: UInt8[np.ndarray, "row col *channel"]) -> bytes:
    """Return a PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(stream, format="PNG", optimize=False)
    return stream.getvalue()


def _view(title: str, planes: Sequence[Plane], windows: Sequence[tuple[float, float]]) -> View:
    pictures = (grey(plane, window) for plane, window in zip(planes, windows, strict=True))
    uris = ("data:image/png;base64," + base64_text(as_png(picture)) for picture in pictures)
    return View(title, planes[0].shape[-2], planes[0].shape[-1], *uris)

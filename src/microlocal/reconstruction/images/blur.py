"""A blur in words: gaussian:1.5, disc:3, motion:9,30, or a file that holds its kernel."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.io.photograph import read_photograph
from microlocal.operators.convolution import disc_kernel, gaussian_kernel, motion_kernel

WIDEST = 100.0  # pixels of a blur that is given in words
FORMS: dict[str, tuple[Callable[..., Tensor], tuple[str, ...]]] = {
    "gaussian": (gaussian_kernel, ("SIGMA",)),
    "disc": (disc_kernel, ("RADIUS",)),
    "motion": (motion_kernel, ("LENGTH", "DEGREES")),
}
KNOWN = "gaussian:SIGMA, disc:RADIUS, motion:LENGTH,DEGREES in pixels, or the file of a kernel"


class Blur(NamedTuple):
    """The ``kernel`` (row, col) of a blur, of sum one, centred at (rows // 2, cols // 2), and what is told of it."""

    kernel: Float[Tensor, "krow kcol"]
    words: str

    def within(self, shape: tuple[int, int], who: str) -> "Blur":
        """Return this blur if it is no larger than an image of ``shape``; raises InputError otherwise."""
        rows, cols = self.kernel.shape
        if rows <= shape[0] and cols <= shape[1]:
            return self
        got = f"{self.words}: {cols} x {rows} pixels"
        do = "Give a narrower blur, or a larger part of the picture."
        raise InputError(who, expected=f"a blur within {shape[1]} x {shape[0]} pixels", got=got, do=do)


def blur_of(text: str, who: str = "--blur") -> Blur:
    """Return the blur that a text stands for; the angle of a motion is in degrees from the x axis, y up.

    Raises UnknownNameError for other words, InputError for numbers and kernels that are no blur.

    >>> blur = blur_of("disc:2")
    >>> blur.words, tuple(blur.kernel.shape), round(float(blur.kernel.sum()), 6)
    ('disc:2', (5, 5), 1.0)
    """
    name, _, given = text.partition(":")
    if Path(text).is_file():
        return _from_file(Path(text), who)
    if name in FORMS:
        return Blur(_in_words(text, name, given, who).float(), text)
    if Path(text).suffix and ":" not in text:
        raise InputError(f"{who} {text}", expected=KNOWN, got="no such file", do="Check the path.")
    raise UnknownNameError(who, name, FORMS)


def _in_words(text: str, name: str, given: str, who: str) -> Float[Tensor, "krow kcol"]:
    make, names = FORMS[name]
    try:
        size, *angles = (float(part) for part in given.split(","))
    except ValueError:
        size, angles = math.nan, []
    if len(angles) != len(names) - 1 or not all(map(math.isfinite, angles)) or not 0 < size <= WIDEST:
        expected = f"{name}:{','.join(names)}, {names[0].lower()} above 0 and at most {WIDEST:g} pixels"
        do = "Write for example gaussian:1.5, disc:3 or motion:9,30."
        raise InputError(who, expected=expected, got=repr(text), do=do)
    kernel = make(size, *map(math.radians, angles))
    return kernel if bool(kernel.isfinite().all()) else torch.ones(1, 1)  # a disc that is smaller than every subpixel


def _from_file(path: Path, who: str) -> Blur:
    """Return the kernel in a picture or array, the mean of its channels, divided by its sum."""
    values = torch.from_numpy(read_photograph(path, marks=True).values.copy()).double()
    total = float(values.mean(dim=1).sum())
    if len(values) != 1 or not total > 0 or not math.isfinite(total):
        got = f"{len(values)} pages" if len(values) != 1 else f"a sum of {total:.4g}"
        do = "Save the picture of a point, on a dark ground."
        raise InputError(f"{who} {path}", expected="one kernel of a sum above zero", got=got, do=do)
    return Blur((values[0].mean(dim=0) / total).float(), f"{path.name}, divided by its sum of {total:.4g}")

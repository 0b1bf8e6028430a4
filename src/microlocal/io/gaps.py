"""Which pixels of a picture are known: those that a mask marks, and that hold a number."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from microlocal.core.errors import InputError
from microlocal.io.photograph import Photograph, read_photograph

Marks = Bool[np.ndarray, "page row col"]


def read_mask(path: str | Path) -> Marks:
    """Return the mask in a picture or NPY: known where any channel is not zero; opacity does not count.

    Raises ScanFileError for files that are none.
    """
    return (read_photograph(path, marks=True).values != 0).any(axis=1)


def known_pixels(picture: Photograph, marks: Marks, path: Path) -> Marks:
    """Return which pixels of every page are marked as known in the mask of ``path``, and are not NaN in any channel.

    Raises InputError for a mask of another size or number of pages, and where nothing, or all of a page, is missing.
    """
    who, wanted = f"--mask {path}", (len(picture.values), *picture.values.shape[-2:])
    if marks.shape[1:] != wanted[1:] or len(marks) not in (1, wanted[0]):
        pages, rows, cols = wanted
        got = f"{marks.shape[2]} x {marks.shape[1]} pixels, {len(marks)} pages"
        do = f"Make it for {picture.path.name}."
        raise InputError(who, expected=f"{cols} x {rows} pixels, 1 page" + f" or {pages}" * (pages > 1), got=got, do=do)
    known = marks & ~np.isnan(picture.values).any(axis=1)
    empty = [page + 1 for page, one in enumerate(known) if not one.any()]
    if empty or known.all():
        got = f"none of page {empty[0]} of {picture.path.name}" if empty else f"all of {picture.path.name}"
        do = "Non-zero marks what is known: look whether the mask is the wrong way round."
        raise InputError(who, expected="some known and some unknown pixels", got=f"{got} known", do=do)
    return known

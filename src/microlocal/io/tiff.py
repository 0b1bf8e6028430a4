"""TIFF stacks: one file of several pages, or a folder of pages in numeric order, with a JSON geometry beside them.

Each page is one projection (slice, detector); a file of one page is one sinogram (angle, detector).
"""

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Shaped

from microlocal.core.errors import ScanFileError
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.arrays import array_scan
from microlocal.io.npz import is_numpy, load_array
from microlocal.io.reader import guarded, head, sha256, sized
from microlocal.io.sidecar import Sidecar

FORM = "TIFF stack"
# tifffile.imwrite takes stacks of 3 or 4 for colours unless it is told.
GREY = "Save it in grey (tifffile.imwrite: photometric='minisblack')."
# What tifffile finds odd is either refused here or harmless: not a matter for the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

FAX = (2, 3, 4, 32771)  # compressions
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@register("reader", "tiff")
class TiffStack:
    """TIFF stack (one file of pages, or a folder of numbered pages) with a JSON geometry beside it."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """A TIFF file, or a folder that holds some."""
        return is_tiff(path) or bool(pages(path))

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return the scan that the sidecar describes; raises ScanFileError without one."""
        sidecar.needed(str(path))
        files = pages(path, without=(sidecar.flats, sidecar.darks)) or [path]
        array = load_tiff(files)
        flux = tuple(None if p is None else load_frames(p) for p in (sidecar.flats, sidecar.darks))
        source = Source(str(path), "tiff", sha256(files), {"files": len(files)})
        return array_scan(array, sidecar, (flux[0], flux[1]), source)


def is_tiff(path: Path) -> bool:
    """Whether a file begins as TIFF does."""
    return head(path, 4) in MAGIC


@contextmanager
def opened_tiff(path: Path) -> Iterator[tuple[tifffile.TiffFile, tifffile.TiffPageSeries]]:
    """Yield a TIFF file and the series of all its pages, but for reduced copies; raises ScanFileError for several.

    tifffile counts pages of one size that it wrote in several calls as a series each: these are one stack.
    """
    with tifffile.TiffFile(path) as file:
        split = file.is_shaped and len(file.series) > 1
    with tifffile.TiffFile(path, is_shaped=False) if split else tifffile.TiffFile(path) as file:
        first, *others = file.series
        odd = [series for series in others if not series.keyframe.is_reduced]
        if odd:
            got = f"images of shapes {first.shape} and {odd[0].shape}"
            got += f", {len(file.series)} in all" * (len(odd) > 1)
            do = "Save those that belong together in one file."
            raise ScanFileError(str(path), expected="one image, or pages of one size", got=got, do=do)
        yield file, first


def meaning_of(page: Any) -> str:
    """Return what the numbers of a page of tifffile stand for, as "minisblack", "miniswhite" or "rgb".

    TIFF 6.0 requires the tag and has no default for it. Detectors leave it out: then zero is black, or three numbers
    are colours, as libtiff and ImageJ take it; tifffile counts it as 0-is-white, and Pillow inverts such a picture. In
    the compressions of fax machines zero is the paper.
    """
    told = page.photometric
    if told == 0 and "PhotometricInterpretation" not in page.tags:
        missing = "miniswhite" if page.compression in FAX else "minisblack"
        return "rgb" if page.samplesperpixel >= 3 else missing
    return getattr(told, "name", str(told)).lower()


def pages(folder: Path, without: tuple[Path | None, ...] = ()) -> list[Path]:
    """Return the TIFF files of a folder in numeric order (2 before 10), none for a file."""
    if not folder.is_dir():
        return []
    left_out = {p.resolve() for p in without if p is not None}
    return sorted((p for p in folder.iterdir() if is_tiff(p) and p.resolve() not in left_out), key=_numeric)


def load_tiff(files: list[Path]) -> Shaped[np.ndarray, "..."]:
    """Return all pages of one file, or of several files as one stack; raises ScanFileError."""
    stacks = [_load(path) for path in files]
    shapes = {stack.shape for stack in stacks}
    if len(shapes) > 1:
        got = " and ".join(map(str, sorted(shapes)[:3]))
        who = str(files[0].parent)
        raise ScanFileError(who, expected="pages of one shape", got=got, do="Remove what is no projection.")
    return stacks[0] if len(stacks) == 1 else np.stack(stacks)


def load_frames(path: Path) -> Shaped[np.ndarray, "..."]:
    """Return flats or darks from a TIFF file, a folder of TIFF files, or an NPY or NPZ file."""
    if path.is_dir():
        return load_tiff(pages(path) or [path])
    return load_array(path) if is_numpy(path) else load_tiff([path])


def _load(path: Path) -> Shaped[np.ndarray, "..."]:
    try:
        with guarded(path, FORM), opened_tiff(path) as (_, series):
            _check_series(series, path)
            return np.squeeze(series.asarray())
    except ScanFileError as error:
        if "imagecodecs" not in error.got:
            raise
        do = "Install imagecodecs (pip install imagecodecs), or save it without compression."
        raise ScanFileError(str(path), expected="a TIFF compression known here", got=error.got, do=do) from error


def _check_series(series: tifffile.TiffPageSeries, path: Path) -> None:
    sized(path, math.prod(int(n) for n in series.shape), series.dtype.itemsize, FORM)
    if "S" in series.axes:
        got = f"axes {series.axes} of shape {series.shape}"
        raise ScanFileError(str(path), expected="grey values", got=got, do=GREY)


def _numeric(path: Path) -> list[tuple[int, str]]:
    """Sort key in which runs of digits count as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]

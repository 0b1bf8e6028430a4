"""Pictures of any origin as one plane of grey values: TIFF, NPY, NPZ (``image``), PNG, JPEG, what else Pillow reads."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from matplotlib.image import imread
from PIL import Image

from microlocal.core.errors import ScanFileError
from microlocal.io.npz import is_numpy, load_array
from microlocal.io.photograph import check_colours
from microlocal.io.reader import guarded
from microlocal.io.tiff import is_tiff, meaning_of, opened_tiff

FORM = "picture"
# Luma of ITU-R BT.601, the grey of a colour television.
LUMA = np.array([0.299, 0.587, 0.114])


def read_picture(path: str | Path) -> Float[np.ndarray, "row col"]:
    """Return a picture as float32 (row, col), colours by their luma 0.299 R + 0.587 G + 0.114 B; opacity is left out.

    Values are as stored, but for PNG, in units of white, and for TIFF in which 0 is white, turned over. Raises
    ScanFileError for what is no picture, is damaged, or has more planes than one.
    """
    target = Path(path)
    if not target.is_file():
        raise ScanFileError(str(target), expected="a picture", got="no such file", do="Check the path.")
    array = load_array(target, ("image",)) if is_numpy(target) else _decoded(target)
    return grey(array, str(target))


def _decoded(path: Path) -> Shaped[np.ndarray, "..."]:
    with guarded(path, FORM):
        if is_tiff(path):
            return _tiff(path)
        with Image.open(path) as image:
            # matplotlib would clip these to 8 bits.
            if image.mode in ("I", "F") and image.format != "PNG":
                return np.asarray(image)
        return np.asarray(imread(path))


def _tiff(path: Path) -> Shaped[np.ndarray, "..."]:
    """Return the values of a TIFF file, larger ones brighter, colours last."""
    with opened_tiff(path) as (_, series):
        meaning = meaning_of(series.keyframe)
        check_colours(path, meaning)
        array = np.asarray(series.asarray())
        if "S" in series.axes:
            array = np.moveaxis(array, series.axes.index("S"), -1)
        if meaning == "miniswhite":
            array = np.iinfo(array.dtype).max - array if array.dtype.kind == "u" else -array.astype(np.float64)
    return array


def grey(array: Shaped[np.ndarray, "..."], who: str) -> Float[np.ndarray, "row col"]:
    """Return an array of a picture, with or without colours on its last axis, as float32 (row, col)."""
    plane = np.squeeze(array) if array.ndim > 2 else array
    if plane.ndim == 3 and plane.shape[-1] in (3, 4):
        plane = plane[..., :3] @ LUMA
    if plane.ndim == 3 and plane.shape[-1] == 2:
        plane = plane[..., 0]
    if plane.ndim != 2 or plane.dtype.kind not in "fiub":
        got = f"an array of shape {array.shape}, {array.dtype}"
        raise ScanFileError(who, expected="one plane of numbers (row, col)", got=got, do="Save a single slice.")
    return np.ascontiguousarray(plane, dtype=np.float32)

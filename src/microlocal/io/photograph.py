"""Pictures that are written back as they came: format, type of numbers, colours, opacity, pages.

read_photograph     TIFF, PNG, JPEG or NPY    ->  values (page, channel, row, col), and what else the file holds
write_photograph    new values                ->  a file of the same kind; integers rounded, and clipped to their type
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, Shaped
from PIL import Image

from microlocal.core.errors import ScanFileError
from microlocal.io.atomic import replacing
from microlocal.io.npz import load_array
from microlocal.io.png16 import png_bytes, png_depth, wide_png
from microlocal.io.reader import guarded, head, sized
from microlocal.io.tiff import is_tiff, meaning_of, opened_tiff

FORMS = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "npy": ".npy"}
KEPT = ("icc_profile", "exif", "dpi")  # of a PNG or JPEG
QUALITY = {"quality": 95, "subsampling": 0}  # of a JPEG
ADVICE = "Save it as TIFF, PNG, JPEG or NPY, in grey or in red, green and blue."


@dataclass(frozen=True, eq=False)
class Photograph:
    """A picture, or a stack of them.

    ``values`` (page, channel, row, col), as stored, one channel for grey and three for colours; ``opacity`` (page, row,
    col) as stored, where there is one; ``form``, of FORMS; ``kind`` of the stored numbers; ``paged``, whether the file
    has an axis of pages; ``more``, what the writer needs to know.
    """

    path: Path
    values: Float[np.ndarray, "page channel row col"]
    opacity: Shaped[np.ndarray, "page row col"] | None
    form: str
    kind: np.dtype[Any]
    paged: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def negative(self) -> bool:
        """Whether zero is white, as a TIFF may say; values are as stored all the same."""
        return self.more.get("photometric") == "miniswhite"

    @property
    def white(self) -> float | None:
        """The largest value that the file can hold; None for floating numbers."""
        return None if self.kind.kind == "f" else float(np.iinfo(self.kind).max)


def read_photograph(path: str | Path, *, gaps: bool = False, marks: bool = False) -> Photograph:
    """Return the picture in a file, whose content says what it is.

    Values are float32, float64 where the file has more digits. ``gaps``: pixels may be NaN; ``marks``: it is a mask or
    a kernel, which may be black and white, and of any size. Raises ScanFileError for what is no picture, is damaged,
    holds no finite grey values or colours, or has fewer than 4 x 4 pixels.
    """
    target = Path(path)
    if not target.is_file():
        got = "a folder" if target.is_dir() else "no such file"
        raise ScanFileError(str(target), expected="a picture", got=got, do="Check the path.")
    start = head(target, 8)
    if is_tiff(target):
        found = _tiff(target)
    elif start.startswith(b"\x89PNG\r\n\x1a\n"):
        found = _png(target)
    elif start.startswith(b"\xff\xd8\xff"):
        found = _pillow(target, "jpeg")
    elif start.startswith(b"\x93NUMPY"):
        found = _sorted(target, load_array(target), "npy", {})
    else:
        got = f"a file that begins with {start!r}" if start else "an empty file"
        raise ScanFileError(str(target), expected="TIFF, PNG, JPEG or NPY", got=got, do=ADVICE)
    return _checked(found, gaps, marks)


def write_photograph(picture: Photograph, values: Float[np.ndarray, "page channel row col"], path: str | Path) -> Path:
    """Write ``values`` with everything else as in ``picture``; raises OutputError where the place cannot be written."""
    target = Path(path)
    array = _stored(picture, values)
    with replacing(target) as temporary, temporary.open("wb") as stream:
        if picture.form == "npy":
            np.save(stream, array, allow_pickle=False)
        elif picture.form == "tiff":
            tifffile.imwrite(stream, array, **picture.more)
        elif picture.kind.itemsize == 2 and array.ndim == 3:
            stream.write(png_bytes(array))
        else:
            quality = QUALITY if picture.form == "jpeg" else {}
            Image.fromarray(array).save(stream, format=picture.form, **quality, **picture.more)
    return target


def in_type(values: Float[np.ndarray, "..."], kind: np.dtype[Any]) -> Shaped[np.ndarray, "..."]:
    """Return values as numbers of a type: integers rounded, and clipped to what the type holds.

    >>> in_type(np.array([-3.0, 2.6, 300.0]), np.dtype("uint8"))
    array([  0,   3, 255], dtype=uint8)
    """
    if kind.kind == "f":
        return values.astype(kind)
    limits = np.iinfo(kind)
    rounded = np.rint(values.astype(np.float64))
    # The largest whole number of 64 bits is no float64: the next one is beyond the type, and would come out negative.
    held = np.clip(rounded, limits.min, np.nextafter(float(limits.max) + 1, 0)).astype(kind)
    return np.where(rounded >= limits.max, kind.type(limits.max), held)


def _stored(picture: Photograph, values: Float[np.ndarray, "page channel row col"]) -> Shaped[np.ndarray, "..."]:
    array = in_type(np.moveaxis(values, 1, -1), picture.kind)
    if picture.opacity is not None:
        array = np.concatenate([array, picture.opacity[..., None]], axis=-1)
    array = array[..., 0] if array.shape[-1] == 1 else array
    return np.ascontiguousarray(array if picture.paged else array[0])


def _sorted(path: Path, array: Shaped[np.ndarray, "..."], form: str, more: dict[str, Any], paged: bool | None = None,
            channels: bool | None = None) -> Photograph:  # fmt: skip
    """Return an array of a file with its axes sorted: colours last, pages first.

    Where the file does not say, a last axis of 3 or 4 holds colours.
    """
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        got = f"numbers of type {array.dtype}"
        raise ScanFileError(str(path), expected="integers or floating numbers", got=got, do=ADVICE)
    if channels is None:
        channels = array.ndim > 2 and array.shape[-1] in (3, 4)
    if paged is None:
        paged = array.ndim - channels == 3
    if array.ndim != 2 + channels + paged or (channels and array.shape[-1] > 4):
        got = f"an array of shape {array.shape}"
        raise ScanFileError(str(path), expected="(row, col), with pages or colours at most", got=got, do=ADVICE)
    pages = array if paged else array[None]
    pages = pages if channels else pages[..., None]
    opacity = pages[..., -1].copy() if pages.shape[-1] in (2, 4) else None
    colours = pages if opacity is None else pages[..., :-1]
    wide = np.float64 if array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2) else np.float32
    values = np.ascontiguousarray(np.moveaxis(colours, -1, 1), dtype=wide)
    return Photograph(path, values, opacity, form, array.dtype.newbyteorder("="), paged, more)


def _checked(found: Photograph, gaps: bool, marks: bool) -> Photograph:
    who = str(found.path)
    if found.kind.kind == "b" and not marks:
        got = "black and white without greys"
        raise ScanFileError(who, expected="grey values, or red, green and blue", got=got, do=ADVICE)
    if 0 in found.values.shape or (min(found.values.shape[-2:]) < 4 and not marks):
        got = f"{found.values.shape[-2]} x {found.values.shape[-1]} pixels, {len(found.values)} pages"
        raise ScanFileError(who, expected="at least 4 x 4 pixels", got=got, do="Give a whole picture.")
    wrong = int(np.isinf(found.values).sum() + (0 if gaps else np.isnan(found.values).sum()))
    if wrong:
        got = f"{wrong} values that are not finite"
        do = "Fill them first: microlocal inpaint does, where they are NaN or a mask marks them."
        raise ScanFileError(who, expected="finite values", got=got, do=do)
    return found


def _png(path: Path) -> Photograph:
    depth, colours = png_depth(path)
    if depth == 16 and colours == 2:
        got = "a PNG of 16 bits with opacity"
        raise ScanFileError(str(path), expected="grey values, or red, green and blue", got=got, do="Save it as TIFF.")
    if depth == 16 and colours > 1:
        with guarded(path, "PNG file"):
            return _sorted(path, wide_png(path), "png", {}, paged=False, channels=True)
    return _pillow(path, "png")


def _pillow(path: Path, form: str) -> Photograph:
    try:
        with guarded(path, f"{form.upper()} file"), Image.open(path, formats=[form.upper()]) as image:
            image.load()
            clear = image.mode == "PA" or "transparency" in image.info
            shown = image.convert("RGBA" if clear else "RGB") if image.mode in ("P", "PA") else image
            mode, array = shown.mode, np.asarray(shown)
            more = {name: image.info[name] for name in KEPT if image.info.get(name)}
    except Image.DecompressionBombError as error:
        raise ScanFileError(str(path), expected="fewer pixels", got=str(error), do="Cut it into parts.") from error
    if mode not in ("L", "LA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "1"):
        got = "inks (CMYK)" if mode == "CMYK" else f"colours of mode {mode}"
        raise ScanFileError(str(path), expected="grey values, or red, green and blue", got=got, do=ADVICE)
    return _sorted(path, array, form, more, paged=False, channels=array.ndim == 3)


def _tiff(path: Path) -> Photograph:
    try:
        with guarded(path, "TIFF file"), opened_tiff(path) as (_, series):
            page = series.keyframe
            sized(path, int(np.prod([int(n) for n in series.shape])), series.dtype.itemsize, "TIFF file")
            axes, samples = series.axes, page.samplesperpixel
            photometric = meaning_of(page)
            check_colours(path, photometric)
            array = series.asarray()
            more = _tiff_tags(page, photometric)
    except ScanFileError as error:
        if "imagecodecs" not in error.got:
            raise
        do = "Install imagecodecs (pip install imagecodecs), or save it without compression."
        raise ScanFileError(str(path), expected="a TIFF compression known here", got=error.got, do=do) from error
    if samples > 1 and "S" in axes:
        array = np.moveaxis(array, axes.index("S"), -1)
    channels = samples > 1
    pages = array.shape[: array.ndim - 2 - channels]
    paged = bool(pages)
    array = array.reshape(-1, *array.shape[len(pages) :]) if paged else array
    return _sorted(path, array, "tiff", more, paged=paged, channels=channels)


def check_colours(path: Path, photometric: str) -> None:
    """Raise ScanFileError for a TIFF whose numbers are no grey values or colours, such as numbers of a palette."""
    if photometric not in ("minisblack", "miniswhite", "rgb"):
        got = f"colours of kind {photometric}"
        raise ScanFileError(str(path), expected="grey values, or red, green and blue", got=got, do=ADVICE)


def _tiff_tags(page: Any, photometric: str) -> dict[str, Any]:
    """Return what the writer of a TIFF is told: meaning of the values, resolution, whether it is compressed."""
    more: dict[str, Any] = {"photometric": photometric, "metadata": None}
    if page.samplesperpixel in (2, 4):
        more["extrasamples"] = ["unassalpha"]
    if page.compression != 1:
        more["compression"] = "zlib"
    if "XResolution" in page.tags and "YResolution" in page.tags:
        more["resolution"] = (page.tags["XResolution"].value, page.tags["YResolution"].value)
        unit = page.tags.get("ResolutionUnit")
        more["resolutionunit"] = int(unit.value) if unit is not None else 1
    return more

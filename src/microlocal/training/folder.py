"""A folder of images of one's own (PNG, JPEG, TIFF, NPY, DICOM, NIfTI) to draw training images from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from matplotlib.image import imread
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from microlocal.core.errors import InputError
from microlocal.core.extras import extra
from microlocal.io.npz import load_array
from microlocal.io.photograph import read_photograph
from microlocal.io.png16 import png_depth
from microlocal.io.reader import guarded, head
from microlocal.io.tiff import is_tiff, load_tiff, meaning_of, opened_tiff

LUMINANCE = (0.299, 0.587, 0.114)
MAGIC = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "NPY": b"\x93NUMPY"}
BITS = 8  # of a value that is divided by the largest that there can be
KEPT = 64  # files of which the images stay in memory


@dataclass(frozen=True)
class ImageFolder:
    """The images in a folder and the folders inside it; the content of a file decides what it is.

    An image has values in [0, 1]: those of 8 bits are divided by 255, all others span from the least to the greatest
    value of their file. Colours become luminance (in NPY a last axis of 3 or 4 holds them), and a TIFF or DICOM whose
    zero is white is taken as it is seen; of a volume (slice first, in NIfTI last), every slice is an image.
    """

    files: tuple[Path, ...]

    @classmethod
    def at(cls, folder: str | Path) -> "ImageFolder":
        """Return the images of a folder; raises InputError where there are none."""
        place = Path(folder)
        files = tuple(path for path in sorted(place.rglob("*")) if path.is_file() and _form(path))
        if not files:
            got = f"no such file among those of {place}" if place.is_dir() else f"no folder {place}"
            do = "Name a folder of images in [data] folder."
            raise InputError("images", expected="PNG, JPEG, TIFF, NPY, DICOM or NIfTI files", got=got, do=do)
        return cls(files)

    def draw(self, shape: tuple[int, int], draw: torch.Generator, turn: bool = True) -> Float[Tensor, "row col"]:
        """Return a random window of a random image, turned by a random angle unless ``turn`` is False.

        Raises InputError naming a file that cannot be read.
        """
        images = slices_of(self.files[_below(len(self.files), draw)])
        return window(images[_below(len(images), draw)], shape, draw, turn)

    def disc(self, side: int, draw: torch.Generator) -> Float[Tensor, "row col"]:
        """Return a random image whole, turned by a random angle: its largest square in the middle, in ``side``² pixels.

        Beyond the circle in the square, of which turned images know nothing, it is zero. Raises InputError naming a
        file that cannot be read.
        """
        images = slices_of(self.files[_below(len(self.files), draw)])
        return _disc(images[_below(len(images), draw)], side, 2 * math.pi * float(torch.rand((), generator=draw)))

    def listing(self) -> list[tuple[str, int]]:
        """Return names and sizes of the files: the mark by which a change of the folder is seen."""
        return [(path.name, path.stat().st_size) for path in self.files]


@lru_cache(maxsize=KEPT)
def slices_of(path: Path) -> Float[Tensor, "slice row col"]:
    """Return the images of one file, with values in [0, 1]; raises InputError naming it."""
    form = _form(path)
    grey = _READERS[form](path) if form else np.zeros(())
    if grey.ndim not in (2, 3) or grey.size == 0 or grey.dtype.kind not in "biuf":
        got = f"{grey.dtype} of shape {grey.shape}"
        raise InputError(str(path), expected="an image (row, col) or a volume of numbers", got=got, do="Remove it.")
    stack = np.moveaxis(grey, -1, 0) if form == "NIfTI" and grey.ndim == 3 else grey
    divided = form == "PNG" and png_depth(path)[0] <= BITS  # by matplotlib
    return torch.from_numpy(_unit(stack.reshape(-1, *stack.shape[-2:]), str(path), divided))


def window(
    image: Float[Tensor, "height width"], shape: tuple[int, int], draw: torch.Generator, turn: bool = True
) -> Float[Tensor, "row col"]:
    """Return a random window of ``shape`` out of an image, by bilinear interpolation where it is turned or magnified.

    The window lies inside the image; where the image is too small for that, it is magnified.
    """
    height, width = image.shape
    angle = 2 * math.pi * float(torch.rand((), generator=draw)) if turn else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    rows, cols = shape
    tall, wide = rows * abs(cos) + cols * abs(sin), rows * abs(sin) + cols * abs(cos)
    scale = min(1.0, height / tall, width / wide)
    place = torch.rand(2, generator=draw).tolist()
    top, left = ((size - scale * part) for size, part in ((height, tall), (width, wide)))
    row0, col0 = scale * tall / 2 + place[0] * top, scale * wide / 2 + place[1] * left
    if not turn and scale == 1.0:
        first, start = int(row0 - rows / 2 + 0.5), int(col0 - cols / 2 + 0.5)
        return image[first : first + rows, start : start + cols].clone()
    down = scale * (torch.arange(rows) - (rows - 1) / 2)[:, None]
    right = scale * (torch.arange(cols) - (cols - 1) / 2)[None]
    y, x = row0 + cos * down + sin * right, col0 - sin * down + cos * right
    grid = torch.stack((2 * x / width - 1, 2 * y / height - 1), dim=-1)
    sampled = grid_sample(image[None, None], grid[None], padding_mode="border", align_corners=False)
    return sampled[0, 0]


def _disc(image: Float[Tensor, "height width"], side: int, angle: float) -> Float[Tensor, "row col"]:
    least = min(image.shape)
    top, left = ((size - least) // 2 for size in image.shape)
    square = image[None, None, top : top + least, left : left + least]
    means = interpolate(square, (side, side), mode="bilinear", align_corners=False, antialias=True)
    places = (2 * torch.arange(side) + 1 - side) / side
    down, right = torch.meshgrid(places, places, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    grid = torch.stack((cos * right - sin * down, cos * down + sin * right), dim=-1)
    turned = grid_sample(means, grid[None], padding_mode="border", align_corners=False)[0, 0]
    return torch.where(down.square() + right.square() < 1, turned, 0.0)


def _below(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draw))


def _form(path: Path) -> str:
    """Return what a file is by its first bytes ("" for none of ours); NIfTI, often compressed, by its name."""
    start = head(path, 132)
    if path.name.startswith("."):
        return ""
    if path.name.endswith((".nii", ".nii.gz")):
        return "NIfTI"
    if start[128:] == b"DICM":
        return "DICOM"
    known = (form for form, magic in MAGIC.items() if start.startswith(magic))
    return next(known, "TIFF" if is_tiff(path) else "")


def _picture(path: Path) -> Shaped[np.ndarray, "..."]:
    with guarded(path, "image"):
        values = np.asarray(imread(path))
    return values if values.ndim == 2 else _grey(values)


def _npy(path: Path) -> Shaped[np.ndarray, "..."]:
    values = load_array(path)
    return _grey(values) if values.ndim > 2 and values.shape[-1] in (3, 4) else values


def _dicom(path: Path) -> Shaped[np.ndarray, "..."]:
    pydicom = extra("pydicom", "io", str(path))
    with guarded(path, "DICOM image"):
        found = pydicom.dcmread(path)
        values, meaning = np.asarray(found.pixel_array), str(found.PhotometricInterpretation)
    if meaning == "PALETTE COLOR":
        raise InputError(str(path), expected="grey values or colours", got="numbers of a palette", do="Remove it.")
    if meaning == "MONOCHROME1":  # zero is white
        return 255 - values if values.dtype == np.uint8 else -values.astype(np.float32)
    return values if meaning == "MONOCHROME2" else _grey(values)


def _tiff(path: Path) -> Shaped[np.ndarray, "..."]:
    """Return the pages of a TIFF, colours as luminance, and as they are seen where it says that zero is white."""
    with guarded(path, "TIFF image"), opened_tiff(path) as (_, series):
        seen_as_stored = meaning_of(series.keyframe) == "minisblack"
    if seen_as_stored:
        return load_tiff([path])
    picture = read_photograph(path)
    colours = np.moveaxis(picture.values, 1, -1)
    grey = colours[..., 0] if colours.shape[-1] < 3 else colours @ np.array(LUMINANCE)
    if picture.negative:
        grey = (picture.white or 0.0) - grey
    return np.rint(grey).astype(np.uint8) if picture.kind == np.uint8 else grey


def _nifti(path: Path) -> Shaped[np.ndarray, "..."]:
    nibabel = extra("nibabel", "io", str(path))
    with guarded(path, "NIfTI image"):
        return np.asarray(nibabel.load(path).get_fdata(dtype=np.float32))


_READERS: dict[str, Callable[[Path], Shaped[np.ndarray, "..."]]] = {
    "PNG": _picture,
    "JPEG": _picture,
    "NPY": _npy,
    "DICOM": _dicom,
    "NIfTI": _nifti,
    "TIFF": _tiff,
}


def _grey(values: Shaped[np.ndarray, "*page row col channel"]) -> Shaped[np.ndarray, "*page row col"]:
    """Return a picture without colours, of (row, col, grey+alpha) or (row, col, colours), whole numbers rounded."""
    if values.shape[-1] < 3 or values.dtype.kind not in "biuf":
        return values[..., 0]
    grey = values[..., :3] @ np.array(LUMINANCE)
    return (np.rint(grey) if values.dtype.kind in "iu" else grey).astype(values.dtype)


def _unit(values: Shaped[np.ndarray, "slice row col"], who: str, divided: bool) -> Float[np.ndarray, "slice row col"]:
    """Scale to [0, 1]; values of 8 bits that are ``divided`` already stay as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.float32) / 255
    wide = values.astype(np.float32)
    low, high = float(wide.min()), float(wide.max())
    if not math.isfinite(low + high):
        raise InputError(who, expected="finite values", got="NaN or infinity", do="Mend or remove the image.")
    if divided:
        return wide
    return (wide - low) / (high - low) if high > low else np.zeros_like(wide)

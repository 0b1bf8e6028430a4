"""Where a reconstructed stack goes, slice by slice: a folder of TIFF files, one BigTIFF, or a Zarr group.

A volume holds float32 numbers, or the codes of ``core.provenance`` in 8 bits, with their names and colours.
Each is a description (path, shape) that opens its files for every slice, so that it can be sent to other processes.
Folder and Zarr may be written by any number of processes, also on several machines; a BigTIFF by those of one machine.
"""

import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from jaxtyping import Float, UInt8
from numpy.typing import DTypeLike

from microlocal.core.errors import OutputError, UnknownNameError
from microlocal.core.extras import extra
from microlocal.core.provenance import NAMED
from microlocal.io.atomic import replacing, writing
from microlocal.io.images import palette_of, said_of_codes, told_size, write_codes, write_tiff
from microlocal.io.reader import guarded
from microlocal.io.zarr_store import ZarrVolume

Image = Float[np.ndarray, "row col"] | UInt8[np.ndarray, "row col"]


class Volume(Protocol):
    """A place for ``shape`` (slice, row, col) numbers or codes; all methods raise OutputError where it fails them."""

    @property
    def path(self) -> Path:
        """The file or folder."""

    def create(self, attributes: dict[str, Any]) -> None:
        """Make the place unless it is there; ``attributes`` are JSON values, kept where the format has room."""

    def write(self, index: int, image: Image) -> None:
        """Write slice ``index``, whole or not at all."""

    def read(self, index: int) -> Image:
        """Return slice ``index`` as it was written; whatever stands there otherwise."""

    def finish(self, attributes: dict[str, Any]) -> None:
        """Add ``attributes`` when all slices are there."""


@dataclass(frozen=True)
class TiffFolder:
    """One TIFF file a slice, ``slice_00042.tif``, with the pixel size, each moved to its place when whole.

    Parameters: ``path``; ``shape``; ``first``, the number of slice 0; ``pixel``, the side of a pixel in ``unit``;
    ``coded``, codes in 8 bits instead of numbers in 32.
    """

    path: Path
    shape: tuple[int, int, int]
    first: int
    pixel: float
    unit: str
    coded: bool = False

    def create(self, attributes: dict[str, Any]) -> None:
        del attributes
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def write(self, index: int, image: Image) -> None:
        if self.coded:
            write_codes(image, self._file(index), self.pixel, self.unit, NAMED)
        else:
            write_tiff(image, self._file(index), self.pixel, self.unit)

    def read(self, index: int) -> Image:
        try:
            return np.asarray(tifffile.imread(self._file(index)))
        except (OSError, ValueError, tifffile.TiffFileError, zlib.error):
            return np.zeros(self.shape[1:], kind_of(self.coded))

    def finish(self, attributes: dict[str, Any]) -> None:
        del attributes

    def _file(self, index: int) -> Path:
        return self.path / f"slice_{self.first + index:05d}.tif"


@dataclass(frozen=True)
class BigTiff:
    """One BigTIFF file of as many pages as slices, laid out when it is made, each slice written in its place."""

    path: Path
    shape: tuple[int, int, int]
    pixel: float
    unit: str
    coded: bool = False

    def create(self, attributes: dict[str, Any]) -> None:
        del attributes
        if self.path.exists():
            self._check_shape()
            return
        resolution = (1 / told_size(self.pixel, self.unit)[0],) * 2
        metadata = {"axes": "ZYX", "unit": self.unit, "pixel": self.pixel}
        if self.coded:
            metadata |= said_of_codes(NAMED)
        with replacing(self.path) as temporary:
            tifffile.imwrite(
                temporary,
                shape=self.shape,
                dtype=kind_of(self.coded),
                bigtiff=True,
                byteorder="<",
                photometric="palette" if self.coded else "minisblack",
                colormap=palette_of(NAMED) if self.coded else None,
                resolution=resolution,
                resolutionunit="NONE",
                metadata=metadata,
            )

    def write(self, index: int, image: Image) -> None:
        values = np.ascontiguousarray(image, dtype=kind_of(self.coded))
        with writing(self.path), self.path.open("r+b") as stream:
            stream.seek(self._place(index))
            stream.write(values.tobytes())

    def read(self, index: int) -> Image:
        count, kind = math.prod(self.shape[1:]), kind_of(self.coded)
        with writing(self.path):
            values = np.fromfile(self.path, kind, count, offset=self._place(index))
        return values.reshape(self.shape[1:]) if values.size == count else np.zeros(self.shape[1:], kind)

    def finish(self, attributes: dict[str, Any]) -> None:
        del attributes

    def _check_shape(self) -> None:
        with writing(self.path), guarded(self.path, "TIFF file"), tifffile.TiffFile(self.path) as file:
            shape = file.series[0].shape
        if shape != self.shape:
            do = "Choose another folder, or start anew with --fresh."
            raise OutputError(str(self.path), expected=f"a volume of shape {self.shape}", got=str(shape), do=do)

    def _place(self, index: int) -> int:
        with writing(self.path), tifffile.TiffFile(self.path) as file:
            start = file.series[0].dataoffset
        if start is None:
            got = "a file whose pages do not follow each other"
            raise OutputError(str(self.path), expected="a BigTIFF of ours", got=got, do="Remove it.")
        return start + index * np.dtype(kind_of(self.coded)).itemsize * math.prod(self.shape[1:])


def kind_of(coded: bool) -> DTypeLike:
    """Return the type of the numbers, or of the codes, as they are stored."""
    return "u1" if coded else "<f4"


def digest(image: Image) -> str:
    """Return the SHA-256 of the pixels, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(image, image.dtype.newbyteorder("<")).tobytes()).hexdigest()


FORMS = ("tiff", "bigtiff", "zarr")
SHARED = ("tiff", "zarr")  # what several machines may write at once


def check_form(form: str, who: str) -> None:
    """Raise UnknownNameError for a form that is none, InputError for one whose package is not installed."""
    if form not in FORMS:
        raise UnknownNameError(who, form, FORMS)
    if form == "zarr":
        extra("zarr", "cluster", who)


def volume_at(
    folder: Path,
    form: str,
    shape: tuple[int, int, int],
    first: int,
    pixel: float,
    unit: str,
    *,
    coded: bool = False,
) -> Volume:
    """Return the volume of a form in a folder: ``slices/``, ``volume.tif`` or ``volume.zarr``.

    ``coded``: of codes of ``core.provenance`` instead of float32 numbers. Raises UnknownNameError for another form.

    >>> volume_at(Path("out"), "zarr", (2, 3, 4), 0, 1.0, "mm").path.name
    'volume.zarr'
    """
    check_form(form, "volume")
    if form == "tiff":
        return TiffFolder(folder / "slices", shape, first, pixel, unit, coded)
    if form == "bigtiff":
        return BigTiff(folder / "volume.tif", shape, pixel, unit, coded)
    return ZarrVolume(folder / "volume.zarr", shape, coded)

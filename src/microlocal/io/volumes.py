"""Where a reconstructed stack goes, slice by slice: a folder of TIFF files, one BigTIFF, or a Zarr group.

Each is a description (path, shape) that opens its files for every slice, so that it can be sent to other processes.
Folder and Zarr may be written by any number of processes, also on several machines; a BigTIFF by those of one machine.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from jaxtyping import Float

from microlocal.core.errors import OutputError, UnknownNameError
from microlocal.io.atomic import replacing, writing
from microlocal.io.images import write_tiff
from microlocal.io.reader import guarded
from microlocal.io.zarr_store import ZarrVolume

Image = Float[np.ndarray, "row col"]


class Volume(Protocol):
    """A place for ``shape`` (slice, row, col) float32 numbers; all methods raise OutputError where it fails them."""

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
    """One 32-bit TIFF file a slice, ``slice_00042.tif``, with the pixel size, each moved to its place when whole.

    Parameters: ``path``; ``shape``; ``first``, the number of slice 0; ``pixel``, the side of a pixel in ``unit``.
    """

    path: Path
    shape: tuple[int, int, int]
    first: int
    pixel: float
    unit: str

    def create(self, attributes: dict[str, Any]) -> None:
        del attributes
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def write(self, index: int, image: Image) -> None:
        write_tiff(image, self._file(index), self.pixel, self.unit)

    def read(self, index: int) -> Image:
        try:
            return np.asarray(tifffile.imread(self._file(index)))
        except (OSError, ValueError, tifffile.TiffFileError):
            return np.zeros(self.shape[1:], np.float32)

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

    def create(self, attributes: dict[str, Any]) -> None:
        del attributes
        if self.path.exists():
            self._check_shape()
            return
        resolution = (1 / self.pixel, 1 / self.pixel)
        metadata = {"axes": "ZYX", "unit": self.unit, "pixel": self.pixel}
        with replacing(self.path) as temporary:
            tifffile.imwrite(
                temporary,
                shape=self.shape,
                dtype="float32",
                bigtiff=True,
                byteorder="<",
                photometric="minisblack",
                resolution=resolution,
                metadata=metadata,
            )

    def write(self, index: int, image: Image) -> None:
        values = np.ascontiguousarray(image, dtype="<f4")
        with writing(self.path), self.path.open("r+b") as stream:
            stream.seek(self._place(index))
            stream.write(values.tobytes())

    def read(self, index: int) -> Image:
        count = math.prod(self.shape[1:])
        with writing(self.path):
            values = np.fromfile(self.path, "<f4", count, offset=self._place(index))
        return values.reshape(self.shape[1:]) if values.size == count else np.zeros(self.shape[1:], np.float32)

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
        return start + index * 4 * math.prod(self.shape[1:])


FORMS = ("tiff", "bigtiff", "zarr")
SHARED = ("tiff", "zarr")  # what several machines may write at once


def volume_at(folder: Path, form: str, shape: tuple[int, int, int], first: int, pixel: float, unit: str) -> Volume:
    """Return the volume of a form in a folder: ``slices/``, ``volume.tif`` or ``volume.zarr``.

    Raises UnknownNameError for another form.

    >>> volume_at(Path("out"), "zarr", (2, 3, 4), 0, 1.0, "mm").path.name
    'volume.zarr'
    """
    if form == "tiff":
        return TiffFolder(folder / "slices", shape, first, pixel, unit)
    if form == "bigtiff":
        return BigTiff(folder / "volume.tif", shape, pixel, unit)
    if form == "zarr":
        return ZarrVolume(folder / "volume.zarr", shape)
    raise UnknownNameError("volume", form, FORMS)

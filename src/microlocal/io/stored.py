"""Arrays that stay in their file: (slice, angle, detector) of which a block of slices is read at a time.

Each is a description (path, order of the axes, shape) that opens the file for every block, so that it can be sent to
other processes and never holds more than was asked for.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile
from jaxtyping import Shaped

from microlocal.core.errors import ScanFileError
from microlocal.io.mrc import values_of
from microlocal.io.reader import guarded
from microlocal.io.tiff import opened_tiff

ORDER = ("slice", "angle", "detector")
VIEW_FIRST = ("angle", "slice", "detector")
Index = tuple[slice, ...]


@dataclass(frozen=True)
class Stored(ABC):
    """An array in a file.

    Parameters: ``path``; ``axes``, the order in which the file holds "slice", "angle" and "detector" (frames without
    "angle" are a single one); ``stored_shape``, in that order.

    Raises ScanFileError from ``read`` when the bytes are damaged.
    """

    path: Path
    axes: tuple[str, ...]
    stored_shape: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slice, angle, detector)."""
        sizes = dict(zip(self.axes, self.stored_shape, strict=True))
        return sizes["slice"], sizes.get("angle", 1), sizes["detector"]

    def read(self, first: int, last: int, step: int = 1) -> Shaped[np.ndarray, "slice angle detector"]:
        """Return every ``step``-th of the slices first..last-1 as the file holds them, in memory of their own."""
        index = tuple(slice(first, last, step) if name == "slice" else slice(None) for name in self.axes)
        with guarded(self.path, "stack"):
            part = np.asarray(self._part(index))
        whole = part if "angle" in self.axes else np.expand_dims(part, 0)
        axes = self.axes if "angle" in self.axes else ("angle", *self.axes)
        return np.ascontiguousarray(whole.transpose([axes.index(name) for name in ORDER]))

    def frames(self, first: int, last: int, rows: slice = slice(None)) -> Shaped[np.ndarray, "angle slice detector"]:
        """Return the views first..last-1, some ``rows`` of them, as the file holds them, in memory of their own."""
        chosen = {"angle": slice(first, last), "slice": rows}
        index = tuple(chosen.get(name, slice(None)) for name in self.axes)
        with guarded(self.path, "stack"):
            part = np.asarray(self._part(index))
        whole = part if "angle" in self.axes else np.expand_dims(part, 0)
        axes = self.axes if "angle" in self.axes else ("angle", *self.axes)
        return np.ascontiguousarray(whole.transpose([axes.index(name) for name in VIEW_FIRST]))

    @abstractmethod
    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        """Return the part of the stored array, its axes as they are stored."""


@dataclass(frozen=True, eq=False)
class HeldStored(Stored):
    """An array in memory, of a file that can be read as a whole only."""

    values: Shaped[np.ndarray, "..."]

    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        return np.array(self.values[index])


@dataclass(frozen=True)
class Hdf5Stored(Stored):
    """A dataset of an HDF5 file."""

    name: str = "data"

    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        with h5py.File(self.path, "r") as file:
            return np.asarray(file[self.name][index])


@dataclass(frozen=True)
class NpyStored(Stored):
    """An NPY file, memory-mapped while a block is copied out of it."""

    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[index])


@dataclass(frozen=True)
class MrcStored(Stored):
    """An MRC file, memory-mapped while a block is copied out of it."""

    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        with mrcfile.mmap(self.path, mode="r", permissive=True) as file:
            return np.array(values_of(file)[index])


@dataclass(frozen=True)
class TiffStored(Stored):
    """Pages of one TIFF file, or of several in the given order; pages are memory-mapped where nothing is compressed."""

    files: tuple[Path, ...] = ()

    def _part(self, index: Index) -> Shaped[np.ndarray, "page row col"]:
        if len(self.files) == 1:
            return _pages_of(self.files[0], self.stored_shape, index)
        page = (1, *self.stored_shape[1:])
        chosen = self.files[index[0]]
        return np.concatenate([_pages_of(path, page, (slice(None), *index[1:])) for path in chosen])


def _pages_of(path: Path, shape: tuple[int, ...], index: Index) -> Shaped[np.ndarray, "page row col"]:
    with opened_tiff(path) as (file, series):
        if math.prod(series.shape) != math.prod(shape):
            got = f"{path.name} of shape {series.shape}"
            raise ScanFileError(str(path.parent), expected=f"pages of shape {shape[1:]}", got=got, do="Remove it.")
        if series.dataoffset is not None:
            return np.array(tifffile.memmap(path, mode="r", series=0).reshape(shape)[index])
        if len(file.pages) != shape[0]:
            return series.asarray().reshape(shape)[index]
        chosen = [file.pages[k] for k in range(*index[0].indices(shape[0]))]
        return np.stack([page.asarray()[index[1:]] for page in chosen])

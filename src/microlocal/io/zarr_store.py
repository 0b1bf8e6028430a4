"""Zarr (versions 2 and 3): stacks to read, and the volume that a stack becomes, one chunk a slice.

The package zarr belongs to the extra [cluster] and is imported where it is needed only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from microlocal.core.errors import OutputError, ScanFileError
from microlocal.core.extras import extra
from microlocal.core.provenance import NAMED
from microlocal.io.atomic import writing
from microlocal.io.images import said_of_codes
from microlocal.io.stored import Index, Stored

NAMES = ("data", "sinogram")
MARKS = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


@dataclass(frozen=True)
class ZarrStored(Stored):
    """An array of a Zarr group, or a bare Zarr array where ``name`` is empty."""

    name: str = ""

    def _part(self, index: Index) -> Shaped[np.ndarray, "..."]:
        node = extra("zarr", "cluster", str(self.path)).open(str(self.path), mode="r")
        return np.asarray((node[self.name] if self.name else node)[index])


@dataclass(frozen=True)
class Described:
    """What a Zarr folder holds: the name of its array of data, shapes by name ("" for a bare array), attributes."""

    name: str
    shapes: dict[str, tuple[int, ...]]
    attributes: dict[str, Any]


def describe(path: Path) -> Described:
    """Return the arrays and attributes of a Zarr folder; raises ScanFileError where it holds no data."""
    node = extra("zarr", "cluster", str(path)).open(str(path), mode="r")
    attributes = dict(node.attrs)
    if not hasattr(node, "arrays"):
        return Described("", {"": tuple(node.shape)}, attributes)
    shapes = {str(name): tuple(array.shape) for name, array in node.arrays()}
    name = next((n for n in NAMES if n in shapes), next(iter(shapes), None) if len(shapes) == 1 else None)
    if name is None:
        got = ", ".join(shapes)[:200] or "no array"
        expected = "an array named " + " or ".join(NAMES)
        raise ScanFileError(str(path), expected=expected, got=got, do="Save the data under this name.")
    return Described(name, shapes, attributes | dict(node[name].attrs))


@dataclass(frozen=True)
class ZarrVolume:
    """A Zarr group with the array ``image`` (slice, row, col), float32, one chunk a slice; uint8 where it is ``coded``.

    A chunk is written beside its place and moved there, so that a slice is there whole or not at all; any number of
    processes may write different slices.
    """

    path: Path
    shape: tuple[int, int, int]
    coded: bool = False

    def create(self, attributes: dict[str, Any]) -> None:
        """Make the group and its array unless they are there; raises OutputError."""
        zarr = extra("zarr", "cluster", str(self.path))
        with writing(self.path):
            group = zarr.open_group(str(self.path), mode="a")
            if "image" not in group:
                chunk, kind = (1, *self.shape[1:]), "uint8" if self.coded else "float32"
                group.require_array("image", shape=self.shape, chunks=chunk, dtype=kind, fill_value=0)
            found = tuple(group["image"].shape)
        if found != self.shape:
            do = "Choose another folder, or start anew with --fresh."
            raise OutputError(str(self.path), expected=f"a volume of shape {self.shape}", got=str(found), do=do)
        self.finish(attributes | (said_of_codes(NAMED) if self.coded else {}))

    def write(self, index: int, image: Shaped[np.ndarray, "row col"]) -> None:
        """Write one slice; raises OutputError."""
        with writing(self.path):
            self._open("r+")["image"][index] = image

    def read(self, index: int) -> Shaped[np.ndarray, "row col"]:
        """Return one slice, zeros where it was not written."""
        return np.asarray(self._open("r")["image"][index])

    def finish(self, attributes: dict[str, Any]) -> None:
        """Add attributes to the group."""
        with writing(self.path):
            self._open("r+").attrs.update(attributes)

    def _open(self, mode: str) -> Any:
        return extra("zarr", "cluster", str(self.path)).open_group(str(self.path), mode=mode)

"""HDF5 files that may be damaged: what is in them, and whether they can be read without harm."""

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from microlocal.core.errors import ScanFileError
from microlocal.io.reader import DAMAGE, guarded, head, sized

MAGIC = b"\x89HDF\r\n\x1a\n"
HEAP_MAGIC = b"GCOL\x01\0\0\0"  # a global heap collection of version 1, with its reserved bytes


def hdf5_keys(path: Path) -> tuple[str, ...]:
    """Return the names at the root of an HDF5 file (also behind MATLAB's 512-byte header), none for other files."""
    start = head(path, 520)
    if not (start.startswith(MAGIC) or start[512:] == MAGIC):
        return ()
    try:
        with h5py.File(path) as file:
            return tuple(map(str, file))
    except DAMAGE:
        return ()


@contextmanager
def opened(path: Path, form: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading under the guard of ``guarded``, its heaps checked first."""
    with guarded(path, form):
        check_heaps(path)
        with h5py.File(path) as file:
            yield file


def check_heaps(path: Path) -> None:
    """Raise ValueError if a heap of texts is broken: libhdf5 walks such a heap for ever (seen by fuzzing).

    A collection is the magic, its size, and objects (index, references, 4 bytes, size, data padded to 8); index 0 is
    the free space, whose size counts its own header.
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(HEAP_MAGIC)
        while at >= 0:
            _check_heap(data, at)
            at = data.find(HEAP_MAGIC, at + 8)


def _check_heap(data: mmap.mmap, start: int) -> None:
    end = start + int(struct.unpack_from("<Q", data, start + 8)[0])
    if not start + 16 <= end <= len(data):
        raise ValueError("a heap that reaches beyond the file")
    at = start + 16
    while at + 16 <= end:
        index, _, _, size = struct.unpack_from("<HHIQ", data, at)
        step = size if index == 0 else 16 + -(-size // 8) * 8
        if step < 16 or at + step > end:
            raise ValueError(f"a heap with an object of {size} bytes where {end - at} are left")
        at += step


def sized_dataset(path: Path, dataset: h5py.Dataset, form: str) -> None:
    """Refuse an HDF5 dataset that the file cannot hold: by its size, or by the index entries of its chunks."""
    sized(path, int(dataset.size), dataset.dtype.itemsize, form)
    chunks = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks or dataset.shape, strict=True) if c)
    if chunks > 1000 + path.stat().st_size // 8:
        got = f"a header that declares {chunks} chunks in a file of {path.stat().st_size} bytes"
        raise ScanFileError(str(path), expected=f"a complete {form}", got=got, do="Copy the file again.")

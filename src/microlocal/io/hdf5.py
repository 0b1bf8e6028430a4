"""HDF5 files that may be damaged: what is in them, and whether they can be read without harm.

The checks here catch what fuzzing met often. libhdf5 itself remains the limit: about one in ten thousand randomly
damaged files makes it crash (a broken type description of a text attribute, for instance), which no check of ours sees.
"""

import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py

from microlocal.core.errors import ScanFileError
from microlocal.io.reader import DAMAGE, guarded, head, sized

MAGIC = b"\x89HDF\r\n\x1a\n"
HEAP_MAGIC = b"GCOL\x01\0\0\0"  # a global heap collection of version 1, with its reserved bytes

MOST_SEARCHED = 1 << 31  # bytes to search for references, all heaps together: about a second


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
    """Raise ValueError if a heap of texts, or a reference into it, is broken.

    Fuzzing showed that libhdf5 walks some broken heaps for ever, and sets aside as many bytes as a reference claims.
    A collection is the magic, its size, and objects (index, references, 4 bytes, size, data padded to 8); index 0 is
    the free space, whose size counts its own header. A reference is (length, address of the collection, index).
    """
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        base = data.find(MAGIC, 0, 520)
        heaps = [_checked_heap(data, start) for start in _places(data, HEAP_MAGIC)]
        if len(heaps) * len(data) <= MOST_SEARCHED:
            for heap in heaps:
                _check_references(data, heap, heap.start - base)


def _places(data: mmap.mmap, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 4)


@dataclass(frozen=True)
class _Heap:
    """A collection of texts: where it lies in the file, and the numbers of its objects."""

    start: int
    end: int
    objects: frozenset[int]


def _checked_heap(data: mmap.mmap, start: int) -> _Heap:
    end = start + int(struct.unpack_from("<Q", data, start + 8)[0])
    if not start + 16 <= end <= len(data):
        raise ValueError("a heap that reaches beyond the file")
    at, objects = start + 16, set()
    while at + 16 <= end:
        index, _, _, size = struct.unpack_from("<HHIQ", data, at)
        step = size if index == 0 else 16 + -(-size // 8) * 8
        if step < 16 or at + step > end:
            raise ValueError(f"a heap with an object of {size} bytes where {end - at} are left")
        objects.add(index)
        at += step
    return _Heap(start, end, frozenset(objects - {0}))


def _check_references(data: mmap.mmap, heap: _Heap, address: int) -> None:
    """Look at everything that reads like a reference to an object of ``heap``: is its length possible?

    The bytes of an address turn up by chance too, most of all among the texts of the heap itself, where no reference
    lies, and with a number after them that none of its objects has.
    """
    for at in _places(data, struct.pack("<Q", address)):
        if 4 <= at <= len(data) - 12 and not heap.start <= at < heap.end:
            length, _, index = struct.unpack_from("<IQI", data, at - 4)
            if index in heap.objects and length > len(data):
                raise ValueError(f"a text of {length} bytes in a file of {len(data)}")


def sized_dataset(path: Path, dataset: h5py.Dataset, form: str) -> None:
    """Refuse an HDF5 dataset that the file cannot hold: by its size, or by the index entries of its chunks."""
    sized(path, int(dataset.size), dataset.dtype.itemsize, form)
    chunks = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks or dataset.shape, strict=True) if c)
    if chunks > 1000 + path.stat().st_size // 8:
        got = f"a header that declares {chunks} chunks in a file of {path.stat().st_size} bytes"
        raise ScanFileError(str(path), expected=f"a complete {form}", got=got, do="Copy the file again.")

"""NumPy files of others (NPZ with ``data`` or ``sinogram``, or one NPY array) with a JSON geometry beside them.

Nothing is ever unpickled: object arrays are refused.
"""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from microlocal.core.errors import ScanFileError
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.arrays import array_scan
from microlocal.io.reader import DAMAGE, OWN_MARK, guarded, head, sha256, sized
from microlocal.io.sidecar import Sidecar

FORM = "NumPy file"
NAMES = ("data", "sinogram")


@register("reader", "npz")
class Npz:
    """NPZ with data or sinogram, or NPY, with a JSON geometry beside it."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """An NPY file, or a ZIP archive of NPY files that is not our own."""
        return is_numpy(path) and OWN_MARK not in archive_names(path)

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return the scan that the sidecar describes; flats and darks may lie in the archive or beside it."""
        sidecar.needed(str(path))
        array = load_array(path)
        names = archive_names(path)
        inside = [load_array(path, (name,)) if name in names else None for name in ("flats", "darks")]
        beside = [None if p is None else load_array(p) for p in (sidecar.flats, sidecar.darks)]
        flats, darks = (b if b is not None else i for b, i in zip(beside, inside, strict=True))
        source = Source(str(path), "npz", sha256([path]), {"arrays": list(names)})
        return array_scan(array, sidecar, (flats, darks), source)


def is_numpy(path: Path) -> bool:
    """Whether a file is one NPY array or an archive of them."""
    return head(path, 6) == b"\x93NUMPY" or bool(archive_names(path))


def archive_names(path: Path) -> tuple[str, ...]:
    """Return the names of the arrays in an NPZ file, none for other files."""
    if head(path, 4) != b"PK\x03\x04":
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGE:
        return ()
    return tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))


def load_array(path: Path, names: tuple[str, ...] = NAMES) -> Shaped[np.ndarray, "..."]:
    """Return the NPY array, or the first of ``names`` in the archive (its only array if it has but one)."""
    with guarded(path, FORM):
        if head(path, 6) == b"\x93NUMPY":
            return np.asarray(np.load(path, allow_pickle=False))
        known = archive_names(path)
        name = next((n for n in names if n in known), known[0] if len(known) == 1 else None)
        if name is None:
            got = ", ".join(known)[:200] or "no array"
            expected = "an array named " + " or ".join(names)
            raise ScanFileError(str(path), expected=expected, got=got, do="Save the sinogram under this name.")
        with zipfile.ZipFile(path) as archive:
            sized(path, archive.getinfo(f"{name}.npy").file_size, 1, FORM)
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[name])

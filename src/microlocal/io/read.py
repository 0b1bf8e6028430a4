"""Read a scan whatever its format: the content decides, not the name."""

from pathlib import Path
from typing import cast

from microlocal.core.errors import ScanFileError
from microlocal.core.registry import registered
from microlocal.core.scan import Scan
from microlocal.io.hdf5 import MAGIC as HDF5_MAGIC
from microlocal.io.hdf5 import hdf5_keys
from microlocal.io.reader import Reader, head
from microlocal.io.sidecar import find_sidecar

_SEEN = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive without arrays"),
    (b"\x1f\x8b", "a gzip archive (unpack it first)"),
    (b"[XTekCT]", "a Nikon cone-beam scan (that is for microlocal volume)"),
    (b"\xef\xbb\xbf[XTekCT]", "a Nikon cone-beam scan (that is for microlocal volume)"),
    (b"<", "a text file (XML or HTML)"),
    (b"{", "a JSON file (give the data file; the JSON is found beside it)"),
)


def read_scan(path: str | Path, *, geometry: str | Path | None = None) -> Scan:
    """Return the scan in a file or folder, whose format is found from the content.

    Parameters: ``path``; ``geometry``, a JSON file that describes what the data file does not (by default
    ``<stem>.json`` or ``geometry.json`` beside it). The scan holds line integrals, its views sorted by angle; what was
    assumed or repaired is said in ``warnings``.

    Raises ScanFileError or GeometryError, which name the file, what was expected, what came and what to do.
    """
    target = Path(path)
    reader = find_reader(target)
    return reader.read(target, find_sidecar(target, None if geometry is None else Path(geometry)))


def find_reader(path: Path) -> Reader:
    """Return the first registered reader that knows the content; raises ScanFileError listing the known formats."""
    check_exists(path)
    for entry in registered("reader").values():
        reader = cast("Reader", entry.member)
        if reader.sniff(path):
            return reader
    known = "; ".join(entry.summary.rstrip(".") for entry in registered("reader").values())
    raise ScanFileError(
        str(path),
        expected=f"one of the known formats ({known})",
        got=seen(path),
        do="Convert it to TIFF or NPZ and describe it in a JSON file beside it (docs/scan-files.md).",
    )


def seen(path: Path) -> str:
    """Say in words what a file or folder looks like."""
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir())
        return f"a folder of {len(names)} entries without TIFF files" + (f" ({names[0]}, …)" if names else "")
    start = head(path, 520)
    if HDF5_MAGIC in start:
        keys = ", ".join(hdf5_keys(path))[:200]
        return f"an HDF5 file with {keys}" if keys else "an HDF5 file that cannot be opened or is empty"
    named = [name for magic, name in _SEEN if start.startswith(magic)] if start else ["an empty file"]
    if named:
        return named[0]
    if all(byte >= 32 or byte in b"\t\r\n\f" for byte in start):
        return f"a text file beginning with {start[:40].decode('utf-8', 'replace')!r}"
    return f"unknown bytes {start[:8].hex(' ')}"


def check_exists(path: Path) -> None:
    """Raise ScanFileError for what is not there or cannot be read."""
    try:
        there = path.exists()
        if there and path.is_file():
            with path.open("rb"):
                pass
        elif there:
            next(path.iterdir(), None)
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise ScanFileError(str(path), expected="a readable file or folder", got=got, do="Check it.") from error
    if not there:
        raise ScanFileError(str(path), expected="a file or folder", got="nothing there", do="Check the path.")

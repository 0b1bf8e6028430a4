"""MRC and ALI tilt series with the tilt angles in a text file beside them (.rawtlt, .tlt).

MRC stores (section, y, x); sections are tilts. IMOD's convention is a vertical tilt axis (y), so that row y of all
tilts is one sinogram; a JSON sidecar with "tilt_axis": "x" says otherwise. Files of FEI microscopes keep angles and
pixel size (in metres) in the extended header.
"""

import struct
from pathlib import Path

import mrcfile
import numpy as np
from jaxtyping import Float, Shaped

from microlocal.core.errors import ScanFileError
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.assemble import Views, finished, floats, parallel_scan
from microlocal.io.electrons import contradiction, sinograms, without_background
from microlocal.io.reader import guarded, head, sha256
from microlocal.io.sidecar import Sidecar

FORM = "MRC file"
MODES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}  # bytes per value
TILT_SUFFIXES = (".rawtlt", ".tlt")
AXIS_TAKEN = (
    'The tilt axis is taken to be vertical (IMOD); if it runs along x, write {"tilt_axis": "x"} in a JSON file.'
)
IMOD_STAMP = 40, 1146047817  # its place in the header's extra2, before the flags, and its value
FEI_RECORD, FEI_TILT, FEI_PIXEL = 32, 0, 11  # 1024 records of 32 floats; a_tilt in degrees, pixel_size in metres


@register("reader", "mrc")
class Mrc:
    """MRC or ALI tilt series with .rawtlt or .tlt beside it: parallel beam, electron microscopy."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """The magic word, or for FEI's older files a header that makes sense: sizes, mode, axes 1, 2, 3."""
        start = head(path, 1024)
        if len(start) < 1024:
            return False
        words = [struct.unpack(f"{order}19i", start[:76]) for order in "<>"]
        sensible = any(min(w[:3]) > 0 and w[3] in MODES and sorted(w[16:19]) == [1, 2, 3] for w in words)
        return sensible or start[208:212] in (b"MAP ", b"MAP\0")

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return a stack (slice, angle, detector) in the unit of the header (nm)."""
        who = str(path)
        with guarded(path, FORM):
            check_size(path)
            with mrcfile.open(path, permissive=True) as file:
                if file.data is None or file.data.ndim != 3:
                    got = "no data" if file.data is None else f"an array of shape {file.data.shape}"
                    raise ScanFileError(who, expected="a stack of tilts", got=got, do="Give the tilt series.")
                stack = floats(np.array(values_of(file)), who)
                pixel_nm = float(file.voxel_size.x) / 10
                labels = [str(label) for label in file.get_labels()]
                records = fei_records(bytes(file.extended_header.tobytes()), labels, len(stack))
            source = Source(who, "mrc", sha256([path]), {"labels": labels})
            return _scan(stack, pixel_nm, records, source, sidecar)


def _scan(
    stack: Float[np.ndarray, "angle row col"],
    pixel_nm: float,
    records: Float[np.ndarray, "angle field"] | None,
    source: Source,
    sidecar: Sidecar,
) -> Scan:
    axis = sidecar.tilt_axis or "y"
    angles, said = tilts_of(Path(source.path), records, sidecar)
    doubts = contradiction(stack, axis)
    views = Views(sinograms(stack, axis), angles, (*said, *doubts))
    if sidecar.tilt_axis is None and not doubts:
        views = views.said(AXIS_TAKEN)
    views = without_background(views)
    if sidecar.geometry is not None:
        return finished(views, sidecar.geometry, sidecar.grid, source)
    if records is not None and records[0, FEI_PIXEL] > 0:
        pixel_nm = float(records[0, FEI_PIXEL]) * 1e9
    if pixel_nm > 0:
        return parallel_scan(views, float(f"{pixel_nm:.7g}"), "nm", source)
    return parallel_scan(views.said("The header has no pixel size: lengths are in pixels."), 1.0, "pixel", source)


def check_size(path: Path) -> None:
    """Refuse a file that is shorter than its header says, in the byte order in which that is smaller."""
    sizes = []
    for order in "<>":
        words = struct.unpack(f"{order}24i", head(path, 96))
        volume = abs(words[0] * words[1] * words[2]) * MODES.get(words[3], 1)
        sizes.append(1024 + abs(words[23]) + volume)
    if min(sizes) > path.stat().st_size:
        got = f"{path.stat().st_size} bytes where the header declares {min(sizes)}"
        raise ScanFileError(str(path), expected=f"a complete {FORM}", got=got, do="Copy the file again.")


def values_of(file: mrcfile.mrcinterpreter.MrcInterpreter) -> Shaped[np.ndarray, "..."]:
    """Return the data of an open file as its writer meant them: bytes are unsigned where the header shows it.

    mrcfile takes all bytes for signed, as MRC2014 says. IMOD, SerialEM and older programs write unsigned ones: IMOD's
    stamp comes with a flag for signed bytes; without the stamp, a greatest value above 127 tells.
    """
    data: Shaped[np.ndarray, ...] = file.data
    if data.dtype != np.int8:
        return data
    header = file.header
    stamp, flags = np.frombuffer(header.extra2.tobytes(), header.nx.dtype, 2, IMOD_STAMP[0])
    unsigned = not flags & 1 if stamp == IMOD_STAMP[1] else header.dmin >= 0 and header.dmax > 127
    return data.view(np.uint8) if unsigned else data


def fei_records(extended: bytes, labels: list[str], tilts: int) -> Float[np.ndarray, "angle field"] | None:
    """Return FEI's per-image records (tilt, 32 fields), if the file has them and they make sense."""
    if not any("fei company" in label.lower() for label in labels) or len(extended) < 4 * FEI_RECORD * tilts:
        return None
    records = np.frombuffer(extended, "<f4")[: FEI_RECORD * tilts].reshape(tilts, FEI_RECORD).astype(np.float64)
    fields = records[:, [FEI_TILT, FEI_PIXEL]]
    sensible = np.isfinite(fields).all() and np.abs(fields[:, 0]).max() <= 360 and (fields[:, 1] >= 0).all()
    return records if sensible else None


def tilts_of(
    path: Path, records: Float[np.ndarray, "angle field"] | None, sidecar: Sidecar
) -> tuple[Float[np.ndarray, " angle"], tuple[str, ...]]:
    """Return the tilt angles in degrees: from the sidecar, a text file of the same stem, the only one, or FEI's."""
    if sidecar.geometry is not None:
        return np.degrees(sidecar.geometry.angles), ()
    beside = [path.with_suffix(suffix) for suffix in TILT_SUFFIXES]
    named = [p for p in beside if p.is_file()]
    others = sorted(p for p in path.parent.iterdir() if p.suffix in TILT_SUFFIXES and p.is_file())
    if named:
        return tilt_angles(named[0]), ()
    if len(others) == 1:
        return tilt_angles(others[0]), (f"The tilt angles come from {others[0].name}, the only such file here.",)
    if records is not None:
        return records[:, FEI_TILT], ("The tilt angles come from the extended header.",)
    got = "none" if not others else f"{len(others)} of other names"
    do = f"Put {beside[0].name} beside it, one angle in degrees per line, or a JSON geometry."
    raise ScanFileError(str(path), expected="a file of tilt angles (.rawtlt or .tlt)", got=got, do=do)


def tilt_angles(path: Path) -> Float[np.ndarray, " angle"]:
    """Return the numbers of a .rawtlt or .tlt file, one angle in degrees per line; raises ScanFileError."""
    try:
        return np.array([float(word) for word in path.read_text(encoding="utf-8").split()], dtype=np.float64)
    except (OSError, ValueError) as error:
        do = "Write one angle in degrees per line."
        raise ScanFileError(str(path), expected="numbers only", got=str(error)[:120], do=do) from error

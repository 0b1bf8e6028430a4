"""Data Exchange (HDF5) of synchrotron beamlines: raw counts, flats, darks and angles under ``exchange``.

    exchange/data (angle, y, x)   exchange/data_white   exchange/data_dark   exchange/theta [degrees]

Counts become line integrals; the axis of rotation is not in the file, it is found later from the data.

Reference: De Carlo et al., J. Synchrotron Rad. 21, 2014, doi 10.1107/S160057751401604X.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float

from microlocal.core.errors import ScanFileError
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.assemble import Views, finished, floats, parallel_scan
from microlocal.io.counts import Flux, line_integrals
from microlocal.io.hdf5 import hdf5_keys, opened, sized_dataset
from microlocal.io.reader import sha256
from microlocal.io.sidecar import Sidecar
from microlocal.io.units import unit_name

FORM = "Data Exchange file"
ROTATION = "process/acquisition/rotation"
PIXEL_SIZES = (
    "measurement/instrument/detection_system/objective/resolution",
    "measurement/instrument/detector/actual_pixel_size_x",
)


@register("reader", "dxchange")
class DataExchange:
    """Data Exchange (HDF5 with exchange/data) of synchrotron beamlines: raw counts, parallel beam."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """HDF5 with the group exchange."""
        return "exchange" in hdf5_keys(path)

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return a stack (slice, angle, detector) of line integrals."""
        who = str(path)
        with opened(path, FORM) as file:
            counts = _frames(file, "exchange/data", path)
            flat, flat_said = _mean_frame(file, "exchange/data_white", counts, path)
            dark, dark_said = _mean_frame(file, "exchange/data_dark", counts, path)
            data, repaired = line_integrals(counts, Flux(flat, dark), who)
            angles = np.degrees(sidecar.geometry.angles) if sidecar.geometry else view_angles(file, len(counts), who)
            views = Views(data.transpose(1, 0, 2), angles, (*flat_said, *dark_said, *repaired))
            source = Source(who, "dxchange", sha256([path]), metadata(file))
            if sidecar.geometry is not None:
                return finished(views, sidecar.geometry, sidecar.grid, source)
            pixel = pixel_size(file, who)
            if pixel is None:
                views = views.said("The file has no pixel size: lengths are in pixels.")
            return parallel_scan(views, *(pixel or (1.0, "pixel")), source)


def _frames(file: h5py.File, name: str, path: Path) -> Float[np.ndarray, "frame y x"]:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 3:
        got = "none" if dataset is None else f"shape {getattr(dataset, 'shape', 'of a group')}"
        do = "Only raw tomography data are read."
        raise ScanFileError(str(path), expected=f"{name} (angle, y, x)", got=got, do=do)
    sized_dataset(path, dataset, FORM)
    return floats(dataset[()], str(path))


def _mean_frame(
    file: h5py.File, name: str, counts: Float[np.ndarray, "angle y x"], path: Path
) -> tuple[Float[np.ndarray, "y x"], tuple[str, ...]]:
    """Return the mean of the flats or darks; darks may be missing, flats not."""
    if name in file:
        frames = _frames(file, name, path)
        if len(frames):
            return frames.astype(np.float64).mean(axis=0), ()
    if name.endswith("dark"):
        return np.zeros(counts.shape[1:]), ("The file has no dark frames: the dark level is taken as zero.",)
    do = "Without flats the counts have no meaning; add them."
    raise ScanFileError(str(path), expected=f"{name}, the frames without sample", got="none", do=do)


def view_angles(file: h5py.File, count: int, who: str) -> Float[np.ndarray, " angle"]:
    """Return theta in degrees, or the evenly spaced angles that ``process/acquisition/rotation`` describes."""
    theta = file.get("exchange/theta")
    if isinstance(theta, h5py.Dataset):
        unit = _text(theta.attrs.get("units", "degrees")).strip().lower()
        if not unit.startswith(("deg", "rad", "°")):
            got = f"exchange/theta in {unit!r}"
            raise ScanFileError(who, expected="angles in degrees or radians", got=got, do="Mend its units.")
        angles = floats(np.atleast_1d(theta[()]), who).ravel().astype(np.float64)
        return np.degrees(angles) if unit.startswith("rad") else angles
    start, step = _number(file, f"{ROTATION}/rotation_start"), _number(file, f"{ROTATION}/rotation_step")
    if step is None:
        expected = f"exchange/theta, or {ROTATION}/rotation_start and rotation_step"
        do = "Give the angles in a JSON geometry."
        raise ScanFileError(who, expected=expected, got="neither", do=do)
    return (start or 0.0) + step * np.arange(count, dtype=np.float64)


def pixel_size(file: h5py.File, who: str) -> tuple[float, str] | None:
    """Return the effective pixel size and its unit, if the file has it."""
    for name in PIXEL_SIZES:
        value = _number(file, name)
        if value is not None and value > 0:
            return value, unit_name(_text(file[name].attrs.get("units", "um")), who)
    return None


def _number(file: h5py.File, name: str) -> float | None:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1 or dataset.dtype.kind not in "iuf":
        return None
    return float(np.ravel(dataset[()])[0])


def metadata(file: h5py.File) -> dict[str, Any]:
    """Return the few texts that say what was measured."""
    found = {}
    for name in ("exchange/title", "measurement/sample/name", "measurement/instrument/name"):
        dataset = file.get(name)
        if isinstance(dataset, h5py.Dataset) and dataset.size == 1 and dataset.dtype.kind in "OS":
            found[name] = _text(np.ravel(dataset[()])[0])
    return found


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

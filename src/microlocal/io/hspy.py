"""HyperSpy tilt series (.hspy, HDF5): ``Experiments/<name>/data`` (tilt, y, x) with its axes as attributes.

The tilt angles are those of axis-0 (offset, scale, size), or of ``metadata/Tomography/_sig_tilts`` where that is
there. ETSpy aligns a series so that the tilt axis runs along the last axis x: each [:, :, k] is one sinogram.
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
from microlocal.io.electrons import contradiction, sinograms, without_background
from microlocal.io.hdf5 import hdf5_keys, opened, sized_dataset
from microlocal.io.jsonable import jsonable
from microlocal.io.reader import sha256
from microlocal.io.sidecar import Sidecar
from microlocal.io.units import unit_name

FORM = "HyperSpy tilt series"
TILTS = "metadata/Tomography/_sig_tilts/data"
IN_DEGREES = {"degrees": 1.0, "degree": 1.0, "deg": 1.0, "°": 1.0, "rad": 180 / np.pi, "radians": 180 / np.pi}


@register("reader", "hspy")
class HyperSpy:
    """HyperSpy or ETSpy tilt series (.hspy, HDF5 with Experiments): parallel beam, electron microscopy."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """HDF5 with the group Experiments."""
        return "Experiments" in hdf5_keys(path)

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return a stack (slice, angle, detector); raises ScanFileError for other signals than tilt series."""
        with opened(path, FORM) as file:
            name, signal = _tilt_series(file["Experiments"], str(path))
            sized_dataset(path, signal["data"], FORM)
            stack = floats(signal["data"][()], str(path))
            said = () if len(file["Experiments"]) == 1 else (f"Of several signals in the file, {name!r} was read.",)
            metadata = {"title": _general(signal), "tomography": _tomography(signal)}
            source = Source(str(path), "hspy", sha256([path]), jsonable(metadata))
            return _scan(stack, signal, said, source, sidecar)


def _scan(
    stack: Float[np.ndarray, "angle row col"],
    signal: h5py.Group,
    said: tuple[str, ...],
    source: Source,
    sidecar: Sidecar,
) -> Scan:
    tilt_axis = sidecar.tilt_axis or "x"
    geometry = sidecar.geometry
    angles = _angles(signal, source.path) if geometry is None else np.degrees(geometry.angles)
    said = (*said, *contradiction(stack, tilt_axis))
    views = without_background(Views(sinograms(stack, tilt_axis), angles, said))
    if geometry is not None:
        return finished(views, geometry, sidecar.grid, source)
    across = signal["axis-1" if tilt_axis == "x" else "axis-2"].attrs
    unit = _text(across.get("units", ""))
    if unit in ("", "<undefined>", "_None_"):
        return parallel_scan(views.said("The file has no length unit: lengths are in pixels."), 1.0, "pixel", source)
    return parallel_scan(views, float(f"{float(across['scale']):.7g}"), unit_name(unit, source.path), source)


def _tilt_series(experiments: h5py.Group, who: str) -> tuple[str, h5py.Group]:
    """Return the first signal of three axes."""
    for name, signal in experiments.items():
        if isinstance(signal, h5py.Group) and isinstance(signal.get("data"), h5py.Dataset) and signal["data"].ndim == 3:
            return str(name), signal
    got = ", ".join(map(str, experiments)) or "no signal"
    do = "Give the tilt series, one image per tilt."
    raise ScanFileError(who, expected="a signal with data (tilt, y, x)", got=got[:120], do=do)


def _angles(signal: h5py.Group, who: str) -> Float[np.ndarray, " angle"]:
    """Return the tilt angles in degrees."""
    stored = signal.get(TILTS)
    if isinstance(stored, h5py.Dataset) and stored.size == signal["data"].shape[0]:
        return floats(stored[()].ravel(), who).astype(np.float64)
    axis = signal["axis-0"].attrs
    unit = _text(axis.get("units", "")).strip().lower()
    if unit not in IN_DEGREES:
        do = "Give the angles in a JSON geometry beside the file."
        raise ScanFileError(who, expected="tilts in degrees along the first axis", got=f"unit {unit!r}", do=do)
    if not {"offset", "scale"} <= set(axis):
        expected = "offset and scale of the tilt axis"
        raise ScanFileError(who, expected=expected, got=", ".join(axis), do="Give the angles in a JSON geometry.")
    steps = np.arange(signal["data"].shape[0], dtype=np.float64)
    return IN_DEGREES[unit] * (float(axis["offset"]) + float(axis["scale"]) * steps)


def _general(signal: h5py.Group) -> str:
    group = signal.get("metadata/General")
    return "" if group is None else _text(group.attrs.get("original_filename", group.attrs.get("title", "")))


def _tomography(signal: h5py.Group) -> dict[str, Any]:
    group = signal.get("metadata/Tomography")
    return {} if group is None else dict(group.attrs)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

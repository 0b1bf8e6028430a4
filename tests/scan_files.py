"""Small files of every format that is read, all of the same exact sinogram: what the tests of the readers share."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import scipy.io
import tifffile
import torch

from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.scan import Scan
from microlocal.data import phantoms
from microlocal.io import write_scan

DEGREES = np.arange(0.0, 180.0, 15.0)
COUNT, SLICES, PITCH = 24, 3, 0.5
PARALLEL = ParallelBeam(tuple(map(math.radians, DEGREES)), Detector(COUNT, PITCH))
FAN = FanBeam(tuple(map(math.radians, DEGREES)), Detector(COUNT, PITCH), source_axis=30.0, source_detector=40.0)
SHAPES = phantoms.disc_with_holes(radius=4.0, value=0.2, holes=3, seed=2)


def without_photometric(path: Path) -> Path:
    """Rename the tag that says what the numbers of a TIFF stand for, so that no reader finds it; return the path."""
    with tifffile.TiffFile(path) as file:
        places = [(file.byteorder, page.tags["PhotometricInterpretation"].offset) for page in file.pages]
    content = bytearray(path.read_bytes())
    for order, place in places:
        content[place : place + 2] = struct.pack(f"{order}H", 65000)
    path.write_bytes(content)
    return path


def sinogram(geometry: Geometry = PARALLEL) -> np.ndarray:
    """(angle, detector), float32."""
    return phantoms.sinogram(SHAPES, geometry).astype(np.float32)


def stack() -> np.ndarray:
    """(slice, angle, detector): the sinogram times 1, 2, 3."""
    return sinogram()[None] * np.arange(1, SLICES + 1, dtype=np.float32)[:, None, None]


def helsinki(folder: Path, name: str = "CtDataFull", angles: np.ndarray = DEGREES, **changes: object) -> Path:
    path = folder / "helsinki.mat"
    scipy.io.savemat(path, {name: {"sinogram": sinogram(FAN), "parameters": parameters(angles) | changes}})
    return path


def parameters(angles: np.ndarray = DEGREES) -> dict[str, object]:
    return {
        "distanceSourceOrigin": 30.0,
        "distanceSourceDetector": 40.0,
        "distanceUnit": "mm",
        "angles": np.asarray(angles, float)[None, :],
        "pixelSizePost": PITCH,
        "numDetectorsPost": COUNT,
        "effectivePixelSizePost": PITCH * 0.75,
        "scanner": "a test",
    }


def helsinki73(folder: Path) -> Path:
    """MATLAB 7.3: HDF5 behind 512 bytes, arrays transposed, text as 16-bit numbers."""
    path = folder / "helsinki73.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        struct = file.create_group("CtDataLimited")
        struct.attrs["MATLAB_class"] = np.bytes_("struct")
        inner = struct.create_group("parameters")
        inner.attrs["MATLAB_class"] = np.bytes_("struct")
        _matlab(struct, "sinogram", sinogram(FAN).astype(np.float64).T)
        for name, value in parameters().items():
            _matlab(inner, name, value)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with path.open("r+b") as stream:
        stream.write(header)
    return path


def _matlab(group: h5py.Group, name: str, value: object) -> None:
    if isinstance(value, str):
        group[name] = np.array([[ord(letter)] for letter in value], np.uint16)
        group[name].attrs["MATLAB_class"] = np.bytes_("char")
        group[name].attrs["MATLAB_int_decode"] = 2
    else:
        array = np.atleast_2d(np.asarray(value, float))
        group[name] = array if name == "sinogram" else array.T
        group[name].attrs["MATLAB_class"] = np.bytes_("double")


def mrc(folder: Path) -> Path:
    """(tilt, y, x) with a vertical tilt axis: row y is a slice; 16 bits, a background of -300, nm from Angstrom."""
    path = folder / "series.ali"
    images = np.round(1000 * stack().transpose(1, 0, 2)).astype(np.int16) - 300
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(images)
        file.voxel_size = 10 * PITCH
    (folder / "series.rawtlt").write_text("\n".join(f"{a:7.2f}" for a in DEGREES) + "\n")
    return path


def hspy(folder: Path, unit: str = "degrees") -> Path:
    """(tilt, y, x) with the tilt axis along x: column x is a slice."""
    path = folder / "series.hspy"
    with h5py.File(path, "w") as file:
        signal = file.create_group("Experiments/__unnamed__")
        signal["data"] = stack().transpose(1, 2, 0) + np.float32(7.0)
        for axis, scale, units in ((0, 15.0, unit), (1, PITCH, "µm"), (2, PITCH, "µm")):
            attributes = signal.create_group(f"axis-{axis}").attrs
            attributes["offset"], attributes["scale"], attributes["units"] = 0.0, scale, units
            attributes["size"] = signal["data"].shape[axis]
        signal.create_group("metadata/Tomography").attrs["tiltaxis"] = 0.5
    return path


FLAT, DARK = 5000.0, 100.0


def counts() -> np.ndarray:
    """(angle, slice, detector)."""
    return (DARK + FLAT * np.exp(-stack().astype(np.float64) / 3)).transpose(1, 0, 2)


def frames(value: float) -> np.ndarray:
    """Three frames around a level, (frame, slice, detector)."""
    return value + np.array([-1.0, 0.0, 1.0])[:, None, None] * np.ones((1, SLICES, COUNT))


def dxchange(folder: Path) -> Path:
    path = folder / "exchange.h5"
    with h5py.File(path, "w") as file:
        file["exchange/data"] = counts()
        file["exchange/data_white"] = frames(FLAT + DARK)
        file["exchange/data_dark"] = frames(DARK)
        file["exchange/theta"] = DEGREES
        file["exchange/theta"].attrs["units"] = "degrees"
    return path


def sidecar(path: Path, **changes: object) -> Path:
    target = path.with_suffix(".json")
    target.write_text(json.dumps(PARALLEL.to_dict() | changes))
    return target


def tiff(folder: Path) -> Path:
    path = folder / "pages.tif"
    tifffile.imwrite(path, stack().transpose(1, 0, 2), photometric="minisblack")
    sidecar(path)
    return path


def tiff_folder(folder: Path) -> Path:
    path = folder / "pages"
    path.mkdir(exist_ok=True)
    for number, page in enumerate(stack().transpose(1, 0, 2)):
        tifffile.imwrite(path / f"page_{number}.tif", page)
    sidecar(path / "geometry.json")
    return path


def npz(folder: Path) -> Path:
    path = folder / "foreign.npz"
    np.savez(path, sinogram=stack().transpose(1, 0, 2))
    sidecar(path)
    return path


def own_scan(geometry: Geometry = PARALLEL) -> Scan:
    return Scan(torch.from_numpy(sinogram(geometry)), geometry, geometry.default_grid())


def own_npz(folder: Path) -> Path:
    return write_scan(own_scan(), folder / "own.npz")


def own_h5(folder: Path) -> Path:
    return write_scan(own_scan(), folder / "own.h5")


FILES: dict[str, Callable[[Path], Path]] = {
    "helsinki": helsinki,
    "helsinki73": helsinki73,
    "mrc": mrc,
    "hspy": hspy,
    "dxchange": dxchange,
    "tiff": tiff,
    "npz": npz,
    "own-npz": own_npz,
    "own-h5": own_h5,
}

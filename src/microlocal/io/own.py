"""Our own scan files, NPZ and HDF5: the data bit by bit, the angles in radians, and a JSON header with the rest."""

import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float, Shaped

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import OutputError, ScanFileError
from microlocal.core.geometry import Geometry
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.atomic import replacing
from microlocal.io.hdf5 import hdf5_keys, opened, sized_dataset
from microlocal.io.jsonable import jsonable
from microlocal.io.npz import archive_names
from microlocal.io.reader import OWN_MARK, guarded, sha256, sized
from microlocal.io.sidecar import Sidecar, parsed_geometry, parsed_grid

VERSION = 1
FORM = "microlocal scan file"
AGAIN = "Write it anew with this version (microlocal.write_scan)."


def write_scan(scan: Scan, path: str | Path) -> Path:
    """Write a scan as NPZ or HDF5 (.npz, .h5, .hdf5), compressed; ``read_scan`` gives it back bit by bit.

    A folder that does not exist yet is made, and nothing half-written is left. Metadata that JSON cannot hold become
    text. Raises OutputError for another suffix or a place that cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".npz", ".h5", ".hdf5"):
        got = target.suffix or "no suffix"
        raise OutputError(str(target), expected="a name ending in .npz, .h5 or .hdf5", got=got, do="Rename it.")
    data = to_numpy(scan.data)
    angles = np.asarray(scan.geometry.angles_rad, dtype=np.float64)
    header = json.dumps(_header(scan), ensure_ascii=False)
    with replacing(target) as temporary:
        if target.suffix == ".npz":
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, data=data, angles_rad=angles, **{OWN_MARK: np.array(header)})  # type: ignore[arg-type]
        else:
            with h5py.File(temporary, "w") as file:
                file.create_dataset("data", data=data, compression="gzip", shuffle=True)
                file["angles_rad"] = angles
                file[OWN_MARK] = np.bytes_(header.encode())  # fixed length: libhdf5 may hang on a damaged heap
    return target


@register("reader", "microlocal")
class OwnScan:
    """microlocal's own scan file (NPZ or HDF5), as write_scan makes it."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """An archive or HDF5 file with the header microlocal_scan."""
        return OWN_MARK in archive_names(path) or OWN_MARK in hdf5_keys(path)

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return the scan exactly as it was written."""
        del sidecar
        who = str(path)
        with guarded(path, FORM):
            data, angles, text = _parts(path)
            header = parsed_header(text, who)
            return Scan(
                torch.from_numpy(data),
                header_geometry(header, angles, who),
                parsed_grid(header["grid"], who),
                _source(header["source"], path),
                tuple(str(sentence) for sentence in header["warnings"]),
            )


def _header(scan: Scan) -> dict[str, Any]:
    return {
        "version": VERSION,
        "geometry": scan.geometry.to_dict(),
        "grid": scan.grid.to_dict(),
        "source": jsonable(asdict(scan.source)),
        "warnings": list(scan.warnings),
    }


def parsed_header(text: str, who: str) -> dict[str, Any]:
    """Return the fields of a header; raises ScanFileError for one of another version."""
    header = json.loads(text)
    if not isinstance(header, dict) or header.get("version") != VERSION:
        got = f"version {header.get('version')!r}" if isinstance(header, dict) else "no header"
        raise ScanFileError(who, expected=f"version {VERSION}", got=got, do=AGAIN)
    return header


def header_geometry(header: dict[str, Any], angles_rad: Float[np.ndarray, " angle"], who: str) -> Geometry:
    """Return the geometry of a header with the exact angles."""
    return replace(parsed_geometry(header["geometry"], who), angles_rad=tuple(angles_rad.tolist()))


def _parts(path: Path) -> tuple[Shaped[np.ndarray, "*batch angle detector"], Float[np.ndarray, " angle"], str]:
    """Return data, angles in radians and the JSON header."""
    if archive_names(path):
        with zipfile.ZipFile(path) as archive:
            sized(path, sum(info.file_size for info in archive.infolist()), 1, FORM)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["data"], _angles(arrays["angles_rad"]), str(arrays[OWN_MARK])
    with opened(path, FORM) as file:
        for dataset in (file["data"], file["angles_rad"]):
            sized_dataset(path, dataset, FORM)
        if file[OWN_MARK].dtype.kind != "S":
            raise ScanFileError(str(path), expected="a header of fixed length", got=str(file[OWN_MARK].dtype), do=AGAIN)
        return file["data"][()], _angles(file["angles_rad"][()]), file[OWN_MARK][()].decode("utf-8")


def _angles(stored: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, " angle"]:
    return np.asarray(stored, dtype=np.float64).reshape(-1)


def _source(fields: Any, path: Path) -> Source:
    """Return where the scan came from; a scan that was made in memory comes from this file."""
    source = Source(str(fields["path"]), str(fields["format"]), str(fields["sha256"]), dict(fields["metadata"]))
    return source if source.sha256 else Source(str(path), "microlocal", sha256([path]), source.metadata)

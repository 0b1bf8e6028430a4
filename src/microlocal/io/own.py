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
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume_scan import AnyGeometry3D, VolumeScan
from microlocal.io.atomic import replacing
from microlocal.io.hdf5 import hdf5_keys, opened, sized_dataset
from microlocal.io.jsonable import jsonable
from microlocal.io.npz import archive_names
from microlocal.io.reader import OWN_MARK, guarded, sha256, sized
from microlocal.io.sidecar import VOLUME_KINDS, Sidecar, parsed_geometry, parsed_grid

VERSION = 1
FORM = "microlocal scan file"
OF_VOLUMES = "Use microlocal volume, or open_projections in Python."
AGAIN = "Write it anew with this version (microlocal.write_scan)."


def write_scan(scan: Scan | VolumeScan, path: str | Path) -> Path:
    """Write a scan as NPZ or HDF5 (.npz, .h5, .hdf5), compressed; ``read_scan`` gives it back bit by bit.

    What ``open_projections`` gives back of a ``VolumeScan`` is the same.

    A folder that does not exist yet is made, and nothing half-written is left. Metadata that JSON cannot hold become
    text. Raises OutputError for another suffix or a place that cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".npz", ".h5", ".hdf5"):
        got = target.suffix or "no suffix"
        raise OutputError(str(target), expected="a name ending in .npz, .h5 or .hdf5", got=got, do="Rename it.")
    data = to_numpy(scan.data)
    name, views = _exact_views(scan.geometry)
    header = json.dumps(_header(scan), ensure_ascii=False)
    with replacing(target) as temporary:
        if target.suffix == ".npz":
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, data=data, **{name: views, OWN_MARK: np.array(header)})  # type: ignore[arg-type]
        else:
            with h5py.File(temporary, "w") as file:
                chunks = (1, *data.shape[1:]) if isinstance(scan, VolumeScan) and data.ndim == 3 else True  # by views
                file.create_dataset("data", data=data, compression="gzip", shuffle=True, chunks=chunks)
                file[name] = views
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
            header = own_header(path)
            refuse_volumes(header, who)
            data, angles = _parts(path)
            return Scan(
                torch.from_numpy(data),
                header_geometry(header, angles, who),
                parsed_grid(header["grid"], who),
                stored_source(header["source"], path),
                tuple(str(sentence) for sentence in header["warnings"]),
            )


def _exact_views(geometry: Geometry | AnyGeometry3D) -> tuple[str, Float[np.ndarray, "..."]]:
    """Return what JSON would round: the angles in radians, or the table of views, with the name it is stored by."""
    if isinstance(geometry, ViewVectors):
        return "table", geometry.table
    return "angles_rad", np.asarray(geometry.angles_rad, dtype=np.float64)


def _header(scan: Scan | VolumeScan) -> dict[str, Any]:
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


def refuse_volumes(header: dict[str, Any], who: str) -> None:
    """Raise ScanFileError for the header of projections of a volume."""
    if header["geometry"].get("kind") in VOLUME_KINDS:
        raise ScanFileError(who, expected="a scan of slices", got="projections of a volume", do=OF_VOLUMES)


def header_geometry(header: dict[str, Any], angles_rad: Float[np.ndarray, " angle"], who: str) -> Geometry:
    """Return the geometry of a header with the exact angles."""
    return replace(parsed_geometry(header["geometry"], who), angles_rad=tuple(angles_rad.tolist()))


def own_header(path: Path) -> dict[str, Any]:
    """Return the header of one of our files without its data; raises ScanFileError for one that is damaged."""
    with guarded(path, FORM):
        if archive_names(path):
            _check_archive(path)
            with np.load(path, allow_pickle=False) as arrays:
                return parsed_header(str(arrays[OWN_MARK]), str(path))
        with opened(path, FORM) as file:
            if file[OWN_MARK].dtype.kind != "S":
                got = str(file[OWN_MARK].dtype)
                raise ScanFileError(str(path), expected="a header of fixed length", got=got, do=AGAIN)
            return parsed_header(file[OWN_MARK][()].decode("utf-8"), str(path))


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        sized(path, sum(info.file_size for info in archive.infolist()), 1, FORM)


def _parts(path: Path) -> tuple[Shaped[np.ndarray, "*batch angle detector"], Float[np.ndarray, " angle"]]:
    """Return data and angles in radians."""
    if archive_names(path):
        _check_archive(path)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["data"], _angles(arrays["angles_rad"])
    with opened(path, FORM) as file:
        for dataset in (file["data"], file["angles_rad"]):
            sized_dataset(path, dataset, FORM)
        return file["data"][()], _angles(file["angles_rad"][()])


def _angles(stored: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, " angle"]:
    return np.asarray(stored, dtype=np.float64).reshape(-1)


def stored_source(fields: Any, path: Path) -> Source:
    """Return where the scan came from; a scan that was made in memory comes from this file."""
    source = Source(str(fields["path"]), str(fields["format"]), str(fields["sha256"]), dict(fields["metadata"]))
    return source if source.sha256 else Source(str(path), "microlocal", sha256([path]), source.metadata)

"""Our own files of a volume's projections, NPZ and HDF5, as ``write_scan`` makes them of a ``VolumeScan``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from microlocal.core.errors import MicrolocalError, ScanFileError
from microlocal.core.registry import register
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.io.description import Description, parsed_geometry3d, parsed_volume_grid
from microlocal.io.hdf5 import opened, sized_dataset
from microlocal.io.npz import archive_names
from microlocal.io.own import FORM, OwnScan, own_header, stored_source
from microlocal.io.projections import Projections, whole_panel
from microlocal.io.reader import guarded
from microlocal.io.sidecar import VOLUME_KINDS
from microlocal.io.stored import VIEW_FIRST, Hdf5Stored, HeldStored, Stored


@register("projection-reader", "microlocal")
class OwnProjections:
    """microlocal's own file of projections (NPZ or HDF5), as write_scan makes it of a VolumeScan."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """One of our files whose header names a geometry of volumes."""
        try:
            return OwnScan.sniff(path) and own_header(path)["geometry"].get("kind") in VOLUME_KINDS
        except (MicrolocalError, LookupError, AttributeError, TypeError):
            return False

    @staticmethod
    def read(path: Path, description: Description) -> Projections:
        """Return the projections exactly as they were written."""
        del description
        who, header = str(path), own_header(path)
        with guarded(path, FORM):
            stored, views = _stored(path)
            geometry = _exact(parsed_geometry3d(header["geometry"], who), views)
            return whole_panel(
                stored,
                geometry,
                source=stored_source(header["source"], path),
                warnings=tuple(str(sentence) for sentence in header["warnings"]),
                own_grid=parsed_volume_grid(header["grid"], who),
            )


def _stored(path: Path) -> tuple[Stored, Any]:
    """Return the projections, left in the file where it can be read in part, and the exact views."""
    if archive_names(path):
        with np.load(path, allow_pickle=False) as arrays:
            data, views = arrays["data"], arrays["table" if "table" in arrays.files else "angles_rad"]
        _check(path, data.shape)
        return HeldStored(path, VIEW_FIRST, data.shape, data), views
    with opened(path, FORM) as file:
        name = "table" if "table" in file else "angles_rad"
        for dataset in (file["data"], file[name]):
            sized_dataset(path, dataset, FORM)
        _check(path, file["data"].shape)
        return Hdf5Stored(path, VIEW_FIRST, tuple(file["data"].shape), "data"), file[name][()]


def _check(path: Path, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        do = "Write the scans of a batch one by one."
        raise ScanFileError(str(path), expected="projections (angle, v, u)", got=str(tuple(shape)), do=do)


def _exact(geometry: AnyGeometry3D, views: Any) -> AnyGeometry3D:
    if isinstance(geometry, ViewVectors):
        return replace(geometry, table=np.asarray(views, dtype=np.float64))
    return replace(geometry, angles_rad=tuple(np.asarray(views, dtype=np.float64).reshape(-1).tolist()))

"""A reconstruction to files and back.

image.tif and image.png, the coloured maps provenance.tif and edges.tif, learned.tif where a network took part,
result.npz (arrays) and result.json (everything else).
"""

import hashlib
import json
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from microlocal.certificates.base import certificate_from_dict
from microlocal.core.arrays import to_numpy
from microlocal.core.errors import ScanFileError
from microlocal.core.provenance import NAMED
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.images import write_codes, write_png, write_tiff
from microlocal.io.jsonable import jsonable
from microlocal.io.reader import guarded
from microlocal.io.sidecar import parsed_geometry, parsed_grid
from microlocal.io.values import write_json, write_npz
from microlocal.reconstruction.result import Reconstruction
from microlocal.wavefront.lengths import edge_shares

PACKAGES = ("microlocal", "torch", "numpy", "scipy", "numba")
FORM = "microlocal result"
OF_A_NETWORK = ("learned", "edges_visible")  # None where there was no network


@register("result-writer", "image.tif")
def write_image(reconstruction: Reconstruction, folder: Path) -> Path:
    """32-bit TIFF with the pixel size, as ImageJ reads it: (row, col), or (slice, row, col) for a stack."""
    grid = reconstruction.scan.grid
    return write_tiff(_pages(reconstruction.image), folder / "image.tif", grid.pixel, grid.unit)


@register("result-writer", "image.png")
def write_preview(reconstruction: Reconstruction, folder: Path) -> Path:
    """8-bit preview of the (middle) slice, windowed to its 0.5th and 99.5th percentile."""
    pages = _pages(reconstruction.image)
    middle = pages if pages.ndim == 2 else pages[len(pages) // 2]
    low, high = np.percentile(middle, [0.5, 99.5])
    return write_png(middle, folder / "image.png", (float(low), float(high)))


@register("result-writer", "provenance.tif")
def write_provenance(reconstruction: Reconstruction, folder: Path) -> Path:
    """Where every pixel comes from: 1 measured (teal), 2 learned (violet), 3 undetermined (orange)."""
    return _written_codes(reconstruction.provenance, reconstruction, folder / "provenance.tif")


@register("result-writer", "edges.tif")
def write_edges(reconstruction: Reconstruction, folder: Path) -> Path:
    """The edges with the codes and colours of provenance.tif, 0 (black) between them."""
    return _written_codes(reconstruction.edges, reconstruction, folder / "edges.tif")


@register("result-writer", "learned.tif")
def write_learned(reconstruction: Reconstruction, folder: Path) -> Path | None:
    """What a network added to the image, as image.tif; no file, and none of an earlier run, where there was none."""
    path, grid = folder / "learned.tif", reconstruction.scan.grid
    if reconstruction.learned is None:
        path.unlink(missing_ok=True)
        return None
    return write_tiff(_pages(reconstruction.learned), path, grid.pixel, grid.unit)


def _written_codes(codes: Tensor, reconstruction: Reconstruction, path: Path) -> Path:
    grid = reconstruction.scan.grid
    return write_codes(_pages(codes), path, grid.pixel, grid.unit, NAMED)


@register("result-writer", "result.npz")
def write_arrays(reconstruction: Reconstruction, folder: Path) -> Path:
    """Image, provenance, edges, measured directions, residual, data, angles (radians), pixel and centre of the grid.

    Where a network took part also ``learned``, what it added, ``visible``, the image without that, and
    ``edges_visible``, the edges of that.
    """
    r = reconstruction
    tensors = {
        "image": r.image,
        "provenance": r.provenance,
        "edges": r.edges,
        "measured_directions": r.measured_directions,
        "residual": r.residual,
        "data": r.scan.data,
    }
    if r.learned is not None:
        tensors |= {"learned": r.learned, "visible": r.visible}
    if r.edges_visible is not None:
        tensors["edges_visible"] = r.edges_visible
    arrays = {name: to_numpy(tensor) for name, tensor in tensors.items()} | {
        "angles_rad": r.scan.geometry.angles,
        "pixel": np.asarray(r.scan.grid.pixel),
        "center": np.asarray(r.scan.grid.center),
    }
    return write_npz(arrays, folder / "result.npz")


@register("result-writer", "result.json")
def write_facts(reconstruction: Reconstruction, folder: Path) -> Path:
    """Method, configuration, geometry, grid, versions, checksums, metrics, certificates, notes and references."""
    return write_json(facts(reconstruction), folder / "result.json")


def facts(reconstruction: Reconstruction) -> dict[str, Any]:
    """Return what result.json holds, as plain JSON values."""
    r = reconstruction
    return {
        "method": r.method,
        "config": jsonable(r.config),
        "metrics": jsonable(r.metrics),
        "edges": {kind.name.lower(): share for kind, share in edge_shares(to_numpy(r.edges)).items()},
        "notes": list(r.notes),
        "certificates": jsonable([certificate.to_dict() for certificate in r.certificates]),
        "references": list(r.references),
        "geometry": r.scan.geometry.to_dict(),
        "grid": r.scan.grid.to_dict(),
        "source": jsonable(r.scan.source),
        "warnings": list(r.scan.warnings),
        "data_sha256": data_sha256(r.scan),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "history": jsonable(r.history),
    }


def data_sha256(scan: Scan) -> str:
    """Return the SHA-256 of the data as used: the bytes of the array in C order."""
    return hashlib.sha256(np.ascontiguousarray(to_numpy(scan.data)).tobytes()).hexdigest()


def read_result(folder: str | Path) -> Reconstruction:
    """Return the reconstruction that ``Reconstruction.save`` wrote; certificates come back without their attacks.

    Raises ScanFileError when result.npz or result.json is missing, damaged, or the data are not those that the
    checksum names.
    """
    target = Path(folder)
    for name in ("result.npz", "result.json"):
        if not (target / name).is_file():
            do = "Give the folder that Reconstruction.save wrote."
            raise ScanFileError(str(target), expected="result.npz and result.json", got=f"no {name}", do=do)
    with guarded(target, FORM), np.load(target / "result.npz", allow_pickle=False) as stored:
        tensors = {name: torch.from_numpy(stored[name]) for name in stored.files}
        fields = json.loads((target / "result.json").read_text(encoding="utf-8"))
        return _rebuilt(tensors, fields, _scan(tensors, fields, str(target)))


def _scan(tensors: dict[str, Tensor], fields: dict[str, Any], who: str) -> Scan:
    angles = tuple(tensors["angles_rad"].tolist())
    geometry = replace(parsed_geometry(fields["geometry"], who), angles_rad=angles)
    grid, source = parsed_grid(fields["grid"], who), Source(**fields["source"])
    scan = Scan(tensors["data"], geometry, grid, source, tuple(fields["warnings"]))
    if data_sha256(scan) != fields["data_sha256"]:
        do = "result.npz and result.json belong to different runs."
        raise ScanFileError(who, expected=f"data of SHA-256 {fields['data_sha256']}", got=data_sha256(scan), do=do)
    return scan


def _rebuilt(tensors: dict[str, Tensor], fields: dict[str, Any], scan: Scan) -> Reconstruction:
    return Reconstruction(
        image=tensors["image"],
        scan=scan,
        method=fields["method"],
        provenance=tensors["provenance"],
        edges=tensors["edges"],
        measured_directions=tensors["measured_directions"],
        residual=tensors["residual"],
        **{name: tensors[name] for name in OF_A_NETWORK if name in tensors},
        certificates=tuple(certificate_from_dict(certificate) for certificate in fields["certificates"]),
        history={name: [float(v) for v in values] for name, values in fields["history"].items()},
        metrics={name: float(value) for name, value in fields["metrics"].items()},
        config=fields["config"],
        notes=tuple(fields["notes"]),
        references=tuple(fields["references"]),
    )


def _pages(image: Tensor) -> Shaped[np.ndarray, "*slice row col"]:
    """Return (row, col), or all batch axes flattened into slices."""
    array = to_numpy(image)
    return array if array.ndim == 2 else array.reshape(-1, *array.shape[-2:])

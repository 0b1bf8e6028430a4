"""MATLAB files (v5, v7.3) of the Helsinki Tomography Challenge 2022: flat-detector fan beam, line integrals.

The struct ``CtDataFull`` or ``CtDataLimited`` holds ``sinogram`` (angle, detector) and ``parameters``; the geometry
comes from these alone. In the challenge's image (row down, column right) the source at angle b is at
SO (row cos b, col sin b), which is our R (sin b, -cos b) in (x right, y up): angles pass unchanged.

Reference: Meaney, Silva de Moura and Siltanen, Zenodo 2022, doi 10.5281/zenodo.6984868.
"""

from pathlib import Path
from typing import Any

import numpy as np
from pymatreader import read_mat

from microlocal.core.errors import ScanFileError
from microlocal.core.geometry import Detector, FanBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan, Source
from microlocal.io.assemble import SAME_ANGLE_DEG, Views, finished, floats
from microlocal.io.hdf5 import check_heaps, hdf5_keys
from microlocal.io.jsonable import jsonable
from microlocal.io.matlab5 import is_matlab5, read_matlab5
from microlocal.io.reader import guarded, head, sha256
from microlocal.io.sidecar import Sidecar
from microlocal.io.units import unit_name

STRUCTS = ("CtDataFull", "CtDataLimited")
GRID_SHAPE = (512, 512)
FORM = "MATLAB file of the Helsinki challenge"


@register("reader", "helsinki", reference="meaney2022")
class Helsinki:
    """MATLAB v5 or v7.3 with CtDataFull or CtDataLimited (Helsinki Tomography Challenge): fan beam."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """Any MATLAB file, so that one without the struct is refused by name."""
        return head(path, 7) == b"MATLAB " or any(name in hdf5_keys(path) for name in STRUCTS)

    @staticmethod
    def read(path: Path, sidecar: Sidecar) -> Scan:
        """Return the fan-beam scan on the challenge's grid; the full scan where a file holds both."""
        del sidecar
        with guarded(path, FORM):
            fields = _variables(path)
            struct = next((fields[name] for name in STRUCTS if isinstance(fields.get(name), dict)), None)
            if struct is None:
                names = [k for k in hdf5_keys(path) or fields if not k.startswith(("_", "@", "#"))]
                raise ScanFileError(
                    str(path),
                    expected=f"a struct {' or '.join(STRUCTS)} with sinogram and parameters",
                    got="the variables " + (", ".join(names)[:200] or "none"),
                    do="Convert other MATLAB data to NPZ with a JSON geometry (docs/scan-files.md).",
                )
            return _scan(struct, path)


def _variables(path: Path) -> dict[str, Any]:
    """Return the variables of a v5 file, or the structs of a v7.3 file."""
    if is_matlab5(path):
        return read_matlab5(path)
    check_heaps(path)
    return dict(read_mat(str(path), variable_names=list(STRUCTS)))


def _scan(struct: dict[str, Any], path: Path) -> Scan:
    who, parameters = str(path), struct["parameters"]
    source = Source(who, "helsinki", sha256([path]), _metadata(parameters))
    views = Views(
        floats(np.atleast_2d(np.asarray(struct["sinogram"])), who),
        floats(np.atleast_1d(np.asarray(parameters["angles"]).ravel()), who),
    )
    unit = unit_name(str(parameters.get("distanceUnit", "mm")), who)
    geometry = FanBeam(
        (0.0,),
        Detector(int(_number(parameters, "numDetectorsPost")), _number(parameters, "pixelSizePost")),
        unit=unit,
        source_axis=_number(parameters, "distanceSourceOrigin"),
        source_detector=_number(parameters, "distanceSourceDetector"),
    )
    grid = Grid(GRID_SHAPE, _number(parameters, "effectivePixelSizePost"), unit=unit)
    return finished(_without_closing_view(views), geometry, grid, source)


def _metadata(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return all parameters but the angles, scalars as scalars."""
    kept = {name: value for name, value in parameters.items() if name != "angles"}
    return {k: jsonable(v.item() if isinstance(v, np.ndarray) and v.size == 1 else v) for k, v in kept.items()}


def _number(parameters: dict[str, Any], name: str) -> float:
    """Return a scalar parameter, whatever shape it was stored in."""
    return float(np.asarray(parameters[name], dtype=np.float64).reshape(()))


def _without_closing_view(views: Views) -> Views:
    """A full scan that ends where it began has its first view twice; the last one is dropped."""
    angles = views.angles_deg
    if angles.size > 2 and abs(abs(angles[-1] - angles[0]) - 360) < SAME_ANGLE_DEG:
        kept = Views(views.data[..., :-1, :], angles[:-1], views.warnings)
        return kept.said("The last view repeats the first one (360 degrees): it was dropped.")
    return views

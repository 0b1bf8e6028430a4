"""The JSON geometry beside a scan: what the file itself does not say.

Its fields are those of ``Geometry.to_dict`` (kind, angles_deg, detector, unit; fan: source_axis, source_detector,
detector_shape), and optionally ``grid``, ``axes``, ``quantity``, ``flats``, ``darks``, ``tilt_axis``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microlocal.core.errors import GeometryError, ScanFileError
from microlocal.core.geometry import Geometry, geometry_from_dict
from microlocal.core.grid import Grid
from microlocal.io.json_fields import (
    axes_named,
    choice,
    even_angles,
    file_beside,
    grid_by,
    is_count,
    is_number,
    json_fields,
    known_only,
)

QUANTITIES = ("line integrals", "transmission", "counts")
AXES = (("angle", "detector"), ("angle", "slice", "detector"))
VOLUME_KINDS = ("parallel-3d", "cone", "vectors")
GEOMETRY_FIELDS = ("kind", "angles_deg", "detector", "unit", "source_axis", "source_detector", "detector_shape")
OTHER_FIELDS = ("grid", "axes", "quantity", "flats", "darks", "tilt_axis")


@dataclass(frozen=True)
class Sidecar:
    """What a user wrote beside the scan; every part may be missing.

    Parameters: ``path`` of the JSON file (None when there is none); ``geometry``; ``grid``; ``axes``, the order of
    the array's axes ("angle, slice, detector"); ``quantity``, one of ``QUANTITIES``; ``flats`` and ``darks``, files
    beside the JSON; ``tilt_axis``, "x" or "y", for electron tomography.
    """

    path: Path | None = None
    geometry: Geometry | None = None
    grid: Grid | None = None
    axes: tuple[str, ...] = ()
    quantity: str = "line integrals"
    flats: Path | None = None
    darks: Path | None = None
    tilt_axis: str | None = None

    def needed(self, who: str) -> Geometry:
        """Return the geometry; raises ScanFileError saying how to write one when there is none."""
        if self.geometry is None:
            raise ScanFileError(
                who,
                expected="a JSON file with the geometry beside the data",
                got="none" if self.path is None else f"{self.path} without kind and angles_deg",
                do="Write <name>.json or geometry.json (docs/scan-files.md shows both kinds), or name it. "
                "Projections of a volume are for microlocal volume.",
            )
        return self.geometry


def find_sidecar(path: Path, given: Path | None) -> Sidecar:
    """Return the sidecar that is ``given``, or lies beside ``path`` as <stem>.json or geometry.json, or an empty one.

    A JSON file that was not named by the user and has none of the fields is taken for something else.
    """
    if given is not None:
        return read_sidecar(given)
    inside = [path / "geometry.json"] if path.is_dir() else []
    for candidate in (*inside, path.with_suffix(".json"), path.parent / "geometry.json"):
        if candidate.is_file() and candidate != path and _ours(candidate):
            return read_sidecar(candidate)
    return Sidecar()


def read_sidecar(path: Path) -> Sidecar:
    """Return the checked content of a JSON sidecar; raises ScanFileError or GeometryError that names the field."""
    who, fields = str(path), json_fields(path)
    if fields.get("kind") in VOLUME_KINDS:
        do = "Use microlocal volume, or open_projections in Python."
        raise ScanFileError(who, expected="a scan of slices", got="projections of a volume", do=do)
    known_only(fields, (*GEOMETRY_FIELDS, *OTHER_FIELDS), who)
    described = {name: fields[name] for name in GEOMETRY_FIELDS if name in fields}
    return Sidecar(
        path=path,
        geometry=parsed_geometry(described, who) if described else None,
        grid=parsed_grid(fields["grid"], who, fields.get("unit", "mm")) if "grid" in fields else None,
        axes=() if fields.get("axes") is None else axes_named(fields["axes"], AXES, who),
        quantity=choice(fields.get("quantity", QUANTITIES[0]), QUANTITIES, "quantity", who),
        flats=file_beside(fields.get("flats"), path, "flats"),
        darks=file_beside(fields.get("darks"), path, "darks"),
        tilt_axis=None if fields.get("tilt_axis") is None else choice(fields["tilt_axis"], "xy", "tilt_axis", who),
    )


def parsed_geometry(fields: dict[str, Any], who: str) -> Geometry:
    """Return ``geometry_from_dict`` of fields that may hold anything; raises GeometryError.

    ``angles_deg`` may also be {"first": 0, "step": 0.5, "count": 721}.
    """
    angles, detector = fields.get("angles_deg"), fields.get("detector")
    if isinstance(angles, dict):
        angles = even_angles(angles, who)
    if not isinstance(angles, list) or not all(map(is_number, angles)):
        got = "none" if angles is None else f"{type(angles).__name__} that is not a list of finite numbers"
        raise GeometryError(who, expected="angles_deg: a list of numbers", got=got, do="Give the angles in degrees.")
    sizes = {"count": is_count, "pitch": is_number, "offset": is_number, "reversed": _is_bool}
    if not isinstance(detector, dict) or not all(sizes.get(k, _never)(v) for k, v in detector.items()):
        expected = "detector: {count: whole number, pitch: length, offset: length, reversed: true or false}"
        raise GeometryError(who, expected=expected, got=repr(detector)[:120], do="Mend the detector.")
    for name in ("source_axis", "source_detector"):
        if not is_number(fields.get(name, 1.0)):
            raise GeometryError(who, expected=f"{name}: a length", got=repr(fields[name])[:80], do="Mend it.")
    for name in ("kind", "unit", "detector_shape"):
        if not isinstance(fields.get(name, ""), str):
            raise GeometryError(who, expected=f"{name}: a name", got=repr(fields[name])[:80], do="Mend it.")
    try:
        return geometry_from_dict(fields | {"angles_deg": angles})
    except GeometryError as error:
        raise GeometryError(who, expected=error.expected, got=error.got, do=error.do) from error


def parsed_grid(fields: Any, who: str, unit: str = "mm") -> Grid:
    """Return ``Grid.from_dict`` of a value that may be anything, in ``unit`` if it names none; raises ScanFileError."""
    return grid_by(
        Grid.from_dict, fields, unit, who, "{shape: [rows, columns], pixel: length, center: [x, y], unit: name}"
    )


def _ours(path: Path) -> bool:
    """Whether a JSON file found beside the data is meant for us: unreadable ones are, so that their error is said."""
    try:
        fields = json_fields(path)
    except ScanFileError:
        return True
    return bool(set(fields) & {*GEOMETRY_FIELDS, *OTHER_FIELDS})


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _never(value: Any) -> bool:
    del value
    return False

"""The JSON beside the projections of a volume: what the files themselves do not say.

Its fields are those of ``to_dict`` of a geometry of volumes (kind "cone", "parallel-3d" or "vectors"), and optionally
``grid``, ``axes``, ``quantity``, ``flats``, ``darks``, ``white``, ``flip``.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microlocal.core.checks import is_finite
from microlocal.core.errors import GeometryError, InputError, ScanFileError, UnknownNameError
from microlocal.core.geometry3d import KIND_OF, geometry3d_from_dict
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.io.projections import Flip
from microlocal.io.sidecar import QUANTITIES

KINDS = (*KIND_OF.values(), ViewVectors.kind)
GEOMETRY_FIELDS = (
    "kind", "angles_deg", "detector", "unit", "tilt_deg", "roll_deg", "source_axis", "source_detector",
    "table", "rows", "cols", "diverging",
)  # fmt: skip
OTHER_FIELDS = ("grid", "axes", "quantity", "flats", "darks", "white", "flip")
NAMES = {"angle": "angle", "v": "slice", "u": "detector"}  # of axes, here and in ``Stored``
FLIPS = {"none": Flip(), "rows": Flip(True, False), "cols": Flip(False, True), "both": Flip(True, True)}


@dataclass(frozen=True)
class Description:
    """What a user says of projections; every part may be missing.

    Parameters: ``path`` of the JSON file; ``geometry``; ``grid``; ``axes``, the order of an array's axes, of "angle",
    "v" and "u"; ``quantity``; ``flats`` and ``darks``, files; ``white``, the counts of the open beam; ``flip``, one of
    ``FLIPS``, None for the format's own. Raises UnknownNameError for another quantity or flip.
    """

    path: Path | None = None
    geometry: AnyGeometry3D | None = None
    grid: VolumeGrid | None = None
    axes: tuple[str, ...] = ("angle", "v", "u")
    quantity: str = "line integrals"
    flats: Path | None = None
    darks: Path | None = None
    white: float | None = None
    flip: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("quantity", self.quantity, QUANTITIES), ("flip", self.flip, FLIPS)):
            if value is not None and value not in known:
                raise UnknownNameError(name, value, known)

    def needed(self, who: str) -> AnyGeometry3D:
        """Return the geometry; raises ScanFileError saying how to give one when there is none."""
        if self.geometry is None:
            do = "Give --source-axis, --source-detector and --pixel, or write geometry.json (docs/volumes.md)."
            raise ScanFileError(who, expected="the geometry of the projections", got="none", do=do)
        return self.geometry


def find_description(path: Path, given: Path | None) -> Description:
    """Return what is ``given``, or lies beside ``path`` as <stem>.json or geometry.json, or an empty description."""
    if given is not None:
        return read_description(given)
    found = _beside(path)
    return Description() if found is None else read_description(found)


def describes_volume(path: Path) -> bool:
    """Whether a JSON beside ``path`` says that it holds projections of a volume."""
    return _beside(path) is not None


def _beside(path: Path) -> Path | None:
    inside = [path / "geometry.json"] if path.is_dir() else []
    for candidate in (*inside, path.with_suffix(".json"), path.parent / "geometry.json"):
        if candidate.is_file() and candidate != path and _kind(candidate) in KINDS:
            return candidate
    return None


def _kind(path: Path) -> object:
    try:
        return _fields(path).get("kind")
    except ScanFileError:
        return None


def read_description(path: Path) -> Description:
    """Return the checked content of a JSON file; raises ScanFileError or GeometryError that names the field."""
    who, fields = str(path), _fields(path)
    unknown = sorted(set(fields) - {*GEOMETRY_FIELDS, *OTHER_FIELDS})
    if unknown:
        expected = "fields among " + ", ".join((*GEOMETRY_FIELDS, *OTHER_FIELDS))
        raise ScanFileError(who, expected=expected, got=", ".join(unknown), do="Correct or remove these.")
    described = {name: fields[name] for name in GEOMETRY_FIELDS if name in fields}
    white = fields.get("white")
    if white is not None and not (is_finite(white) and white > 0):
        raise ScanFileError(who, expected="white: counts above 0", got=repr(white)[:80], do="Mend it.")
    return Description(
        path=path,
        geometry=parsed_geometry3d(described, who) if described else None,
        grid=parsed_volume_grid(fields["grid"], who, str(fields.get("unit", "mm"))) if "grid" in fields else None,
        axes=_axes(fields.get("axes", "angle, v, u"), who),
        quantity=_choice(fields.get("quantity", QUANTITIES[0]), QUANTITIES, "quantity", who),
        flats=_file(fields.get("flats"), path, "flats"),
        darks=_file(fields.get("darks"), path, "darks"),
        white=white,
        flip=None if fields.get("flip") is None else _choice(fields["flip"], tuple(FLIPS), "flip", who),
    )


def parsed_geometry3d(fields: Any, who: str) -> AnyGeometry3D:
    """Return ``geometry3d_from_dict`` of fields that may hold anything; raises GeometryError.

    ``angles_deg`` may also be {"first": 0, "step": 0.5, "count": 721}.
    """
    try:
        angles = fields.get("angles_deg")
        if isinstance(angles, dict):
            first, step = float(angles["first"]), float(angles["step"])
            fields = fields | {"angles_deg": [first + step * k for k in range(int(angles["count"]))]}
        return geometry3d_from_dict(fields)
    except GeometryError as error:
        raise GeometryError(who, expected=error.expected, got=error.got, do=error.do) from error
    except InputError as error:
        raise GeometryError(who, expected=error.expected, got=error.got, do=error.do) from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        expected, got = "a geometry of volumes", f"{type(error).__name__}: {error}"[:160]
        raise GeometryError(who, expected=expected, got=got, do="Mend the fields (docs/volumes.md).") from error


def parsed_volume_grid(fields: Any, who: str, unit: str = "mm") -> VolumeGrid:
    """Return ``VolumeGrid.from_dict`` of a value that may be anything; raises ScanFileError."""
    try:
        return VolumeGrid.from_dict({"unit": unit} | fields)
    except (InputError, LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ScanFileError(
            who,
            expected="grid: {shape: [slices, rows, columns], voxel: length, center: [x, y, z], unit: name}",
            got=f"{type(error).__name__}: {error}"[:120],
            do="Mend the grid, or remove it to get the default.",
        ) from error


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        got = f"{type(error).__name__}: {error}"[:160]
        raise ScanFileError(str(path), expected="a JSON file", got=got, do="Mend the JSON.") from error
    if not isinstance(fields, dict):
        got = f"a JSON {type(fields).__name__}"
        raise ScanFileError(str(path), expected="a JSON object {...}", got=got, do="Mend the JSON.")
    return fields


def _axes(value: Any, who: str) -> tuple[str, ...]:
    names = [n.strip() for n in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or sorted(map(str, names)) != sorted(NAMES):
        expected = 'axes: "angle, v, u" in the order of the array'
        raise ScanFileError(who, expected=expected, got=repr(value)[:120], do="Name the axes of the array.")
    return tuple(map(str, names))


def _choice(value: Any, known: tuple[str, ...], field: str, who: str) -> str:
    if not isinstance(value, str) or value not in known:
        expected = f"{field}: one of " + ", ".join(map(repr, known))
        raise ScanFileError(who, expected=expected, got=repr(value)[:80], do="Take one of these.")
    return value


def _file(name: Any, path: Path, field: str) -> Path | None:
    if name is None:
        return None
    target = path.parent / name if isinstance(name, str) and "\0" not in name else None
    if target is None or not target.exists():
        got = f"{name!r}, which is not there"
        raise ScanFileError(str(path), expected=f"{field}: a file beside the JSON", got=got[:160], do="Mend the name.")
    return target

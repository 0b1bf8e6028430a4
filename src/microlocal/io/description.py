"""The JSON beside the projections of a volume: what the files themselves do not say.

Its fields are those of ``to_dict`` of a geometry of volumes (kind "cone", "parallel-3d" or "vectors"), and optionally
``grid``, ``axes``, ``quantity``, ``flats``, ``darks``, ``white``, ``flip``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microlocal.core.checks import is_finite
from microlocal.core.errors import GeometryError, InputError, ScanFileError, UnknownNameError
from microlocal.core.geometry3d import geometry3d_from_dict
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.io.json_fields import axes_named, choice, even_angles, file_beside, grid_by, json_fields, known_only
from microlocal.io.projections import Flip
from microlocal.io.sidecar import QUANTITIES, VOLUME_KINDS

SLICE_KINDS = ("parallel", "fan")  # which describe no volume
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
            got = "none" if self.path is None else f"{self.path} without kind"
            raise ScanFileError(who, expected="the geometry of the projections", got=got, do=do)
        return self.geometry


def find_description(path: Path, given: Path | None) -> Description:
    """Return what is ``given``, or lies beside ``path`` as <stem>.json or geometry.json, or an empty description."""
    if given is not None:
        return read_description(given)
    found = _beside(path, _meant)
    return Description() if found is None else read_description(found)


def describes_volume(path: Path) -> bool:
    """Whether a JSON beside ``path`` says that it holds projections of a volume."""
    return _beside(path, _of_volume) is not None


def _beside(path: Path, right: Callable[[Path], bool]) -> Path | None:
    inside = [path / "geometry.json"] if path.is_dir() else []
    candidates = (*inside, path.with_suffix(".json"), path.parent / "geometry.json")
    return next((file for file in candidates if file.is_file() and file != path and right(file)), None)


def _of_volume(path: Path) -> bool:
    try:
        return json_fields(path).get("kind") in VOLUME_KINDS
    except ScanFileError:
        return False


def _meant(path: Path) -> bool:
    """Whether a JSON file found beside projections is meant for us: an unreadable one is, so that its error is said."""
    try:
        fields = json_fields(path)
    except ScanFileError:
        return True
    return fields.get("kind") not in SLICE_KINDS and not {*GEOMETRY_FIELDS, *OTHER_FIELDS}.isdisjoint(fields)


def read_description(path: Path) -> Description:
    """Return the checked content of a JSON file; raises ScanFileError or GeometryError that names the field."""
    who, fields = str(path), json_fields(path)
    known_only(fields, (*GEOMETRY_FIELDS, *OTHER_FIELDS), who)
    described = {name: fields[name] for name in GEOMETRY_FIELDS if name in fields}
    white = fields.get("white")
    if white is not None and not (is_finite(white) and white > 0):
        raise ScanFileError(who, expected="white: counts above 0", got=repr(white)[:80], do="Mend it.")
    return Description(
        path=path,
        geometry=parsed_geometry3d(described, who) if described else None,
        grid=parsed_volume_grid(fields["grid"], who, str(fields.get("unit", "mm"))) if "grid" in fields else None,
        axes=axes_named(fields.get("axes", "angle, v, u"), [tuple(NAMES)], who),
        quantity=choice(fields.get("quantity", QUANTITIES[0]), QUANTITIES, "quantity", who),
        flats=file_beside(fields.get("flats"), path, "flats"),
        darks=file_beside(fields.get("darks"), path, "darks"),
        white=white,
        flip=None if fields.get("flip") is None else choice(fields["flip"], FLIPS, "flip", who),
    )


def parsed_geometry3d(fields: Any, who: str) -> AnyGeometry3D:
    """Return ``geometry3d_from_dict`` of fields that may hold anything; raises GeometryError.

    ``angles_deg`` may also be {"first": 0, "step": 0.5, "count": 721}.
    """
    try:
        angles = fields.get("angles_deg")
        if isinstance(angles, dict):
            fields = fields | {"angles_deg": even_angles(angles, who)}
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
    form = "{shape: [slices, rows, columns], voxel: length, center: [x, y, z], unit: name}"
    return grid_by(VolumeGrid.from_dict, fields, unit, who, form)

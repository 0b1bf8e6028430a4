"""From the options of ``microlocal volume`` to projections: the geometry where files do not say it, what is used."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from microlocal.cli import lazy
from microlocal.cli.choices import Arc, parse_pixel

if TYPE_CHECKING:
    from microlocal.core import Geometry3D, VolumeGrid
    from microlocal.io import Description, Projections

QUANTITIES = {"counts": "counts", "transmission": "transmission", "lines": "line integrals"}

FULL_TURN = 360.0


class Pair(NamedTuple):
    """Two lengths along the panel's columns and along its rows."""

    v: float
    u: float


class Size(NamedTuple):
    """Voxels of a volume."""

    slices: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Setup:
    """How projections were measured, as options tell it; None where they do not."""

    geometry: Path | None = None
    source_axis: float | None = None
    source_detector: float | None = None
    pixel: Pair | None = None
    offset: Pair | None = None
    turn: float = FULL_TURN
    angles: Path | None = None
    unit: str = "mm"
    flats: Path | None = None
    darks: Path | None = None
    white: float | None = None
    quantity: str | None = None
    flip: str | None = None

    @property
    def told(self) -> tuple[str, ...]:
        """The options given that describe the data, but for the angles."""
        names = ("geometry", "source_axis", "source_detector", "pixel", "flats", "darks", "white", "quantity", "flip")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def named(self) -> bool:
        """Whether the options name a geometry."""
        return any(value is not None for value in (self.source_axis, self.source_detector, self.pixel))


def parse_pair(text: str) -> Pair:
    """Read "P" or "VxU", lengths above zero: along the panel's columns and along its rows.

    >>> parse_pair("0.2"), parse_pair("0.4x0.2")
    (Pair(v=0.2, u=0.2), Pair(v=0.4, u=0.2))
    """
    v, cross, u = text.lower().partition("x")
    return Pair(parse_pixel(v), parse_pixel(u if cross else v))


def parse_offset(text: str) -> Pair:
    """Read "V,U", lengths of any sign.

    >>> parse_offset("0,-1.5")
    Pair(v=0.0, u=-1.5)
    """
    try:
        v, u = (float(part) for part in text.split(","))
    except ValueError:
        v = math.nan
        u = math.nan
    if not (math.isfinite(v) and math.isfinite(u)):
        raise typer.BadParameter(f"expected V,U in the scan's unit, such as 0,-1.5, got {text!r}.")
    return Pair(v, u)


def parse_size(text: str) -> Size:
    """Read "N" for a cube or "SLICESxROWSxCOLS".

    >>> parse_size("64"), parse_size("20x30x40")
    (Size(slices=64, rows=64, cols=64), Size(slices=20, rows=30, cols=40))
    """
    parts = text.lower().split("x")
    form = f"expected N or SLICESxROWSxCOLS with whole numbers above 0, got {text!r}."
    if len(parts) not in (1, 3) or not all(part.isdecimal() and int(part) for part in parts):
        raise typer.BadParameter(form)
    sizes = [int(part) for part in parts] * (3 if len(parts) == 1 else 1)
    return Size(*sizes)


def parse_turn(text: str) -> float:
    """Read degrees other than zero.

    >>> parse_turn("-180")
    -180.0
    """
    try:
        turn = float(text)
    except ValueError:
        turn = 0.0
    if not (math.isfinite(turn) and turn):
        raise typer.BadParameter(f"expected degrees other than 0, such as 360 or -180, got {text!r}.")
    return turn


def opened(path: Path, setup: Setup) -> "Projections":
    """Return the projections of a file with what the options say of them."""
    loose = setup.offset is not None or setup.turn != FULL_TURN or setup.unit != "mm"
    if loose and not setup.named:
        wanted = "--source-axis, --source-detector and --pixel with --offset, --turn, --unit"
        raise typer.BadParameter(f"expected {wanted}. Give them, or leave these out.")
    if setup.told and lazy.projection_formats.says_all(path):
        told = ", ".join(f"--{name.replace('_', '-')}" for name in setup.told)
        raise typer.BadParameter(f"expected none of {told} for {path.name}, which says it itself.")
    if setup.named and (setup.geometry is not None or lazy.description.describes_volume(path)):
        got = "--geometry" if setup.geometry is not None else "a JSON beside it"
        do = "Leave one of them out."
        raise typer.BadParameter(
            f"expected --source-axis, --source-detector, --pixel or {got} for {path.name}, got both. {do}"
        )
    found = lazy.io.open_projections(path, description=_description(path, setup))
    if setup.angles is None or setup.named:
        return found
    return replace(found, geometry=_with_angles(found, setup.angles))


def _description(path: Path, setup: Setup) -> "Description | None":
    """Return the description that options make, None where none of them says anything."""
    if not setup.named:
        told = None if setup.geometry is None else lazy.description.read_description(setup.geometry)
        given = {name: getattr(setup, name) for name in ("flats", "darks", "white", "flip")}
        extra: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if setup.quantity is not None or {"flats", "white"} & extra.keys():
            extra["quantity"] = QUANTITIES[setup.quantity or "counts"]
        if not extra:
            return told
        return replace(told or lazy.description.find_description(path, None), **extra)
    if setup.source_axis is None or setup.source_detector is None or setup.pixel is None:
        names = {"--source-axis": setup.source_axis, "--source-detector": setup.source_detector, "--pixel": setup.pixel}
        missing = " and ".join(name for name, value in names.items() if value is None)
        raise typer.BadParameter(f"expected --source-axis, --source-detector and --pixel together, without {missing}.")
    counts = setup.quantity == "counts" or (setup.quantity is None and (setup.flats or setup.white) is not None)
    return lazy.io.Description(
        geometry=lazy.projection_formats.simple_cone(
            path,
            distances=(setup.source_axis, setup.source_detector),
            pitch=setup.pixel,
            offset=setup.offset or (0.0, 0.0),
            turn_deg=setup.turn,
            angles=setup.angles,
            unit=setup.unit,
            without=(setup.flats, setup.darks),
        ),
        quantity="counts" if counts else QUANTITIES[setup.quantity or "lines"],
        flats=setup.flats,
        darks=setup.darks,
        white=setup.white,
        flip=setup.flip,
    )


def _with_angles(found: "Projections", path: Path) -> "Geometry3D":
    angles = lazy.angle_files.angles_in(path)
    geometry = found.geometry
    if angles.size != geometry.shape[0] or not isinstance(geometry, lazy.core.Geometry3D):
        got = f"{angles.size} angles"
        do = "Give one angle a line, in degrees."
        raise lazy.core.ScanFileError(str(path), expected=f"{geometry.shape[0]} angles", got=got, do=do)
    # A list beside a scanner's file counts from its first view, which stays where it stands.
    start = geometry.angles_rad[0] - math.radians(angles[0]) if found.source.format == "nikon" else 0.0
    return replace(geometry, angles_rad=tuple(start + math.radians(angle) for angle in angles.tolist()))


def narrowed(
    found: "Projections", binning: int, arc: Arc | None, every: int, center: str | float | None
) -> "Projections":
    """Return the projections with the chosen views and axis of rotation, their pixels joined."""
    if arc is not None or every > 1:
        found = found.select(_chosen(found, arc)[::every])
    if center is not None and center != "file":
        found = lazy.axis_of_volumes.with_axis(found, None if center == "auto" else float(center))
    return found.binned(binning) if binning > 1 else found


def _chosen(found: "Projections", arc: Arc | None) -> list[int]:
    geometry = found.geometry
    if arc is None:
        return list(range(geometry.shape[0]))
    if not isinstance(geometry, lazy.core.Geometry3D):
        raise typer.BadParameter("expected view angles for --angles, got a table of views. Use --every.")
    degrees = [math.degrees(angle) for angle in geometry.angles_rad]
    views = [k for k, angle in enumerate(degrees) if arc.first_deg - 1e-6 <= angle <= arc.last_deg + 1e-6]
    if not views:
        expected = f"angles within {min(degrees):.2f}..{max(degrees):.2f} degrees"
        got = f"{arc.first_deg}:{arc.last_deg}"
        raise lazy.core.InputError("--angles", expected=expected, got=got, do="Choose an arc that the scan has.")
    return views


def chosen_volume(found: "Projections", size: Size | None, voxel: float | None) -> "VolumeGrid | None":
    """Return the grid for ``--size`` and ``--voxel``; what is not given keeps the field of view of the scan's."""
    if size is None and voxel is None:
        return None
    if found.own_grid is None and not isinstance(found.geometry, lazy.core.Geometry3D):
        if size is None or voxel is None:
            raise typer.BadParameter("expected both --size and --voxel for a table of views.")
        return lazy.core.VolumeGrid((size[0], size[1], size[2]), voxel, unit=found.geometry.unit)
    own = found.grid
    if size is None and voxel is not None:
        slices, rows, cols = (max(1, round(n * own.voxel / voxel)) for n in own.shape)
        size = Size(slices, rows, cols)
    shape = size or own.shape
    side = voxel or max(n * own.voxel / m for n, m in zip(own.shape, shape, strict=True))
    return lazy.core.VolumeGrid((shape[0], shape[1], shape[2]), side, own.center, own.unit)

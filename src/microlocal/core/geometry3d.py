"""Measurement geometries of volumes: which ray each detector pixel sees.

Everything ends in one general form, the vectors of each view: where the source is (or which way parallel rays run),
where the middle of the detector is, and the steps from pixel to pixel along its columns (u) and rows (v). The named
geometries turn about the z axis. At view angle t, with the beam tilted by τ and the detector rolled by ρ in its plane,

    radial r = (-sin t, cos t, 0),   beam d = cos τ r + sin τ z,   e_u = (cos t, sin t, 0),   e_v = cos τ z - sin τ r

and, if rolled, (e_u, e_v) turned by ρ; x points right, y up, z along the slices. Data are (*batch, angle, v, u) with v
growing along e_v, so that for τ = ρ = 0 row v of a parallel-beam detector sees the slice at z = v as the planar
geometry does. τ = 0 is computed tomography; τ > 0 laminography with 90 degrees - τ between beam and axis; ρ is the
angle between the tilt axis and the detector's columns, as in electron tomography.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from microlocal.core.checks import at_least, is_finite, numbers_of, point, positive
from microlocal.core.errors import GeometryError
from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam, view_angles
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid

Array = NDArray[np.float64]
Same = TypeVar("Same", bound="Geometry3D")


@dataclass(frozen=True)
class FlatPanel:
    """A detector of ``rows`` x ``cols`` pixels; pixel (i, j) sits at v = (i - (rows-1)/2) pitch_v + offset_v, u alike.

    Parameters: ``pitch`` (v, u), the size of a pixel; ``offset`` (v, u), the place of the detector's middle relative
    to the central ray; both in the geometry's unit. Raises InputError for numbers that no panel has.

    >>> [axis.tolist() for axis in FlatPanel(1, 2, (1.0, 1.0), offset=(0.5, 0.0)).positions()]
    [[0.5], [-0.5, 0.5]]
    """

    rows: int
    cols: int
    pitch: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("rows", "cols"):
            at_least(getattr(self, name), 1, name, "FlatPanel")
        for name in ("pitch", "offset"):
            object.__setattr__(self, name, point(getattr(self, name), "v, u", name, "FlatPanel"))
        positive(min(self.pitch), "pitch", "FlatPanel")

    def positions(self) -> tuple[Array, Array]:
        """Return v of every row (rows,) and u of every column (cols,)."""
        along_v = Detector(self.rows, self.pitch[0], self.offset[0])
        return along_v.positions(), self.row.positions()

    @property
    def row(self) -> Detector:
        """One row of the panel, as the detector of a planar geometry."""
        return Detector(self.cols, self.pitch[1], self.offset[1])


@dataclass(frozen=True)
class Geometry3D(ABC):
    """View angles, a panel, and its tilt τ against and roll ρ around the beam, all in radians.

    The angles may be any sequence of numbers.
    """

    angles_rad: tuple[float, ...]
    detector: FlatPanel
    unit: str = "mm"
    tilt_rad: float = 0.0
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        who = type(self).__name__
        object.__setattr__(self, "angles_rad", view_angles(self.angles_rad, who))
        known = is_finite(self.tilt_rad) and is_finite(self.roll_rad)
        if not (known and abs(self.tilt_rad) < math.pi / 2):
            got = f"tilt {self.tilt_rad}, roll {self.roll_rad} rad"
            raise GeometryError(who, expected="a tilt below 90 degrees", got=got, do="The beam may not run along z.")

    @property
    def angles(self) -> Array:
        """The view angles as an array (angle,), in radians."""
        return np.asarray(self.angles_rad)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (angle, v, u) of the data."""
        return len(self.angles_rad), self.detector.rows, self.detector.cols

    @property
    def upright(self) -> bool:
        """Whether the axis of rotation is parallel to the detector's columns: no tilt, no roll."""
        return self.tilt_rad == 0 and self.roll_rad == 0

    @property
    @abstractmethod
    def magnification(self) -> float:
        """The factor by which the detector sees an object at the axis of rotation enlarged."""

    @abstractmethod
    def midplane(self) -> Geometry:
        """Return the planar geometry of a row of the panel at v = 0, leaving tilt and roll aside."""

    @abstractmethod
    def to_vectors(self) -> ViewVectors:
        """Return the general form, which operators and kernels work with."""

    def frames(self) -> tuple[Array, Array, Array]:
        """Return the beam's direction d and the panel's axes e_u, e_v at every view, each (angle, 3) as (x, y, z)."""
        t, tilt, roll = self.angles, self.tilt_rad, self.roll_rad
        zero, z = np.zeros_like(t), np.array([0.0, 0.0, 1.0])
        radial = np.stack((-np.sin(t), np.cos(t), zero), axis=1)
        e_u = np.stack((np.cos(t), np.sin(t), zero), axis=1)
        e_v = math.cos(tilt) * z - math.sin(tilt) * radial
        beam = math.cos(tilt) * radial + math.sin(tilt) * z
        cos, sin = math.cos(roll), math.sin(roll)
        return beam, cos * e_u + sin * e_v, cos * e_v - sin * e_u

    def default_grid(self) -> VolumeGrid:
        """Return the volume of the field of view: as many voxels as the panel has pixels, at its finer resolution.

        Across the axis it is as wide as the planar ``Geometry.default_grid`` makes it, which knows of panels moved
        sideways; along the axis its middle is what the panel's middle sees. It does not reach a cone's source.
        """
        shape = (self.detector.rows, *self.midplane().default_grid().shape)
        voxel = min(self.detector.pitch) / self.magnification
        return VolumeGrid(shape, voxel, (0.0, 0.0, self._height()), self.unit)

    def _height(self) -> float:
        """Return z of the point of the axis that is seen at the height of the panel's middle, a roll left out."""
        v, u = self.detector.offset
        level = v * math.cos(self.roll_rad) + u * math.sin(self.roll_rad)
        return level / (self.magnification * math.cos(self.tilt_rad))

    def select(self: Same, views: Sequence[int] | NDArray[np.int64]) -> Same:
        """Return the geometry of the chosen views only. Raises InputError for numbers of views that are none."""
        chosen = numbers_of(views, len(self.angles_rad), "views", f"{type(self).__name__}.select")
        return replace(self, angles_rad=tuple(self.angles_rad[i] for i in chosen))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, angles in degrees as in files."""
        fields = asdict(self)
        fields["angles_deg"] = [math.degrees(a) for a in fields.pop("angles_rad")]
        for name in ("tilt", "roll"):
            fields[f"{name}_deg"] = math.degrees(fields.pop(f"{name}_rad"))
        panel = fields["detector"]
        fields["detector"] = panel | {"pitch": list(panel["pitch"]), "offset": list(panel["offset"])}
        return {"kind": KIND_OF[type(self)]} | fields


@dataclass(frozen=True)
class ParallelBeam3D(Geometry3D):
    """Parallel rays: tomography of a stack (τ = 0), laminography (τ > 0), a tilt axis across the detector (ρ ≠ 0).

    Where the axis is ``upright`` every row of the panel sees one slice, and the planar transform of a batch of slices
    is the same and faster: ``operators.RayTransform(geometry.midplane(), grid.plane)``.

    >>> beam, e_u, e_v = ParallelBeam3D((0.0,), FlatPanel(1, 1, (1.0, 1.0))).frames()
    >>> [np.abs(axis[0]).tolist() for axis in (beam, e_u, e_v)]
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    @property
    def magnification(self) -> float:
        return 1.0

    def midplane(self) -> ParallelBeam:
        return ParallelBeam(self.angles_rad, self.detector.row, self.unit)

    def to_vectors(self) -> ViewVectors:
        beam, e_u, e_v = self.frames()
        return _vectors(self, beam, np.zeros_like(beam), e_u, e_v, diverging=False)


@dataclass(frozen=True)
class ConeBeam(Geometry3D):
    """Rays from a point source to a flat panel, both turning about the axis: circular cone beam.

    Parameters: ``source_axis`` R, the distance from the source to the axis along the central ray; ``source_detector``
    D, from the source to the panel; both in ``unit``, 0 < R < D. The volume must lie in front of the source.

    >>> cone = ConeBeam((0.0,), FlatPanel(1, 1, (1.0, 1.0)), source_axis=5.0, source_detector=8.0)
    >>> source, middle = cone.to_vectors().table[0, :3], cone.to_vectors().table[0, 3:6]
    >>> float(source[1]), float(middle[1])
    (-5.0, 3.0)
    """

    source_axis: float = 1.0
    source_detector: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.midplane()  # which checks the distances

    @property
    def magnification(self) -> float:
        return self.source_detector / self.source_axis

    def default_grid(self) -> VolumeGrid:
        grid = super().default_grid()
        below, aside = (self.source_axis * abs(f(self.tilt_rad)) for f in (math.sin, math.cos))
        if grid.shape[0] * grid.voxel / 2 + abs(grid.center[2]) <= below:
            return grid
        within = max(1, min(grid.shape[1], math.floor((1 - 1e-9) * math.sqrt(2) * aside / grid.voxel)))
        return replace(grid, shape=(grid.shape[0], within, within))

    def midplane(self) -> FanBeam:
        return FanBeam(self.angles_rad, self.detector.row, self.unit, self.source_axis, self.source_detector)

    def to_vectors(self) -> ViewVectors:
        beam, e_u, e_v = self.frames()
        behind = (self.source_detector - self.source_axis) * beam
        return _vectors(self, -self.source_axis * beam, behind, e_u, e_v, diverging=True)


def _vectors(
    geometry: Geometry3D, start: Array, foot: Array, e_u: Array, e_v: Array, *, diverging: bool
) -> ViewVectors:
    """Move the middle of the panel from the central ray's ``foot`` to its place, and scale the axes to pixels."""
    panel = geometry.detector
    middle = foot + panel.offset[1] * e_u + panel.offset[0] * e_v
    table = np.concatenate((start, middle, panel.pitch[1] * e_u, panel.pitch[0] * e_v), axis=1)
    return ViewVectors(table, panel.rows, panel.cols, diverging=diverging, unit=geometry.unit)


KIND_OF: dict[type[Geometry3D], str] = {ParallelBeam3D: "parallel-3d", ConeBeam: "cone"}


def geometry3d_from_dict(fields: dict[str, Any]) -> Geometry3D | ViewVectors:
    """Rebuild a geometry from ``to_dict`` (angles in degrees): of kind "parallel-3d", "cone" or "vectors".

    Raises GeometryError that names a missing, unknown or impossible field.
    """
    known = {kind: cls for cls, kind in KIND_OF.items()}
    kind = fields.get("kind")
    if kind not in (*known, ViewVectors.kind):
        names = sorted((*known, ViewVectors.kind))
        raise GeometryError("geometry", expected=f"kind: one of {names}", got=repr(kind), do="Name the kind.")
    try:
        return ViewVectors.from_dict(fields) if kind == ViewVectors.kind else _named(known[kind], fields)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, GeometryError):
            raise
        raise GeometryError(
            "geometry",
            expected="angles_deg, detector {rows, cols, pitch, offset}, unit, tilt_deg, roll_deg; "
            "cone: source_axis, source_detector",
            got=f"{type(error).__name__}: {error}",
            do="Mend the JSON fields.",
        ) from error


def _named(cls: type[Geometry3D], fields: dict[str, Any]) -> Geometry3D:
    panel: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields["detector"].items()}
    angles = tuple(math.radians(float(a)) for a in fields["angles_deg"])
    tilt, roll = (math.radians(float(fields.get(name, 0.0))) for name in ("tilt_deg", "roll_deg"))
    taken = ("kind", "detector", "angles_deg", "tilt_deg", "roll_deg")
    rest: dict[str, Any] = {k: v for k, v in fields.items() if k not in taken}
    return cls(angles, FlatPanel(**panel), tilt_rad=tilt, roll_rad=roll, **rest)

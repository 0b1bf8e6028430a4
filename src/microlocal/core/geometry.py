"""Measurement geometries of planar tomography: which line each detector pixel sees.

A line is (φ, s) = {x cos φ + y sin φ = s}, with x right and y up. At view angle t the detector axis is
(cos t, sin t) and the central ray runs along (-sin t, cos t):

    parallel:  φ = t,       s = u
    fan:       φ = t - γ,   s = R sin γ,   tan γ = u / D

with u the detector coordinate, R the distance source-axis and D the distance source-detector; the fan's source is at
R (sin t, -cos t), and R → ∞ gives back the parallel beam. On a detector curved around the source u is the length of
the arc, γ = u / D. All maps are inverted by ``locate``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import index
from typing import Any, Literal, SupportsIndex, TypeVar

import numpy as np
from numpy.typing import NDArray

from microlocal.core.checks import finite_numbers, is_finite, numbers_of
from microlocal.core.errors import GeometryError
from microlocal.core.grid import Grid

Array = NDArray[np.float64]
Same = TypeVar("Same", bound="Geometry")

# A detector moved by more than this part of its width sees one side of the object at a time, and needs a whole turn;
# by less it is an axis that is a little off, and grids stay as they are.
ASIDE = 0.25
WHOLE_TURN_RAD = math.radians(350.0)
# So many gaps at the end of an arc say how densely its views stand there.
NEAR = 5


@dataclass(frozen=True)
class Detector:
    """A row of ``count`` pixels of width ``pitch``; pixel d sits at u = ±(d - (count-1)/2) pitch + offset.

    ``offset`` (in length units) moves the middle of the detector away from the central ray; ``reversed`` flips the
    order of the pixels. Raises GeometryError for numbers that no detector has.
    """

    count: int
    pitch: float
    offset: float = 0.0
    reversed: bool = False

    def __post_init__(self) -> None:
        whole = isinstance(self.count, SupportsIndex) and self.count >= 1
        if not (whole and is_finite(self.pitch) and self.pitch > 0 and is_finite(self.offset)):
            expected = "a whole count >= 1, pitch > 0 and a finite offset"
            raise GeometryError("Detector", expected=expected, got=str(self), do="Mend the detector.")
        object.__setattr__(self, "count", index(self.count))

    def positions(self) -> Array:
        """Return u of every pixel centre, shape (count,), in the geometry's unit."""
        sign = -1.0 if self.reversed else 1.0
        pixels = np.arange(self.count, dtype=np.float64)
        return sign * (pixels - (self.count - 1) / 2) * self.pitch + self.offset

    @property
    def edges(self) -> tuple[float, float]:
        """The outer edges (lowest, highest u) of the detector."""
        half = self.count * self.pitch / 2
        return self.offset - half, self.offset + half


@dataclass(frozen=True)
class Geometry(ABC):
    """View angles in radians, any sequence of numbers, and a detector; subclasses say which lines they see."""

    angles_rad: tuple[float, ...]
    detector: Detector
    unit: str = "mm"

    def __post_init__(self) -> None:
        object.__setattr__(self, "angles_rad", view_angles(self.angles_rad, type(self).__name__))

    @property
    def angles(self) -> Array:
        """The view angles as an array (angle,), in radians."""
        return np.asarray(self.angles_rad)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (angle, detector) of the data."""
        return len(self.angles_rad), self.detector.count

    def lines(self) -> tuple[Array, Array]:
        """Return φ (radians) and s (length) of the line of every datum, both (angle, detector)."""
        return self.lines_at(self.angles[:, None], self.detector.positions()[None, :])

    @abstractmethod
    def lines_at(self, angle_rad: Array, u: Array) -> tuple[Array, Array]:
        """Return (φ, s) of the lines at view angle and detector coordinate, broadcast together."""

    @abstractmethod
    def locate(self, phi: Array, s: Array) -> tuple[Array, Array]:
        """Return the view angle and detector coordinate (t, u) that see the line (φ, s); u is nan where none can."""

    @property
    @abstractmethod
    def magnification(self) -> float:
        """The factor by which the detector sees an object at the axis of rotation enlarged."""

    def arcs(self) -> tuple[tuple[float, float], ...]:
        """Return the measured arcs (first, last) in radians: views joined where no gap is too long (``usual_gap``).

        Each arc reaches half a step beyond its outer views (``outer_step``), since a view stands for the angles nearest
        to it.
        """
        angles = np.unique(np.round(self.angles, 9))
        steps = np.diff(angles)
        usual, longest = usual_gap(steps)
        cuts = np.flatnonzero(steps > longest)
        found = []
        for first, last in zip(np.r_[0, cuts + 1], np.r_[cuts, angles.size - 1], strict=True):
            inner = steps[first:last]
            before = outer_step(-angles, -angles[first], inner, usual)
            after = outer_step(angles, angles[last], inner[::-1], usual)
            found.append((float(angles[first] - before / 2), float(angles[last] + after / 2)))
        return tuple(found)

    def default_grid(self) -> Grid:
        """Return the square grid of the field of view, at the resolution that the detector has at the axis.

        It has as many pixels a side as the detector. A detector moved by more than a quarter of its width that goes
        around (350 degrees or more) sees as far as its farther edge, and the grid reaches as far. Its corners stay
        within the orbit of a fan's source.
        """
        return Grid((self._pixels_across(),) * 2, self.detector.pitch / self.magnification, unit=self.unit)

    def _pixels_across(self) -> int:
        count, moved = self.detector.count, abs(self.detector.offset) / self.detector.pitch
        if moved <= ASIDE * count or max(last - first for first, last in self.arcs()) < WHOLE_TURN_RAD:
            return count
        return count + math.ceil(2 * moved - 1e-9)

    def select(self: Same, views: Sequence[int] | NDArray[np.int64]) -> Same:
        """Return the geometry of the chosen views only. Raises InputError for numbers of views that are none."""
        chosen = numbers_of(views, len(self.angles_rad), "views", f"{type(self).__name__}.select")
        return replace(self, angles_rad=tuple(self.angles_rad[i] for i in chosen))

    def with_offset(self: Same, offset: float) -> Same:
        """Return the geometry with the detector moved to ``offset`` (length units)."""
        return replace(self, detector=replace(self.detector, offset=offset))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values, angles in degrees as in files."""
        fields = asdict(self)
        fields["angles_deg"] = [math.degrees(a) for a in fields.pop("angles_rad")]
        return {"kind": KIND_OF[type(self)]} | fields


def view_angles(angles_rad: object, who: str) -> tuple[float, ...]:
    """Return any sequence of finite numbers as a tuple; raises GeometryError otherwise, for an empty one too."""
    angles = finite_numbers(angles_rad)
    if not angles:
        got, do = repr(angles_rad)[:80], "Give the angles in radians, as a list of numbers."
        raise GeometryError(who, expected="finite view angles, at least one", got=got, do=do)
    return angles


def usual_gap(gaps: Array) -> tuple[float, Array]:
    """Return the usual step between sorted views, and for every gap the length above which directions are missing.

    Missing is what exceeds 2.5 median steps and twice the step that 80 % of the gaps stay below: the second lets
    golden-angle scans pass, whose gaps have up to three lengths, in the ratio 1 : 1.618 : 2.618. Five gaps or more in
    a row above 2.5 median steps are a part of the scan with sparser views, and are judged among themselves; the usual
    step is then that of the sparsest part.
    """
    if not gaps.size:
        return math.radians(1.0), gaps
    usual = float(np.median(gaps))
    longest = np.full(gaps.shape, max(2.5 * usual, 2.0 * float(np.quantile(gaps, 0.8, method="lower"))))
    order = np.roll(np.arange(gaps.size), -int(gaps.argmin()))  # from a gap that is not long, since views go in circles
    long = np.flatnonzero(gaps[order] > 2.5 * usual)
    for run in np.split(order[long], np.flatnonzero(np.diff(long) > 1) + 1):
        if run.size >= 5:
            sparser, limit = usual_gap(gaps[run])
            usual, longest[run] = max(usual, sparser), np.maximum(longest[run], limit)
    return usual, longest


def outer_step(angles: Array, end: float, inner: Array, usual: float) -> float:
    """Return the step by which an arc goes on beyond its last view at ``end``, half of which counts as measured.

    It is that of the views near to the end, ``inner`` being the arc's gaps from there inwards, and at most the usual
    one of the scan; but the usual one where the next of all ``angles`` comes within it, seen along the same lines: so
    a half turn closes in a step of its sparsest part, and a full turn.
    """
    period = math.pi if inner.sum() < math.pi - 1e-9 else 2 * math.pi
    ahead = (angles - end) % period
    ahead = ahead[(ahead > 1e-8) & (ahead < period - 1e-8)]
    if not inner.size or (ahead.size and ahead.min() <= usual * (1 + 1e-6)):
        return usual
    return min(usual, float(np.median(inner[:NEAR])))


@dataclass(frozen=True)
class ParallelBeam(Geometry):
    """Parallel rays: view t, detector coordinate u sees the line φ = t, s = u.

    >>> ParallelBeam((0.0,), Detector(3, 1.0)).lines()[1].tolist()
    [[-1.0, 0.0, 1.0]]
    """

    def lines_at(self, angle_rad: Array, u: Array) -> tuple[Array, Array]:
        phi, s = np.broadcast_arrays(angle_rad, u)
        return phi, s

    def locate(self, phi: Array, s: Array) -> tuple[Array, Array]:
        return phi, s

    @property
    def magnification(self) -> float:
        return 1.0


@dataclass(frozen=True)
class FanBeam(Geometry):
    """Rays from a point source to a flat detector, or to one curved around the source.

    Parameters: ``source_axis`` R, the distance from the source to the axis of rotation; ``source_detector`` D, from
    the source to the detector; both in ``unit``, 0 < R < D; ``detector_shape``, "flat" (pixels equally spaced along a
    line, tan γ = u/D) or "arc" (equally spaced in angle on the circle of radius D around the source, γ = u/D).

    >>> fan = FanBeam((0.0,), Detector(1, 1.0, offset=5.0), source_axis=10.0, source_detector=20.0)
    >>> [round(v.item(), 6) for v in fan.locate(*fan.lines())]
    [0.0, 5.0]
    """

    source_axis: float = 1.0
    source_detector: float = 2.0
    detector_shape: Literal["flat", "arc"] = "flat"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = is_finite(self.source_axis) and is_finite(self.source_detector)
        if not (known and 0 < self.source_axis < self.source_detector):
            raise GeometryError(
                "FanBeam",
                expected="0 < source_axis < source_detector",
                got=f"source_axis = {self.source_axis}, source_detector = {self.source_detector}",
                do="Give both distances from the source, in the same unit.",
            )
        if self.detector_shape not in ("flat", "arc"):
            got = f"detector_shape = {self.detector_shape!r}"
            raise GeometryError("FanBeam", expected="'flat' or 'arc'", got=got, do="Say how the detector is bent.")
        reach = max(map(abs, self.detector.edges)) / self.source_detector
        if self.curved and reach >= math.pi / 2:
            got = f"{math.degrees(reach):.1f} degrees"
            raise GeometryError(
                "FanBeam",
                expected="an arc within 90 degrees of the central ray",
                got=got,
                do="Give the pixel pitch along the arc as a length, not as an angle.",
            )

    @property
    def curved(self) -> bool:
        """Whether the detector is an arc around the source."""
        return self.detector_shape == "arc"

    def fan_angle(self, u: Array) -> Array:
        """Return γ (radians) of the rays that land at ``u``."""
        ratio = np.asarray(u) / self.source_detector
        return ratio if self.curved else np.arctan(ratio)

    def landing(self, gamma: Array) -> Array:
        """Return the coordinate u at which the rays of fan angle ``gamma`` land: the inverse of ``fan_angle``."""
        return self.source_detector * (np.asarray(gamma) if self.curved else np.tan(gamma))

    def _pixels_across(self) -> int:
        within = math.floor((1 - 1e-9) * math.sqrt(2) * self.source_detector / self.detector.pitch)
        return max(1, min(super()._pixels_across(), within))

    def lines_at(self, angle_rad: Array, u: Array) -> tuple[Array, Array]:
        gamma = self.fan_angle(u)
        phi, s = np.broadcast_arrays(angle_rad - gamma, self.source_axis * np.sin(gamma))
        return phi, s

    def locate(self, phi: Array, s: Array) -> tuple[Array, Array]:
        ratio = s / self.source_axis
        gamma = np.arcsin(np.where(np.abs(ratio) < 1, ratio, np.nan))
        return phi + gamma, self.landing(gamma)

    @property
    def magnification(self) -> float:
        return self.source_detector / self.source_axis


KIND_OF: dict[type[Geometry], str] = {ParallelBeam: "parallel", FanBeam: "fan"}


def turned_geometry(geometry: Same, angle_rad: float) -> Same:
    """Return the geometry that measures of an image turned by ``angle_rad`` what ``geometry`` measures of the image."""
    return replace(geometry, angles_rad=tuple(a + angle_rad for a in geometry.angles_rad))


def geometry_from_dict(fields: dict[str, Any]) -> Geometry:
    """Rebuild a geometry from ``Geometry.to_dict`` (or a user's JSON of the same form; angles in degrees).

    Raises GeometryError that names a missing, unknown or impossible field.
    """
    known = {kind: cls for cls, kind in KIND_OF.items()}
    kind = fields.get("kind")
    if kind not in known:
        raise GeometryError("geometry", expected=f"kind: one of {sorted(known)}", got=repr(kind), do="Name the kind.")
    try:
        detector = Detector(**fields["detector"])
        angles = tuple(math.radians(float(a)) for a in fields["angles_deg"])
        rest = {k: v for k, v in fields.items() if k not in ("kind", "detector", "angles_deg")}
        return known[kind](angles, detector, **rest)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, GeometryError):
            raise
        raise GeometryError(
            "geometry",
            expected="angles_deg, detector {count, pitch, offset, reversed}, unit; "
            "fan: source_axis, source_detector, detector_shape",
            got=f"{type(error).__name__}: {error}",
            do="Mend the JSON fields (docs/scan-files.md shows one of each kind).",
        ) from error

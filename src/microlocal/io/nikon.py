"""Nikon (X-Tek) cone-beam scans: an .xtekct file of keys and values, and one TIFF a projection.

The file's frame is that of the resting source: the source in the origin, the axis of rotation at x = -ObjectOffsetX and
y = SrcToObject, the panel at y = SrcToDetector with its middle at x = -DetectorOffsetX and z = DetectorOffsetY. The
first row of a picture is its uppermost; its columns run towards -x. The object turns by

    180° - InitialAngle - k AngularStep    counter-clockwise, seen from above, at view k,

so that here view k stands at InitialAngle + k AngularStep - 180°, rows and columns turned over. The axis leans by
ObjectRoll towards x and by ObjectTilt away from the source; older files say where it meets the panel's upper and lower
end (CentreOfRotationTop, CentreOfRotationBottom, as ObjectOffsetX times the magnification).

A projection is -log(counts / WhiteLevel). Reference for keys and signs: the reader of the Core Imaging Library
(Jørgensen et al. 2021); it leaves DetectorOffsetX and Y aside, which are zero in most files, and here count.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from microlocal.core.errors import GeometryError, InputError, ScanFileError
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.registry import register
from microlocal.core.scan import Source
from microlocal.io.angle_files import angles_in
from microlocal.io.description import Description
from microlocal.io.projections import Flip, Projections, whole_panel
from microlocal.io.reader import guarded, head, sha256
from microlocal.io.stack_formats import tiff_stored
from microlocal.io.stored import VIEW_FIRST
from microlocal.io.tiff import pages
from microlocal.io.units import unit_name

FORM = "Nikon .xtekct file"
MARK = b"[xtekct]"
ASIDE_PIXELS = 0.1  # of an oblique panel, what is worth a sentence


@register("projection-reader", "nikon", reference="jorgensen2021")
class Nikon:
    """Nikon .xtekct (cone beam) with one TIFF a projection beside it, or the folder of both."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """A text with the section [XTekCT], or a folder that holds one such file."""
        return bool(_parameter_files(path))

    @staticmethod
    def read(path: Path, description: Description) -> Projections:
        """Return the projections; raises ScanFileError or GeometryError that names the key."""
        files = _parameter_files(path)
        if len(files) > 1:
            got = ", ".join(file.name for file in files[:4])
            raise ScanFileError(str(path), expected="one .xtekct file", got=got, do="Name the one to read.")
        with guarded(files[0], FORM):
            return _opened(Keys.of(files[0]), description)


def _opened(keys: "Keys", description: Description) -> Projections:
    pictures = _pictures(keys, keys.count("Projections"))
    angles, said = _angles(keys)
    geometry, more = _geometry(keys, angles)
    return whole_panel(
        tiff_stored(pictures[0].parent, tuple(pictures), VIEW_FIRST),
        geometry,
        source=Source(str(keys.path), "nikon", sha256([keys.path]), dict(keys.values)),
        warnings=(*said, *more),
        quantity="counts",
        white=keys.number("WhiteLevel", least=1e-12),
        flip=Flip(True, True),
        own_grid=description.grid,
    )


def _parameter_files(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return sorted(p for p in path.iterdir() if p.suffix.lower() == ".xtekct" and _is_parameters(p))
    except OSError:
        return []
    return [path] if _is_parameters(path) else []


def _is_parameters(path: Path) -> bool:
    return MARK in head(path, 4096).lower()


@dataclass(frozen=True)
class Keys:
    """The section [XTekCT]: values by name, as text."""

    path: Path
    values: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> "Keys":
        """Read a file; what is no key with a value is left aside."""
        values, inside = {}, False
        for line in path.read_bytes().decode("utf-8-sig", "replace").splitlines():
            text = line.strip()
            if text.startswith("[") and text.endswith("]"):
                inside = text.lower() == MARK.decode()
            elif inside and "=" in text:
                name, _, value = text.partition("=")
                values[name.strip()] = value.strip()
        return cls(path, values)

    def number(self, name: str, default: float | None = None, least: float = -math.inf) -> float:
        """Return a finite number of at least ``least``; raises ScanFileError where there is none."""
        text = self.values.get(name, "")
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= least):
            expected = f"{name} = a number" + (" above 0" if least > 0 else "")
            got = repr(text[:60]) if text else "none"
            raise ScanFileError(str(self.path), expected=expected, got=got, do=f"Mend {name} in the file.")
        return value

    def count(self, name: str) -> int:
        """Return a whole number above zero; raises ScanFileError where there is none."""
        value = self.number(name, least=1)
        if value != int(value) or value > 1 << 24:
            got = self.values[name][:60]
            raise ScanFileError(str(self.path), expected=f"{name} = a whole number", got=got, do="Mend it.")
        return int(value)


def _geometry(keys: Keys, angles_deg: Float[np.ndarray, " angle"]) -> tuple[ConeBeam, tuple[str, ...]]:
    """Return the cone beam of the keys, and what was assumed."""
    axis, panel = keys.number("SrcToObject", least=1e-9), keys.number("SrcToDetector", least=1e-9)
    pitch = keys.number("DetectorPixelSizeY", least=1e-12), keys.number("DetectorPixelSizeX", least=1e-12)
    rows, cols = keys.count("DetectorPixelsY"), keys.count("DetectorPixelsX")
    shift, roll = _axis(keys, axis / panel, rows * pitch[0])
    moved = keys.number("DetectorOffsetX", 0.0), keys.number("DetectorOffsetY", 0.0)
    offset = (moved[1], shift * panel / axis - moved[0])
    # The axis leans in the plane of the panel first, then along the beam.
    lean = math.radians(keys.number("ObjectTilt", 0.0))
    tilt = math.asin(math.sin(lean) * math.cos(roll))
    turned = math.atan2(math.sin(roll), math.cos(lean) * math.cos(roll))
    try:
        geometry = ConeBeam(
            tuple(np.radians(angles_deg).tolist()),
            FlatPanel(rows, cols, pitch, offset),
            unit=unit_name(keys.values.get("Units", "mm"), str(keys.path)),
            tilt_rad=tilt,
            roll_rad=turned,
            source_axis=axis,
            source_detector=panel,
        )
    except InputError as error:
        raise GeometryError(str(keys.path), expected=error.expected, got=error.got, do=error.do) from error
    return geometry, (*_said_of_offsets(moved), *_said_of_the_panel(geometry, shift))


def _axis(keys: Keys, scale: float, height: float) -> tuple[float, float]:
    """Return how far the axis of rotation stands aside, as ObjectOffsetX, and its roll in radians."""
    top, bottom = keys.number("CentreOfRotationTop", 0.0), keys.number("CentreOfRotationBottom", 0.0)
    shift = keys.number("ObjectOffsetX", (top + bottom) / 2 * scale)
    roll = keys.number("ObjectRoll", math.degrees(math.atan2(bottom - top, height)))
    return shift, math.radians(roll)


def _said_of_offsets(moved: tuple[float, float]) -> tuple[str, ...]:
    if moved == (0.0, 0.0):
        return ()
    told = f"DetectorOffsetX = {moved[0]:g} and DetectorOffsetY = {moved[1]:g}"
    return (f"{told} are taken as a move of the panel along the picture's columns and upwards.",)


def _said_of_the_panel(geometry: ConeBeam, shift: float) -> tuple[str, ...]:
    """Say how far pixels are misplaced where the axis stands aside: the panel is taken as square to source and axis."""
    half = max(map(abs, geometry.midplane().detector.edges))
    slope = abs(shift) / geometry.source_axis
    off = slope * half**2 / geometry.source_detector / geometry.detector.pitch[1]
    if off < ASIDE_PIXELS:
        return ()
    turned = math.degrees(math.atan(slope))
    told = f"The axis of rotation stands {abs(shift):.4g} {geometry.unit} beside the middle of the beam"
    return (
        f"{told}: the panel is taken as square to the line from source to axis, {turned:.2g}° from where it stands, "
        f"which misplaces its outermost pixels by {off:.2g} of a pixel.",
    )


def _angles(keys: Keys) -> tuple[Float[np.ndarray, " angle"], tuple[str, ...]]:
    """Return the view angles in degrees: by AngularStep, or those of a list where there is no step."""
    count = keys.count("Projections")
    first = keys.number("InitialAngle", 0.0) - 180.0
    listed = _listed(keys, count)
    if not keys.values.get("AngularStep"):
        if listed is None:
            do = "Add AngularStep, or the file of the angles (_ctdata.txt or .ang)."
            raise ScanFileError(str(keys.path), expected="AngularStep", got="none", do=do)
        return first + listed[1], (f"There is no AngularStep: the angles are those in {listed[0].name}.",)
    step = keys.number("AngularStep")
    if step == 0.0:
        raise ScanFileError(str(keys.path), expected="AngularStep other than 0", got="0", do="Mend it in the file.")
    even = step * np.arange(count)
    said: tuple[str, ...] = ()
    if listed is not None:
        off = float(np.abs(np.abs(listed[1] - listed[1][0]) - np.abs(even)).max())
        if off > abs(step) / 2:
            said = (
                f"{listed[0].name} lists other angles, up to {off:.3g}° off: the even steps of the .xtekct file are "
                "taken. --angle-file takes the list.",
            )
    return first + even, said


def _listed(keys: Keys, count: int) -> tuple[Path, Float[np.ndarray, " angle"]] | None:
    """Return the file of the angles beside the keys and what it lists, None where there is none for all views."""
    folder, name = keys.path.parent, keys.values.get("Name", keys.path.stem)
    for path in (folder / f"{name}.ang", folder / "_ctdata.txt", folder / f"{name}_ctdata.txt"):
        if path.is_file():
            found = angles_in(path)
            if found.size == count:
                return path, found
    return None


def _pictures(keys: Keys, count: int) -> list[Path]:
    """Return the files of the projections in their order; raises ScanFileError for another number of them."""
    inner = keys.values.get("InputFolderName", "").replace("\\", "/")
    folder = keys.path.parent / inner if inner and (keys.path.parent / inner).is_dir() else keys.path.parent
    found = pages(folder)
    start = keys.values.get("Name", "") + (keys.values.get("InputSeparator") or "_")
    numbered = re.compile(re.escape(start) + r"\d+\.tiff?", re.IGNORECASE)
    named = [path for path in found if numbered.fullmatch(path.name)] or found
    if len(named) != count:
        expected = f"{count} projections (TIFF) in {folder}, as Projections says"
        do = "Put all pictures beside the .xtekct file, and nothing else."
        raise ScanFileError(str(keys.path), expected=expected, got=str(len(named)), do=do)
    return named

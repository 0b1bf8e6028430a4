"""Arrays that hold the projections of a volume (TIFF, NPY, NPZ), and the one door to all readers of projections."""

from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np

from microlocal.core.errors import ScanFileError
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.registry import register, registered
from microlocal.core.scan import Source
from microlocal.io.angle_files import angles_in
from microlocal.io.description import FLIPS, NAMES, Description, describes_volume, find_description
from microlocal.io.nikon import Nikon
from microlocal.io.npz import archive_names, is_numpy, load_array
from microlocal.io.own_projections import OwnProjections
from microlocal.io.projections import NEEDS_FLATS, Projections, whole_panel
from microlocal.io.read import check_exists, seen
from microlocal.io.reader import OWN_MARK, sha256
from microlocal.io.stack_formats import npy_stored, tiff_stored
from microlocal.io.stored import VIEW_FIRST, HeldStored, Stored
from microlocal.io.tiff import is_tiff, load_frames, pages
from microlocal.io.units import unit_name

NO_DARKS = "No dark frames: the dark level is taken as zero."
SMALL = 64 << 20  # bytes of files of which the SHA-256 is of all of them


@runtime_checkable
class ProjectionReader(Protocol):
    """One format of projections: ``sniff`` looks at the content only and never raises; ``read`` describes them."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """Whether the content of ``path`` (a file or a folder) is of this format."""

    @staticmethod
    def read(path: Path, description: Description) -> Projections:
        """Return the projections in ``path``; raises ScanFileError or GeometryError."""


@register("projection-reader", "tiff")
class TiffProjections:
    """TIFF projections (a folder of numbered pictures, or one file of pages) with a geometry by JSON or options."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """A TIFF file, or a folder that holds some."""
        return is_tiff(path) or bool(pages(path))

    @staticmethod
    def read(path: Path, description: Description) -> Projections:
        """Return the projections; the first row of a picture is the uppermost, unless ``flip`` says otherwise."""
        geometry = description.needed(str(path))
        files = tuple(pages(path, without=(description.flats, description.darks)) or [path])
        stored = tiff_stored(path, files, tuple(NAMES[name] for name in description.axes))
        return _described(stored, replace(description, geometry=geometry, flip=description.flip or "rows"), "tiff")


@register("projection-reader", "array")
class ArrayProjections:
    """NPY, or NPZ with data or sinogram, (angle, v, u), with a geometry by JSON or options."""

    @staticmethod
    def sniff(path: Path) -> bool:
        """An NPY file, or a ZIP archive of NPY files that is not our own."""
        return is_numpy(path) and OWN_MARK not in archive_names(path)

    @staticmethod
    def read(path: Path, description: Description) -> Projections:
        """Return the projections; rows run along v and columns along u, unless ``flip`` says otherwise."""
        description.needed(str(path))
        axes = tuple(NAMES[name] for name in description.axes)
        stored: Stored
        if archive_names(path):
            values = load_array(path)
            stored = HeldStored(path, axes, values.shape, values)
        else:
            stored = npy_stored(path, axes)
        return _described(stored, replace(description, flip=description.flip or "none"), "npz")


def open_projections(
    path: str | Path, *, geometry: str | Path | None = None, description: Description | None = None
) -> Projections:
    """Return the projections of a volume in a file or folder, whose format is found from the content.

    Only a sample of views is read. Parameters: ``path``; ``geometry``, a JSON file that describes what the data do not
    (by default ``<stem>.json`` or ``geometry.json`` beside them); ``description``, the same as an object.
    Raises ScanFileError or GeometryError that say what is missing.
    """
    target = Path(path)
    for entry in registered("projection-reader").values():
        reader = cast("ProjectionReader", entry.member)
        if reader.sniff(target):
            told = description or find_description(target, None if geometry is None else Path(geometry))
            return reader.read(target, told).looked_at()
    raise _refused(target)


def says_all(path: Path) -> bool:
    """Return whether a file or folder holds projections of a volume and says itself how they were measured."""
    return Nikon.sniff(path) or OwnProjections.sniff(path)


def holds_projections(path: str | Path) -> bool:
    """Return whether a file or folder holds projections of a volume: by itself, or as a JSON beside it says."""
    target = Path(path)
    if says_all(target):
        return True
    return (TiffProjections.sniff(target) or ArrayProjections.sniff(target)) and describes_volume(target)


def simple_cone(
    path: Path,
    *,
    distances: tuple[float, float],
    pitch: tuple[float, float],
    offset: tuple[float, float] = (0.0, 0.0),
    turn_deg: float = 360.0,
    angles: Path | None = None,
    unit: str = "mm",
    without: tuple[Path | None, ...] = (),
) -> ConeBeam:
    """Return the cone beam of projections whose numbers of views, rows and columns the files themselves show.

    Parameters: ``distances`` from the source to the axis and to the panel; ``pitch`` and ``offset`` (v, u) of the
    panel; ``turn_deg``, over which the views are spread evenly, without its end, below zero for the other direction; or
    ``angles``, a file that lists them; ``without``, files that are no projections.
    Raises ScanFileError or GeometryError.
    """
    views, rows, cols = _shape(path, without)
    listed = turn_deg * np.arange(views) / views if angles is None else angles_in(angles)
    if listed.size != views:
        do = "Give one angle a line, in degrees."
        raise ScanFileError(str(angles), expected=f"{views} angles", got=f"{listed.size} angles", do=do)
    panel = FlatPanel(rows, cols, pitch, offset)
    radians = tuple(np.radians(listed).tolist())
    return ConeBeam(radians, panel, unit_name(unit, "--unit"), source_axis=distances[0], source_detector=distances[1])


def _shape(path: Path, without: tuple[Path | None, ...]) -> tuple[int, int, int]:
    if is_numpy(path):
        shape = load_array(path).shape if archive_names(path) else npy_stored(path, ()).stored_shape
    elif TiffProjections.sniff(path):
        shape = tiff_stored(path, tuple(pages(path, without=without) or [path]), VIEW_FIRST).stored_shape
    else:
        raise _refused(path)
    if len(shape) != 3:
        got = f"an array of shape {tuple(shape)}"
        raise ScanFileError(str(path), expected="projections (angle, v, u)", got=got, do="Give one picture a view.")
    return int(shape[0]), int(shape[1]), int(shape[2])


def _refused(path: Path) -> ScanFileError:
    check_exists(path)
    known = "; ".join(entry.summary.rstrip(".") for entry in registered("projection-reader").values())
    do = "Scans of slices are for microlocal reconstruct and stack (Python: read_scan, open_stack)."
    return ScanFileError(str(path), expected=f"projections of a volume ({known})", got=seen(path), do=do)


def _described(stored: Stored, description: Description, name: str) -> Projections:
    """Return the projections of an array whose geometry, quantity and frames the description has."""
    who = str(stored.path)
    if len(stored.stored_shape) != 3:
        got = f"an array of shape {tuple(stored.stored_shape)}"
        raise ScanFileError(who, expected="projections (angle, v, u)", got=got, do="Give one picture a view.")
    counts = description.quantity == "counts"
    _check_beam(description, who)
    flats, darks = (None if p is None else _frames(p, stored) for p in (description.flats, description.darks))
    return whole_panel(
        stored,
        description.needed(who),
        source=Source(who, name, _checksum(stored)),
        warnings=(NO_DARKS,) if counts and darks is None else (),
        quantity=description.quantity,
        flats=flats,
        darks=darks,
        white=description.white,
        flip=FLIPS[description.flip or "none"],
        own_grid=description.grid,
    )


def _check_beam(description: Description, who: str) -> None:
    """Refuse counts without their open beam or with two, and beams for what are no counts."""
    told = [name for name in ("flats", "darks", "white") if getattr(description, name) is not None]
    if description.quantity != "counts":
        if told:
            got = f"{' and '.join(told)} for {description.quantity}"
            do = 'Say that these are counts (--quantity counts, or "quantity" in the JSON) and give flats or white.'
            raise ScanFileError(who, expected="flats, darks or white for counts only", got=got, do=do)
    elif not {"flats", "white"} & set(told):
        raise ScanFileError(who, expected="the open beam", got="counts without it", do=NEEDS_FLATS)
    elif {"flats", "white"} <= set(told):
        raise ScanFileError(who, expected="flats or white", got="both", do="Leave one of them out.")


def _frames(path: Path, stored: Stored) -> HeldStored:
    """Return flats or darks (frame, row, column); raises ScanFileError for frames of another size."""
    values = load_frames(path)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[1:] != stored.shape[::2]:
        rows, cols = stored.shape[::2]
        got = f"an array of shape {values.shape}"
        raise ScanFileError(str(path), expected=f"frames of {rows} x {cols}", got=got, do="Give matching frames.")
    return HeldStored(path, VIEW_FIRST, values.shape, np.asarray(values))


def _checksum(stored: Stored) -> str:
    """Return the SHA-256 of the files, "" where they are large: then ``Projections.fingerprint`` serves."""
    files = list(getattr(stored, "files", ())) or [stored.path]
    return sha256(files) if sum(file.stat().st_size for file in files) <= SMALL else ""

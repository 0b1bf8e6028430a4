"""Projections of a volume that stay in their files: the geometry at once, the data some views at a time.

A panel has thousands of pixels a side and a scan thousands of views, more than a memory holds. So a description is
narrowed first (views, rows, blocks of pixels), and only what is asked for is read, made line integrals, and kept.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, numbers_of
from microlocal.core.errors import InputError, ScanFileError
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.scan import Source
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import AnyGeometry3D, VolumeScan, cropped, panel_of
from microlocal.io.assemble import LARGEST, floats
from microlocal.io.counts import Flux, from_transmission, transmissions, without_logarithm
from microlocal.io.readings import sample_of
from microlocal.io.stored import Stored

NEEDS_FLATS = "Give the frames without sample (flats), or the brightness of the open beam (white)."

BAD_VIEWS = "Repair the bad pixels, or leave these views out (--angles, --every)."
REPAIRED = "Readings without positive transmission were filled in from their neighbours"

COUNTS = (
    "Line integrals up to {:.4g} leave nothing of a beam: if these are counts, give the open beam (--flats or --white)."
)

VIEWS_AT_ONCE = 16
NAMED = 8  # views in a sentence
BLACK = 100.0  # a line integral that no detector measures


class Flip(NamedTuple):
    """Which axes of the stored pictures run against v and u."""

    rows: bool = False
    cols: bool = False


UPRIGHT = Flip()


@dataclass(frozen=True, eq=False)
class Projections:
    """A scan of a volume in its files.

    Parameters: ``stored``, the numbers (angle, row, column) as the file holds them; ``geometry`` of what ``frames``
    gives, after all that follows; ``source``; ``warnings``, sentences; ``quantity``, "line integrals", "transmission"
    or "counts", with ``flats`` and ``darks`` (frames) or ``white``, the counts of the open beam; ``flip``; ``numbers``
    of the views in the file; ``rows`` and ``cols`` of the panel, counted along v and u; ``binning``, the side of the
    blocks of pixels that are joined; ``own_grid``, the volume that the file names. ``repaired`` gathers the numbers of
    the views of which readings had to be filled in, in whatever part they were read.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from microlocal.core import ConeBeam, FlatPanel
    >>> from microlocal.io.stored import HeldStored
    >>> cone = ConeBeam((0.0, 1.0), FlatPanel(2, 4, (1.0, 1.0)), source_axis=9.0, source_detector=12.0)
    >>> held = HeldStored(Path("memory"), ("angle", "slice", "detector"), (2, 2, 4), np.ones((2, 2, 4)))
    >>> whole_panel(held, cone).binned(2).frames(range(1)).tolist()
    [[[1.0, 1.0]]]
    """

    stored: Stored
    geometry: AnyGeometry3D
    rows: range
    cols: range
    numbers: tuple[int, ...]
    source: Source = field(default_factory=Source)
    warnings: tuple[str, ...] = ()
    quantity: str = "line integrals"
    flats: Stored | None = None
    darks: Stored | None = None
    white: float | None = None
    flip: Flip = UPRIGHT
    binning: int = 1
    own_grid: VolumeGrid | None = None
    repaired: set[int] = field(default_factory=set)

    @property
    def grid(self) -> VolumeGrid:
        """The volume that the file names, or the field of view; raises InputError where views stand anywhere."""
        if self.own_grid is not None:
            return self.own_grid
        if isinstance(self.geometry, Geometry3D):
            return self.geometry.default_grid()
        do = 'Name it: "grid" in the JSON, or --size and --voxel of microlocal volume.'
        raise InputError(self.source.path, expected="a grid of the volume", got="views of any kind", do=do)

    @property
    def who(self) -> str:
        """The file, for messages."""
        return self.source.path or str(self.stored.path)

    def binned(self, side: int) -> "Projections":
        """Return the projections with blocks of ``side`` x ``side`` pixels joined; what is left at the ends is dropped.

        Counts are joined before their logarithm is taken, as a detector with larger pixels would; a volume that the
        file names gets larger voxels.
        """
        at_least(side, 1, "binning", "Projections.binned")
        sizes = panel_of(self.geometry)
        smaller = cropped(self.geometry, range(sizes[0]), range(sizes[1]), side)
        kept = [range(part.start, part.start + n // side * side * self.binning) for part, n in self._parts()]
        grid = None if self.own_grid is None else self.own_grid.coarser(side)
        return replace(self, geometry=smaller, rows=kept[0], cols=kept[1], binning=self.binning * side, own_grid=grid)

    def band(self, rows: range) -> "Projections":
        """Return the projections of some rows of the panel, counted along v."""
        smaller = cropped(self.geometry, rows, range(panel_of(self.geometry)[1]))
        first = self.rows.start + rows.start * self.binning
        return replace(self, geometry=smaller, rows=range(first, first + len(rows) * self.binning))

    def select(self, views: Sequence[int] | NDArray[np.int64]) -> "Projections":
        """Return the projections of the chosen views only; raises InputError for views that are none."""
        chosen = numbers_of(views, len(self.numbers), "views", "Projections.select")
        if chosen.size == 0:
            raise InputError("Projections.select", expected="at least one view", got="none", do="Choose others.")
        numbers = tuple(self.numbers[i] for i in chosen)
        return replace(self, geometry=self.geometry.select(chosen), numbers=numbers)

    def frames(self, chosen: range) -> Float[Tensor, "view v u"]:
        """Return the line integrals of these views; raises ScanFileError for readings that cannot be used."""
        return torch.from_numpy(np.ascontiguousarray(self._read(chosen)[0], dtype=np.float32))

    def frames_of_all(self) -> Float[Tensor, "view v u"]:
        """Return the line integrals of all views, read a few at a time: whole pictures may be much larger."""
        found = torch.empty(self.geometry.shape)
        for first in range(0, len(found), VIEWS_AT_ONCE):
            chosen = range(first, min(first + VIEWS_AT_ONCE, len(found)))
            found[first : first + len(chosen)] = self.frames(chosen)
        return found

    def load(self) -> VolumeScan:
        """Return all of it in memory."""
        data = self.frames_of_all()
        return VolumeScan(data, self.geometry, self.grid, self.source, self.warnings)

    def looked_at(self) -> "Projections":
        """Return the projections with sentences on what was repaired in a sample of views; raises ScanFileError.

        Raises it also where all that was looked at has one value: nothing was measured.
        """
        said: dict[str, None] = {}
        sample = sample_of(len(self.numbers))
        least, most = np.inf, -np.inf
        for view in sample:
            values, told = self._looked_at(view)
            least, most = min(least, float(values.min())), max(most, float(values.max()))
            said |= dict.fromkeys(f"View {self.numbers[view]}: {sentence}" for sentence in told)
        if least == most:
            do, got = "Nothing was measured: look at the files.", f"the one value {least:g} in {len(sample)} views"
            raise ScanFileError(self.who, expected="projections that vary", got=got, do=do)
        if self.quantity == "line integrals" and most > BLACK:
            said[COUNTS.format(most)] = None
        return replace(self, warnings=(*self.warnings, *said))

    def said_of_repairs(self) -> tuple[str, ...]:
        """Say in which of the views that were read so far readings were filled in."""
        numbers = [str(number) for number in sorted(self.repaired)]
        if not numbers:
            return ()
        named = ", ".join(numbers[:NAMED]) + (", …" if len(numbers) > NAMED else "")
        return (f"{REPAIRED} in {len(numbers)} of {len(self.numbers)} views: {named}.",)

    def fingerprint(self) -> str:
        """Return a SHA-256 of geometry and the stored bytes of up to eight views: which data these are."""
        digest = hashlib.sha256(json.dumps([self.stored.shape, self.geometry.to_dict()]).encode())
        for view in sample_of(len(self.numbers)):
            number = self.numbers[view]
            digest.update(self.stored.frames(number, number + 1).tobytes())
        return digest.hexdigest()

    def _parts(self) -> tuple[tuple[range, int], tuple[range, int]]:
        rows, cols = panel_of(self.geometry)
        return (self.rows, rows), (self.cols, cols)

    def _read(self, chosen: range) -> tuple[Float[np.ndarray, "view v u"], tuple[str, ...]]:
        numbers = [self.numbers[i] for i in chosen]
        raw = np.concatenate([self._joined(self.stored.frames(a, b, self._rows)) for a, b in _runs(numbers)])
        values, said = self._converted(raw, numbers)
        finite = np.isfinite(values)
        if not finite.all():
            views = ", ".join(str(numbers[k]) for k in np.flatnonzero(~finite.all(axis=(1, 2))))
            got = f"{np.count_nonzero(~finite)} NaN or infinite of {values.size}, in view {views} (from 0)"
            raise ScanFileError(self.who, expected="finite data", got=got, do=BAD_VIEWS)
        if float(np.abs(values).max()) > LARGEST:
            got = f"values beyond {LARGEST:g}"
            raise ScanFileError(self.who, expected="finite data", got=got, do=BAD_VIEWS)
        return values, said

    def _converted(
        self, raw: Float[np.ndarray, "view v u"], numbers: Sequence[int]
    ) -> tuple[Float[np.ndarray, "view v u"], tuple[str, ...]]:
        if self.quantity == "line integrals":
            return raw, ()
        transmission, dead = raw, None
        if self.quantity == "counts":
            if self.flats is None and self.white is None:
                raise ScanFileError(self.who, expected="the open beam", got="counts without it", do=NEEDS_FLATS)
            transmission, dead = transmissions(raw, self._flux, self.who)
        values, said = from_transmission(transmission, dead, self.who)
        if said:
            lost = without_logarithm(transmission) & ~np.asarray(False if dead is None else dead)
            self.repaired.update(numbers[int(k)] for k in np.flatnonzero(lost.any(axis=(1, 2))))
        return values, said

    def _looked_at(self, view: int) -> tuple[Float[np.ndarray, "view v u"], tuple[str, ...]]:
        """Return a view and what was repaired, or all that are read with it: one that is lost is made from others."""
        try:
            return self._read(range(view, view + 1))
        except ScanFileError:
            first = view // VIEWS_AT_ONCE * VIEWS_AT_ONCE
            return self._read(range(first, min(first + VIEWS_AT_ONCE, len(self.numbers))))

    @cached_property
    def _flux(self) -> Flux:
        flat, dark = self._mean(self.flats), self._mean(self.darks)
        shape = panel_of(self.geometry)
        dark = np.zeros(shape) if dark is None else dark
        return Flux(np.full(shape, float(self.white or 0.0)) if flat is None else flat, dark)

    def _mean(self, frames: Stored | None) -> Float[np.ndarray, "v u"] | None:
        if frames is None:
            return None
        count = frames.shape[1]
        return np.asarray(sum(self._joined(frames.frames(k, k + 1, self._rows))[0] for k in range(count)) / count)

    @property
    def _rows(self) -> slice:
        """The rows of the pictures that the part of the panel lies in."""
        first, last, count = self.rows.start, self.rows.stop, self.stored.shape[0]
        return slice(count - last, count - first) if self.flip.rows else slice(first, last)

    def _joined(self, frames: Shaped[np.ndarray, "view row col"]) -> Float[np.ndarray, "view v u"]:
        """Return stored rows of frames as floats along v and u, in blocks."""
        rows, cols = (-1 if turned else 1 for turned in self.flip)
        part = frames[:, ::rows, ::cols][:, :, self.cols.start : self.cols.stop]
        if self.binning == 1:
            return floats(part, self.who)
        k, (height, width) = self.binning, panel_of(self.geometry)
        blocks = floats(part, self.who).reshape(len(part), height, k, width, k)
        return np.asarray(blocks.mean(axis=(2, 4)))


def whole_panel(stored: Stored, geometry: AnyGeometry3D, **facts: object) -> Projections:
    """Return all that is stored as projections; raises ScanFileError where numbers and geometry do not fit."""
    rows, views, cols = stored.shape
    if (views, rows, cols) != geometry.shape:
        expected = "(angle, v, u) = ({}, {}, {}), as the geometry says".format(*geometry.shape)
        got = f"({views}, {rows}, {cols})"
        do = "Mend rows, columns or angles of the geometry, or the order of the axes."
        raise ScanFileError(str(stored.path), expected=expected, got=got, do=do)
    return Projections(stored, geometry, range(rows), range(cols), tuple(range(views)), **facts)  # type: ignore[arg-type]


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the numbers as runs (first, last + 1) of neighbours, in their order.

    >>> _runs([3, 4, 5, 9])
    [(3, 6), (9, 10)]
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs

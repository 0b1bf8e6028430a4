"""A stack to be reconstructed, block by block: all that a process needs in order to take its share.

Choices that would differ from slice to slice are made once for the whole stack (axis of rotation, weight), so that
all slices are treated alike and no slice depends on who computes it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from microlocal.calibration.center import with_center
from microlocal.core.arrays import to_numpy
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.io.stack import Part, Stack
from microlocal.io.volumes import Volume, digest
from microlocal.reconstruction.data_fit import fitted
from microlocal.reconstruction.journal import Journal, Row
from microlocal.reconstruction.method import Estimate, Method, Settings, interrupted
from microlocal.reconstruction.stack_claims import examined, ray_of, was_left
from microlocal.reconstruction.verdict import NETWORK, WHY, of_slice


@dataclass(frozen=True, eq=False)
class Job:
    """The work on a stack.

    Parameters: ``stack``; ``numbers`` of the slices wanted; ``method`` and its ``settings``; ``grid``;
    ``center_pixels``, the axis of rotation (None: as in the file); ``arc`` of views in degrees (None: all);
    ``residual``, what every slice is brought to afterwards (None: it stays as the method left it); ``block``, slices
    computed together; ``volume`` and ``journal`` where the results go; ``learned``, the volume of
    what a network adds, None where there is none; ``provenance``, the volume of where the pixels come from, None where
    slices are not examined.
    """

    stack: Stack
    numbers: range
    method: Method
    settings: Settings
    grid: Grid
    center_pixels: float | None
    arc: tuple[float, float] | None
    block: int
    volume: Volume
    journal: Journal
    learned: Volume | None = None
    provenance: Volume | None = None
    residual: float | None = None

    def blocks(self) -> list[range]:
        """Return the slices block by block."""
        starts = range(self.numbers.start, self.numbers.stop, self.block)
        return [range(k, min(k + self.block, self.numbers.stop)) for k in starts]

    def intact(self, rows: dict[int, Row]) -> set[int]:
        """Return the slices among ``rows`` whose pixels, in all volumes, are those that were written."""
        return {k for k, row in rows.items() if all(_holds(*pair, k - self.numbers.start) for pair in self.marked(row))}

    def marked(self, row: Row) -> list[tuple[Volume, str]]:
        """Return each volume with what the row says is the SHA-256 of its slice."""
        pairs = (self.volume, row.sha256), (self.learned, row.learned_sha256), (self.provenance, row.provenance_sha256)
        return [(volume, mark) for volume, mark in pairs if volume is not None]


def prepared(part: Part, center_pixels: float | None, arc: tuple[float, float] | None) -> Part:
    """Return a part of a stack with its axis of rotation and the views of an arc."""
    scan = part.scan
    if scan is not None and center_pixels is not None:
        scan = with_center(scan, center_pixels)
    return replace(part, scan=scan if scan is None or arc is None else scan.arc(*arc))


def run_block(job: Job, numbers: range) -> tuple[Row, ...]:
    """Reconstruct some slices, write them, then record them in the journal; return what became of each.

    Raises KeyboardInterrupt when the method was interrupted, OutputError where nothing can be written, and whatever
    the method raises.
    """
    began = time.monotonic()
    part = prepared(job.stack.block(numbers), job.center_pixels, job.arc)
    rows = [Row(number, error=fault) for number, fault in part.refused.items()]
    if part.scan is not None:
        found = job.method(part.scan, job.grid, job.settings)
        last = found
        if job.residual is not None:
            last = fitted(found, ray_of(part.scan.geometry, job.grid), part.scan.data, job.residual)
        if interrupted(last.config):
            raise KeyboardInterrupt
        done = [_written(job, row, last, k) for k, row in enumerate(_told(job, part.scan, part.numbers, found, last))]
        seconds = (time.monotonic() - began) / len(done)
        rows += [replace(row, seconds=seconds) for row in done]
    job.journal.write(numbers, rows)
    return tuple(rows)


def _told(job: Job, scan: Scan, numbers: tuple[int, ...], found: Estimate, last: Estimate) -> Iterator[Row]:
    """Yield the rows of slices, with their provenance written where the job has it, one after the other.

    ``last`` is what the method ``found``, brought nearer to the data where that was asked.
    """
    data = found.correct(scan.data)
    before = residuals = relative_residuals(data, scan, job.grid, last.image)
    if last is not found and found.learned is not None:
        before = relative_residuals(data, scan, job.grid, found.image)
    growths = _growths(data, scan, job.grid, found, before)
    for k, (number, residual, growth) in enumerate(zip(numbers, residuals, growths, strict=True)):
        config = of_slice(found.config, k)
        row = Row(number, residual, network=str(config.get(NETWORK, "")), why=str(config.get(WHY, "")))
        if job.provenance is not None:
            known = examined(found, last, data, scan.geometry, job.grid, k)
            mark = _put(job.provenance, number - job.numbers.start, known.provenance)
            row = replace(row, provenance=known.shares(), certificates=known.fields(), provenance_sha256=mark)
        yield replace(row, growth=None if was_left(config) else growth)


def _written(job: Job, row: Row, estimate: Estimate, k: int) -> Row:
    """Write slice ``k`` of an estimate into the volumes; return its row with their checksums."""
    place, image = row.slice - job.numbers.start, estimate.image[k]
    if job.learned is not None:
        added = torch.zeros_like(image) if estimate.learned is None else estimate.learned[k]
        row = replace(row, learned_sha256=_put(job.learned, place, added))
    return replace(row, sha256=_put(job.volume, place, image))


def _put(volume: Volume, place: int, values: Shaped[Tensor, "row col"]) -> str:
    """Write a slice as float32, or its codes as they are; return its SHA-256."""
    array = to_numpy(values)
    array = array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)
    volume.write(place, array)
    return digest(array)


def _holds(volume: Volume, mark: str, place: int) -> bool:
    return digest(volume.read(place)) == mark


def relative_residuals(
    data: Float[Tensor, "slice angle detector"], scan: Scan, grid: Grid, image: Float[Tensor, "slice row col"]
) -> list[float]:
    """Return |R f - g|/|g| of every slice, with the data as the method corrected them."""
    gap = ray_of(scan.geometry, grid)(image) - data
    return [float(value) for value in _norms(gap) / _norms(data).clamp_min(1e-30)]


def _growths(
    data: Tensor, scan: Scan, grid: Grid, estimate: Estimate, residuals: list[float]
) -> Sequence[float | None]:
    """Return |R f - g| / |R f* - g| - 1 of every slice, f* the image without what a network added to it."""
    if estimate.learned is None:
        return [None] * len(residuals)
    before = relative_residuals(data, scan, grid, estimate.image - estimate.learned)
    return [after / max(first, 1e-30) - 1 for after, first in zip(residuals, before, strict=True)]


def _norms(data: Float[Tensor, "slice angle detector"]) -> Float[Tensor, " slice"]:
    return data.flatten(1).norm(dim=1)


def job_folder(out: Path) -> Path:
    """Return the folder with the plan and the journal of the results in ``out``."""
    return out / "job"

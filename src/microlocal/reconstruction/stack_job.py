"""A stack to be reconstructed, block by block: all that a process needs in order to take its share.

Choices that would differ from slice to slice are made once for the whole stack (axis of rotation, weight), so that
all slices are treated alike and no slice depends on who computes it.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.center import with_center
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.io.stack import Part, Stack
from microlocal.io.volumes import Volume
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.journal import Journal, Row
from microlocal.reconstruction.method import Estimate, Method, Settings


@dataclass(frozen=True, eq=False)
class Job:
    """The work on a stack.

    Parameters: ``stack``; ``numbers`` of the slices wanted; ``method`` and its ``settings``; ``grid``;
    ``center_pixels``, the axis of rotation (None: as in the file); ``arc`` of views in degrees (None: all);
    ``block``, slices computed together; ``volume`` and ``journal`` where the results go; ``learned``, the volume of
    what a network adds, None where there is none.
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

    def blocks(self) -> list[range]:
        """Return the slices block by block."""
        starts = range(self.numbers.start, self.numbers.stop, self.block)
        return [range(k, min(k + self.block, self.numbers.stop)) for k in starts]

    def intact(self, rows: dict[int, Row]) -> set[int]:
        """Return the slices among ``rows`` whose pixels are those that were written."""
        first = self.numbers.start
        return {k for k, row in rows.items() if digest(self.volume.read(k - first)) == row.sha256}


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
        estimate = job.method(part.scan, job.grid, job.settings)
        if interrupted(estimate.config):
            raise KeyboardInterrupt
        residuals = relative_residuals(part.scan, job.grid, estimate)
        images = estimate.image.numpy().astype(np.float32, copy=False)
        if job.learned is not None:
            _write_learned(job.learned, estimate, [number - job.numbers.start for number in part.numbers])
        marks = [_written(job, number, image) for number, image in zip(part.numbers, images, strict=True)]
        seconds = (time.monotonic() - began) / len(marks)
        growths = _growths(part.scan, job.grid, estimate, residuals)
        told = zip(part.numbers, residuals, marks, growths, strict=True)
        rows += [Row(number, residual, seconds, mark, growth=growth) for number, residual, mark, growth in told]
    job.journal.write(numbers, rows)
    return tuple(rows)


def _write_learned(volume: Volume, estimate: Estimate, places: list[int]) -> None:
    added = torch.zeros_like(estimate.image) if estimate.learned is None else estimate.learned
    for place, image in zip(places, added.numpy().astype(np.float32, copy=False), strict=True):
        volume.write(place, image)


def _written(job: Job, number: int, image: Float[np.ndarray, "row col"]) -> str:
    job.volume.write(number - job.numbers.start, image)
    return digest(image)


def digest(image: Float[np.ndarray, "row col"]) -> str:
    """Return the SHA-256 of the pixels."""
    return hashlib.sha256(np.ascontiguousarray(image, "<f4").tobytes()).hexdigest()


def relative_residuals(scan: Scan, grid: Grid, estimate: Estimate) -> list[float]:
    """Return |R f - g|/|g| of every slice, with the data as the method corrected them."""
    data = estimate.correct(scan.data)
    gap = _ray(scan.geometry, grid)(estimate.image) - data
    return [float(value) for value in _norms(gap) / _norms(data).clamp_min(1e-30)]


def _growths(scan: Scan, grid: Grid, estimate: Estimate, residuals: list[float]) -> Sequence[float | None]:
    """Return |R f - g| / |R f* - g| - 1 of every slice, f* the image without what a network added to it."""
    if estimate.learned is None:
        return [None] * len(residuals)
    visible = replace(estimate, image=estimate.image - estimate.learned)
    before = relative_residuals(scan, grid, visible)
    return [after / max(first, 1e-30) - 1 for after, first in zip(residuals, before, strict=True)]


def _norms(data: Float[Tensor, "slice angle detector"]) -> Float[Tensor, " slice"]:
    return data.flatten(1).norm(dim=1)


@lru_cache(maxsize=1)
def _ray(geometry: Geometry, grid: Grid) -> RayTransform:
    return RayTransform(geometry, grid)


def interrupted(config: dict[str, Any]) -> bool:
    """Return whether Ctrl-C ended a method, or that of one slice of several."""
    parts = [value for value in config.values() if isinstance(value, dict)]
    return config.get("status") == "interrupted" or any(map(interrupted, parts))


def job_folder(out: Path) -> Path:
    """Return the folder with the plan and the journal of the results in ``out``."""
    return out / "job"

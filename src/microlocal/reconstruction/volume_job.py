"""From projections in files to a volume in files: by formula slab by slab, or by iteration, and what is said of it."""

import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.noise import noise_level
from microlocal.certificates.base import Certificate
from microlocal.certificates.data import residual_certificate
from microlocal.core.arrays import to_numpy
from microlocal.core.errors import OutputError
from microlocal.core.interruption import stopping
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register, registered
from microlocal.core.scan import Source
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.io.jsonable import jsonable
from microlocal.io.projections import Projections
from microlocal.io.readings import sample_of
from microlocal.io.values import write_json
from microlocal.io.volumes import Volume, volume_at
from microlocal.operators.ray_checks import check_volume
from microlocal.operators.ray_transform3d import RayTransform3D
from microlocal.reconstruction.method import NOT_USED
from microlocal.reconstruction.observation import Observation
from microlocal.reconstruction.run import reconstruct
from microlocal.reconstruction.slabs import formula_slab, levelled
from microlocal.reconstruction.volume_overview import Overview, Plane
from microlocal.reconstruction.volume_request import FORMULA, THIN, VolumeRequest, check_memory, slabs
from microlocal.reconstruction.volume_run import VolumeRun, is_under_way

PACKAGES = ("microlocal", "torch", "numpy", "scipy", "numba")
PLACES = ("slices", "volume.tif", "volume.zarr")
PART = "The residual was not computed: beside these slices there is more that the rays cross."
ROLLED = "The panel's roll of {:.3g}° was undone before the formula: its pictures were turned by cubic splines."
INTERRUPTED = "Interrupted: slices {} to {} are complete, the others are missing."


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """A volume in its files, and what can be told of it.

    Parameters: ``folder``; ``request``; ``geometry`` that the data had; ``grid`` of the slices ``numbers``, of which
    the first ``done`` are written; ``source`` and ``warnings`` of the scan; ``fingerprint`` of its data; ``planes``;
    ``surfaces``, which share of them is measured; ``config``, ``notes``, ``metrics``, ``certificates``, ``history``,
    ``references`` as of a ``Reconstruction``.
    """

    folder: Path
    request: VolumeRequest
    geometry: AnyGeometry3D
    grid: VolumeGrid
    numbers: range
    done: int
    source: Source
    warnings: tuple[str, ...]
    fingerprint: str
    planes: tuple[Plane, ...]
    surfaces: dict[str, float]
    config: dict[str, Any]
    notes: tuple[str, ...]
    metrics: dict[str, float]
    certificates: tuple[Certificate, ...]
    history: dict[str, list[float]] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return bool(self.config.get("status") == "interrupted")

    def to_dict(self) -> dict[str, Any]:
        """Return what result.json holds, as plain JSON values."""
        return {
            "method": self.request.method,
            "config": jsonable(self.config),
            "request": self.request.fields(),
            "slices": {"first": self.numbers.start, "last": self.numbers.stop - 1, "written": self.done},
            "metrics": jsonable(self.metrics),
            "surfaces": self.surfaces,
            "notes": list(self.notes),
            "certificates": jsonable([certificate.to_dict() for certificate in self.certificates]),
            "references": list(self.references),
            "geometry": self.geometry.to_dict(),
            "grid": self.grid.to_dict(),
            "source": jsonable(self.source),
            "warnings": list(self.warnings),
            "data_sha256": self.fingerprint,
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "history": jsonable(self.history),
        }


@register("volume-writer", "result.json")
def write_volume_facts(result: VolumeResult) -> Path:
    """Configuration, geometry, grid, versions, checksum, metrics and certificates; not the volume itself."""
    return write_json(result.to_dict(), result.folder / "result.json")


@dataclass(frozen=True, eq=False)
class _Written:
    """What a way to reconstruct leaves besides the slices."""

    done: int
    config: dict[str, Any]
    notes: tuple[str, ...]
    certificates: tuple[Certificate, ...]
    residual: float
    references: tuple[str, ...]
    history: dict[str, list[float]] = field(default_factory=dict)


def reconstruct_volume(
    projections: Projections,
    folder: str | Path,
    request: VolumeRequest | None = None,
    *,
    fresh: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> VolumeResult:
    """Reconstruct the volume of ``projections`` into ``folder``: slices, result.json and report.html.

    The formula ("fdk") goes slab by slab at a memory that does not grow with the volume; "cgls", "tv" and "shearlet"
    iterate on all of it, non-negative where they have bounds, if the memory suffices. Ctrl-C keeps the slabs that are
    complete, or the best iterate. ``resume`` goes on with what an earlier run left, after a kill too, and begins where
    there is none; ``fresh`` discards it.

    Raises InputError where the memory does not suffice (with the binning that would fit), for slices that are not
    there, and for geometries without a formula; OutputError where the folder holds a volume already, or one of other
    data or another request is to be gone on with, or it cannot be written; KeyboardInterrupt when nothing was complete.
    """
    target, asked = Path(folder), request or VolumeRequest()
    if asked.method == FORMULA:
        levelled(projections.geometry)  # which refuses tables of views before anything else
    whole = asked.grid_of(projections)
    numbers = asked.numbers(whole)
    grid = whole.slab(numbers)
    check_volume(projections.geometry, grid, "volume")
    check_memory(asked.method, grid, projections)
    _spare(target, projections)
    run = VolumeRun(target, _asked(asked, projections, whole, numbers))
    goes_on = resume and not fresh and run.go_on()
    if not goes_on:
        _clear(target, fresh=fresh)
        _check_space(target, grid)
        run.end()
    place = volume_at(target, asked.form, grid.shape, numbers.start, grid.voxel, grid.unit)
    overview = Overview(grid, numbers.start)
    began = time.monotonic()
    way = _by_formula if asked.method == FORMULA else _by_iteration
    left = way(_Job(projections, asked, whole, numbers, place, overview, run, progress))
    seconds = time.monotonic() - began
    place.finish({"grid": grid.to_dict(), "unit": f"1/{grid.unit}"})
    with stopping():
        result = _told(projections, asked, target, overview, left, seconds, numbers)
        for entry in registered("volume-writer").values():
            entry.member(result)
        if not result.interrupted:
            run.end()
    return result


def _asked(request: VolumeRequest, projections: Projections, grid: VolumeGrid, numbers: range) -> dict[str, Any]:
    """Return what has to be the same for a run to be gone on with: all but the budget."""
    fields = {name: value for name, value in request.fields().items() if name not in ("iterations", "version")}
    fields |= {"grid": jsonable(grid.to_dict()), "slices": [numbers.start, numbers.stop]}
    return fields | {"binning": projections.binning, "data": projections.fingerprint()}


@dataclass(frozen=True, eq=False)
class _Job:
    projections: Projections
    request: VolumeRequest
    whole: VolumeGrid
    numbers: range
    place: Volume
    overview: Overview
    run: VolumeRun
    progress: Progress

    def write(self, first: int, volume: Float[Tensor, "slice row col"]) -> None:
        """Write slices from number ``first`` on, and show them to the overview."""
        self.place.create({"grid": self.whole.slab(self.numbers).to_dict()})
        for k, image in enumerate(to_numpy(volume.float())):
            self.place.write(first - self.numbers.start + k, image)
        self.show(first, volume)

    def show(self, first: int, volume: Float[Tensor, "slice row col"]) -> None:
        """Show slices from number ``first`` on to the overview."""
        for k, image in enumerate(to_numpy(volume.float())):
            self.overview.add(first - self.numbers.start + k, image)

    def read(self, part: range) -> Float[Tensor, "slice row col"]:
        """Return slices as the files hold them."""
        return torch.from_numpy(np.stack([np.asarray(self.place.read(k - self.numbers.start)) for k in part]))


def _spare(folder: Path, projections: Projections) -> None:
    """Refuse a folder where the projections lie in the place of the volume: it would be cleared, or they mix."""
    stored = (projections.stored, projections.flats, projections.darks)
    read = [Path(projections.source.path), *(part.path for part in stored if part is not None)]
    taken = {place for path in read for place in (path.resolve(), *path.resolve().parents)}
    for path in (folder / name for name in PLACES):
        if path.resolve() in taken:
            do = "Choose another --out."
            raise OutputError(str(folder), expected="a folder apart from the projections", got=path.name, do=do)


def _clear(folder: Path, *, fresh: bool) -> None:
    """Refuse a folder with a volume, or remove that if ``fresh``: slices of two runs would mix."""
    for path in (folder / name for name in PLACES):
        if path.exists() and not fresh:
            do = "Choose another --out, or discard it with --fresh."
            do += " It can be gone on with: --resume." * is_under_way(folder)
            raise OutputError(str(folder), expected="a folder without a volume", got=path.name, do=do)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_space(folder: Path, grid: VolumeGrid) -> None:
    """Refuse a volume that the disk cannot hold, before hours of work."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    needed, free = 4 * math.prod(grid.shape), shutil.disk_usage(there).free
    if needed > free:
        expected, got = f"{needed / 2**30:.2g} GiB for the volume", f"{free / 2**30:.2g} GiB of free space"
        raise OutputError(str(folder), expected=expected, got=got, do="Choose another --out, or larger voxels.")


class _StoppedError(Exception):
    """Ctrl-C between two chunks of views."""


def _by_formula(job: _Job) -> _Written:
    geometry = job.projections.geometry
    sample = job.projections.select(list(sample_of(geometry.shape[0])))
    sums = torch.zeros(sample.geometry.shape, dtype=torch.float64)
    all_of_it = len(job.numbers) == job.whole.shape[0]
    kept = job.run.intact(job.place)
    parts = slabs(job.numbers[kept:], job.whole) if kept < len(job.numbers) else []
    job.progress.start("backprojecting", len(parts) * geometry.shape[0])
    done = 0
    with stopping() as stop:

        def each(views: int) -> None:
            job.progress.advance("backprojecting", views)
            if stop.is_set():
                raise _StoppedError

        try:
            for part, volume in _slab_by_slab(job, kept, parts, each):
                done = part.stop - job.numbers.start
                if all_of_it:
                    sums += _projected(sample.geometry, job.whole.slab(part), volume)
        except _StoppedError:
            if not done:
                raise KeyboardInterrupt from None
    job.progress.finish("backprojecting")
    return _formula_told(job, done, sample, sums if all_of_it else None)


def _slab_by_slab(
    job: _Job, kept: int, parts: list[range], each: Callable[[int], None]
) -> Iterator[tuple[range, Float[Tensor, "slice row col"]]]:
    """Yield the slices that an earlier run left, and then those of ``parts`` when they are written."""
    for part in _pieces(job.numbers[:kept], THIN):
        volume = job.read(part)
        job.show(part.start, volume)
        yield part, volume
    for part in parts:
        volume = formula_slab(job.projections, job.whole.slab(part), each)
        job.write(part.start, volume)
        job.run.add(to_numpy(volume))
        yield part, volume


def _formula_told(job: _Job, done: int, sample: Projections, sums: Tensor | None) -> _Written:
    config: dict[str, Any] = {"status": "complete" if done == len(job.numbers) else "interrupted"}
    roll = float(getattr(job.projections.geometry, "roll_rad", 0.0))
    notes = [ROLLED.format(math.degrees(roll))] * (roll != 0)
    given = {"weight": job.request.weight, "iterations": job.request.iterations}
    notes += [NOT_USED.format(name) for name, value in given.items() if value is not None]
    certificates: tuple[Certificate, ...] = ()
    residual = math.nan
    if done < len(job.numbers):
        notes.append(INTERRUPTED.format(job.numbers.start, job.numbers.start + done - 1))
    elif sums is None:
        notes.append(PART)
    else:
        data = sample.frames_of_all().double()
        residual = _relative(sums, data)
        certificates = (_certified(job, residual, sample, data),)
    return _Written(done, config, tuple(notes), certificates, residual, ("feldkamp1984",))


def _projected(geometry: AnyGeometry3D, grid: VolumeGrid, volume: Tensor) -> Tensor:
    return RayTransform3D(geometry, grid)(volume).double()


def _relative(sums: Tensor, data: Tensor) -> float:
    return float((sums - data).norm() / data.norm().clamp_min(1e-300))


def _certified(job: _Job, residual: float, sample: Projections, data: Tensor) -> Certificate:
    """Certify that the volume explains a sample of the data; the attack projects what the files hold, anew."""

    def attack(seed: int) -> float:
        thick = 3 + seed % 3
        sums = torch.zeros_like(data)
        for part in _pieces(job.numbers, thick):
            sums += _projected(sample.geometry, job.whole.slab(part), job.read(part).double())
        return _relative(sums, data)

    views, total = sample.geometry.shape[0], job.projections.geometry.shape[0]
    claim = (
        f"The volume explains the measured data: |A f - g| / |g| over {views} of {total} views stays below the bound."
    )
    finite = bool(np.isfinite(job.overview.copy).all())
    return residual_certificate(claim, residual, 1.0, finite=finite, attack=attack)


def _pieces(numbers: range, thick: int) -> Iterator[range]:
    return (numbers[k : k + thick] for k in range(0, len(numbers), thick))


def _by_iteration(job: _Job) -> _Written:
    asked, data = job.request, job.projections.frames_of_all()
    observation = Observation(data, RayTransform3D(job.projections.geometry, job.whole), bounds=(0.0, math.inf))
    job.run.add([])  # to whom a checkpoint belongs
    found = reconstruct(
        observation,
        asked.method,
        weight="auto" if asked.weight is None else asked.weight,
        iterations=asked.iterations,
        seed=asked.seed,
        checkpoint=job.run.checkpoint,
        progress=job.progress,
    )
    job.write(job.numbers.start, found.image)
    residual = float(found.residual.double().norm() / data.double().norm().clamp_min(1e-300))
    config = {name: value for name, value in found.config.items() if name != "method"}
    return _Written(len(job.numbers), config, found.notes, found.certificates, residual, ("joseph1982",), found.history)


def _told(
    projections: Projections,
    asked: VolumeRequest,
    folder: Path,
    overview: Overview,
    left: _Written,
    seconds: float,
    numbers: range,
) -> VolumeResult:
    began = time.monotonic()
    planes = overview.planes(projections.geometry)
    sample = projections.select(list(sample_of(projections.geometry.shape[0]))).frames_of_all()
    metrics = {"seconds": seconds, "noise per ray": noise_level(sample)}
    if math.isfinite(left.residual):
        metrics["relative residual"] = left.residual
    views, rows, cols = projections.geometry.shape
    config = {"method": asked.method, "seed": asked.seed, "binning": projections.binning, "format": asked.form}
    config |= {"views": views, "rows": rows, "columns": cols} | left.config
    result = VolumeResult(
        folder=folder,
        request=asked,
        geometry=projections.geometry,
        grid=overview.grid,
        numbers=numbers,
        done=left.done,
        source=projections.source,
        warnings=(*projections.warnings, *projections.said_of_repairs()),
        fingerprint=projections.fingerprint(),
        planes=planes,
        surfaces=overview.shares(),
        config=config,
        notes=left.notes,
        metrics=metrics,
        certificates=left.certificates,
        history=left.history,
        references=tuple(dict.fromkeys((*left.references, "joseph1982", "quinto1993", "tuy1983"))),
    )
    return replace(result, metrics=metrics | {"seconds of checks": time.monotonic() - began})

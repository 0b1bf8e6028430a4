"""A stack of slices that stays in its file: geometry and grid at once, the data a block of slices at a time.

``read_scan(path).slices(a, b)`` and ``open_stack(path).block(range(a, b))`` hold the same data; the second reads
those slices only.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from microlocal.core.errors import ScanFileError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan, Source
from microlocal.io.assemble import Views, finished, in_order, parallel_scan
from microlocal.io.readings import Block, Readings, sample_of


@dataclass(frozen=True)
class Draft:
    """What a format says of a stack before any data are looked at.

    Parameters: ``readings``; ``source``; ``angles_deg`` in the order of the file, None where ``geometry`` has the
    views just as they are stored; ``geometry`` and ``grid`` if they are described, else ``pitch`` and ``unit`` of a
    parallel beam; ``said``, sentences.
    """

    readings: Readings
    source: Source
    angles_deg: Float[np.ndarray, " angle"] | None
    geometry: Geometry | None = None
    grid: Grid | None = None
    pitch: float = 1.0
    unit: str = "pixel"
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A block as a scan of the slices that could be used (None where there is none), and what was wrong with others."""

    scan: Scan | None
    numbers: tuple[int, ...]
    refused: dict[int, str]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in a file, described like a scan.

    Parameters: ``readings``, where the data are and how they become line integrals; ``geometry`` with its views
    sorted; ``grid``; ``angles_deg``, the views as stored (None where they are stored as the geometry has them);
    ``source``; ``warnings``, from the sample of slices that was looked at.
    """

    readings: Readings
    geometry: Geometry
    grid: Grid
    angles_deg: Float[np.ndarray, " angle"] | None
    source: Source = field(default_factory=Source)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.readings.array.shape[0]

    def block(self, numbers: range) -> Part:
        """Return the slices of these numbers; raises ScanFileError where the file cannot be read."""
        block = self.readings.read(numbers)
        if not block.kept:
            return Part(None, (), block.refused)
        values = block.values
        if self.angles_deg is not None:
            values = in_order(Views(values, self.angles_deg)).data.astype(np.float32)
        data = torch.from_numpy(np.ascontiguousarray(values))
        return Part(Scan(data, self.geometry, self.grid, self.source, self.warnings), block.kept, block.refused)

    def sample(self) -> Part:
        """Return up to eight evenly spread slices, which stand for all."""
        return self.block(sample_of(len(self)))

    def fingerprint(self) -> str:
        """Return a SHA-256 of shape, geometry and the stored bytes of the sample: which data these are."""
        numbers, array = sample_of(len(self)), self.readings.array
        digest = hashlib.sha256(json.dumps([array.shape, self.geometry.to_dict()]).encode())
        digest.update(array.read(numbers.start, numbers.stop, numbers.step).tobytes())
        return digest.hexdigest()


def described(draft: Draft) -> Stack:
    """Return the stack of a draft, looked at on a sample of slices.

    Raises ScanFileError or GeometryError where data and description do not fit.
    """
    readings = draft.readings
    count = readings.array.shape[0]
    block = readings.read(sample_of(count))
    if not block.kept:
        number, fault = next(iter(block.refused.items()))
        do = "None of the slices that were looked at can be used."
        raise ScanFileError(readings.who, expected="usable slices", got=f"slice {number}: {fault}", do=do)
    scan = _sample_scan(draft, block)
    said = [f"Slice {number}: {fault}." for number, fault in block.refused.items()]
    warnings = (*scan.warnings, *said)
    return Stack(readings, scan.geometry, scan.grid, draft.angles_deg, draft.source, warnings)


def _sample_scan(draft: Draft, block: Block) -> Scan:
    said = (*draft.said, *block.said)
    if draft.angles_deg is None:
        if draft.geometry is None or draft.grid is None:
            raise ScanFileError(draft.source.path, expected="a geometry", got="none", do="Write the file anew.")
        return Scan(torch.from_numpy(block.values), draft.geometry, draft.grid, draft.source, said)
    views = Views(block.values, draft.angles_deg, said)
    if draft.geometry is not None:
        return finished(views, draft.geometry, draft.grid, draft.source)
    return parallel_scan(views, draft.pitch, draft.unit, draft.source)


def stack_of(path: Path, axes: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """Refuse what is no stack: raises ScanFileError unless the axes are angle, detector and slice, all of some size."""
    who = str(path)
    if sorted(axes) != ["angle", "detector", "slice"] or len(shape) != 3:
        got = f"an array of shape {shape}"
        raise ScanFileError(who, expected="a stack (three axes, one of slices)", got=got, do="Use reconstruct.")
    if 0 in shape:
        raise ScanFileError(who, expected="data", got=f"an array of shape {shape}", do="The array is empty.")

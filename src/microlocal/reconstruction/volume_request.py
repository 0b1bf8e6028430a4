"""What is asked of projections of a volume, and whether this machine's memory can give it."""

import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from microlocal.core.checks import at_least, positive
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.geometry3d import Geometry3D
from microlocal.core.volume import VolumeGrid
from microlocal.frames.storage import available_bytes
from microlocal.io.jsonable import jsonable
from microlocal.io.projections import VIEWS_AT_ONCE, Projections
from microlocal.io.volumes import FORMS

FORMULA = "fdk"
# How many arrays of the volume's and of the data's size a method holds at its peak, as measured.
COPIES = {"cgls": (10, 8), "tv": (50, 15), "shearlet": (120, 15)}
VOLUME_METHODS = (FORMULA, *COPIES)
BASE_BYTES = 200 << 20  # kernels and libraries
LARGEST_SLAB = 4 << 30  # bytes
LEAST_SLABS, THIN = 4, 32  # slabs of a volume, unless they were thinner than so many slices


@dataclass(frozen=True)
class VolumeRequest:
    """What a user asks for.

    Parameters: ``method``, one of ``VOLUME_METHODS``; ``grid`` (None: that of the scan); ``slices`` first and last + 1
    of it; ``weight`` (None: by the noise), ``iterations`` and ``seed`` of methods that iterate; ``form`` of the volume.
    Raises UnknownNameError or InputError for anything else.

    >>> VolumeRequest(slices=(2, 5)).numbers(VolumeGrid((8, 4, 4), 1.0))
    range(2, 5)
    """

    method: str = FORMULA
    grid: VolumeGrid | None = None
    slices: tuple[int, int] | None = None
    weight: float | None = None
    iterations: int | None = None
    seed: int = 0
    form: str = "tiff"

    def __post_init__(self) -> None:
        for kind, name, known in (("method", self.method, VOLUME_METHODS), ("format", self.form, FORMS)):
            if name not in known:
                raise UnknownNameError(f"volume --{kind}", name, known)
        if self.weight is not None:
            positive(self.weight, "weight", "volume")
        if self.iterations is not None:
            at_least(self.iterations, 1, "iterations", "volume")
        if self.slices is not None and self.method != FORMULA:
            do = f"Take {FORMULA}, or the whole volume with larger voxels (--binning)."
            got = f"slices {self.slices[0]}:{self.slices[1]} by {self.method}"
            expected = "all slices for a method that iterates, since rays of a slab cross what is beside it"
            raise InputError("volume", expected=expected, got=got, do=do)

    def grid_of(self, projections: Projections) -> VolumeGrid:
        """Return the grid of the whole volume."""
        return projections.grid if self.grid is None else self.grid

    def numbers(self, grid: VolumeGrid) -> range:
        """Return the numbers of the slices; raises InputError for some that are not there."""
        first, last = self.slices or (0, grid.shape[0])
        if not 0 <= first < last <= grid.shape[0]:
            expected = f"slices within 0..{grid.shape[0] - 1}"
            raise InputError("volume", expected=expected, got=f"{first}:{last}", do="Choose others.")
        return range(first, last)

    def fields(self) -> dict[str, Any]:
        """Return the request as plain JSON values."""
        grid = None if self.grid is None else self.grid.to_dict()
        return jsonable({"version": version("microlocal")} | asdict(self) | {"grid": grid})


def needed_bytes(method: str, grid: VolumeGrid, projections: Projections) -> int:
    """Return what a method takes of memory; of the formula, what it takes for one slice."""
    views, rows, cols = projections.geometry.shape
    if method == FORMULA:
        pictures = VIEWS_AT_ONCE * rows * cols * projections.binning**2 * 8  # as they are read, in double precision
        return BASE_BYTES + 4 * math.prod(grid.shape[1:]) + 3 * pictures
    volumes, data = COPIES[method]
    return BASE_BYTES + 4 * volumes * math.prod(grid.shape) + 4 * data * views * rows * cols


def check_memory(method: str, grid: VolumeGrid, projections: Projections, there: int | None = None) -> None:
    """Raise InputError where the memory does not suffice, with the binning that would.

    Parameters: ``there``, the bytes that can be had; None: as the system says.
    """
    there = available_bytes() if there is None else there
    needed = needed_bytes(method, grid, projections)
    if needed <= there:
        return
    got = f"{needed / 2**30:.1f} GiB needed, {there / 2**30:.1f} GiB free"
    raise InputError(
        "volume", expected="memory for " + method, got=got, do=_what_fits(method, grid, projections, there)
    )


def _what_fits(method: str, grid: VolumeGrid, projections: Projections, there: int) -> str:
    other = f"or take {FORMULA}, whose memory does not grow with the volume."
    named = projections.own_grid is not None or isinstance(projections.geometry, Geometry3D)
    if method != FORMULA:
        if not named or grid != projections.grid:
            return f"Take a smaller --size, or larger voxels; {other}"
        for side in range(2, min(projections.geometry.shape[1:]) + 1):
            coarse = projections.binned(side)
            if needed_bytes(method, coarse.grid, coarse) <= there:
                told = f"--binning {coarse.binning} would fit ({' x '.join(map(str, coarse.grid.shape))} voxels)"
                return f"{told}; {other}"
    return "Take a smaller --size or larger voxels, free some memory, or use another machine."


def slabs(numbers: range, grid: VolumeGrid, there: int | None = None) -> list[range]:
    """Return the slices in slabs of even thickness, each of which takes a quarter of the free memory at most.

    >>> slabs(range(10), VolumeGrid((10, 512, 512), 1.0), there=16 << 20)
    [range(0, 4), range(4, 8), range(8, 10)]
    """
    there = available_bytes() if there is None else there
    most = max(1, min(LARGEST_SLAB, there // 4) // (4 * math.prod(grid.shape[1:])))
    most = min(most, max(THIN, -(-len(numbers) // LEAST_SLABS)))  # so that Ctrl-C leaves something
    thick = -(-len(numbers) // -(-len(numbers) // most))
    return [numbers[k : k + thick] for k in range(0, len(numbers), thick)]

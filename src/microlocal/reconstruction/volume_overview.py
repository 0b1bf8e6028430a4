"""What a page can show of a volume: its three middle planes, the surfaces in them, and what was measured there.

The volume itself is in its files. Slices come in any order, each once; a copy in blocks of voxels, small enough for
any page, is what surfaces are found and labelled in.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from microlocal.core.provenance import KINDS, Provenance
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import AnyGeometry3D
from microlocal.wavefront.surfaces import label_surfaces, surface_fraction

SIDE = 160  # voxels of the small copy, at most
MAP_SIDE = 48  # of the maps of measured surfaces
NORMALS = 512


@dataclass(frozen=True, eq=False)
class Plane:
    """A middle plane as it is looked at: its rows run down, z up where it is upright.

    Parameters: ``name``; ``across`` and ``down``, the axes; ``image`` (row, col) in 1/unit; ``labels``, codes of
    ``core.provenance`` of the small copy, and ``measured``, the share of surface normals that the scan measures; both
    None where slices are missing.
    """

    name: str
    across: str
    down: str
    image: Float[np.ndarray, "row col"]
    labels: UInt8[np.ndarray, "small_row small_col"] | None = None
    measured: Float[np.ndarray, "map_row map_col"] | None = None


class Overview:
    """Gathers the middle planes and a small copy of a volume on ``grid`` while its slices come by.

    ``first`` is the number of its first slice in the whole volume, by which the level plane is named.
    """

    def __init__(self, grid: VolumeGrid, first: int = 0) -> None:
        slices, rows, cols = grid.shape
        self.grid, self.first = grid, first
        self.block = math.ceil(max(grid.shape) / SIDE)
        self.small = VolumeGrid(
            tuple(max(1, n // self.block) for n in grid.shape),  # type: ignore[arg-type]
            grid.voxel * self.block,
            self._middle(),
            grid.unit,
        )
        self.copy = np.zeros(self.small.shape, dtype=np.float32)
        self.level = np.zeros((rows, cols), dtype=np.float32)
        self.front = np.zeros((slices, cols), dtype=np.float32)
        self.side = np.zeros((slices, rows), dtype=np.float32)
        self.seen = np.zeros(slices, dtype=bool)

    def add(self, index: int, image: Float[np.ndarray, "row col"]) -> None:
        """Take what is needed of slice ``index``."""
        slices, rows, cols = self.grid.shape
        if index == slices // 2:
            self.level[:] = image
        self.front[index], self.side[index] = image[rows // 2], image[:, cols // 2]
        self.seen[index] = True
        place, block = index // self.block, min(self.block, slices)
        if place < len(self.copy):
            self.copy[place] += _shrunk(image, self.copy.shape[1:], self.block) / block

    def planes(self, geometry: AnyGeometry3D) -> tuple[Plane, ...]:
        """Return the three planes, with surfaces and maps where all slices have come."""
        plain = self._plain()
        if not self.seen.all():
            return plain
        labels, maps = self._labels(geometry), self.maps(geometry)
        found = zip(plain, labels, maps, strict=True)
        return tuple(replace(plane, labels=codes, measured=share) for plane, codes, share in found)

    def measured(self, geometry: AnyGeometry3D) -> tuple[Plane, ...]:
        """Return the planes with their maps of measured surfaces: what is known before any reconstruction."""
        pairs = zip(self._plain(), self.maps(geometry), strict=True)
        return tuple(replace(plane, measured=share) for plane, share in pairs)

    def _plain(self) -> tuple[Plane, ...]:
        slices, rows, cols = (n // 2 for n in self.grid.shape)
        return (
            Plane(f"Level, slice {self.first + slices}", "x", "y", self.level),
            Plane(f"Upright, row {rows}", "x", "z", self.front[::-1]),
            Plane(f"Upright, column {cols}", "y", "z", self.side[::-1, ::-1]),
        )

    def _middle(self) -> tuple[float, float, float]:
        """Return the middle of the small copy, whose blocks begin at the first voxel and leave a rest at the end."""
        rest = [(n - max(1, n // self.block) * min(self.block, n)) / 2 * self.grid.voxel for n in self.grid.shape]
        x, y, z = self.grid.center
        return x - rest[2], y + rest[1], z - rest[0]

    def _labels(self, geometry: AnyGeometry3D) -> list[UInt8[np.ndarray, "row col"]]:
        self.codes = label_surfaces(torch.from_numpy(self.copy), geometry, self.small).numpy()
        s, r, c = (n // 2 for n in self.small.shape)
        return [self.codes[s], self.codes[::-1, r], self.codes[::-1, ::-1, c]]

    def maps(self, geometry: AnyGeometry3D) -> list[Float[np.ndarray, "row col"]]:
        """Return the share of measured normals in each plane, on thin grids of few voxels."""
        voxel = self.grid.voxel * max(1.0, max(self.grid.shape) / MAP_SIDE)
        counts = tuple(max(1, round(n * self.grid.voxel / voxel)) for n in self.grid.shape)
        found = []
        for axis in range(3):
            shape = tuple(1 if k == axis else n for k, n in enumerate(counts))
            thin = VolumeGrid(shape, voxel, self.grid.center, self.grid.unit)  # type: ignore[arg-type]
            found.append(surface_fraction(geometry, thin, NORMALS).numpy())
        return [found[0][0], found[1][::-1, 0], found[2][::-1, ::-1, 0]]

    def shares(self) -> dict[str, float]:
        """Return which share of the surfaces found, in voxels of the small copy, is measured and which is not."""
        codes = getattr(self, "codes", np.zeros(0, dtype=np.uint8))
        total = int((codes != Provenance.NONE).sum())
        kinds = (kind for kind in KINDS if kind is not Provenance.LEARNED)
        return {kind.name.lower(): float((codes == kind).sum()) / total for kind in kinds} if total else {}


def _shrunk(image: Float[np.ndarray, "row col"], shape: tuple[int, ...], block: int) -> Float[np.ndarray, "r c"]:
    sides = [min(block, n) for n in image.shape]
    part = image[: shape[0] * sides[0], : shape[1] * sides[1]]
    return np.asarray(part.reshape(shape[0], sides[0], shape[1], sides[1]).mean(axis=(1, 3)))

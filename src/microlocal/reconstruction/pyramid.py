"""Coarse to fine: the same problem on coarser grids, whose solutions start the finer ones."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import map_coordinates
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid


@dataclass(frozen=True)
class Level:
    """A coarser form of a scan: ``factor`` times larger pixels and, where their number allows, detector pixels.

    ``binning`` is how many detector pixels were averaged into one.
    """

    factor: int
    binning: int
    geometry: Geometry
    grid: Grid

    def binned(self, data: Float[Tensor, "angle detector"]) -> Float[Tensor, "angle binned"]:
        """Return the data of this level: means of neighbouring detector pixels."""
        return data.reshape(data.shape[0], -1, self.binning).mean(dim=-1)


def level(geometry: Geometry, grid: Grid, factor: int) -> Level:
    """Return the level ``factor`` times coarser than ``geometry`` and ``grid``, with the same middle."""
    detector = geometry.detector
    binning = factor if detector.count % factor == 0 else 1
    binned = replace(detector, count=detector.count // binning, pitch=detector.pitch * binning)
    rows, cols = grid.shape
    coarse = replace(grid, shape=(-(-rows // factor), -(-cols // factor)), pixel=grid.pixel * factor)
    return Level(factor, binning, replace(geometry, detector=binned), coarse)


def resample(image: Float[Tensor, "*batch row col"], source: Grid, target: Grid) -> Float[Tensor, "*batch row2 col2"]:
    """Interpolate an image linearly from one grid to another; beyond the outermost pixels it continues flat."""
    x0, y0 = source.coordinates()
    x1, y1 = target.coordinates()
    rows, cols = (y0[0] - y1) / source.pixel, (x1 - x0[0]) / source.pixel
    where = np.meshgrid(rows, cols, indexing="ij")
    flat = to_numpy(image.reshape(-1, *source.shape))
    moved = np.stack([map_coordinates(page, where, order=1, mode="nearest") for page in flat])
    return torch.from_numpy(moved).to(image.dtype).reshape(*image.shape[:-2], *target.shape)

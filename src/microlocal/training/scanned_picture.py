"""A picture as an object that is scanned: its image and its sinogram, which no reconstruction here would compute alike.

The picture lives on pixels half as large as those of the images. The mean of several line integrals there is what a
detector pixel reads; the mean of four pixels of the picture is the truth. What the operator of a reconstruction makes
of the truth, one ray a detector pixel through the larger pixels, differs from the readings also without noise, as it
does for objects with exact integrals (on 32 pixels a side 0.9 % for a picture of a disc, and 2.2 %): no inverse crime.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.operators.ray_transform import RayTransform
from microlocal.training.folder import ImageFolder

FINER = 2  # pixels of the picture to one of the image, along a side
EMPTY, TRIES = 1e-3, 100  # the least standard deviation of a picture with values in [0, 1], and how many are tried


@dataclass(frozen=True)
class ScannedPicture:
    """A picture whose ``values`` lie on the pixels of ``grid``; beyond them is nothing."""

    values: Float[Tensor, "row col"]
    grid: Grid

    @classmethod
    def drawn(cls, folder: ImageFolder, grid: Grid, draw: torch.Generator) -> "ScannedPicture":
        """Return a random picture of a folder for images on ``grid``, the brightest point of which is 1.

        Its largest square in the middle, turned at random, fills the circle in ``grid``. Empty slices of volumes are
        passed over; raises InputError where there is nothing else.
        """
        side = FINER * min(grid.shape)
        for _ in range(TRIES):
            values = folder.disc(side, draw).double()
            if float(values.std()) > EMPTY:
                return cls(values / values.max(), replace(grid, shape=(side, side), pixel=grid.pixel / FINER))
        got = f"{TRIES} in a row that are constant"
        raise InputError("images", expected="pictures of something", got=got, do="Remove empty ones from the folder.")

    def image(self, grid: Grid, oversampling: int = FINER) -> Float[np.ndarray, "row col"]:
        """Return the mean over every pixel of ``grid``, the one it was drawn for; nothing is sampled anew."""
        del oversampling
        rows, cols = grid.shape
        return self.values.reshape(rows, FINER, cols, FINER).mean(dim=(1, 3)).numpy()

    def sinogram(self, geometry: Geometry, subrays: int = 1) -> Float[np.ndarray, "angle detector"]:
        """Return line integrals, each the mean over ``subrays`` places of its detector pixel (float64)."""
        detector = geometry.detector
        fine = replace(detector, count=subrays * detector.count, pitch=detector.pitch / subrays)
        data = RayTransform(replace(geometry, detector=fine), self.grid, "rays")(self.values)
        return data.reshape(*geometry.shape, subrays).mean(dim=-1).numpy()

"""The transpose of pixel-driven backprojection in plain torch, on any device: what its gradient is made of."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.floating]


def spread(
    images: Float[Tensor, "image row col"], views: Floats, weights: Floats, power: int, count: int
) -> Float[Tensor, "image view detector"]:
    """Return the transpose of ``pixel_driven.accumulate``, for ``count`` pixels of the detector.

    Every pixel adds its value x weight / denominator^power to the two data between which it was interpolated.
    """
    tables, factors = (torch.from_numpy(np.ascontiguousarray(a)).to(images) for a in (views, weights))
    data = images.new_zeros(len(images), len(tables), count + 3)  # padded as there
    for view, (table, factor) in enumerate(zip(tables, factors, strict=True)):
        above, below = (_affine(table[part], images.shape[1:]) for part in (slice(3), slice(3, 6)))
        position = (above / below).clamp(0, count + 1).flatten()
        j = position.long()
        values = (images * (factor / below**power)).flatten(1)
        right = values * (position - j)
        data[:, view].index_add_(1, j, values - right).index_add_(1, j + 1, right)
    return data[..., 1:-2].contiguous()


def spread3d(
    volumes: Float[Tensor, "volume slice row col"], views: Floats, weights: Floats, power: int, panel: tuple[int, int]
) -> Float[Tensor, "volume view v u"]:
    """Return the transpose of ``pixel_driven3d.accumulate``, for a ``panel`` of so many (rows, columns).

    Every voxel adds its value x weight / depth^power to the four data between which it was interpolated.
    """
    tables, factors = (torch.from_numpy(np.ascontiguousarray(a)).to(volumes) for a in (views, weights))
    rows, cols = panel
    data = volumes.new_zeros(len(volumes), len(tables), (rows + 3) * (cols + 3))  # padded as there
    for view, (table, factor) in enumerate(zip(tables, factors, strict=True)):
        depth, across, up = (_affine(part, volumes.shape[1:]) for part in table)
        u = (across / depth + 1).clamp(0, cols + 1).flatten()
        v = (up / depth + 1).clamp(0, rows + 1).flatten()
        i, j = v.long(), u.long()
        values = (volumes * (factor / depth**power)).flatten(1)
        for down, share in ((0, 1 - (v - i)), (1, v - i)):
            right = values * share * (u - j)
            at = (i + down) * (cols + 3) + j
            data[:, view].index_add_(1, at, values * share - right).index_add_(1, at + 1, right)
    return data.reshape(*data.shape[:2], rows + 3, cols + 3)[..., 1:-2, 1:-2].contiguous()


def _affine(table: Tensor, shape: torch.Size) -> Tensor:
    """Return the affine function (constant, one coefficient an axis) on a lattice of ``shape``."""
    value = table[0]
    for axis, (n, slope) in enumerate(zip(shape, table[1:], strict=True)):
        places = torch.arange(n, dtype=table.dtype, device=table.device)
        value = value + slope * places.reshape(-1, *(1,) * (len(shape) - 1 - axis))
    return value

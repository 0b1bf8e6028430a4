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


def _affine(table: Tensor, shape: torch.Size) -> Tensor:
    rows, cols = (torch.arange(n, dtype=table.dtype, device=table.device) for n in shape)
    return table[0] + table[1] * rows[:, None] + table[2] * cols

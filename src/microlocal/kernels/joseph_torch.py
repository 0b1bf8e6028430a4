"""Joseph's projector in plain torch: the oracle of ``joseph.py``, on any device, slow and short."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def project(
    image: Float[Tensor, "image row col"],
    offsets: Float[Tensor, "view ray"],
    slopes: Float[Tensor, "view ray"],
    steep: Bool[Tensor, "view ray"],
) -> Float[Tensor, "image view ray"]:
    """Sum images (image, row, col) along rays (view, ray); see ``joseph.project``."""
    return _line_sums(image, offsets, slopes, steep) + _line_sums(image.transpose(1, 2), offsets, slopes, ~steep)


def _line_sums(image: Tensor, offsets: Tensor, slopes: Tensor, chosen: Tensor) -> Tensor:
    rows = torch.nn.functional.pad(image, (1, 2))
    sums = torch.zeros(image.shape[0], *offsets.shape, dtype=image.dtype, device=image.device)
    for r in range(image.shape[1]):
        position = (offsets + slopes * r).clamp(0, rows.shape[2] - 2)
        j = position.to(torch.int64)
        weight = position - j
        sums = sums + torch.where(chosen, rows[:, r][:, j] * (1 - weight) + rows[:, r][:, j + 1] * weight, 0.0)
    return sums

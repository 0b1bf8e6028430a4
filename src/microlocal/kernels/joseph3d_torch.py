"""Joseph's projector for volumes in plain torch: the oracle of ``joseph3d.py``, on any device, slow and short."""

import torch
from jaxtyping import Float
from torch import Tensor


def project(
    volume: Float[Tensor, "volume slice row col"],
    views: Float[Tensor, "view 4 3"],
    diverging: bool,
    rows: int,
    cols: int,
) -> Float[Tensor, "volume view v u"]:
    """Sum volumes along rays; see ``joseph3d.project``. The views are float64."""
    start, corner, u, v = (views[:, k, None, None] for k in range(4))
    i = torch.arange(rows, dtype=views.dtype, device=views.device)[None, :, None, None]
    j = torch.arange(cols, dtype=views.dtype, device=views.device)[None, None, :, None]
    points = corner + j * u + i * v
    directions = points - start if diverging else start.expand_as(points)
    main = directions.abs().argmax(dim=-1)  # the first of equal ones
    sums = torch.zeros(volume.shape[0], *main.shape, dtype=volume.dtype, device=volume.device)
    for axis in range(3):
        sums = sums + torch.where(main == axis, _line_sums(volume, points, directions, axis), 0.0)
    return sums


def _line_sums(volume: Tensor, points: Tensor, directions: Tensor, axis: int) -> Tensor:
    """Step all rays along ``axis``, whether it is their main one or not."""
    others = [a for a in range(3) if a != axis]
    planes = torch.nn.functional.pad(volume.movedim(1 + axis, 1), (1, 2, 1, 2))
    slopes = directions[..., others] / directions[..., axis, None]
    starts = points[..., others] - points[..., axis, None] * slopes + 1
    top = torch.tensor(planes.shape[2:], dtype=points.dtype, device=points.device) - 2
    sums = torch.zeros((), dtype=volume.dtype, device=volume.device)
    for k in range(planes.shape[1]):
        position = torch.minimum((starts + slopes * k).nan_to_num(0.0).clamp_min(0), top).to(volume.dtype)
        cell = position.to(torch.int64)
        sums = sums + _bilinear(planes[:, k], cell, position - cell)
    return sums * (1 + slopes.square().sum(dim=-1)).sqrt().to(volume.dtype)


def _bilinear(plane: Tensor, cell: Tensor, weight: Tensor) -> Tensor:
    (m, i), (wm, wi) = cell.unbind(-1), weight.unbind(-1)
    below = plane[:, m, i] * (1 - wi) + plane[:, m, i + 1] * wi
    above = plane[:, m + 1, i] * (1 - wi) + plane[:, m + 1, i + 1] * wi
    return below * (1 - wm) + above * wm

"""Joseph's projector for volumes on CUDA: one thread a ray; the adjoint adds atomically.

The rays and weights are those of ``joseph3d.py``. Which axis a ray runs along is found before (``main_axes``), by the
same roundings as on the CPU, so that a ray between two axes takes the same one there and here. As in ``joseph_cuda``
the result of the adjoint varies from run to run by rounding.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numba import cuda
from torch import Tensor

from microlocal.kernels.cuda_launch import launch
from microlocal.kernels.joseph3d import ORDERS

_RAYS_AT_ONCE = 1 << 21  # whose directions are held in memory together


@cuda.jit(device=True)
def _ray(view, diverging, u, v):  # type: ignore[no-untyped-def]
    """Return m₀, m₁, i₀, i₁ and the length of a step, in float64: (m, i) = (m₀ + m₁ k, i₀ + i₁ k) in plane k.

    view (4, 3) in the order (main, middle, inner): source or direction, pixel (0, 0), steps u and v, in padded voxels.
    """
    p0 = view[1, 0] + u * view[2, 0] + v * view[3, 0]
    p1 = view[1, 1] + u * view[2, 1] + v * view[3, 1]
    p2 = view[1, 2] + u * view[2, 2] + v * view[3, 2]
    d0, d1, d2 = view[0, 0], view[0, 1], view[0, 2]
    if diverging:
        d0, d1, d2 = p0 - d0, p1 - d1, p2 - d2
    m1, i1 = d1 / d0, d2 / d0
    return p1 - p0 * m1, m1, p2 - p0 * i1, i1, math.sqrt(1.0 + m1 * m1 + i1 * i1)


@cuda.jit
def _line_sums(sums, planes, views, diverging, axes, axis):  # type: ignore[no-untyped-def]
    """planes (volume, main, middle + 2, inner + 2); axes (view, v, u), the main ones; sums (volume, view, v, u)."""
    _, count, rows, cols = sums.shape
    thread = cuda.grid(1)
    if thread >= sums.shape[0] * count * rows * cols:
        return
    u, v, view = thread % cols, thread // cols % rows, thread // (cols * rows) % count
    volume = thread // (cols * rows * count)
    if axes[view, v, u] != axis:
        return
    number = planes.dtype.type
    zero, high, far = number(0), number(planes.shape[2] - 1), number(planes.shape[3] - 1)
    start_m, step_m, start_i, step_i, length = _ray(views[view], diverging, u, v)
    m0, m1, i0, i1, total = number(start_m), number(step_m), number(start_i), number(step_i), number(0)
    for k in range(planes.shape[1]):
        middle, inner = m0 + m1 * number(np.int32(k)), i0 + i1 * number(np.int32(k))
        if zero < middle < high and zero < inner < far:
            m, i = np.int32(middle), np.int32(inner)
            wm, wi = middle - number(m), inner - number(i)
            below, above = planes[volume, k, m, i], planes[volume, k, m + 1, i]
            below += wi * (planes[volume, k, m, i + 1] - below)
            above += wi * (planes[volume, k, m + 1, i + 1] - above)
            total += below + wm * (above - below)
    sums[volume, view, v, u] = total * number(length)


@cuda.jit
def _spread_lines(sums, planes, views, diverging, axes, axis):  # type: ignore[no-untyped-def]
    """The transpose of ``_line_sums``: adds sums (volume, view, v, u) to planes."""
    _, count, rows, cols = sums.shape
    thread = cuda.grid(1)
    if thread >= sums.shape[0] * count * rows * cols:
        return
    u, v, view = thread % cols, thread // cols % rows, thread // (cols * rows) % count
    volume = thread // (cols * rows * count)
    if axes[view, v, u] != axis:
        return
    number = planes.dtype.type
    zero, high, far = number(0), number(planes.shape[2] - 1), number(planes.shape[3] - 1)
    start_m, step_m, start_i, step_i, length = _ray(views[view], diverging, u, v)
    m0, m1, i0, i1 = number(start_m), number(step_m), number(start_i), number(step_i)
    value = sums[volume, view, v, u] * number(length)
    for k in range(planes.shape[1]):
        middle, inner = m0 + m1 * number(np.int32(k)), i0 + i1 * number(np.int32(k))
        if zero < middle < high and zero < inner < far:
            m, i = np.int32(middle), np.int32(inner)
            wi = inner - number(i)
            above = (middle - number(m)) * value
            below = value - above
            cuda.atomic.add(planes, (volume, k, m, i), below - wi * below)
            cuda.atomic.add(planes, (volume, k, m, i + 1), wi * below)
            cuda.atomic.add(planes, (volume, k, m + 1, i), above - wi * above)
            cuda.atomic.add(planes, (volume, k, m + 1, i + 1), wi * above)


def main_axes(
    views: Float[Tensor, "view 4 3"], diverging: bool, rows: int, cols: int
) -> UInt8[Tensor, "view {rows} {cols}"]:
    """Return the axis (of slice, row, col) that each ray runs along most, the first of equal ones.

    In torch, for torch rounds every product and sum, where a compiler of kernels may fuse them.
    """
    i = torch.arange(rows, dtype=views.dtype, device=views.device)[:, None]
    j = torch.arange(cols, dtype=views.dtype, device=views.device)
    axes = []
    step = max(_RAYS_AT_ONCE // (rows * cols), 1)
    for first in range(0, len(views), step):
        start, corner, u, v = (views[first : first + step, k, :, None, None] for k in range(4))
        slice_, row, col = _lengths(start, corner + j * u + i * v, diverging).unbind(1)
        along = (slice_ >= row) & (slice_ >= col)
        axes.append(torch.where(along, 0, torch.where(row >= col, 1, 2)).to(torch.uint8))
    return torch.cat(axes)


def _lengths(start: Tensor, points: Tensor, diverging: bool) -> Tensor:
    return (points - start if diverging else start.expand_as(points)).abs()


def _ordered(views: Tensor, axis: int, diverging: bool) -> Tensor:
    """Return the views in the order (main, middle, inner), in padded voxels."""
    ordered = views[:, :, list(ORDERS[axis])].contiguous()
    ordered[:, 1, 1:] += 1.0
    if diverging:
        ordered[:, 0, 1:] += 1.0
    return ordered


def project(
    volume: Float[Tensor, "volume slice row col"],
    views: Float[Tensor, "view 4 3"],
    diverging: bool,
    rows: int,
    cols: int,
) -> Float[Tensor, "volume view v u"]:
    """Sum volumes along rays, in voxel steps; see ``joseph3d.project``. The views are float64."""
    views = views.to(volume.device)
    axes = main_axes(views, diverging, rows, cols)
    sums = volume.new_zeros((len(volume), *axes.shape))
    for axis, order in enumerate(ORDERS):
        planes = torch.nn.functional.pad(volume.permute(0, *(1 + a for a in order)), (1, 1, 1, 1)).contiguous()
        launch(_line_sums, sums.numel(), sums, planes, _ordered(views, axis, diverging), diverging, axes, axis)
    return sums


def backproject(
    sums: Float[Tensor, "volume view v u"],
    views: Float[Tensor, "view 4 3"],
    diverging: bool,
    shape: tuple[int, int, int],
) -> Float[Tensor, "volume slice row col"]:
    """Spread sums along the rays into volumes (volume, *shape): the transpose of ``project``."""
    views, sums = views.to(sums.device), sums.contiguous()
    axes = main_axes(views, diverging, *sums.shape[2:])
    volumes = sums.new_zeros((len(sums), *shape))
    for axis, order in enumerate(ORDERS):
        main, middle, inner = (shape[a] for a in order)
        planes = sums.new_zeros((len(sums), main, middle + 2, inner + 2))
        launch(_spread_lines, sums.numel(), sums, planes, _ordered(views, axis, diverging), diverging, axes, axis)
        volumes += planes[:, :, 1:-1, 1:-1].permute(0, *(1 + order.index(a) for a in range(3)))
    return volumes

"""Pixel- and voxel-driven backprojection for CUDA: one thread a pixel, which walks through the views.

The sums are those of ``pixel_driven.py`` and ``pixel_driven3d.py``, taken view by view: no two threads write the same
memory, and the result is the same in every run.
"""

import numpy as np
import torch
from jaxtyping import Float
from numba import cuda
from numpy.typing import NDArray
from torch import Tensor

from microlocal.kernels.cuda_launch import launch

Floats = NDArray[np.floating]


@cuda.jit
def _accumulate(images, data, views, weights, diverging):  # type: ignore[no-untyped-def]
    """images (image, row, col), one pixel a thread; data (image, view, 1 + detector + 1); views (view, 6)."""
    _, height, width = images.shape
    thread = cuda.grid(1)
    if thread >= images.size:
        return
    image, r, c = thread // (height * width), thread // width % height, thread % width
    number = data.dtype.type
    zero, far, total = number(0), number(data.shape[2] - 1), number(0)
    row, col = number(r), number(c)
    for view in range(data.shape[1]):
        inverse = number(1) / (views[view, 3] + views[view, 4] * row + views[view, 5] * col)
        position = (views[view, 0] + views[view, 1] * row + views[view, 2] * col) * inverse
        if zero < position < far:
            j = np.int32(position)
            here = data[image, view, j]
            value = weights[view] * (here + (position - number(j)) * (data[image, view, j + 1] - here))
            if diverging:
                value *= inverse * inverse
            total += value
    images[image, r, c] += total


@cuda.jit
def _accumulate3d(volumes, data, views, weights, diverging):  # type: ignore[no-untyped-def]
    """volumes (volume, slice, row, col), one voxel a thread; data (volume, view, v + 2, u + 2); views (view, 3, 4)."""
    _, slices, height, width = volumes.shape
    thread = cuda.grid(1)
    if thread >= volumes.size:
        return
    volume, s = thread // (slices * height * width), thread // (height * width) % slices
    r, c = thread // width % height, thread % width
    number = data.dtype.type
    zero, high, far, total = number(0), number(data.shape[2] - 1), number(data.shape[3] - 1), number(0)
    x, y, z = number(c), number(r), number(s)
    for view in range(data.shape[1]):
        depth, across, up = views[view, 0], views[view, 1], views[view, 2]
        inverse = number(1) / (depth[0] + depth[1] * z + depth[2] * y + depth[3] * x)
        u = (across[0] + across[1] * z + across[2] * y + across[3] * x) * inverse
        v = (up[0] + up[1] * z + up[2] * y + up[3] * x) * inverse
        if zero < v < high and zero < u < far:
            i, j = np.int32(v), np.int32(u)
            share = u - number(j)
            below, above = data[volume, view, i, j], data[volume, view, i + 1, j]
            below += share * (data[volume, view, i, j + 1] - below)
            above += share * (data[volume, view, i + 1, j + 1] - above)
            value = weights[view] * (below + (v - number(i)) * (above - below))
            if diverging:
                value *= inverse * inverse
            total += value
    volumes[volume, s, r, c] += total


def accumulate(
    data: Float[Tensor, "image view detector"], views: Floats, weights: Floats, power: int, shape: tuple[int, int]
) -> Float[Tensor, "image row col"]:
    """Return what ``pixel_driven.accumulate`` does, on the device of ``data``."""
    images = data.new_zeros((len(data), *shape))
    padded = torch.nn.functional.pad(data, (1, 1)).contiguous()
    launch(_accumulate, images.numel(), images, padded, *_tables(data, views, weights), power == 2)
    return images


def accumulate3d(
    data: Float[Tensor, "volume view v u"],
    views: Floats,
    weights: Floats,
    power: int,
    volumes: Float[Tensor, "volume slice row col"],
) -> None:
    """Add to ``volumes`` what ``pixel_driven3d.accumulate`` does, on the device of ``data``."""
    padded = torch.nn.functional.pad(data, (1, 1, 1, 1)).contiguous()
    shifted = views.copy()
    shifted[:, 1:] += views[:, :1]  # the padding: one pixel further, times the depth
    launch(_accumulate3d, volumes.numel(), volumes, padded, *_tables(data, shifted, weights), power == 2)


def _tables(like: Tensor, *tables: Floats) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(table)).to(like.device, like.dtype) for table in tables]

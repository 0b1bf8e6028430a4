"""Joseph's projector for CUDA: one thread a ray; the adjoint adds atomically.

Rays, positions and weights are those of ``joseph.py``: a steep ray crosses row r in column offset + slope r, a flat one
likewise with rows and columns exchanged, each with linear interpolation between two neighbours. Lines of the image are
padded by one zero on either side; where a ray is outside of them it meets nothing. Neighbouring threads have
neighbouring rays, hence read neighbouring memory in every line: flat rays read a transposed copy.

In the adjoint several rays meet in one pixel, and the order in which they are added is not fixed: the result varies
from run to run by rounding, and by nothing else.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numba import cuda
from torch import Tensor

from microlocal.kernels.cuda_launch import launch


@cuda.jit
def _line_sums(sums, lines, offsets, slopes, lengths, chosen):  # type: ignore[no-untyped-def]
    """lines (image, line, 1 + across + 1); sums (image, view, ray), one a thread; all others (view, ray)."""
    views, rays = offsets.shape
    thread = cuda.grid(1)
    if thread >= sums.shape[0] * views * rays:
        return
    image, view, ray = thread // (views * rays), thread // rays % views, thread % rays
    if not chosen[view, ray]:
        return
    number = lines.dtype.type
    zero, far = number(0), number(lines.shape[2] - 1)
    offset, slope, total = offsets[view, ray], slopes[view, ray], number(0)
    for r in range(lines.shape[1]):
        position = offset + slope * number(np.int32(r))
        if zero < position < far:
            j = np.int32(position)
            weight = position - number(j)
            here = lines[image, r, j]
            total += here + weight * (lines[image, r, j + 1] - here)
    sums[image, view, ray] = total * lengths[view, ray]


@cuda.jit
def _spread_lines(sums, lines, offsets, slopes, lengths, chosen):  # type: ignore[no-untyped-def]
    """The transpose of ``_line_sums``: adds sums (image, view, ray) to lines (image, line, 1 + across + 1)."""
    views, rays = offsets.shape
    thread = cuda.grid(1)
    if thread >= sums.shape[0] * views * rays:
        return
    image, view, ray = thread // (views * rays), thread // rays % views, thread % rays
    if not chosen[view, ray]:
        return
    number = lines.dtype.type
    zero, far = number(0), number(lines.shape[2] - 1)
    offset, slope, value = offsets[view, ray], slopes[view, ray], sums[image, view, ray] * lengths[view, ray]
    for r in range(lines.shape[1]):
        position = offset + slope * number(np.int32(r))
        if zero < position < far:
            j = np.int32(position)
            share = (position - number(j)) * value
            cuda.atomic.add(lines, (image, r, j), value - share)
            cuda.atomic.add(lines, (image, r, j + 1), share)


def project(
    image: Float[Tensor, "image row col"],
    offsets: Float[Tensor, "view ray"],
    slopes: Float[Tensor, "view ray"],
    steep: Bool[Tensor, "view ray"],
    lengths: Float[Tensor, "view ray"],
) -> Float[Tensor, "image view ray"]:
    """Sum images (image, row, col) along rays (view, ray), times the length of a step; see ``joseph.project``."""
    table = [values.to(image.device, image.dtype).contiguous() for values in (offsets, slopes, lengths)]
    steep = steep.to(image.device)
    sums = image.new_zeros((image.shape[0], *offsets.shape))
    for lines, chosen in ((image, steep), (image.transpose(1, 2), ~steep)):
        padded = torch.nn.functional.pad(lines, (1, 1)).contiguous()
        launch(_line_sums, sums.numel(), sums, padded, *table, chosen.contiguous())
    return sums


def backproject(
    sums: Float[Tensor, "image view ray"],
    offsets: Float[Tensor, "view ray"],
    slopes: Float[Tensor, "view ray"],
    steep: Bool[Tensor, "view ray"],
    lengths: Float[Tensor, "view ray"],
    shape: tuple[int, int],
) -> Float[Tensor, "image row col"]:
    """Spread sums (image, view, ray) along the rays into images (image, *shape): the transpose of ``project``."""
    table = [values.to(sums.device, sums.dtype).contiguous() for values in (offsets, slopes, lengths)]
    steep, sums = steep.to(sums.device), sums.contiguous()
    rows, cols = shape
    along, across = sums.new_zeros((len(sums), rows, cols + 2)), sums.new_zeros((len(sums), cols, rows + 2))
    for lines, chosen in ((along, steep), (across, ~steep)):
        launch(_spread_lines, sums.numel(), sums, lines, *table, chosen.contiguous())
    return along[:, :, 1:-1] + across[:, :, 1:-1].transpose(1, 2)

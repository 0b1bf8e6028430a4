"""Joseph's projector as numba kernels: line sums with linear interpolation, and the exact transpose.

A ray is a table row (A, B): it passes through column ``A + B r`` of row r ("steep" rays, which cross every row) or
through row ``A + B c`` of column c ("flat" rays). One kernel serves every planar geometry, since the geometry is in
the table. Forward runs in parallel over (image, view); the adjoint over (image, row): no two threads write the same
memory, so results do not depend on their number.

The image is padded by one zero on both ends of every row, and positions are clamped into the padding: a ray that
leaves the image reads (and writes) zeros instead of branching.

Reference: P. M. Joseph, IEEE Trans. Med. Imaging 1(3), 1982.
"""

import numba
import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.floating]

# "contract" lets the compiler fuse multiply-adds; nothing here may be reordered, so that forward and adjoint
# interpolate with bit-equal weights.
_OPTIONS = {"parallel": True, "cache": True, "fastmath": {"contract"}, "nogil": True}


@numba.njit(**_OPTIONS)
def _line_sums(rows: Floats, offsets: Floats, slopes: Floats, chosen: NDArray[np.bool_], sums: Floats) -> None:
    """rows (image, row, col + 2); offsets, slopes, chosen (view, ray); sums (image, view, ray) is added to."""
    images, height, padded = rows.shape
    views, rays = offsets.shape
    top = offsets.dtype.type(padded - 2)
    zero = offsets.dtype.type(0)
    for job in numba.prange(images * views):
        image, view = job // views, job % views
        out = sums[image, view]
        first, last = rays, 0
        for ray in range(rays):
            if chosen[view, ray]:
                first = min(first, ray)
                last = max(last, ray + 1)
        offset, slope, use = offsets[view], slopes[view], chosen[view]
        for r in range(height):
            row = rows[image, r]
            height_r = offsets.dtype.type(r)
            for ray in range(first, last):
                position = offset[ray] + slope[ray] * height_r
                position = min(max(position, zero), top)
                j = np.int32(position)
                weight = position - offsets.dtype.type(j)
                value = row[j] + weight * (row[j + 1] - row[j])
                out[ray] += value if use[ray] else zero


@numba.njit(**_OPTIONS)
def _spread_lines(rows: Floats, offsets: Floats, slopes: Floats, chosen: NDArray[np.bool_], sums: Floats) -> None:
    """The transpose of ``_line_sums``: spreads sums (image, view, ray) into rows (image, row, col + 2)."""
    images, height, padded = rows.shape
    views, rays = offsets.shape
    top = offsets.dtype.type(padded - 2)
    zero = offsets.dtype.type(0)
    for job in numba.prange(images * height):
        image, r = job // height, job % height
        row = rows[image, r]
        height_r = offsets.dtype.type(r)
        for view in range(views):
            offset, slope, use, source = offsets[view], slopes[view], chosen[view], sums[image, view]
            for ray in range(rays):
                if use[ray]:
                    position = offset[ray] + slope[ray] * height_r
                    position = min(max(position, zero), top)
                    j = np.int32(position)
                    share = (position - offsets.dtype.type(j)) * source[ray]
                    row[j] += source[ray] - share
                    row[j + 1] += share


def _use_torch_threads() -> None:
    """One thread setting for everything: what ``torch.set_num_threads`` says."""
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))


def project(image: Floats, offsets: Floats, slopes: Floats, steep: NDArray[np.bool_]) -> Floats:
    """Sum images (image, row, col) along rays (view, ray), in pixel steps; returns (image, view, ray).

    ``offsets`` are positions in pixels counted from the pixel before the first (so 1 is the first pixel's centre).
    """
    _use_torch_threads()
    sums = np.zeros((image.shape[0], *offsets.shape), image.dtype)
    pad = ((0, 0), (0, 0), (1, 1))
    if steep.any():
        _line_sums(np.pad(image, pad), offsets, slopes, steep, sums)
    if not steep.all():
        _line_sums(np.pad(image.transpose(0, 2, 1), pad), offsets, slopes, ~steep, sums)
    return sums


def backproject(
    sums: Floats, offsets: Floats, slopes: Floats, steep: NDArray[np.bool_], shape: tuple[int, int]
) -> Floats:
    """Spread sums (image, view, ray) along the rays into images (image, row, col): the transpose of ``project``."""
    _use_torch_threads()
    height, width = shape
    images = np.zeros((sums.shape[0], height, width), sums.dtype)
    if steep.any():
        rows = np.zeros((sums.shape[0], height, width + 2), sums.dtype)
        _spread_lines(rows, offsets, slopes, steep, sums)
        images += rows[:, :, 1:-1]
    if not steep.all():
        columns = np.zeros((sums.shape[0], width, height + 2), sums.dtype)
        _spread_lines(columns, offsets, slopes, ~steep, sums)
        images += columns[:, :, 1:-1].transpose(0, 2, 1)
    return images

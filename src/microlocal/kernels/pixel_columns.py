"""Voxel-driven backprojection where the panel's columns are parallel to the axis: ``pixel_driven3d``, column by column.

All voxels above each other see one place u of an upright panel from one depth, and their places v are affine in the
slice. So the two panel columns beside u are mixed once, in contiguous memory, and the voxels read the mixture from the
first-level cache: no division and half of the interpolation for each of them. Runs in parallel over (volume, row); a
row's voxels are kept with the slice innermost and added to the volume at the end.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.column_loops import PAD, collect, mix, padded, whole
from microlocal.kernels.lanes import AVAILABLE
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]

_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}


def applies(views: Floats) -> bool:
    """Whether depth and u are the same for all slices, in every view."""
    return bool((views[:, :2, 1] == 0).all())


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _mixed(
    panel: Floats, table: Floats, r: int, c: int, slices: int, pad: int, column: Floats
) -> tuple[float, float, float]:
    """Write the panel (u + 3, v) between two pixels of u to ``column``, from ``pad`` on, as far as it is needed.

    Returns the places in it, start + rise s, and the inverse of the depth.
    """
    rows = panel.shape[1]
    depth = table[0, 0] + table[0, 2] * r + table[0, 3] * c
    inverse = 1.0 / depth
    u = min(max((table[1, 0] + table[1, 2] * r + table[1, 3] * c) * inverse, 0.0), float(panel.shape[0] - 2))
    j = int(u)
    start, rise = (table[2, 0] + table[2, 2] * r + table[2, 3] * c) * inverse, table[2, 1] * inverse
    end = start + rise * (slices - 1)
    low = int(min(max(min(start, end) - 1, 0.0), float(rows)))
    high = int(min(max(max(start, end) + 3, 0.0), float(rows)))
    mix(panel[j, low:high], panel[j + 1, low:high], panel.dtype.type(u - j), column[pad + low : pad + high])
    return start + pad, rise, inverse


@numba.njit(cache=True, nogil=True)
def _add_row(buffer: Floats, volume: Floats, r: int) -> None:
    for s in range(volume.shape[0]):
        for c in range(volume.shape[2]):
            volume[s, r, c] += buffer[c, s]


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _read(column: Floats, start: float, rise: float, weight: float, out: Floats) -> None:
    """out[s] += weight lerp(column, start + rise s)."""
    number = column.dtype.type
    first, step, factor, most = number(start), number(rise), number(weight), number(column.size - 2)
    for s in range(out.size):
        place = min(max(first + step * number(s), number(0)), most)
        i = np.int32(place)
        out[s] += factor * (column[i] + (place - number(i)) * (column[i + 1] - column[i]))


@numba.njit(**_OPTIONS)
def _on_registers(
    data: Floats, views: Floats, weights: Floats, power: int, columns: Floats, buffers: Floats, volumes: Floats
) -> None:
    """data (volume, view, u + 3, v); columns (task, pad + v + pad), zeros; buffers (task, col, slice)."""
    count, slices, height, width = volumes.shape
    tasks, length = columns.shape
    pad = PAD // data.itemsize
    each = (count * height + tasks - 1) // tasks
    for task in numba.prange(tasks):
        column, buffer = columns[task], buffers[task]
        across, flat = buffer.shape[1], buffer.reshape(buffer.size)
        for job in range(task * each, min(task * each + each, count * height)):
            volume, r = job // height, job % height
            flat[:] = 0
            for view in range(views.shape[0]):
                for c in range(width):
                    start, rise, inverse = _mixed(data[volume, view], views[view], r, c, slices, pad, column)
                    weight = weights[view] * (inverse * inverse if power == 2 else 1.0)
                    if not collect(column, length - pad, start, rise, weight, flat, c * across, across):
                        _read(column, start, rise, weight, buffer[c, :slices])
            _add_row(buffer, volumes[volume], r)


@numba.njit(**_OPTIONS)
def _plain(
    data: Floats, views: Floats, weights: Floats, power: int, columns: Floats, buffers: Floats, volumes: Floats
) -> None:
    """The same on any processor."""
    count, slices, height, width = volumes.shape
    tasks, pad = len(columns), PAD // data.itemsize
    each = (count * height + tasks - 1) // tasks
    for task in numba.prange(tasks):
        column, buffer = columns[task], buffers[task]
        for job in range(task * each, min(task * each + each, count * height)):
            volume, r = job // height, job % height
            buffer[:] = 0
            for view in range(views.shape[0]):
                for c in range(width):
                    start, rise, inverse = _mixed(data[volume, view], views[view], r, c, slices, pad, column)
                    weight = weights[view] * (inverse * inverse if power == 2 else 1.0)
                    _read(column, start, rise, weight, buffer[c, :slices])
            _add_row(buffer, volumes[volume], r)


def accumulate(data: Floats, views: Floats, weights: Floats, power: int, volumes: Floats) -> None:
    """Do what ``pixel_driven3d.accumulate`` does; only where ``applies``."""
    count, slices, height, width = volumes.shape
    panels = np.zeros((*data.shape[:2], data.shape[3] + 3, data.shape[2]), data.dtype)
    panels[:, :, 1:-2] = data.swapaxes(2, 3)
    shifted = views.astype(np.float64)
    shifted[:, 1] += views[:, 0]  # the padding in u: one pixel further, times the depth
    with threads_for(volumes.size * data.shape[1]):
        tasks = min(count * height, 2 * numba.get_num_threads())
        columns, buffers = padded(tasks, data.shape[2], data.dtype), whole((tasks, width), slices, data.dtype)
        kernel = _on_registers if AVAILABLE else _plain
        kernel(panels, shifted, weights.astype(np.float64), power, columns, buffers, volumes)

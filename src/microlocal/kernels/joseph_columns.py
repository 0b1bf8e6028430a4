"""Joseph's projector for volumes where the panel's columns are parallel to the axis: the same sums, column by column.

For an upright panel all rays of a detector column u stay in one plane through the z axis' direction. Where they cross
plane k of their main axis (row or col) they share their place b in the other, and their heights are affine in v:

    Σ_k lerp_z( (1 - w) f[k, j, :] + w f[k, j + 1, :],  α + β v ),     b = j + w.

So the column in brackets is made once, in contiguous memory, and all v read it from the first-level cache: a third of
the time of ``joseph3d``, whose weights it shares up to rounding. Forward runs in parallel over (volume, view, some
columns), the adjoint over (volume, block of planes): no two threads write the same memory, so results do not depend on
their number.
"""

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.column_loops import PAD, collect, distribute, mix, padded, share, whole
from microlocal.kernels.lanes import AVAILABLE
from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]
Ray = tuple[bool, float, float, float, float, float]  # of a detector column, see ``_column``

# The axes (main, other, slice) of the copy for rays along rows' direction and along columns' direction.
ORDERS = ((1, 2, 0), (2, 1, 0))
_BLOCK = 8  # planes a task of the adjoint
_LANES = 4  # accumulators of the adjoint: neighbouring rows add to the same voxels, and an addition takes four cycles
_COLUMNS = 16  # detector columns a task of the forward map
_OPTIONS = {"parallel": True, "cache": True, "nogil": True, "fastmath": {"contract", "nnan", "ninf", "nsz", "arcp"}}


def applies(views: Floats, diverging: bool, shape: tuple[int, int, int], rows: int, cols: int) -> bool:
    """Whether the panel's columns run along z in every view, no ray mainly does, and sources lie outside the volume."""
    start, corner, u, v = np.moveaxis(views, 1, 0)
    if (v[:, 1:] != 0).any():
        return False
    points = corner[:, None, None] + np.arange(cols)[None, :, None, None] * u[:, None, None]
    points = points + np.array([0, rows - 1])[:, None] * v[:, None, None]
    directions = np.abs(points - start[:, None, None] if diverging else start[:, None, None])
    level = (directions[..., 0] < directions[..., 1:].max(axis=-1)).all()
    outside = ((start < -1) | (start > shape)).any(axis=1).all()
    return bool(level and (outside or not diverging))


@numba.njit(cache=True, nogil=True)
def _column(view: Floats, diverging: bool, axis: int, u: int) -> Ray:
    """Return whether the column is of this axis, its pixel v = 0 (main, other, height) and its direction (main, other).

    view (4, 3) in the order (main, other, slice): source or direction, pixel (0, 0), steps u and v.
    """
    main, other = view[1, 0] + u * view[2, 0], view[1, 1] + u * view[2, 1]
    run, drift = view[0, 0], view[0, 1]
    if diverging:
        run, drift = main - run, other - drift
    ours = abs(run) >= abs(drift) if axis == 0 else abs(run) > abs(drift)
    return ours, main, other, view[1, 2] + u * view[2, 2], run, drift


@numba.njit(cache=True, nogil=True)
def _heights(view: Floats, diverging: bool, height: float, step: float) -> tuple[float, float]:
    """Return α, β of the heights α + β v at ``step`` directions beyond the panel (before it: negative)."""
    if diverging:
        return height + step * (height - view[0, 2]), view[3, 2] * (1.0 + step)
    return height + step * view[0, 2], view[3, 2]


@numba.njit(cache=True, nogil=True)
def _seen(start: float, rise: float, tall: int, rows: int) -> tuple[int, int]:
    """Return the rows low <= v < high whose heights start + rise v lie between -1 and ``tall``."""
    one, two = (-1 - start) / rise, (tall - start) / rise
    low, high = max(np.ceil(min(one, two)), 0.0), min(np.floor(max(one, two)) + 1, float(rows))
    return int(low), int(high)


@numba.njit(cache=True, nogil=True)
def _step_length(view: Floats, diverging: bool, ray: Ray, v: int) -> float:
    """Return the length of the ray of row v between two planes, in voxels."""
    height, run, drift = ray[3:]
    rise = height + v * view[3, 2] - view[0, 2] if diverging else view[0, 2]
    return np.sqrt(run * run + drift * drift + rise * rise) / abs(run)


@numba.njit(cache=True, nogil=True)
def _crossing(view: Floats, diverging: bool, ray: Ray, k: int, width: int) -> tuple[bool, int, float, float, float]:
    """Return whether a column's rays cross plane k within it, the left neighbour's place there, the right one's share
    and the heights start + rise v."""
    _, main, other, height, run, drift = ray
    step = (k - main) / run
    b = other + step * drift + 1
    if b <= 0 or b >= width - 1:
        return False, 0, 0.0, 0.0, 0.0
    start, rise = _heights(view, diverging, height, step)
    return True, int(b), b - int(b), start, rise


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _collect(column: Floats, pad: int, start: float, rise: float, tall: int, rows: int, total: Floats) -> None:
    """total[v] += lerp(column, pad + start + rise v)."""
    low, high = _seen(start, rise, tall, rows)
    number = column.dtype.type
    alpha, beta = number(start + pad), number(rise)
    for v in range(low, high):
        place = alpha + beta * number(v)
        i = np.int32(place)
        total[v] += column[i] + (place - number(i)) * (column[i + 1] - column[i])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz", "arcp"})
def _distribute(
    source: Floats, pad: int, start: float, rise: float, tall: int, rows: int, column: Floats, columns: Floats
) -> None:
    """column[z] += what the source[pad + v] spread to the heights beside start + rise v."""
    low, high = _seen(start, rise, tall, rows)
    number = column.dtype.type
    alpha, beta = number(start + 1), number(rise)
    columns[:] = 0
    for v in range(low, high):
        place = alpha + beta * number(v)
        i = np.int32(place)
        share = (place - number(i)) * source[pad + v]
        lane = v % _LANES
        columns[lane, i] += source[pad + v] - share
        columns[lane, i + 1] += share
    for z in range(tall):
        column[z] += columns[0, z + 1] + columns[1, z + 1] + columns[2, z + 1] + columns[3, z + 1]


@numba.njit(**_OPTIONS)
def _line_sums(planes: Floats, views: Floats, diverging: bool, axis: int, sums: Floats) -> None:
    """planes (volume, main, other + 2, slice), padded in the middle; sums (volume, view, v, u), this axis' columns."""
    volumes, depth, width, tall = planes.shape
    number = planes.dtype.type
    rows, cols = sums.shape[2:]
    parts = (cols + _COLUMNS - 1) // _COLUMNS
    for task in numba.prange(volumes * views.shape[0] * parts):
        volume, rest = task // (views.shape[0] * parts), task % (views.shape[0] * parts)
        index, first = rest // parts, rest % parts * _COLUMNS
        view = views[index]
        column, total = np.zeros(tall + 5, planes.dtype), np.empty(rows, planes.dtype)
        for u in range(first, min(first + _COLUMNS, cols)):
            ray = _column(view, diverging, axis, u)
            if not ray[0]:
                continue
            total[:] = 0
            for k in range(depth):
                crosses, j, w, start, rise = _crossing(view, diverging, ray, k, width)
                if crosses:
                    mix(planes[volume, k, j], planes[volume, k, j + 1], number(w), column[2 : 2 + tall])
                    _collect(column, 2, start, rise, tall, rows, total)
            for v in range(rows):
                sums[volume, index, v, u] = total[v] * number(_step_length(view, diverging, ray, v))


@numba.njit(**_OPTIONS)
def _line_sums_on_registers(
    planes: Floats, views: Floats, diverging: bool, axis: int, columns: Floats, totals: Floats, sums: Floats
) -> None:
    """The same; columns (task, pad + slice + pad), zeros, and totals (task, v in whole registers)."""
    volumes, depth, width, tall = planes.shape
    number = planes.dtype.type
    rows, cols = sums.shape[2:]
    tasks, length = columns.shape
    across = totals.shape[1]
    pad = PAD // planes.itemsize
    jobs = volumes * views.shape[0] * cols
    each = (jobs + tasks - 1) // tasks
    for task in numba.prange(tasks):
        column, total = columns[task], totals[task]
        for job in range(task * each, min(task * each + each, jobs)):
            volume, rest = job // (views.shape[0] * cols), job % (views.shape[0] * cols)
            index, u = rest // cols, rest % cols
            view = views[index]
            ray = _column(view, diverging, axis, u)
            if not ray[0]:
                continue
            total[:] = 0
            for k in range(depth):
                crosses, j, w, start, rise = _crossing(view, diverging, ray, k, width)
                if crosses:
                    mix(planes[volume, k, j], planes[volume, k, j + 1], number(w), column[pad : pad + tall])
                    if not collect(column, length - pad, start + pad, rise, 1.0, total, 0, across):
                        _collect(column, pad, start, rise, tall, rows, total)
            for v in range(rows):
                sums[volume, index, v, u] = total[v] * number(_step_length(view, diverging, ray, v))


@numba.njit(cache=True, nogil=True)
def _weighted(view: Floats, diverging: bool, ray: Ray, data: Floats, source: Floats) -> None:
    """source[v] = data[v] times the length of the ray's steps."""
    for v in range(data.size):
        source[v] = data[v] * data.dtype.type(_step_length(view, diverging, ray, v))


@numba.njit(**_OPTIONS)
def _spread_lines(planes: Floats, views: Floats, diverging: bool, axis: int, sums: Floats) -> None:
    """The transpose of ``_line_sums``; sums (volume, view, u, v) with v last."""
    volumes, depth, width, tall = planes.shape
    number = planes.dtype.type
    cols, rows = sums.shape[2:]
    blocks = (depth + _BLOCK - 1) // _BLOCK
    for task in numba.prange(volumes * blocks):
        volume, first = task // blocks, task % blocks * _BLOCK
        columns, source = np.zeros((_LANES, tall + 4), planes.dtype), np.empty(rows, planes.dtype)
        column = np.empty(tall, planes.dtype)
        for job in range(views.shape[0] * cols):
            view, u = views[job // cols], job % cols
            ray = _column(view, diverging, axis, u)
            if not ray[0]:
                continue
            _weighted(view, diverging, ray, sums[volume, job // cols, u], source)
            for k in range(first, min(first + _BLOCK, depth)):
                crosses, j, w, start, rise = _crossing(view, diverging, ray, k, width)
                if crosses:
                    column[:] = 0
                    _distribute(source, 0, start, rise, tall, rows, column, columns)
                    share(column, number(w), planes[volume, k, j], planes[volume, k, j + 1])


@numba.njit(**_OPTIONS)
def _spread_lines_on_registers(
    planes: Floats, views: Floats, diverging: bool, axis: int, sources: Floats, gathered: Floats, sums: Floats
) -> None:
    """The same; sources (task, pad + v + pad), zeros, and gathered (task, slice in whole registers)."""
    volumes, depth, width, tall = planes.shape
    number = planes.dtype.type
    cols, rows = sums.shape[2:]
    length, across = sources.shape[1], gathered.shape[1]
    pad = PAD // planes.itemsize
    blocks = (depth + _BLOCK - 1) // _BLOCK
    for task in numba.prange(volumes * blocks):
        volume, first = task // blocks, task % blocks * _BLOCK
        columns, source, column = np.zeros((_LANES, tall + 4), planes.dtype), sources[task], gathered[task]
        for job in range(views.shape[0] * cols):
            view, u = views[job // cols], job % cols
            ray = _column(view, diverging, axis, u)
            if not ray[0]:
                continue
            _weighted(view, diverging, ray, sums[volume, job // cols, u], source[pad : pad + rows])
            for k in range(first, min(first + _BLOCK, depth)):
                crosses, j, w, start, rise = _crossing(view, diverging, ray, k, width)
                if crosses:
                    column[:] = 0
                    if not distribute(source, length - pad, start, rise, pad, column, across):
                        _distribute(source, pad, start, rise, tall, rows, column, columns)
                    share(column[:tall], number(w), planes[volume, k, j], planes[volume, k, j + 1])


def project(volume: Floats, views: Floats, diverging: bool, rows: int, cols: int) -> Floats:
    """Sum volumes (volume, slice, row, col) along rays, as ``joseph3d.project`` does; only where ``applies``."""
    sums = np.zeros((volume.shape[0], views.shape[0], rows, cols), volume.dtype)
    with threads_for(sums.size * max(volume.shape[1:])):
        for axis, order in enumerate(ORDERS):
            planes = np.zeros(_planes_shape(volume.shape[0], volume.shape[1:], order), volume.dtype)
            planes[:, :, 1:-1] = volume.transpose(0, *(1 + a for a in order))
            arguments = planes, np.ascontiguousarray(views[:, :, order]), diverging, axis
            if AVAILABLE:
                tasks = 8 * numba.get_num_threads()
                columns = padded(tasks, planes.shape[3], volume.dtype)
                _line_sums_on_registers(*arguments, columns, whole((tasks,), rows, volume.dtype), sums)
            else:
                _line_sums(*arguments, sums)
    return sums


def backproject(sums: Floats, views: Floats, diverging: bool, shape: tuple[int, int, int]) -> Floats:
    """Spread sums (volume, view, v, u) along the rays into volumes (volume, *shape): the transpose of ``project``."""
    volumes = np.zeros((sums.shape[0], *shape), sums.dtype)
    with threads_for(sums.size * max(shape)):
        turned = np.ascontiguousarray(sums.swapaxes(2, 3))
        for axis, order in enumerate(ORDERS):
            planes = np.zeros(_planes_shape(sums.shape[0], shape, order), sums.dtype)
            arguments = planes, np.ascontiguousarray(views[:, :, order]), diverging, axis
            if AVAILABLE:
                tasks = len(planes) * -(-planes.shape[1] // _BLOCK)
                sources = padded(tasks, sums.shape[2], sums.dtype)
                _spread_lines_on_registers(*arguments, sources, whole((tasks,), shape[0], sums.dtype), turned)
            else:
                _spread_lines(*arguments, turned)
            volumes += planes[:, :, 1:-1].transpose(0, *(1 + np.argsort(order)))
    return volumes


def _planes_shape(count: int, shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    main, other, tall = (shape[a] for a in order)
    return count, main, other + 2, tall

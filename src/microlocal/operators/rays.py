"""The table of rays of a planar geometry, and Joseph's kernels as two custom operators of torch.

The geometry is turned once into offsets and slopes in pixel coordinates; the kernels know nothing else of it. Where
the processor has the instructions, the rays are also sorted for the vector kernels (``planned``).
"""

from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.kernels import joseph, joseph_lanes, joseph_stack, lanes
from microlocal.kernels.ray_plan import SMALL, RayPlan, plan
from microlocal.operators.autograd import uncompiled

Floats = NDArray[np.float64]
Rays = tuple[Floats, Floats, NDArray[np.bool_], Floats]
AGREEMENT: dict[type[np.floating], float] = {np.float32: 3e-4, np.float64: 1e-10}  # of the largest value


# The two custom operators are linear in their first argument and each is the other's derivative. Sums are multiplied
# by ``lengths`` (view, ray). ``planned`` is empty or holds the tables of a RayPlan for the dtype of the first argument.
@torch.library.custom_op("microlocal::project", mutates_args=(), device_types="cpu")
def project(
    image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, lengths: Tensor, planned: list[Tensor]
) -> Tensor:
    images, shape = np.ascontiguousarray(image.detach().numpy()), (offsets.shape[0], offsets.shape[1])
    if planned:
        return torch.from_numpy(_kernel().project(images, _plan_of(planned), shape))
    at, step, length = _in(images.dtype, offsets, slopes, lengths)
    sums = joseph.project(images, at, step, steep.numpy())
    sums *= length
    return torch.from_numpy(sums)


@torch.library.custom_op("microlocal::backproject", mutates_args=(), device_types="cpu")
def backproject(
    sums: Tensor,
    offsets: Tensor,
    slopes: Tensor,
    steep: Tensor,
    lengths: Tensor,
    planned: list[Tensor],
    rows: int,
    cols: int,
) -> Tensor:
    values, shape = np.ascontiguousarray(sums.detach().numpy()), (rows, cols)
    if planned:
        return torch.from_numpy(_kernel().backproject(values, _plan_of(planned), shape))
    at, step, length = _in(values.dtype, offsets, slopes, lengths)
    return torch.from_numpy(joseph.backproject(values * length, at, step, steep.numpy(), shape))


def _kernel() -> ModuleType:
    """Return the faster kernel for planned rays: without AVX-512 slices fill the vectors, in large images even one."""
    return joseph_lanes if lanes.AVAILABLE else joseph_stack


def _plan_of(planned: list[Tensor]) -> RayPlan:
    return RayPlan(*(table.numpy() for table in planned))


def _in(dtype: np.dtype[Any], *tables: Tensor) -> list[NDArray[np.floating]]:
    # By numpy: the threads that torch wakes for a conversion go on spinning on the cores that the kernels need.
    return [table.numpy().astype(dtype, copy=False) for table in tables]


@project.register_fake
def _(image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, lengths: Tensor, planned: list[Tensor]) -> Tensor:
    del slopes, steep, lengths, planned
    return image.new_empty((image.shape[0], *offsets.shape))


@backproject.register_fake
def _(
    sums: Tensor,
    offsets: Tensor,
    slopes: Tensor,
    steep: Tensor,
    lengths: Tensor,
    planned: list[Tensor],
    rows: int,
    cols: int,
) -> Tensor:
    del offsets, slopes, steep, lengths, planned
    return sums.new_empty((sums.shape[0], rows, cols))


def _save_rays(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    ctx.save_for_backward(*inputs[1:5], *inputs[5])
    ctx.shape = inputs[0].shape[-2:]


def _project_backward(ctx, grad):  # type: ignore[no-untyped-def]
    offsets, slopes, steep, lengths, *planned = ctx.saved_tensors
    back = backproject(grad, offsets, slopes, steep, lengths, planned, *ctx.shape)
    return back, None, None, None, None, [None] * len(planned)


def _backproject_backward(ctx, grad):  # type: ignore[no-untyped-def]
    offsets, slopes, steep, lengths, *planned = ctx.saved_tensors
    sums = project(grad, offsets, slopes, steep, lengths, planned)
    return sums, None, None, None, None, [None] * len(planned), None, None


project.register_autograd(_project_backward, setup_context=_save_rays)
backproject.register_autograd(_backproject_backward, setup_context=_save_rays)


@uncompiled
@lru_cache(maxsize=8)
def planned(geometry: Geometry, grid: Grid, dtype: torch.dtype) -> list[Shaped[Tensor, "..."]]:
    """Return the tables of the vector kernels; none where they cannot serve (rays that cross inside the image)."""
    rays, number = ray_table(geometry, grid), np.float32 if dtype == torch.float32 else np.float64
    tables = plan(*rays, grid.shape, number)
    if tables is None or (tables.slacks.max(initial=0) > SMALL and not _agrees(tables, rays, grid.shape, number)):
        return []
    return [torch.from_numpy(np.ascontiguousarray(t)) for t in tables]


def _agrees(tables: RayPlan, rays: Rays, shape: tuple[int, int], number: type[np.floating]) -> bool:
    """Whether the vector kernel spreads ones as the plain kernel does.

    Near a source the place of a ray is found by a table that bends between its samples; there the plan is proved.
    """
    offsets, slopes, steep, lengths = rays
    if not lanes.AVAILABLE:
        return True  # that of slices does not use the table
    plain = joseph.backproject(lengths[None], offsets, slopes, steep, shape)
    fast = joseph_lanes.backproject(np.ones((1, *steep.shape), number), tables, shape)
    return bool(np.abs(fast - plain).max() <= AGREEMENT[number] * max(float(plain.max()), 1e-300))


def ray_table(geometry: Geometry, grid: Grid) -> Rays:
    """Return offsets and slopes in padded pixel coordinates, which rays are steep, and the length of their steps.

    A steep ray of the line (φ, s) crosses the row at height y in x = (s - y sin φ)/cos φ, a flat one the column at x
    in y = (s - x cos φ)/sin φ; each step is p/|cos φ| or p/|sin φ| long. All four are (angle, detector).
    """
    phi, s = geometry.lines()
    cos, sin = np.cos(phi), np.sin(phi)
    steep = np.abs(cos) >= np.abs(sin)
    x, y = grid.coordinates()
    p = grid.pixel
    with np.errstate(divide="ignore", invalid="ignore"):
        # Row r has y = y[0] - r p; column index = (x - x[0])/p, and the padding adds one.
        column = ((s - y[0] * sin) / cos - x[0]) / p + 1
        # Column c has x = x[0] + c p; row index = (y[0] - y)/p.
        row = (y[0] - (s - x[0] * cos) / sin) / p + 1
        offsets = np.where(steep, column, row)
        slopes = np.where(steep, sin / cos, cos / sin)
    return offsets, slopes, steep, p / np.where(steep, np.abs(cos), np.abs(sin))

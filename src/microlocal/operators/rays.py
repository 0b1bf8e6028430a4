"""The table of rays of a planar geometry, and Joseph's kernels as two custom operators of torch.

The geometry is turned once into offsets and slopes in pixel coordinates; the kernels know nothing else of it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.kernels import joseph

# The two custom operators are linear in their first argument and each is the other's derivative.


@torch.library.custom_op("microlocal::project", mutates_args=(), device_types="cpu")
def project(image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor) -> Tensor:
    sums = joseph.project(image.detach().numpy(), offsets.numpy(), slopes.numpy(), steep.numpy())
    return torch.from_numpy(sums)


@torch.library.custom_op("microlocal::backproject", mutates_args=(), device_types="cpu")
def backproject(sums: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, rows: int, cols: int) -> Tensor:
    values = np.ascontiguousarray(sums.detach().numpy())
    return torch.from_numpy(joseph.backproject(values, offsets.numpy(), slopes.numpy(), steep.numpy(), (rows, cols)))


@project.register_fake
def _(image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor) -> Tensor:
    del slopes, steep
    return image.new_empty((image.shape[0], *offsets.shape))


@backproject.register_fake
def _(sums: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, rows: int, cols: int) -> Tensor:
    del offsets, slopes, steep
    return sums.new_empty((sums.shape[0], rows, cols))


def _save_rays(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    ctx.save_for_backward(*inputs[1:4])
    ctx.shape = inputs[0].shape[-2:]


def _project_backward(ctx, grad):  # type: ignore[no-untyped-def]
    offsets, slopes, steep = ctx.saved_tensors
    return backproject(grad, offsets, slopes, steep, *ctx.shape), None, None, None


def _backproject_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return project(grad, *ctx.saved_tensors), None, None, None, None, None


project.register_autograd(_project_backward, setup_context=_save_rays)
backproject.register_autograd(_backproject_backward, setup_context=_save_rays)


def ray_table(
    geometry: Geometry, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
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

"""Joseph's kernels for volumes as two custom operators of torch; each is the other's derivative.

Upright panels, the usual case, go column by column (``kernels.joseph_columns``), all others ray by ray; the weights
are the same.
"""

import numpy as np
import torch
from torch import Tensor

from microlocal.kernels import joseph3d, joseph_columns


@torch.library.custom_op("microlocal::project3d", mutates_args=(), device_types="cpu")
def project(volume: Tensor, views: Tensor, diverging: bool, rows: int, cols: int) -> Tensor:
    values, table = volume.detach().numpy(), views.numpy()
    upright = joseph_columns.applies(table, diverging, values.shape[1:], rows, cols)
    kernel = joseph_columns if upright else joseph3d
    return torch.from_numpy(kernel.project(values, table, diverging, rows, cols))


@torch.library.custom_op("microlocal::backproject3d", mutates_args=(), device_types="cpu")
def backproject(sums: Tensor, views: Tensor, diverging: bool, slices: int, rows: int, cols: int) -> Tensor:
    values = np.ascontiguousarray(sums.detach().numpy())
    table, shape = views.numpy(), (slices, rows, cols)
    upright = joseph_columns.applies(table, diverging, shape, *values.shape[2:])
    kernel = joseph_columns if upright else joseph3d
    return torch.from_numpy(kernel.backproject(values, table, diverging, shape))


@project.register_fake
def _(volume: Tensor, views: Tensor, diverging: bool, rows: int, cols: int) -> Tensor:
    del diverging
    return volume.new_empty((volume.shape[0], views.shape[0], rows, cols))


@backproject.register_fake
def _(sums: Tensor, views: Tensor, diverging: bool, slices: int, rows: int, cols: int) -> Tensor:
    del views, diverging
    return sums.new_empty((sums.shape[0], slices, rows, cols))


def _save_views(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    ctx.save_for_backward(inputs[1])
    ctx.diverging = inputs[2]
    ctx.shape = inputs[0].shape[1:]


def _project_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return backproject(grad, ctx.saved_tensors[0], ctx.diverging, *ctx.shape), None, None, None, None


def _backproject_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return project(grad, ctx.saved_tensors[0], ctx.diverging, *ctx.shape[1:]), None, None, None, None, None


project.register_autograd(_project_backward, setup_context=_save_views)
backproject.register_autograd(_backproject_backward, setup_context=_save_views)

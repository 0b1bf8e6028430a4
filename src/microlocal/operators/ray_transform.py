"""The X-ray transform of an image: line integrals along the rays of any planar geometry.

    (R f)(t, u) = ∫ f over the line that detector pixel u sees at view t,   in [f] x length

The geometry is turned once into a table of rays in pixel coordinates; Joseph's kernels do the rest.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.kernels import joseph
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import perron_bounds

# The two custom operators are linear in their first argument and each is the other's derivative.


@torch.library.custom_op("microlocal::project", mutates_args=(), device_types="cpu")
def _project(image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor) -> Tensor:
    sums = joseph.project(image.detach().numpy(), offsets.numpy(), slopes.numpy(), steep.numpy())
    return torch.from_numpy(sums)


@torch.library.custom_op("microlocal::backproject", mutates_args=(), device_types="cpu")
def _backproject(sums: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, rows: int, cols: int) -> Tensor:
    values = np.ascontiguousarray(sums.detach().numpy())
    return torch.from_numpy(joseph.backproject(values, offsets.numpy(), slopes.numpy(), steep.numpy(), (rows, cols)))


@_project.register_fake
def _(image: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor) -> Tensor:
    del slopes, steep
    return image.new_empty((image.shape[0], *offsets.shape))


@_backproject.register_fake
def _(sums: Tensor, offsets: Tensor, slopes: Tensor, steep: Tensor, rows: int, cols: int) -> Tensor:
    del offsets, slopes, steep
    return sums.new_empty((sums.shape[0], rows, cols))


def _save_rays(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    del output
    ctx.save_for_backward(*inputs[1:4])
    ctx.shape = inputs[0].shape[-2:]


def _project_backward(ctx, grad):  # type: ignore[no-untyped-def]
    offsets, slopes, steep = ctx.saved_tensors
    return _backproject(grad, offsets, slopes, steep, *ctx.shape), None, None, None


def _backproject_backward(ctx, grad):  # type: ignore[no-untyped-def]
    return _project(grad, *ctx.saved_tensors), None, None, None, None, None


_project.register_autograd(_project_backward, setup_context=_save_rays)
_backproject.register_autograd(_backproject_backward, setup_context=_save_rays)


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


def _samples() -> list["RayTransform"]:
    angles = tuple(math.radians(a) for a in (0.0, 20.0, 45.0, 90.0, 123.0, 200.0))
    shifted = Detector(11, 0.9, offset=0.7, reversed=True)
    return [
        RayTransform(ParallelBeam(angles, Detector(9, 1.0)), Grid((8, 8), 1.0)),
        RayTransform(ParallelBeam(angles, shifted), Grid((7, 10), 0.8, center=(0.3, -0.2))),
        RayTransform(FanBeam(angles, Detector(12, 1.6), source_axis=20.0, source_detector=31.0), Grid((9, 6), 1.0)),
        RayTransform(FanBeam(angles, shifted, source_axis=15.0, source_detector=22.0), Grid((8, 8), 0.7)),
    ]


@register("operator", "ray-transform", samples=_samples, reference="joseph1982")
class RayTransform(LinearOperator):
    """Line integrals of an image: (*batch, row, col) -> (*batch, angle, detector).

    Parameters: ``geometry``, parallel or fan beam with any angles, detector offset or reversal; ``grid``, any
    rectangular grid of square pixels. The image holds 1/unit, the data are dimensionless.

    Guarantee: the adjoint is the exact transpose (the two kernels share their weights); ``norm_bound`` is proved.

    >>> ray = RayTransform(ParallelBeam((0.0,), Detector(3, 1.0)), Grid((2, 3), 1.0))
    >>> ray(torch.ones(2, 3)).tolist()
    [[2.0, 2.0, 2.0]]
    """

    codomain_axes = "angle, detector"
    advice = "Build Grid(shape=...) or the geometry for this shape."
    offsets: Tensor
    slopes: Tensor
    steep: Tensor
    lengths: Tensor

    def __init__(self, geometry: Geometry, grid: Grid) -> None:
        super().__init__(grid.shape, geometry.shape)
        self.geometry, self.grid = geometry, grid
        offsets, slopes, steep, lengths = ray_table(geometry, grid)
        for name, table in (("offsets", offsets), ("slopes", slopes), ("steep", steep), ("lengths", lengths)):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(table)), persistent=False)

    def _rays(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.offsets.to(dtype), self.slopes.to(dtype), self.steep

    def _forward(self, x: Tensor) -> Tensor:
        images = x.reshape(-1, *self.domain_shape)
        sums = _project(images, *self._rays(x.dtype))
        return sums.reshape(*x.shape[:-2], *self.codomain_shape) * self.lengths.to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        sums = (y * self.lengths.to(y.dtype)).reshape(-1, *self.codomain_shape)
        images = _backproject(sums, *self._rays(y.dtype), *self.domain_shape)
        return images.reshape(*y.shape[:-2], *self.domain_shape)

    def norm_bound(self) -> float:
        """Return a proved upper bound of |R|, close to the norm: R has no negative entry (see ``perron_bounds``)."""
        return perron_bounds(self)[1]

    def step_sizes(self) -> tuple[Float[Tensor, "angle detector"], Float[Tensor, "row col"]]:
        """Return the diagonal steps 1/(row sums of R), 1/(column sums of R), zero where a sum is zero.

        Pock and Chambolle, ICCV 2011, Lemma 2 (α = 1), whose hypothesis is that R has finitely many entries.
        """
        row_sums = self._forward(torch.ones(self.domain_shape, dtype=torch.float64))
        column_sums = self._adjoint(torch.ones(self.codomain_shape, dtype=torch.float64))
        return _reciprocal(row_sums), _reciprocal(column_sums)


def _reciprocal(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, 0.0)

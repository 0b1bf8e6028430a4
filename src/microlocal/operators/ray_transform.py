"""The X-ray transform of an image: line integrals along the rays of any planar geometry.

    (R f)(t, u) = ∫ f over the line that detector pixel u sees at view t,   in [f] x length
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.operators import rays
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import perron_bounds


def _samples() -> list["RayTransform"]:
    angles = tuple(math.radians(a) for a in (0.0, 20.0, 45.0, 90.0, 123.0, 200.0))
    shifted = Detector(11, 0.9, offset=0.7, reversed=True)
    return [
        RayTransform(ParallelBeam(angles, Detector(9, 1.0)), Grid((8, 8), 1.0)),
        RayTransform(ParallelBeam(angles, shifted), Grid((7, 10), 0.8, center=(0.3, -0.2))),
        RayTransform(FanBeam(angles, Detector(12, 1.6), source_axis=20.0, source_detector=31.0), Grid((9, 6), 1.0)),
        RayTransform(FanBeam(angles, shifted, source_axis=15.0, source_detector=22.0), Grid((8, 8), 0.7)),
        RayTransform(FanBeam(angles, Detector(12, 1.5), "mm", 12.0, 21.0, "arc"), Grid((6, 9), 1.0)),
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
        offsets, slopes, steep, lengths = rays.ray_table(geometry, grid)
        for name, table in (("offsets", offsets), ("slopes", slopes), ("steep", steep), ("lengths", lengths)):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(table)), persistent=False)

    def _rays(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        return self.offsets.to(dtype), self.slopes.to(dtype), self.steep

    def _forward(self, x: Tensor) -> Tensor:
        images = x.reshape(-1, *self.domain_shape)
        sums = rays.project(images, *self._rays(x.dtype))
        return sums.reshape(*x.shape[:-2], *self.codomain_shape) * self.lengths.to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        sums = (y * self.lengths.to(y.dtype)).reshape(-1, *self.codomain_shape)
        images = rays.backproject(sums, *self._rays(y.dtype), *self.domain_shape)
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

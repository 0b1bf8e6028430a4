"""The X-ray transform of an image: line integrals along the rays of any planar geometry.

    (R f)(t, u) = ∫ f over the line that detector pixel u sees at view t,   in [f] x length

Two methods: Joseph's interpolation along every ray, and the Fourier slice theorem for parallel beams, which is as
accurate (0.38 and 0.39 % on a disc of 256 x 256 pixels), needs N² log N instead of N³ operations, and has a normal
operator that is a convolution.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.kernels.nufft import checked_tolerance
from microlocal.operators import rays
from microlocal.operators.autograd import traced_pair, uncompiled
from microlocal.operators.base import LinearOperator, linear_pair
from microlocal.operators.fourier_slice import COARSEST, FourierSlice, shadow_overhang
from microlocal.operators.norms import perron_bounds
from microlocal.operators.ray_checks import check_plane
from microlocal.operators.toeplitz import Toeplitz, fourier_norm_bounds, fourier_normal

METHODS = ("auto", "rays", "fourier")
# Measured, forward and adjoint together, float32, two threads with 512-bit registers, grids of 64² to 1024², 30 to 720
# views. Fourier takes 0.2 to 1 times the time of rays (512² from 360 views: 12 ms and 21; 1024² from 720: 49 and 178)
# but for few views of a large grid whose shadow the detector cuts (30 views: 1.2 times at 512², 1.4 at 1024²), where
# the FFT of the grid outweighs the rays; where the shadow is caught, R* R by convolution is the faster there too
# (14 ms in place of 14 at 1024², 2.3 of 3.9 at 512²). Below 2^20 steps along rays, views x detector x rows, both take
# about a millisecond and rays are kept for their weights, which are exact and not negative. With the plain kernels
# of processors without such registers rays took four to eight times as long (256² from 180 views, 512² from 360).
_FOURIER_FROM = 1 << 20
_ROWS_A_VIEW = 12

# torch.compile leaves the foreign library alone and goes on behind it.
_uncompiled_pair = uncompiled(linear_pair)


def _samples() -> list["RayTransform"]:
    angles = tuple(math.radians(a) for a in (0.0, 20.0, 45.0, 90.0, 123.0, 200.0))
    shifted = Detector(11, 0.9, offset=0.7, reversed=True)
    return [
        RayTransform(ParallelBeam(angles, Detector(9, 1.0)), Grid((8, 8), 1.0)),
        RayTransform(ParallelBeam(angles, shifted), Grid((7, 10), 0.8, center=(0.3, -0.2))),
        RayTransform(FanBeam(angles, Detector(12, 1.6), source_axis=20.0, source_detector=31.0), Grid((9, 6), 1.0)),
        RayTransform(FanBeam(angles, shifted, source_axis=15.0, source_detector=22.0), Grid((8, 8), 0.7)),
        RayTransform(FanBeam(angles, Detector(12, 1.5), "mm", 12.0, 21.0, "arc"), Grid((6, 9), 1.0)),
        RayTransform(ParallelBeam(angles, Detector(9, 1.0)), Grid((8, 8), 1.0), "fourier"),
        RayTransform(ParallelBeam(angles, shifted), Grid((7, 10), 0.8, center=(0.3, -0.2)), "fourier"),
        RayTransform(ParallelBeam(angles, Detector(18, 1.0, 0.3)), Grid((9, 6), 1.1), "fourier"),
        RayTransform(ParallelBeam(angles, Detector(5, 2.1)), Grid((6, 7), 1.0), "fourier"),
    ]


@register("operator", "ray-transform", samples=_samples, reference="joseph1982")
class RayTransform(LinearOperator):
    """Line integrals of an image: (*batch, row, col) -> (*batch, angle, detector).

    Parameters: ``geometry``, parallel or fan beam with any angles, detector offset or reversal; ``grid``, any
    rectangular grid of square pixels; ``method``, "rays" (Joseph), "fourier" (parallel beams only) or "auto", which
    is "fourier" for parallel beams where it is the faster one: from about 128 x 128 pixels and 64 views on, unless the
    detector cuts the grid's shadow and there are fewer views than a twelfth of the rows, or its pixels are more than
    1.25 times the image's;
    ``tolerance`` of the Fourier sums, relative, from 1e-12 to 0.1, by default 1e-5 in float32, which cannot reach more
    than about 5e-6, and 1e-11 in float64. The image holds 1/unit, the data are dimensionless. Raises InputError for
    "fourier" with other beams, for a grid in another unit than the geometry, for another tolerance, and where a fan's
    source enters the grid or has some of it behind its rays, which are integrated as whole lines.

    Guarantee: the adjoint is the exact transpose (both directions share their weights); ``norm_bound`` is proved.
    ``normal`` is a convolution where the method is "fourier" and the detector catches the whole grid's shadow.

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

    def __init__(self, geometry: Geometry, grid: Grid, method: str = "auto", *, tolerance: float | None = None) -> None:
        check_plane(geometry, grid, "RayTransform")
        super().__init__(grid.shape, geometry.shape)
        self.geometry, self.grid = geometry, grid
        self.method = _chosen(geometry, grid) if method == "auto" else method
        self.tolerance = checked_tolerance(tolerance, "RayTransform")
        self.slices = self._fourier(tolerance) if self.method == "fourier" else None
        self._convolution: list[Toeplitz] = []  # R* R, made when first asked for, and the bounds by iterations
        self._bounds: dict[int, tuple[float, float]] = {}
        if self.slices is None:
            self._make_table()

    def _fourier(self, tolerance: float | None) -> FourierSlice:
        if not isinstance(self.geometry, ParallelBeam):
            got = type(self.geometry).__name__
            raise InputError("RayTransform", expected="a parallel beam", got=got, do='Use method="rays".')
        return FourierSlice(self.geometry, self.grid, tolerance)

    def _make_table(self) -> None:
        if self.method != "rays":
            got = repr(self.method)
            raise InputError("RayTransform", expected=f"method: one of {METHODS}", got=got, do="Name one of them.")
        offsets, slopes, steep, lengths = rays.ray_table(self.geometry, self.grid)
        for name, table in (("offsets", offsets), ("slopes", slopes), ("steep", steep), ("lengths", lengths)):
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(table)), persistent=False)

    def _rays(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Tensor]]:
        planned = rays.planned(self.geometry, self.grid, dtype) if self.offsets.device.type == "cpu" else []
        return self.offsets, self.slopes, self.steep, self.lengths, planned

    def _forward(self, x: Tensor) -> Tensor:
        images = x.reshape(-1, *self.domain_shape)
        shape = (*x.shape[:-2], *self.codomain_shape)
        if self.slices is not None:
            return _uncompiled_pair(images, self.slices.project, self.slices.backproject).reshape(shape)
        return traced_pair(images, self._project, self._backproject).reshape(shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        shape = (*y.shape[:-2], *self.domain_shape)
        data = y.reshape(-1, *self.codomain_shape)
        if self.slices is not None:
            return _uncompiled_pair(data, self.slices.backproject, self.slices.project).reshape(shape)
        return traced_pair(data, self._backproject, self._project).reshape(shape)

    def _project(self, images: Tensor) -> Tensor:
        return rays.project(images, *self._rays(images.dtype))

    def _backproject(self, data: Tensor) -> Tensor:
        return rays.backproject(data, *self._rays(data.dtype), *self.domain_shape)

    def normal(self) -> LinearOperator:
        """Return R* R: a convolution, two FFTs, where it is one, and otherwise the composition."""
        if self.slices is not None and self.slices.is_toeplitz:
            return self._over_the_period(self.slices)
        return super().normal()

    def _over_the_period(self, slices: FourierSlice) -> Toeplitz:
        if not self._convolution:
            self._convolution.append(fourier_normal(slices))
        return self._convolution[0]

    def norm_bounds(self, iterations: int = 12) -> tuple[float, float]:
        """Return proved bounds (lower, upper) of |R|, close to each other.

        By rays R has no negative entry (``perron_bounds``); by Fourier |R|² is at most the norm of the convolution
        with the absolute values of R* R (``fourier_norm_bounds``).
        """
        if iterations not in self._bounds:
            self._bounds[iterations] = self._computed_bounds(iterations)
        return self._bounds[iterations]

    def _computed_bounds(self, iterations: int) -> tuple[float, float]:
        if self.slices is None:
            return perron_bounds(self, iterations)
        return fourier_norm_bounds(self.slices, self._over_the_period(self.slices), iterations)

    def norm_bound(self) -> float:
        """Return a proved upper bound of |R|, close to the norm: see ``norm_bounds``."""
        return self.norm_bounds()[1]

    def step_sizes(self) -> tuple[Float[Tensor, "..."] | float, Float[Tensor, "..."] | float]:
        """Return by rays the diagonal steps 1/(row sums of R), 1/(column sums of R), zero where a sum is zero.

        Pock and Chambolle, ICCV 2011, Lemma 2 (α = 1), whose hypothesis is that R has finitely many entries, none
        negative. By Fourier, where some are, the scalars 1/|R|.
        """
        if self.slices is not None:
            return super().step_sizes()
        row_sums = self._forward(torch.ones(self.domain_shape, dtype=torch.float64, device=self.offsets.device))
        column_sums = self._adjoint(torch.ones(self.codomain_shape, dtype=torch.float64, device=self.offsets.device))
        return _reciprocal(row_sums), _reciprocal(column_sums)


def _chosen(geometry: Geometry, grid: Grid) -> str:
    """Return the faster method; rays where the detector is coarse, for Fourier would compute what it drops."""
    if not isinstance(geometry, ParallelBeam) or geometry.detector.pitch > COARSEST * grid.pixel:
        return "rays"
    views, rows = geometry.shape[0], max(grid.shape)
    many = rows <= _ROWS_A_VIEW * views or shadow_overhang(geometry, grid) <= 0
    return "fourier" if many and math.prod(geometry.shape) * rows >= _FOURIER_FROM else "rays"


def _reciprocal(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, 0.0)

"""The X-ray transform of a volume: line integrals along the rays of any geometry of volumes.

(X f)(t, v, u) = ∫ f over the ray that detector pixel (v, u) sees at view t,   in [f] x length
"""

import functools
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.geometry3d import ConeBeam, FlatPanel, Geometry3D, ParallelBeam3D
from microlocal.core.registry import register
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid
from microlocal.operators import rays3d
from microlocal.operators.autograd import traced_pair
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import perron_bounds
from microlocal.operators.ray_checks import check_volume


def _samples() -> list["RayTransform3D"]:
    angles = tuple(math.radians(a) for a in (0.0, 45.0, 77.0, 200.0))
    panel = FlatPanel(5, 7, (1.2, 1.1), offset=(0.3, -0.4))
    cone = ConeBeam(angles, panel, source_axis=12.0, source_detector=17.0)
    tilted = ParallelBeam3D(angles, panel, tilt_rad=0.5, roll_rad=0.2)
    free = np.random.default_rng(0).normal(size=(3, 12)) + np.array([0, -20.0, 3, 0, 9, 0, 2, 0, 0, 0, 0, 2])
    return [
        RayTransform3D(cone, VolumeGrid((4, 5, 6), 1.0, (0.2, -0.3, 0.1))),
        RayTransform3D(tilted, VolumeGrid((5, 4, 5), 0.9)),
        RayTransform3D(ViewVectors(free, 4, 5, diverging=True), VolumeGrid((3, 6, 4), 1.0)),
    ]


@register("operator", "ray-transform-3d", samples=_samples, reference="joseph1982")
class RayTransform3D(LinearOperator):
    """Line integrals of a volume: (*batch, slice, row, col) -> (*batch, angle, v, u).

    Parameters: ``geometry``, cone beam, parallel beam with tilt and roll, or the vectors of arbitrary views; ``grid``,
    any box of cubic voxels in front of the source. The volume holds 1/unit, the data are dimensionless. Raises
    InputError for a grid in another unit than the geometry, and where a source enters the box or has some of it behind
    its rays, which are integrated as whole lines.

    An upright parallel beam factors into slices: there the planar ``RayTransform`` of a batch of slices is faster.

    Guarantee: the adjoint is the exact transpose (the two kernels share their weights); ``norm_bound`` is proved.

    >>> ray = RayTransform3D(ParallelBeam3D((0.0,), FlatPanel(1, 3, (1.0, 1.0))), VolumeGrid((1, 2, 3), 1.0))
    >>> ray(torch.ones(1, 2, 3)).tolist()
    [[[2.0, 2.0, 2.0]]]
    """

    domain_axes = "slice, row, col"
    codomain_axes = "angle, v, u"
    advice = "Build VolumeGrid(shape=...) or the geometry for this shape."
    views: Tensor

    def __init__(self, geometry: Geometry3D | ViewVectors, grid: VolumeGrid) -> None:
        check_volume(geometry, grid, "RayTransform3D")
        super().__init__(grid.shape, geometry.shape)
        self.geometry, self.grid = geometry, grid
        vectors = geometry.to_vectors()
        self.diverging = vectors.diverging
        self.register_buffer("views", torch.from_numpy(vectors.in_grid(grid)), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        volumes = x.reshape(-1, *self.domain_shape)
        sums = traced_pair(volumes, self._project, self._backproject)
        return (sums * self.grid.voxel).reshape(*x.shape[:-3], *self.codomain_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        sums = y.reshape(-1, *self.codomain_shape)
        volumes = traced_pair(sums, self._backproject, self._project)
        return (volumes * self.grid.voxel).reshape(*y.shape[:-3], *self.domain_shape)

    def _project(self, volumes: Tensor) -> Tensor:
        return rays3d.project(volumes, self.views, self.diverging, *self.codomain_shape[1:])

    def _backproject(self, sums: Tensor) -> Tensor:
        return rays3d.backproject(sums, self.views, self.diverging, *self.domain_shape)

    def norm_bound(self) -> float:
        """Return a proved upper bound of |X|, close to the norm: X has no negative entry (see ``perron_bounds``)."""
        return self._bound

    @functools.cached_property
    def _bound(self) -> float:
        return perron_bounds(self)[1]

    def step_sizes(self) -> tuple[Float[Tensor, "angle v u"], Float[Tensor, "slice row col"]]:
        """Return the diagonal steps 1/(row sums of X), 1/(column sums of X), zero where a sum is zero.

        Pock and Chambolle, ICCV 2011, Lemma 2 (α = 1), whose hypothesis is that X has finitely many entries.
        """
        row_sums = self._forward(torch.ones(self.domain_shape, dtype=torch.float64, device=self.views.device))
        column_sums = self._adjoint(torch.ones(self.codomain_shape, dtype=torch.float64, device=self.views.device))
        return _reciprocal(row_sums), _reciprocal(column_sums)


def _reciprocal(x: Tensor) -> Tensor:
    return torch.where(x > 0, 1 / x, 0.0)

"""Integrals of an image over circles around detectors: what a pressure wave from it has passed through.

(M f)(d, r) = ∫ f over the circle of radius r around detector d,    in [f] x length
"""

import functools
import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, finite, finite_number, positive, real
from microlocal.core.errors import ShapeError
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.kernels import circular_means as kernels
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import perron_bounds


def _samples() -> list["CircularMeans"]:
    around, along = circular_detectors(5, 6.0, arc_rad=4.0), line_detectors(3, 6.0, distance=5.0)
    return [
        CircularMeans(Grid((4, 5), 1.0), around, rings=9, width=1.0),
        CircularMeans(Grid((5, 3), 0.8, center=(0.5, -0.3)), along, rings=4, width=1.3),
    ]


@register("operator", "circular-means", samples=_samples, reference="burgholzer2007")
class CircularMeans(LinearOperator):
    """Integrals over circles around detectors: (*batch, row, col) -> (*batch, detector, radius).

    Parameters: ``grid`` of the image; ``detectors``, (detector, 2), their positions (x right, y up) in the unit of the
    grid; ``rings``, the number of radii 0, w, 2w, ...; ``width`` w of a ring in the same unit, best the pixel's side.
    What lies beyond the last ring is not seen.

    Guarantee: exact adjoint; the matrix has no negative entry, so the norm bound is close (``perron_bounds``).

    >>> means = CircularMeans(Grid((1, 3), 1.0), torch.tensor([[-1.0, 0.0]]), rings=4, width=1.0)
    >>> means(torch.tensor([[1.0, 2.0, 3.0]])).tolist()  # the middle pixel covers radii from 0.5 to 1.5
    [[1.25, 1.875, 2.5, 0.375]]
    """

    codomain_axes = "detector, radius"
    places: Tensor

    def __init__(self, grid: Grid, detectors: Float[Tensor, "detector 2"], *, rings: int, width: float) -> None:
        if real(detectors, "CircularMeans").ndim != 2 or detectors.shape[1] != 2:
            got = str(tuple(detectors.shape))
            do = "Give one row (x, y) for every detector."
            raise ShapeError("CircularMeans", expected="(detector, 2)", got=got, do=do)
        finite(detectors, "CircularMeans", "Every detector has a position.")
        at_least(rings, 1, "rings", "CircularMeans")
        super().__init__(grid.shape, (len(detectors), rings))
        self.grid, self.width = grid, positive(width, "width", "CircularMeans")
        x, y = grid.coordinates()
        cols, rows = (detectors[:, 0].double() - x[0]) / grid.pixel, (y[0] - detectors[:, 1].double()) / grid.pixel
        self.register_buffer("places", torch.stack((rows, cols), dim=-1), persistent=False)

    def _scale(self) -> float:
        return self.grid.pixel**2 / self.width  # the mass of a pixel over the width of its ring

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._gather, self._scatter)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._scatter, self._gather)

    def _gather(self, x: Tensor) -> Tensor:
        images = np.ascontiguousarray(x.detach().cpu().reshape(-1, *self.domain_shape).numpy())
        sums = kernels.gather(images, self.places.cpu().numpy(), self.grid.pixel / self.width, self.codomain_shape[1])
        return torch.from_numpy(sums).to(x.device).reshape(*x.shape[:-2], *self.codomain_shape) * self._scale()

    def _scatter(self, y: Tensor) -> Tensor:
        sums = np.ascontiguousarray(y.detach().cpu().reshape(-1, *self.codomain_shape).numpy())
        images = kernels.scatter(sums, self.places.cpu().numpy(), self.grid.pixel / self.width, self.grid.shape)
        return torch.from_numpy(images).to(y.device).reshape(*y.shape[:-2], *self.domain_shape) * self._scale()

    def ring_weights(self) -> Float[Tensor, "detector radius"]:
        """Return the row sums of M_d M_d* for every detector d alone: what its rings share of the image."""
        step, rings, shape = self.grid.pixel / self.width, self.codomain_shape[1], self.grid.shape
        ones, weights = np.ones((1, 1, rings)), []
        for place in self.places.cpu().numpy()[:, None, :]:
            weights.append(kernels.gather(kernels.scatter(ones, place, step, shape), place, step, rings)[0, 0])
        return torch.from_numpy(np.stack(weights)) * self._scale() ** 2

    def norm_bound(self) -> float:
        return self._bound

    @functools.cached_property
    def _bound(self) -> float:
        return perron_bounds(self, iterations=4)[1]


def circular_detectors(
    count: int, radius: float, *, arc_rad: float = 2 * math.pi, start_rad: float = 0.0
) -> Float[Tensor, "detector 2"]:
    """Return positions (x, y) on a circle around the origin: ``count`` equal steps of ``arc_rad`` from ``start_rad``.

    Raises InputError for numbers that no circle has.

    >>> circular_detectors(4, 2.0)[1].round(decimals=6).tolist()
    [0.0, 2.0]
    """
    who = "circular_detectors"
    count, radius = at_least(count, 1, "count", who), positive(radius, "radius", who)
    finite_number(arc_rad, "arc_rad", who), finite_number(start_rad, "start_rad", who)
    turn = start_rad + arc_rad * torch.arange(count, dtype=torch.float64) / count
    return radius * torch.stack((turn.cos(), turn.sin()), dim=-1)


def line_detectors(count: int, length: float, *, distance: float) -> Float[Tensor, "detector 2"]:
    """Return positions (x, y) on a horizontal line ``distance`` above the origin, ``length`` long, centred.

    Raises InputError for numbers that no line has.

    >>> line_detectors(2, 4.0, distance=3.0).tolist()
    [[-1.0, 3.0], [1.0, 3.0]]
    """
    count, length = at_least(count, 1, "count", "line_detectors"), positive(length, "length", "line_detectors")
    finite_number(distance, "distance", "line_detectors")
    x = length * ((torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5)
    return torch.stack((x, torch.full_like(x, distance)), dim=-1)

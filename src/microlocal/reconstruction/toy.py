"""A toy scan with a known object, on which the laws try every method."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.core.volume import VolumeGrid
from microlocal.data import phantoms
from microlocal.operators.convolution import Convolution, gaussian_kernel
from microlocal.operators.ray_transform3d import RayTransform3D
from microlocal.reconstruction.method import Estimate, Method, Settings
from microlocal.reconstruction.observation import Observation

GRID = Grid((64, 64), 1.0)
OBJECT = (
    phantoms.Ellipse(1.0, (24.0, 18.0), (2.0, -1.0), 0.4),
    phantoms.Ellipse(-0.6, (6.0, 9.0), (-6.0, 2.0), 1.0),
    phantoms.Ellipse(0.5, (4.0, 4.0), (10.0, -4.0), 0.0),
)


@dataclass(frozen=True)
class MethodTrial:
    """A method, a scan of a known object with noise, and the relative error that the method promises to beat.

    ``baseline`` computes the image to beat from the scan (that of another method), ``factor`` how far below its error.
    """

    name: str
    method: Method
    scan: Scan
    truth: Float[Tensor, "row col"]
    baseline: Callable[[Scan], Tensor]
    factor: float
    settings: Settings

    def run(self, scan: Scan) -> Estimate:
        """Apply the method."""
        return self.method(scan, GRID, self.settings)

    def rescaled(self, factor: float) -> Scan:
        """Return the scan in another unit."""
        return replace(self.scan, data=factor * self.scan.data)


def toy_scan(noise: float = 0.01) -> Scan:
    """Return 45 views over 130 degrees of three ellipses, with white noise relative to the largest reading."""
    geometry = ParallelBeam(tuple(np.radians(np.linspace(0, 130, 45))), Detector(91, 1.0))
    data = torch.from_numpy(phantoms.sinogram(OBJECT, geometry)).float()
    return Scan(data + noise * float(data.max()) * torch.randn(data.shape, generator=generator(0)), geometry, GRID)


def toy_truth() -> Float[Tensor, "row col"]:
    """Return the object of :func:`toy_scan` on its grid."""
    return torch.from_numpy(phantoms.image(OBJECT, GRID)).float()


def nothing(scan: Scan) -> Float[Tensor, "row col"]:
    """Return the zero image, the baseline of methods that are not meant to do well on the toy scan."""
    return torch.zeros(scan.grid.shape)


@dataclass(frozen=True)
class ObservationTrial:
    """The same for a method of observations; the observation is called ``scan`` here too, for the laws are the same."""

    name: str
    method: Callable[[Observation, Settings], Estimate]
    scan: Observation
    truth: Float[Tensor, "..."]
    baseline: Callable[[Observation], Tensor]
    factor: float
    settings: Settings

    def run(self, scan: Observation) -> Estimate:
        """Apply the method."""
        return self.method(scan, self.settings)

    def rescaled(self, factor: float) -> Observation:
        """Return the observation in another unit, its noise too where that is known."""
        noise = None if self.scan.noise is None else factor * self.scan.noise
        return replace(self.scan, data=factor * self.scan.data, noise=noise)


def blurred_toy(noise: float = 0.02, size: int = 20) -> tuple[Observation, Float[Tensor, "row col"]]:
    """Return a disc on a slope, blurred, with white noise, and the image itself, so small that A fits in a matrix."""
    r, c = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    truth = ((r - 0.45) ** 2 + (c - 0.4) ** 2 < 0.08).float() + 0.3 * c
    blur = Convolution(gaussian_kernel(1.2), (size, size), "periodic")
    return Observation(blur(truth) + noise * torch.randn(truth.shape, generator=generator(0)), blur), truth


def coned_toy(noise: float = 0.02) -> tuple[Observation, Float[Tensor, "slice row col"]]:
    """Return a ball with a box in it, seen by a cone beam in few views, with noise, and the volume itself."""
    grid = VolumeGrid((10, 12, 12), 1.0)
    z, y, x = torch.meshgrid(*map(torch.from_numpy, reversed(grid.coordinates())), indexing="ij")
    truth = (x**2 + y**2 + 1.5 * z**2 < 25).float()
    truth[4:6, 5:9, 4:7] = 0.4
    views = tuple(np.radians(np.arange(0.0, 360.0, 24.0)))
    cone = ConeBeam(views, FlatPanel(14, 16, (2.0, 2.0)), source_axis=60.0, source_detector=120.0)
    ray = RayTransform3D(cone, grid)
    exact = ray(truth)
    sigma = noise * float(exact.max())  # given: a panel of so few columns does not tell it
    data = exact + sigma * torch.randn(exact.shape, generator=generator(0))
    return Observation(data, ray, noise=sigma, bounds=(0.0, math.inf)), truth


def backprojection(observation: Observation) -> Float[Tensor, "..."]:
    """Return A* y."""
    return observation.operator.adjoint(observation.data)


def observation_trial(
    name: str,
    method: Callable[[Observation, Settings], Estimate],
    baseline: Callable[[Observation], Float[Tensor, "..."]],
    factor: float,
    iterations: int | None = None,
    toy: Callable[[], tuple[Observation, Float[Tensor, "..."]]] = blurred_toy,
) -> ObservationTrial:
    """Return the trial of a method on a small image, or volume, against a baseline."""
    observation, truth = toy()
    return ObservationTrial(name, method, observation, truth, baseline, factor, Settings(iterations=iterations))


def trial(
    name: str,
    method: Method,
    baseline: Callable[[Scan], Float[Tensor, "row col"]],
    factor: float,
    iterations: int | None = None,
) -> MethodTrial:
    """Return the trial of a method on the toy scan against a baseline."""
    return MethodTrial(name, method, toy_scan(), toy_truth(), baseline, factor, Settings(iterations=iterations))

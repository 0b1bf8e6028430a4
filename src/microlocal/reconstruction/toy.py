"""A toy scan with a known object, on which the laws try every method."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.data import phantoms
from microlocal.operators.convolution import Convolution, gaussian_kernel
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
    truth: Float[Tensor, "row col"]
    baseline: Callable[[Observation], Tensor]
    factor: float
    settings: Settings

    def run(self, scan: Observation) -> Estimate:
        """Apply the method."""
        return self.method(scan, self.settings)


def blurred_toy(noise: float = 0.02, size: int = 20) -> tuple[Observation, Float[Tensor, "row col"]]:
    """Return a disc on a slope, blurred, with white noise, and the image itself, so small that A fits in a matrix."""
    r, c = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    truth = ((r - 0.45) ** 2 + (c - 0.4) ** 2 < 0.08).float() + 0.3 * c
    blur = Convolution(gaussian_kernel(1.2), (size, size), "periodic")
    return Observation(blur(truth) + noise * torch.randn(truth.shape, generator=generator(0)), blur), truth


def backprojection(observation: Observation) -> Float[Tensor, "*batch row col"]:
    """Return A* y."""
    return observation.operator.adjoint(observation.data)


def observation_trial(
    name: str,
    method: Callable[[Observation, Settings], Estimate],
    baseline: Callable[[Observation], Float[Tensor, "*batch row col"]],
    factor: float,
    iterations: int | None = None,
) -> ObservationTrial:
    """Return the trial of a method on the small blurred image against a baseline."""
    observation, truth = blurred_toy()
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

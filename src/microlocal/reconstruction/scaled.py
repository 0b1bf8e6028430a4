"""Problems whose images have size one, as denoisers know them: a scan or any other observation, moved and scaled.

    x = low + size u,      A u = (y - A low)/size

For a scan low is 0 and the size is the brightness of a quick least-squares image, its 99.5 % quantile; for others low
and low + size are the 0.5 % and 99.5 % quantiles of a first image, at the pixels that the data see.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from microlocal.calibration.noise import noise_level
from microlocal.networks.invisible import image_size
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.images.estimate import per_image
from microlocal.reconstruction.observation import Observation
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver

BRIGHTEST = 10.0  # upper bound of a pixel of a scan, in images of size one
BEYOND = (-1.0, 2.0)  # bounds of the pixels of other images, where none are given
LOW, HIGH = 0.005, 0.995  # quantiles that stand for 0 and 1
PARTS_OF_DEGREE = (3, 2)  # the data's step has the degree √pixels a side over one of these, for scans
DEGREE = 3  # and this for others

Images = Float[Tensor, "image 1 row col"]
Numbers = Float[Tensor, "image 1 1 1"]


@dataclass(frozen=True, eq=False)
class Scaled:
    """A problem for images u (image, 1, row, col) of size one.

    ``data`` (image, 1, *codomain) of them, ``low`` and ``size`` (image, 1, 1, 1), ``start``, ``box`` of the pixels,
    ``whole``, the norm of y; ``noise``, that of what a fit may leave of y, and the ``words`` for it; ``degrees`` of
    the data's step, the usual one first.
    """

    operator: LinearOperator
    data: Inexact[Tensor, "..."]
    low: Numbers
    size: Numbers
    start: Images
    box: tuple[float | Numbers, float | Numbers]
    whole: float
    noise: float
    words: str
    degrees: tuple[int, ...]

    def residual(self, u: Images) -> float:
        """Return |A x - y| in the unit of the data, of all images."""
        return float(((self.operator(u) - self.data) * _spread(self.size, self.data)).norm())

    def image(self, u: Images) -> Images:
        """Return x."""
        return self.low + self.size * u


def scaled_scan(ray: RayTransform, data: Float[Tensor, "*batch angle detector"]) -> Scaled:
    """Return the problem of a scan.

    In float64: the acceleration's differences magnify what rounding does to a step, which would end it at 1e-6.
    """
    planes = data.reshape(-1, 1, *data.shape[-2:])
    quick = cgls(ray, planes, Driver(iterations=12, every=12)).value.clamp_min(0)
    size = image_size(quick)[..., :1, :1]
    given, wide = (planes / size).double(), size.double()
    noise = noise_level(given * wide) * math.sqrt(given.numel())
    root = math.sqrt(max(ray.domain_shape))
    degrees = tuple(max(round(root / part), 1) for part in PARTS_OF_DEGREE)
    low, start = torch.zeros_like(wide), (quick / size).double()
    whole = float(data.norm()) or 1.0
    return Scaled(ray, given, low, wide, start, (0.0, BRIGHTEST), whole, noise, "measured noise", degrees)


def scaled_observation(observation: Observation, start: Float[Tensor, "*batch row col"] | None = None) -> Scaled:
    """Return the problem of any other observation, in its own precision; ``start`` is a first image of it."""
    operator, codomain = observation.operator, observation.operator.codomain_shape
    planes = observation.data.reshape(-1, 1, *codomain)
    first = (_quick(observation, planes) if start is None else start).reshape(-1, 1, *observation.shape)
    low, size = range_of(first[..., observation.seen])
    flat = operator(low.expand(len(first), 1, *observation.shape))
    data = (planes - flat) / _spread(size, planes)
    least, greatest = (_bound(bound, low, size, usual) for bound, usual in zip(observation.bounds, BEYOND, strict=True))
    whole = float(observation.data.norm()) or 1.0
    return Scaled(operator, data, low, size, (first - low) / size, (least, greatest), whole, 0.0, "noise", (DEGREE,))


def range_of(pixels: Float[Tensor, "image 1 *pixel"]) -> tuple[Numbers, Numbers]:
    """Return the value of every image that becomes 0, and how much above it becomes 1; 1 for images of one value."""
    values = pixels.flatten(1).sort(dim=1).values
    low, high = (per_image(values[:, round(share * (values.shape[1] - 1))], 3) for share in (LOW, HIGH))
    return low, torch.where(high > low, high - low, torch.ones_like(low))


def _quick(observation: Observation, planes: Inexact[Tensor, "..."]) -> Images:
    """Return a few steps of least squares; where numbers are pixels these, and their mean in the gaps."""
    operator = observation.operator
    if not observation.single:
        return cgls(operator, planes, Driver(iterations=12, every=12)).value
    known = observation.from_pixels(planes)
    mean = known[..., observation.seen].mean(dim=-1)
    return torch.where(observation.seen, known, per_image(mean, 2))


def _bound(bound: float, low: Numbers, size: Numbers, usual: float) -> float | Numbers:
    """Return a bound of the pixels of x as one of those of u."""
    return (bound - low) / size if math.isfinite(bound) else usual


def _spread(numbers: Numbers, data: Inexact[Tensor, "..."]) -> Tensor:
    """Return a number for every image in a shape that broadcasts to its data."""
    return numbers.reshape(-1, *(1 for _ in data.shape[1:]))

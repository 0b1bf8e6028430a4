"""A measurement that is no scan: data, and the operator that made them, of whatever kind.

    y = A x + n,      x an image (row, col) or a volume (slice, row, col)

A scan is one too, with the X-ray transform of its geometry: methods that need nothing but A and y are written for this.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Inexact
from torch import Tensor

from microlocal.calibration.image_noise import image_noise
from microlocal.calibration.noise import noise_level
from microlocal.core.brief import Brief
from microlocal.core.checks import finite, is_finite, real_or_complex, tensor, trailing_shape
from microlocal.core.errors import InputError
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.mask import Mask, Restriction
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.spaces import draw

EXACT = 1e-3  # of the data: what exact data may be left with, since no iteration is run for ever
RAYS = ("angle, detector", "angle, v, u")  # the axes of data that rays have made
UNSEEN = 1e-9  # of the largest answer of a pixel: what is below is rounding


class Aim(NamedTuple):
    """σ of what a fit may leave in every number of the data, and what it is called in a sentence."""

    sigma: float
    words: str


@dataclass(frozen=True, eq=False, repr=False)
class Observation(Brief):
    """Data y = A x + n of images or volumes x, for ``reconstruct``.

    Parameters: ``data`` y (*batch, *codomain), images of a batch being measured alike; ``operator`` A, from images
    (row, col) or volumes (slice, row, col), for which the same holds as for images; ``noise``, the standard deviation
    of n in every real number of y, 0 for exact data, None where it is not known: then it is estimated where y is an
    image or what rays have made, and the data of a mask count as exact; ``bounds``, the least and the greatest value
    that a pixel can have. What y holds where a ``Mask`` is zero does not matter.

    Raises ShapeError or InputError where they do not fit each other.

    >>> blur = Mask(torch.tensor([[True, False], [True, True]]))
    >>> Observation(torch.tensor([[1.0, torch.nan], [2.0, 3.0]]), blur).data.tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """

    data: Inexact[Tensor, "..."]
    operator: LinearOperator
    noise: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        who, a = "Observation", self.operator
        if not isinstance(a, LinearOperator):
            do = "Wrap it: MatrixOperator for matrices, MatrixFree for functions, or a class of your own."
            raise InputError(who, expected="a LinearOperator", got=type(a).__name__, do=do)
        if len(a.domain_shape) not in (2, 3):
            do = "Compose it with Reshape, so that it takes images or volumes."
            wanted = "an operator of images (row, col) or volumes (slice, row, col)"
            raise InputError(who, expected=wanted, got=str(a.domain_shape), do=do)
        trailing_shape(tensor(self.data, who), a.codomain_shape, a.codomain_axes, who, "Give what the operator gives.")
        data = real_or_complex(self.data.detach(), a.codomain_complex, who)
        if isinstance(a, Mask):
            data = torch.where(a.weights != 0, data, torch.zeros_like(data))
        data = finite(data, who, "Leave data that are missing out, by a Mask or Restriction.")
        object.__setattr__(self, "data", data)
        if not data.numel():
            raise InputError(who, expected="data", got=str(tuple(data.shape)), do="Leave empty batches out.")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.noise is not None and not (is_finite(self.noise) and self.noise >= 0):
            do = "Give the standard deviation in the unit of the data, or leave it out."
            raise InputError("Observation", expected="noise >= 0", got=f"noise = {self.noise}", do=do)
        if not _ordered(self.bounds) or (self.operator.domain_complex and any(map(math.isfinite, self.bounds))):
            do = "Give (least, greatest), for real images only."
            raise InputError("Observation", expected="bounds of the pixels", got=f"bounds = {self.bounds}", do=do)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the image; of a volume slices, rows and columns."""
        return self.operator.domain_shape

    @property
    def batch(self) -> tuple[int, ...]:
        return tuple(self.data.shape[: self.data.ndim - len(self.operator.codomain_shape)])

    @property
    def count(self) -> int:
        """How many real numbers were measured, of all images."""
        each = int((self.operator.weights != 0).sum()) if isinstance(self.operator, Mask) else 0
        each = each or math.prod(self.operator.codomain_shape)
        return math.prod(self.batch) * each * (2 if self.data.is_complex() else 1)

    def needs_real_images(self, who: str) -> None:
        """Raise InputError where the images are complex."""
        if self.operator.domain_complex:
            do = "Say that the image is real: operator @ AsComplex(shape); tv and cgls take complex ones."
            raise InputError(who, expected="an operator of real images", got=type(self.operator).__name__, do=do)

    def needs_images(self, who: str) -> None:
        """Raise InputError where the operator takes volumes."""
        if len(self.shape) != 2:
            do = "tv, shearlet and cgls take volumes."
            raise InputError(who, expected="an operator of images (row, col)", got=f"volumes {self.shape}", do=do)

    @cached_property
    def single(self) -> bool:
        """Whether every number is the value of one pixel: then the pixels are measured, or they are not."""
        return isinstance(self.operator, Mask | Restriction)

    @cached_property
    def seen(self) -> Bool[Tensor, "*shape"]:
        """The pixels that any number of the data depends on.

        Random data are sent back: a pixel that A does not see gets nothing, any other something, with probability one.
        """
        back = self.operator.adjoint(draw(self.operator.H, generator(0))).abs()
        return back > UNSEEN * back.max()

    def from_pixels(self, data: Inexact[Tensor, "..."]) -> Inexact[Tensor, "..."]:
        """Return the pixels that are measured singly, A* y over their weights squared, and 0 for the others."""
        a = self.operator
        shares = a.adjoint(a(torch.ones(self.shape, dtype=data.dtype)))
        return a.adjoint(data) / torch.where(shares > 0, shares, torch.ones_like(shares))

    def sigma(self) -> float | None:
        """Return the standard deviation of the noise, given or estimated; None where it cannot be known."""
        if self.noise is not None:
            return self.noise
        if self.single:
            return 0.0
        axes, shape = self.operator.codomain_axes, self.operator.codomain_shape
        if self.data.is_complex() or len(shape) < 2 or min(shape[-2:]) < 4:
            return None
        if axes in RAYS:
            return noise_level(self.data)
        return float(image_noise(self.data).double().square().mean().sqrt()) if axes == "row, col" else None

    def aim(self, who: str) -> Aim:
        """Return what a fit may leave of the data; raises InputError where nothing is known of their noise."""
        sigma = self.sigma()
        if sigma is None:
            got = f"none, and data of shape {self.operator.codomain_shape} from which it cannot be estimated"
            do = "Give a weight (--weight on the command line), or noise=, the standard deviation (0 for exact data)."
            raise InputError(who, expected="the noise level", got=got, do=do)
        most = float(self.data.norm()) / math.sqrt(self.count)
        if sigma >= most > 0:
            return Aim(most, "size of the data, which the noise reaches")
        least = EXACT * most
        if sigma >= least or self.operator.codomain_axes in RAYS:
            return Aim(sigma, "measured noise" if self.noise is None else "given noise")
        return Aim(least, "least that is aimed at where data are exact")


def _ordered(bounds: Iterable[float]) -> bool:
    """Return whether these are two numbers, the second above the first; either may be infinite."""
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        return False
    return low < high


def observed(scan: Scan, grid: Grid) -> Observation:
    """Return a scan as an observation of the image on ``grid``, which is not negative."""
    return Observation(scan.data, RayTransform(scan.geometry, grid), bounds=(0.0, math.inf))

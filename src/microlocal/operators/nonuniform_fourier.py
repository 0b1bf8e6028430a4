"""Fourier sums at any frequencies: non-Cartesian magnetic resonance, by the non-uniform FFT.

    (A f)[s] = 1/√N Σ_n f[n] exp(-i k_s·(n - n0)),    n0 = shape // 2,  N pixels

The Gram matrix A* A is Toeplitz, (A* A)[m, n] = q(m - n) with the point spread function q, and two bounds of |A|² can
be computed from q: the largest eigenvalue of a circulant matrix with A* A as a corner, and the norm of |q(m - n)|.
"""

import math

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, finite, finite_number, real, shape_of
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.kernels.nufft import checked_tolerance, error_bound
from microlocal.kernels.nufft_complex import ComplexNonUniformFourier
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator
from microlocal.operators.hermitian_toeplitz import HermitianToeplitz

_ACCURACY = 1e-11  # of the sums from which the bound is computed

Lags = NDArray[np.complexfloating] | NDArray[np.floating]


def _samples() -> list["NonUniformFourier"]:
    return [
        NonUniformFourier(radial_trajectory(3, 5), (4, 5)),
        NonUniformFourier(spiral_trajectory(2, 6, turns=2.0), (5, 3), tolerance=1e-4),
    ]


@register("operator", "non-uniform-fourier", samples=_samples, reference="barnett2019")
class NonUniformFourier(LinearOperator):
    """The Fourier transform of an image at any frequencies: complex (*batch, row, col) -> (*batch, sample).

    On the frequencies 2π (k - k0)/shape it is FourierSampling. Behind CoilSensitivities it acts on every coil.

    Parameters: ``trajectory``, (sample, 2), the frequency of every sample along rows and columns in radians per pixel,
    the band of the image being [-π, π]; ``shape`` of the image; ``tolerance``, the relative accuracy of the sums,
    from 1e-12 to 0.1, by default 1e-5 in single and 1e-11 in double precision; single precision reaches about 2e-6.

    Guarantee: the adjoint is exact whatever the tolerance is. ``norm_bound`` is a bound of the exact sums, from the
    Toeplitz form of A* A, enlarged by ten times the tolerance of single precision.

    >>> operator = NonUniformFourier(torch.zeros(1, 2), (2, 2), tolerance=1e-9)
    >>> operator(torch.ones(2, 2, dtype=torch.complex128)).abs().round(decimals=6).tolist()
    [2.0]
    """

    codomain_axes = "sample"
    domain_complex = True
    codomain_complex = True
    trajectory: Tensor

    def __init__(
        self, trajectory: Float[Tensor, "sample 2"], shape: tuple[int, int], tolerance: float | None = None
    ) -> None:
        if real(trajectory, "NonUniformFourier").ndim != 2 or trajectory.shape[1] != 2:
            do = "Give one row (row frequency, column frequency) for every sample."
            got = str(tuple(trajectory.shape))
            raise ShapeError("NonUniformFourier", expected="(sample, 2)", got=got, do=do)
        finite(trajectory, "NonUniformFourier", "Remove the samples whose frequency is unknown.")
        rows, cols = shape_of(shape, [self.domain_axes], "NonUniformFourier")
        super().__init__((rows, cols), (len(trajectory),))
        self.register_buffer("trajectory", trajectory.detach().double(), persistent=False)
        self.tolerance = checked_tolerance(tolerance, "NonUniformFourier")
        down, along = self.trajectory.cpu().numpy().T
        self.sums = ComplexNonUniformFourier((rows, cols), down, along, tolerance)

    def _scale(self) -> float:
        return 1 / math.sqrt(math.prod(self.domain_shape))

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._transform, self._transpose)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._transpose, self._transform)

    def _transform(self, x: Tensor) -> Tensor:
        images = np.ascontiguousarray(x.detach().cpu().reshape(-1, *self.domain_shape).numpy())
        sums = torch.from_numpy(self.sums.forward(images)).to(x.device)
        return sums.reshape(*x.shape[:-2], *self.codomain_shape) * self._scale()

    def _transpose(self, y: Tensor) -> Tensor:
        sums = np.ascontiguousarray(y.detach().cpu().reshape(-1, *self.codomain_shape).numpy())
        images = torch.from_numpy(self.sums.adjoint(sums)).to(y.device)
        return images.reshape(*y.shape[:-1], *self.domain_shape) * self._scale()

    def _point_spread(self) -> NDArray[np.complex128]:
        """q(d) = 1/N Σ_s exp(i k_s·d) at every lag of the image, the lag (0, 0) in the middle."""
        rows, cols = self.domain_shape
        points = self.trajectory.cpu().numpy()
        sums = ComplexNonUniformFourier((2 * rows - 1, 2 * cols - 1), points[:, 0], points[:, 1], _ACCURACY)
        ones: NDArray[np.complex128] = np.ones((1, len(points)), dtype=np.complex128)
        return (sums.adjoint(ones)[0] / (rows * cols)).astype(np.complex128)

    def normal(self) -> LinearOperator:
        """Return A* A as a convolution with the point spread function: two FFTs, whatever the number of samples."""
        return HermitianToeplitz(torch.from_numpy(self._point_spread()))

    def norm_bound(self) -> float:
        """Return the smallest of three proved bounds: two from the point spread function, one from the rows' norms."""
        kernel = self._point_spread()
        squares = (_circulant_bound(kernel), _absolute_bound(np.abs(kernel)), float(len(self.trajectory)))
        return math.sqrt(min(squares)) * (1 + 10 * error_bound(self.tolerance))


def _circulant_bound(kernel: Lags) -> float:
    """Return max |FFT of q|: the Toeplitz matrix is a corner of the circulant one with the same lags."""
    return float(np.abs(np.fft.fft2(np.fft.ifftshift(kernel))).max())


def _absolute_bound(kernel: Lags, iterations: int = 12) -> float:
    """Return the bound of Collatz and Wielandt for the matrix |q(m - n)|, as in ``perron_bounds``.

    Close where samples crowd around frequency zero, as on radial lines, which the circulant matrix counts fourfold.
    """
    rows, cols = ((n + 1) // 2 for n in kernel.shape)
    spectrum = np.fft.fft2(np.fft.ifftshift(kernel))
    x, bound = np.ones((rows, cols)), math.inf
    for _ in range(iterations):
        image = np.fft.ifft2(np.fft.fft2(x, kernel.shape) * spectrum).real[:rows, :cols]
        bound = min(bound, float((image / x).max()))
        x = image / image.max() + 1e-6
    return bound * (1 + 1e-9)


def radial_trajectory(spokes: int, samples: int, *, golden_angle: bool = False) -> Float[Tensor, "sample 2"]:
    """Return lines through frequency zero: (spokes * samples, 2) in radians per pixel, within the disc of radius π.

    Spoke j has the direction jπ/spokes, or j times the golden angle of 111.25 degrees; its samples run from -π to
    π (1 - 2/samples), so that frequency zero is the sample at samples // 2 of an even number.

    >>> radial_trajectory(2, 4)[:4].round(decimals=2).abs().tolist()
    [[0.0, 3.14], [0.0, 1.57], [0.0, 0.0], [0.0, 1.57]]
    """
    spokes, samples = (at_least(n, 1, "spokes and samples", "radial_trajectory") for n in (spokes, samples))
    step = math.pi * (math.sqrt(5) - 1) / 2 if golden_angle else math.pi / spokes
    turn = step * torch.arange(spokes, dtype=torch.float64)
    radius = 2 * math.pi * (torch.arange(samples, dtype=torch.float64) / samples - 0.5)
    return torch.stack((-torch.outer(turn.sin(), radius), torch.outer(turn.cos(), radius)), dim=-1).reshape(-1, 2)


def spiral_trajectory(interleaves: int, samples: int, *, turns: float = 8.0) -> Float[Tensor, "sample 2"]:
    """Return Archimedean spirals from frequency zero to radius π: (interleaves * samples, 2) in radians per pixel.

    Samples are equally spaced in angle to the power 2: their distance along the spiral is about constant.

    >>> float(spiral_trajectory(1, 100)[-1].norm().round(decimals=6))
    3.141593
    """
    who = "spiral_trajectory"
    interleaves, samples = (at_least(n, 1, "interleaves and samples", who) for n in (interleaves, samples))
    finite_number(turns, "turns", who)
    along = (torch.arange(1, samples + 1, dtype=torch.float64) / samples).sqrt()
    first = 2 * math.pi * torch.arange(interleaves, dtype=torch.float64) / interleaves
    turn = first[:, None] + 2 * math.pi * turns * along
    return math.pi * torch.stack((-turn.sin() * along, turn.cos() * along), dim=-1).reshape(-1, 2)


def density_compensation(operator: NonUniformFourier, iterations: int = 30) -> Float[Tensor, " sample"]:
    """Return weights w > 0 of the samples with A* diag(w) A ≈ I on the frequencies that are covered.

    The iteration of Pipe and Menon, w <- w / (K w), with K[s, t] = (1/N) Σ_d Λ(d) exp(i (k_s - k_t)·d) >= 0, Λ the
    triangle over the image's lags: K is Fejér's kernel, so the weights stay positive. On the Cartesian grid w = 1.

    Reference: Pipe and Menon, Magnetic Resonance in Medicine 41, 1999.

    >>> grid = 2 * math.pi / 4 * (torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)) - 2)
    >>> density_compensation(NonUniformFourier(grid, (4, 4))).allclose(torch.ones(16, dtype=torch.float64))
    True
    """
    if not isinstance(operator, NonUniformFourier):
        got, do = type(operator).__name__, "Of A @ CoilSensitivities(maps) give A."
        raise InputError("density_compensation", expected="a NonUniformFourier", got=got, do=do)
    rows, cols = operator.domain_shape
    shape = (2 * rows - 1, 2 * cols - 1)
    down, along = (1 - torch.arange(1 - n, n, dtype=torch.float64).abs() / n for n in (rows, cols))
    sums = NonUniformFourier(operator.trajectory.cpu(), shape, 1e-9)
    triangle = torch.outer(down, along) * (math.prod(shape) / (rows * cols))
    weights: Complex[Tensor, " sample"] = torch.ones(len(operator.trajectory), dtype=torch.complex128)
    for _ in range(iterations):
        weights = weights / sums(triangle * sums.adjoint(weights)).real
    return weights.real

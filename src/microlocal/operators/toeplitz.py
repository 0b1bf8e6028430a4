"""Convolutions without wrapping round, and the normal operator of the parallel beam as one of them.

    (T f)[i] = Σ_j t[i - j] f[j],        R* R f = t * f,    t[Δ] = Σ_{views, ω} w(t, ω) cos(ω (cos t, sin t)·Δ)

R* R takes two pixels to a number that depends on their distance alone where the detector catches the shadow of the
whole grid; two real Fourier transforms over a doubled grid then replace a projection and a backprojection. Weights of
views and of frequencies keep this form: R* W R with W diagonal in the Fourier series of every view. Weights of single
detector pixels, a detector that is too short and one that is coarser than the image do not.

Reference: Delaney and Bresler, IEEE Trans. Image Process. 5(5), 1996.
"""

import math
from typing import Any

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.checks import real
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.kernels.nufft import RealNonUniformFourier, error_bound
from microlocal.kernels.threads import threads_allowed
from microlocal.operators.base import LinearOperator, linear_pair
from microlocal.operators.fourier_slice import FourierSlice
from microlocal.operators.norms import wielandt_bound

_PIXELS_WORTH_A_THREAD = 1 << 16


def _samples() -> list["Toeplitz"]:
    down, right = torch.meshgrid(torch.arange(-5.0, 6.0), torch.arange(-3.0, 4.0), indexing="ij")
    wave = torch.cos(down + 2 * right) / (1 + down**2 + right**2)
    return [Toeplitz(wave), Toeplitz(wave[:, 1:-1].abs()), Toeplitz(torch.ones(1, 5))]


@register("operator", "toeplitz", samples=_samples, reference="delaney1996")
class Toeplitz(LinearOperator):
    """Convolution with an even kernel, without wrapping round: (*batch, row, col) -> (*batch, row, col), self-adjoint.

    Parameters: ``kernel`` t at the offsets -(rows - 1) … rows - 1 and -(cols - 1) … cols - 1, with t[-Δ] = t[Δ].
    Raises InputError for a kernel of even size, and for one that is not even or not real.

    Guarantee: ``norm_bound`` is proved (see there).

    >>> Toeplitz(torch.tensor([[1.0, 2.0, 1.0]]))(torch.tensor([[1.0, 10.0]])).round(decimals=4).tolist()
    [[12.0, 21.0]]
    """

    kernel: Tensor

    def __init__(self, kernel: Float[Tensor, "down right"]) -> None:
        who = "Toeplitz"
        real(kernel, who)
        if kernel.ndim != 2 or not all(n % 2 for n in kernel.shape):
            got = f"{tuple(kernel.shape)}"
            raise InputError(who, expected="a kernel (2 rows - 1, 2 cols - 1)", got=got, do="Give every offset once.")
        scale = float(kernel.abs().max())
        off = float((kernel - kernel.flip(0, 1)).abs().max())
        if not off <= 1e-4 * scale:
            raise InputError(who, expected="t[-Δ] = t[Δ]", got=f"a difference of {off:.3g}", do="Symmetrise it.")
        shape = ((kernel.shape[0] + 1) // 2, (kernel.shape[1] + 1) // 2)
        super().__init__(shape, shape)
        self.register_buffer("kernel", ((kernel + kernel.flip(0, 1)) / 2).double(), persistent=False)
        self._fine = tuple(scipy.fft.next_fast_len(n, real=True) for n in kernel.shape)
        self._spectra: dict[str, NDArray[np.floating]] = {}

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._convolve, self._convolve)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        """Return the convolution with the sum of the kernels: two transforms instead of four."""
        if not isinstance(other, Toeplitz) or other.domain_shape != self.domain_shape:
            return super().__add__(other)
        return Toeplitz(self.kernel + other.kernel)

    def __rmul__(self, scalar: complex) -> LinearOperator:
        return super().__rmul__(scalar) if isinstance(scalar, complex) else Toeplitz(scalar * self.kernel)

    def _convolve(self, x: Tensor) -> Tensor:
        images = x.detach().cpu().numpy().reshape(-1, *self.domain_shape)
        spectrum = self._spectrum(images.dtype.name)
        filtered = np.empty_like(images)
        for image, out in zip(images, filtered, strict=True):
            out[...] = _filter(image, spectrum, self._fine[1])
        return torch.from_numpy(filtered.reshape(x.shape)).to(x.device)

    def _spectrum(self, dtype: str) -> NDArray[np.floating]:
        """Return the transform of the kernel placed round the corner of the doubled grid: real, the kernel is even."""
        if dtype not in self._spectra:
            corner = np.zeros(self._fine)
            rows, cols = self.kernel.shape
            corner[:rows, :cols] = self.kernel.cpu().numpy()
            corner = np.roll(corner, (-(rows // 2), -(cols // 2)), axis=(0, 1))
            self._spectra[dtype] = scipy.fft.rfft2(corner).real.astype(dtype)
        return self._spectra[dtype]

    def norm_bound(self) -> float:
        """Return a proved upper bound of |T|, close to it where few of the kernel's values are negative.

        |T| is at most the norm of the convolution with |t|, whose matrix has no negative entry: ``wielandt_bound``.
        """
        positive = Toeplitz(self.kernel.abs())
        return wielandt_bound(positive, self.domain_shape)[0]


def _filter(image: NDArray[np.floating], spectrum: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Convolve one image; rows that hold nothing but padding are left out of the transforms along the rows."""
    rows, cols = image.shape
    workers = threads_allowed() if image.size > _PIXELS_WORTH_A_THREAD else 1
    lines = scipy.fft.rfft(image, n=width, axis=1, workers=workers)
    padded: NDArray[Any] = np.zeros(spectrum.shape, lines.dtype)
    padded[:rows] = lines
    padded = scipy.fft.fft(padded, axis=0, workers=workers, overwrite_x=True)
    padded *= spectrum
    padded = scipy.fft.ifft(padded, axis=0, workers=workers, overwrite_x=True)
    return scipy.fft.irfft(padded[:rows], n=width, axis=1, workers=workers)[:, :cols]


def fourier_normal(
    slices: FourierSlice, weights: Float[Tensor, " angle"] | Float[Tensor, "angle frequency"] | None = None
) -> Toeplitz:
    """Return R* W R of a Fourier-slice projector whose period is not cut by the detector, as a convolution.

    ``weights`` w >= 0 of views (angle,) or of views and the frequencies 2πm/P, m = 0 … (angle, frequency); all one by
    default. Where ``slices.is_toeplitz`` is false this is the normal operator of a detector as long as the period,
    which bounds that of the part.
    """
    energy = slices.weights()
    if weights is not None:
        given = to_numpy(weights.double())
        energy = energy * (given[:, None] if given.ndim == 1 else given)
    rows, cols = slices.shape
    sums = RealNonUniformFourier(
        (2 * rows - 1, 2 * cols - 1), slices.sums.rows_rad, slices.sums.cols_rad, slices.tolerance
    )
    return Toeplitz(torch.from_numpy(sums.adjoint(energy.ravel().astype(np.complex128))))


def fourier_norm_bounds(slices: FourierSlice, normal: Toeplitz, iterations: int = 12) -> tuple[float, float]:
    """Return proved bounds (lower, upper) of |R| for a detector of any length, from its ``fourier_normal``.

    |R|² is at most |R* R| over the whole period, and that at most the norm of the convolution with its absolute values
    (``wielandt_bound``); the tolerance of the sums is allowed for ten times over. The lower bound is |R x|/|x| for the
    vector x of the upper one.
    """
    upper, x = wielandt_bound(Toeplitz(normal.kernel.abs()), slices.shape, iterations)
    lower = float(slices.project(x[None]).norm() / x.norm())
    return lower, math.sqrt(upper) * (1 + 10 * error_bound(slices.tolerance))

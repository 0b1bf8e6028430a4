"""Convolution of complex images with a Hermitian kernel, without wrapping round: A* A of non-uniform Fourier sums.

(T f)[m] = Σ_n q(m - n) f[n],    q(-d) = conj q(d)
"""

import math

import scipy.fft
import torch
from jaxtyping import Complex
from torch import Tensor

from microlocal.core.checks import tensor
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator


def _samples() -> list["HermitianToeplitz"]:
    down, right = torch.meshgrid(torch.arange(-3.0, 4.0), torch.arange(-2.0, 3.0), indexing="ij")
    wave = torch.exp(1j * (down - 0.7 * right)) / (1 + down**2 + right**2)
    return [HermitianToeplitz(wave), HermitianToeplitz(wave[:, 1:-1])]


@register("operator", "hermitian-toeplitz", samples=_samples, reference="fessler2005")
class HermitianToeplitz(LinearOperator):
    """Convolution with a Hermitian kernel: complex (*batch, row, col) -> (*batch, row, col), self-adjoint.

    Parameters: ``kernel`` q at the lags -(rows - 1) … rows - 1 and -(cols - 1) … cols - 1. Two FFTs over a doubled
    grid. Raises InputError for a kernel of even size, or one that is not Hermitian or has NaN.

    Guarantee: |T| <= max |FFT of q|, the norm of a circulant matrix with T as a corner.

    >>> HermitianToeplitz(torch.tensor([[-1j, 2.0, 1j]]))(torch.tensor([[1.0 + 0j, 0.0]])).imag.round().abs().tolist()
    [[0.0, 1.0]]
    """

    domain_complex = True
    codomain_complex = True
    spectrum: Tensor

    def __init__(self, kernel: Complex[Tensor, "down right"]) -> None:
        odd = tensor(kernel, "HermitianToeplitz").ndim == 2 and all(n % 2 for n in kernel.shape)
        gap = float((kernel - kernel.flip(0, 1).conj()).abs().max()) if odd else math.inf
        if not odd or not gap <= 1e-4 * float(kernel.abs().max()):  # NaN is refused too
            got = f"shape {tuple(kernel.shape)}, |q(-d) - conj q(d)| up to {gap:.3g}"
            do = "Give q at every lag once, the lag (0, 0) in the middle."
            raise InputError("HermitianToeplitz", expected="q(-d) = conj q(d)", got=got, do=do)
        rows, cols = ((n + 1) // 2 for n in kernel.shape)
        super().__init__((rows, cols), (rows, cols))
        fine = [scipy.fft.next_fast_len(n) for n in kernel.shape]
        corner = torch.zeros(fine, dtype=torch.complex128)
        corner[: kernel.shape[0], : kernel.shape[1]] = (kernel + kernel.flip(0, 1).conj()).to(torch.complex128) / 2
        corner = corner.roll((1 - rows, 1 - cols), dims=(0, 1))
        self.register_buffer("spectrum", torch.fft.fft2(corner).real.contiguous(), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = self.spectrum.to(x.real.dtype)
        size = (spectrum.shape[0], spectrum.shape[1])
        rows, cols = self.domain_shape
        return torch.fft.ifft2(torch.fft.fft2(x, s=size) * spectrum)[..., :rows, :cols].contiguous()

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._forward(y)

    @property
    def kernel(self) -> Complex[Tensor, "down right"]:
        """The kernel q, back from its transform."""
        rows, cols = self.domain_shape
        lags = torch.fft.ifft2(self.spectrum).roll((rows - 1, cols - 1), dims=(0, 1))
        return lags[: 2 * rows - 1, : 2 * cols - 1]

    def __add__(self, other: LinearOperator) -> LinearOperator:
        """Return the convolution with the sum of the kernels: two transforms instead of four."""
        if not isinstance(other, HermitianToeplitz) or other.domain_shape != self.domain_shape:
            return super().__add__(other)
        return HermitianToeplitz(self.kernel + other.kernel)

    def norm_bound(self) -> float:
        return float(self.spectrum.abs().max()) * (1 + 1e-12)

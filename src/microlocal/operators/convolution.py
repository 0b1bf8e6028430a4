"""Convolution with any kernel, by the FFT, under the boundary condition of your choice: blur and deblurring.

    (k * f)[r, c] = Σ k[i, j] f[r - (i - i0), c - (j - j0)],    (i0, j0) the middle of the kernel

The image is padded by its boundary condition, convolved periodically with real FFTs, and cropped; the adjoint is the
adjoint of each step in reverse order.
"""

import math
from typing import Literal

import scipy.fft
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, finite, finite_number, positive, real, shape_of
from microlocal.core.errors import ShapeError, UnknownNameError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import perron_bounds
from microlocal.operators.padding import Pad

Edge = Literal["periodic", "symmetric", "reflect", "replicate", "zero", "valid"]
_EDGES = ("periodic", "symmetric", "reflect", "replicate", "zero", "valid")


def _samples() -> list["Convolution"]:
    signed = torch.tensor([[0.0, -1.0, 0.3], [2.0, 0.5, -0.2]])
    small: list[Convolution] = [Convolution(signed, (4, 5), edge) for edge in _EDGES]  # type: ignore[arg-type]
    large = torch.arange(27.0).reshape(9, 3).sin()
    return [*small, Convolution(signed.abs(), (5, 4), "replicate"), Convolution(large, (4, 4), "periodic")]


@register("operator", "convolution", samples=_samples, reference="hansen2006")
class Convolution(LinearOperator):
    """Convolution: (*batch, row, col) -> the same shape, or smaller for "valid".

    Parameters: ``kernel``, (row, col), centred at (rows // 2, cols // 2); ``shape`` of the image; ``boundary``, how
    the image goes on beyond its edge: "periodic", "symmetric" (half-sample, scipy's "reflect"), "reflect"
    (whole-sample, scipy's "mirror"), "replicate" (scipy's "nearest"), "zero" (scipy's "constant"), or "valid", which
    gives only the pixels that need nothing from beyond.

    Guarantee: the adjoint is exact for every boundary; the norm is at most max |k̂| |P|, P the padding, with equality
    for "periodic", and at most the norm of the convolution with |k|, of which the smaller is taken.
    Raises ShapeError for kernels larger than the image allows, InputError for kernels that are complex or have NaN.

    >>> blur = Convolution(torch.full((1, 3), 1 / 3), (1, 4), "replicate")
    >>> blur(torch.tensor([[0.0, 3.0, 0.0, 0.0]])).round(decimals=4).abs().tolist()
    [[1.0, 1.0, 1.0, 0.0]]
    """

    advice = "Build Convolution(kernel, shape) for this shape."
    kernel: Tensor
    spectrum: Tensor

    def __init__(self, kernel: Float[Tensor, "krow kcol"], shape: tuple[int, int], boundary: Edge = "symmetric"):
        if boundary not in _EDGES:
            raise UnknownNameError("Convolution", boundary, _EDGES)
        finite(real(kernel, "Convolution"), "Convolution", "Look at how the kernel was made: a division by zero?")
        result = _result(tuple(kernel.shape), shape_of(shape, ["row, col"], "Convolution"), boundary)
        margins = [(n - 1 - n // 2, n // 2) for n in kernel.shape]
        super().__init__(shape, result)
        self.boundary = boundary
        padded = boundary not in ("periodic", "valid", "zero")
        self.pad = Pad(shape, (margins[0], margins[1]), boundary) if padded else None  # type: ignore[arg-type]
        self.register_buffer("kernel", kernel.detach().double(), persistent=False)
        self.register_buffer("spectrum", torch.fft.rfft2(self._periodic_kernel()), persistent=False)

    def _period(self) -> tuple[int, int]:
        """The size of the FFT: the image's if periodic, else a fast one with room for the kernel."""
        if self.boundary == "periodic":
            return self.domain_shape[0], self.domain_shape[1]
        shape = self.pad.codomain_shape if self.pad else self.domain_shape
        extra = 0 if self.boundary != "zero" else 1
        rows, cols = (s + extra * (n - 1) for s, n in zip(shape, self.kernel.shape, strict=True))
        return scipy.fft.next_fast_len(rows, real=True), scipy.fft.next_fast_len(cols, real=True)

    def _periodic_kernel(self) -> Tensor:
        """The kernel laid around the corner of one period, wrapped if it is larger."""
        period = self._period()
        rows, cols = ((torch.arange(n) - n // 2) % m for n, m in zip(self.kernel.shape, period, strict=True))
        places = (rows[:, None] * period[1] + cols).flatten().to(self.kernel.device)
        laid = self.kernel.new_zeros(period[0] * period[1]).index_add(0, places, self.kernel.flatten())
        return laid.reshape(period)

    def _corner(self) -> tuple[int, int]:
        """Where the result starts in the convolved period."""
        if self.boundary in ("periodic", "zero"):
            return 0, 0
        return tuple(n - 1 - n // 2 for n in self.kernel.shape)  # type: ignore[return-value]

    def _filter(self, x: Tensor, spectrum: Tensor) -> Tensor:
        period = self._period()
        wide = torch.complex64 if x.dtype == torch.float32 else torch.complex128
        return torch.fft.irfft2(torch.fft.rfft2(x, s=period) * spectrum.to(wide), s=period)

    def _forward(self, x: Tensor) -> Tensor:
        filtered = self._filter(self.pad(x) if self.pad else x, self.spectrum)
        (top, left), (rows, cols) = self._corner(), self.codomain_shape
        return filtered[..., top : top + rows, left : left + cols].contiguous()

    def _adjoint(self, y: Tensor) -> Tensor:
        (top, left), (rows, cols) = self._corner(), self.pad.codomain_shape if self.pad else self.domain_shape
        filtered = self._filter(torch.nn.functional.pad(y, (left, 0, top, 0)), self.spectrum.conj())
        image = filtered[..., :rows, :cols].contiguous()
        return self.pad.adjoint(image) if self.pad else image

    def norm_bound(self) -> float:
        gain = float(self.spectrum.abs().max()) * (1 + 1e-12)
        if self.pad is None:
            return gain
        # Rounding of the FFT turns zero weights into -1e-17, which the floor of 1e-6 in perron_bounds covers.
        absolute = Convolution(self.kernel.abs(), (self.domain_shape[0], self.domain_shape[1]), self.boundary)
        return min(gain * self.pad.norm_bound(), perron_bounds(absolute)[1])


def _result(kernel: tuple[int, ...], shape: tuple[int, ...], boundary: str) -> tuple[int, ...]:
    """Return the shape of the result; raises ShapeError for kernels that are none, or larger than allowed."""
    lost = [n - 1 if boundary == "valid" else 0 for n in kernel]
    if len(kernel) != 2 or min(kernel) < 1 or any(a >= n for a, n in zip(lost, shape, strict=True)):
        do = "Take a kernel (row, col), a smaller one or another boundary."
        raise ShapeError("Convolution", expected=f"a kernel within {shape}", got=str(kernel), do=do)
    return tuple(n - a for n, a in zip(shape, lost, strict=True))


def gaussian_kernel(sigma: float, truncate: float = 4.0) -> Float[Tensor, "krow kcol"]:
    """Return a Gaussian of standard deviation ``sigma`` in pixels, cut at ``truncate`` sigma, of sum 1.

    Raises InputError unless both are positive.

    >>> tuple(gaussian_kernel(1.0).shape)
    (9, 9)
    """
    reach = int(positive(truncate, "truncate", "gaussian_kernel") * positive(sigma, "sigma", "gaussian_kernel") + 0.5)
    line = torch.exp(-((torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2) / 2)
    return torch.outer(line, line) / line.sum() ** 2


def disc_kernel(radius: float, oversampling: int = 16) -> Float[Tensor, "krow kcol"]:
    """Return the blur of a lens out of focus: a disc of ``radius`` pixels, each pixel by its covered share, of sum 1.

    Raises InputError unless the radius is positive.

    >>> bool(disc_kernel(2.0)[0, 0] < disc_kernel(2.0)[2, 2])
    True
    """
    at_least(oversampling, 1, "oversampling", "disc_kernel")
    radius = max(positive(radius, "radius", "disc_kernel"), 1 / oversampling)  # not less than one subpixel
    reach = max(0, math.ceil(radius - 0.5))
    fine = _subpixels(reach, oversampling)
    inside = (fine[:, None] ** 2 + fine[None, :] ** 2 <= radius**2).double()
    return _shares(inside, reach, oversampling)


def motion_kernel(length: float, angle_rad: float, oversampling: int = 16) -> Float[Tensor, "krow kcol"]:
    """Return the blur of a straight motion of ``length`` pixels at ``angle_rad`` from the x axis (y up), of sum 1.

    Every point of the path is shared linearly among its four neighbours. Raises InputError unless the length is
    positive and the angle finite.

    >>> motion_kernel(2.0, 0.0)[1].round(decimals=3).tolist()
    [0.25, 0.5, 0.25]
    """
    at_least(oversampling, 1, "oversampling", "motion_kernel")
    finite_number(angle_rad, "angle_rad", "motion_kernel")
    reach = math.ceil(positive(length, "length", "motion_kernel") / 2 + 1) - 1
    steps = math.ceil(length * oversampling)
    along = (torch.arange(steps, dtype=torch.float64) + 0.5 - steps / 2) * (length / steps)
    rows, cols = reach - along * math.sin(angle_rad), reach + along * math.cos(angle_rad)
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for row in (rows.floor(), rows.floor() + 1):
        for col in (cols.floor(), cols.floor() + 1):
            weight = (1 - (rows - row).abs()) * (1 - (cols - col).abs())
            inside = (row >= 0) & (row <= 2 * reach) & (col >= 0) & (col <= 2 * reach)
            kernel.index_put_((row[inside].long(), col[inside].long()), weight[inside], accumulate=True)
    return kernel / kernel.sum()


def _subpixels(reach: int, oversampling: int) -> Tensor:
    count = (2 * reach + 1) * oversampling
    return (torch.arange(count, dtype=torch.float64) + 0.5) / oversampling - reach - 0.5


def _shares(fine: Tensor, reach: int, oversampling: int) -> Tensor:
    size = 2 * reach + 1
    shares = fine.reshape(size, oversampling, size, oversampling).sum(dim=(1, 3))
    return shares / shares.sum()

"""The parallel-beam projector by the Fourier slice theorem: N² log N instead of N³.

The spectrum of the projection at angle t is a line of the image's spectrum; for pixels that are squares of side p,

    p̂(t, ω) = p² sinc(p ωx/2π) sinc(p ωy/2π) Σ_j f_j exp(-i (ωx x_j + ωy y_j)),    (ωx, ωy) = ω (cos t, sin t),

a non-uniform Fourier sum of the pixel values, and the datum at s is its inverse Fourier series over a period P, long
enough for the copies of the image's shadow to stay off the detector: p(t, s) = (1/P) Σ_m p̂(t, 2πm/P) exp(2πi m s/P).

Frequencies end at the Nyquist frequency of the detector, or of a q times finer one where its pixels are larger than the
image's: data are values of the band-limited line integrals at pixel centres, as ray methods give them.

Reference: Natterer, The Mathematics of Computerized Tomography (1986), Theorem II.1.1.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.geometry import ParallelBeam
from microlocal.core.grid import Grid
from microlocal.kernels.nufft import RealNonUniformFourier
from microlocal.kernels.threads import threads_allowed

Array = NDArray[np.float64]
Values = NDArray[np.floating]

COARSEST = 1.25  # detector pixels over image pixels up to which the detector's own Nyquist frequency is enough


class FourierSlice:
    """The projector of ``geometry`` on ``grid``: (image, row, col) -> (image, angle, detector), and its transpose.

    ``tolerance`` of the non-uniform Fourier sums, relative; by precision where None (1e-5 and 1e-11).
    """

    def __init__(self, geometry: ParallelBeam, grid: Grid, tolerance: float | None = None) -> None:
        detector = geometry.detector
        self.tolerance = tolerance
        self.count, self.reversed = detector.count, detector.reversed
        self.shape, self.angles = grid.shape, geometry.angles
        self.finer = max(1, math.ceil(detector.pitch / (COARSEST * grid.pixel)))
        step = detector.pitch / self.finer
        self.covered = bool(shadow_overhang(geometry, grid) <= 0)
        self.length = self.finer * self.count if self.covered else _period(geometry, grid, step)
        # The Nyquist frequency of an even length is left out: its phase has no meaning.
        omega = 2 * np.pi * np.arange((self.length + 1) // 2) / (self.length * step)
        along_x, along_y = np.outer(np.cos(self.angles), omega), np.outer(np.sin(self.angles), omega)
        p = grid.pixel
        self.sums = RealNonUniformFourier(grid.shape, (-p * along_y).ravel(), (p * along_x).ravel(), tolerance)
        # finufft counts from the pixel ⌊n/2⌋; the grid's centre lies half a pixel before it where n is even.
        half = [0.5 * p * (n % 2 == 0) for n in grid.shape]
        origin = along_x * (grid.center[0] + half[1]) + along_y * (grid.center[1] - half[0])
        phase = omega * detector.positions().min() - origin
        size = p**2 / step * np.sinc(p * along_x / (2 * np.pi)) * np.sinc(p * along_y / (2 * np.pi))
        self.response = size * np.exp(1j * phase)
        self._cast: dict[str, tuple[NDArray[np.complexfloating], NDArray[np.complexfloating]]] = {}

    @property
    def is_toeplitz(self) -> bool:
        """Whether the normal operator is a convolution: the detector catches the shadow of every pixel at its pitch."""
        return self.covered and self.finer == 1

    def project(self, images: Float[Tensor, "image row col"]) -> Float[Tensor, "image angle detector"]:
        """Return the projections of images, float32 or float64."""
        return self._project(images, self.sums.forward)

    def project_directly(self, images: Float[Tensor, "image row col"]) -> Float[Tensor, "image angle detector"]:
        """Return the projections with every Fourier sum added up term by term: slow, the oracle."""
        return self._project(images, self.sums.directly)

    def _project(self, images: Tensor, sums: Callable[[Values], NDArray[np.complexfloating]]) -> Tensor:
        values = np.ascontiguousarray(images.detach().cpu().numpy())
        response, _ = self._responses(values)
        rows = np.empty((len(values), len(self.angles), self.count), values.dtype)
        padded = np.zeros((len(self.angles), self.length // 2 + 1), response.dtype)
        for image, row in zip(values, rows, strict=True):
            spectrum = sums(image).reshape(response.shape)
            np.multiply(spectrum, response, out=padded[:, : response.shape[1]])
            series = scipy.fft.irfft(padded, n=self.length, axis=-1, workers=self._workers())
            row[...] = self._in_order(series[:, : self.finer * self.count : self.finer])
        return torch.from_numpy(rows).to(images.device)

    def backproject(self, sums: Float[Tensor, "image angle detector"]) -> Float[Tensor, "image row col"]:
        """Return the transpose of :meth:`project`."""
        values = sums.detach().cpu().numpy()
        _, response = self._responses(values)
        images = np.empty((len(values), *self.shape), values.dtype)
        rows = np.zeros((len(self.angles), self.length), values.dtype)
        for row, image in zip(values, images, strict=True):
            rows[:, : self.finer * self.count : self.finer] = self._in_order(row)
            spectrum = scipy.fft.rfft(rows, axis=-1, workers=self._workers())
            image[...] = self.sums.adjoint((spectrum[:, : response.shape[1]] * response).ravel())
        return torch.from_numpy(images).to(sums.device)

    def _in_order(self, row: Values) -> Values:
        return row[:, ::-1] if self.reversed else row

    def weights(self) -> Array:
        """Return |p̂|² of a unit pixel as it enters the normal operator, per view and frequency (angle, frequency)."""
        return (np.abs(self.response) ** 2 * self._multiplicity() / self.length).astype(np.float64)

    def _multiplicity(self) -> Array:
        """How often a frequency of the half spectrum counts: once at zero, twice elsewhere."""
        twice = np.full(self.response.shape[-1], 2.0)
        twice[0] = 1.0
        return twice

    def _responses(self, like: Values) -> tuple[NDArray[np.complexfloating], NDArray[np.complexfloating]]:
        """Return the factors of forward and adjoint in the precision of ``like``, converted once."""
        name = "complex64" if like.dtype == np.float32 else "complex128"
        if name not in self._cast:
            back = np.conj(self.response) * self._multiplicity() / self.length
            self._cast[name] = self.response.astype(name), back.astype(name)
        return self._cast[name]

    def _workers(self) -> int:
        return threads_allowed() if self.response.size > 1 << 14 else 1


def _shadows(geometry: ParallelBeam, grid: Grid) -> tuple[Array, Array]:
    """Return the lowest and highest s of the grid's shadow at every view, (angle,) each."""
    cos, sin = np.cos(geometry.angles), np.sin(geometry.angles)
    rows, cols = grid.shape
    middle = grid.center[0] * cos + grid.center[1] * sin
    half = grid.pixel / 2 * (cols * np.abs(cos) + rows * np.abs(sin))
    return middle - half, middle + half


def shadow_overhang(geometry: ParallelBeam, grid: Grid) -> float:
    """Return by how much the grid's shadow reaches beyond the detector at the worst view, in length units."""
    low, high = _shadows(geometry, grid)
    first, last = geometry.detector.edges
    return float(max((first - low).max(), (high - last).max()))


def _period(geometry: ParallelBeam, grid: Grid, step: float) -> int:
    """Return the samples of a period in which no copy of the shadow falls on the detector, good for an FFT."""
    low, high = _shadows(geometry, grid)
    first, last = geometry.detector.edges
    needed = max(last - low.min(), high.max() - first, last - first)
    return int(scipy.fft.next_fast_len(math.ceil(needed / step) + 1, real=True))

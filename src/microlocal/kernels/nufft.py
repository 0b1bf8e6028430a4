"""Fourier sums of real images at any frequencies, and their exact transposes.

    forward:  F_k = Σ_{r,c} f[r, c] exp(-i (a_k m_r + b_k m_c)),    m_r = r - ⌊R/2⌋,  m_c = c - ⌊C/2⌋
    adjoint:  f[r, c] = Re Σ_k exp(+i (a_k m_r + b_k m_c)) F_k

A fast Fourier transform of the image over a finer grid, and interpolation at the points with a short kernel φ, whose
own transform φ̂ the image is divided by beforehand. The interpolation and its transpose, the spreading, are finufft's;
the transforms are real ones over half of the spectrum, since F(-a, -b) is the conjugate of F(a, b).

Threads are plain ones, each with a share of the points: finufft's own come from OpenMP and spin on the cores that the
transforms need, which makes a projection twice as slow as with one thread fewer.

Reference: Barnett, Magland and af Klinteberg, SIAM J. Sci. Comput. 41(5), 2019.
"""

import threading
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import finufft
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from microlocal.core.checks import is_finite
from microlocal.core.errors import InputError
from microlocal.kernels.forks import waited_for
from microlocal.kernels.pool import at_once
from microlocal.kernels.threads import threads_allowed

Complex = NDArray[np.complexfloating]
Floats = NDArray[np.floating]

TOLERANCE = {"complex64": 1e-5, "complex128": 1e-11}  # where rounding, and the width of the kernel, set the limit
# The fine grid over the image: a larger one makes the kernel shorter and the transforms longer.
_FINER = {"complex64": 1.25, "complex128": 1.5}
_LEAST = 32  # the kernel is up to 15 wide and must not wrap onto itself
_MARGIN = 9  # columns beyond the half spectrum, for the kernel's half width
_POINTS_WORTH_A_THREAD = 1 << 14
_SAMPLES = 1024  # of half of the kernel, for its transform
_FINEST = {"complex64": 1e-6, "complex128": 1e-12}  # asked for more, finufft says on the screen that it cannot
_COARSEST = 0.1


def checked_tolerance(tolerance: float | None, who: str) -> float | None:
    """Return a relative accuracy of the sums from 1e-12 to 0.1, or None; raises InputError for another."""
    if tolerance is None or (is_finite(tolerance) and _FINEST["complex128"] <= tolerance <= _COARSEST):
        return tolerance
    do = "Leave it out for 1e-5 in float32 and 1e-11 in float64."
    expected = f"tolerance from {_FINEST['complex128']} to {_COARSEST}"
    raise InputError(who, expected=expected, got=f"tolerance = {tolerance}", do=do)


def eps_of(dtype: str, tolerance: float | None) -> float:
    """Return the accuracy to ask of finufft: what was chosen, as far as the precision reaches, or the default."""
    return TOLERANCE[dtype] if tolerance is None else max(tolerance, _FINEST[dtype])


def error_bound(tolerance: float | None) -> float:
    """Return the relative error of the sums to allow for in bounds, in the precision where it is larger."""
    return max(tolerance or 0.0, TOLERANCE["complex64"])


@dataclass
class _Plan:
    """Interpolation at a share of the points; finufft serves one caller of a plan at a time."""

    share: slice
    plan: finufft.Plan
    lock: threading.Lock = field(default_factory=lambda: waited_for(threading.Lock()))

    def interpolate(self, grid: Complex, values: Complex) -> None:
        with self.lock:
            self.plan.execute(grid, out=values[self.share])

    def spread(self, values: Complex, grid: Complex) -> None:
        with self.lock:
            self.plan.execute_adjoint(values[self.share], out=grid)


@dataclass(frozen=True)
class _Setup:
    """All that a precision and a number of threads need: the fine grid's size and padded width, 1/φ̂, plans."""

    fine: tuple[int, int]
    width: int
    correction: Floats
    signs: Floats
    plans: tuple[_Plan, ...]
    spare: list[Complex] = field(default_factory=list)  # grids to spread onto, one a concurrent caller


class RealNonUniformFourier:
    """The sums at fixed points (a_k, b_k) in radians, for real images of a fixed shape.

    ``rows_rad`` a and ``cols_rad`` b, both (points,) float64; ``tolerance`` relative, by precision where None.

    Plans are made on first use, by precision and number of threads. Copies and pickles leave them behind.
    """

    def __init__(self, shape: tuple[int, int], rows_rad: Floats, cols_rad: Floats, tolerance: float | None) -> None:
        self.shape, self.tolerance = shape, tolerance
        # Into the half b >= 0 of one period; the conjugate stands for the other half.
        wrapped = np.remainder(cols_rad + np.pi, 2 * np.pi) - np.pi
        self.signs = np.where(wrapped < 0, -1.0, 1.0)
        self.rows_rad, self.cols_rad = self.signs * rows_rad, self.signs * wrapped
        self._setups: dict[tuple[str, int], _Setup] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_setups": {}}

    def forward(self, image: Floats) -> Complex:
        """(row, col) -> (point,)."""
        dtype = "complex64" if image.dtype == np.float32 else "complex128"
        setup = self._setup(dtype)
        grid = _spectrum(image * setup.correction, setup.fine, len(setup.plans))
        values = np.empty(self.signs.size, dtype)
        at_once([partial(plan.interpolate, grid, values) for plan in setup.plans])
        values.imag *= setup.signs
        return values

    def adjoint(self, values: Complex) -> Floats:
        """(point,) -> (row, col); ``values`` are overwritten."""
        setup = self._setup(values.dtype.name)
        values.imag *= setup.signs
        # Kept for the next call: fresh memory comes page by page, and slowest where two threads ask at once.
        try:
            grids = setup.spare.pop()
        except IndexError:
            grids = np.empty((len(setup.plans), setup.fine[0], setup.width), values.dtype)
        at_once([partial(plan.spread, values, grid) for plan, grid in zip(setup.plans, grids, strict=True)])
        for grid in grids[1:]:
            grids[0] += grid
        image = _image(grids[0], setup.fine, self.shape, len(setup.plans)) * setup.correction
        setup.spare.append(grids)
        return image

    def directly(self, image: Floats) -> Complex:
        """(row, col) -> (point,), term by term in float64: the oracle of :meth:`forward`."""
        rows, cols = (np.arange(n) - n // 2 for n in self.shape)
        values = np.empty(self.signs.size, np.complex128)
        for part in np.array_split(np.arange(self.signs.size), self.signs.size // 256 + 1):
            along_rows = np.exp(-1j * np.outer(self.rows_rad[part], rows)) @ image
            values[part] = (along_rows * np.exp(-1j * np.outer(self.cols_rad[part], cols))).sum(axis=1)
        values.imag *= self.signs
        return values

    def _setup(self, dtype: str) -> _Setup:
        threads = threads_allowed() if self.signs.size > _POINTS_WORTH_A_THREAD else 1
        if (dtype, threads) not in self._setups:
            self._setups[dtype, threads] = self._made(dtype, threads)
        return self._setups[dtype, threads]

    def _made(self, dtype: str, threads: int) -> _Setup:
        fine = tuple(_fine_length(n, _FINER[dtype]) for n in self.shape)
        width = fine[1] // 2 + 1 + 2 * _MARGIN
        real = np.float32 if dtype == "complex64" else np.float64
        # Grid point 0 is at -π for finufft; the spectrum's column 0 is at grid column _MARGIN.
        rows = (np.remainder(self.rows_rad, 2 * np.pi) - np.pi).astype(real)
        cols = ((self.cols_rad * fine[1] / (2 * np.pi) + _MARGIN) * (2 * np.pi / width) - np.pi).astype(real)
        edges = np.linspace(0, self.signs.size, threads + 1).astype(int)
        plans = []
        for begin, end in pairwise(edges):
            plan = self._interpolation((fine[0], width), dtype)
            plan.setpts(rows[begin:end], cols[begin:end])
            plans.append(_Plan(slice(begin, end), plan))
        row, col = (self._correction(n, m, dtype) for n, m in zip(self.shape, fine, strict=True))
        return _Setup((fine[0], fine[1]), width, np.outer(row, col).astype(real), self.signs.astype(real), tuple(plans))

    def _interpolation(self, grid: tuple[int, int], dtype: str) -> finufft.Plan:
        options = {"upsampfac": _FINER[dtype], "nthreads": 1, "showwarn": 0, "spreadinterponly": 1}
        return finufft.Plan(2, grid, 1, eps_of(dtype, self.tolerance), -1, dtype, **options)

    def _correction(self, count: int, fine: int, dtype: str) -> Floats:
        """Return 1/φ̂ at the modes -⌊n/2⌋ … of one axis, by the trapezoidal rule over samples of finufft's kernel."""
        at = np.arange(_SAMPLES) / _SAMPLES * (_LEAST / 2)  # grid units from the middle: the kernel is even
        plan = self._interpolation((_LEAST, _LEAST), dtype)
        real = np.float32 if dtype == "complex64" else np.float64
        plan.setpts((at * 2 * np.pi / _LEAST).astype(real), np.zeros(_SAMPLES, real))
        one = np.zeros((_LEAST, _LEAST), dtype)
        one[_LEAST // 2, _LEAST // 2] = 1.0
        kernel = plan.execute(one).real.astype(np.float64)  # φ(x) φ(0)
        kernel /= np.sqrt(kernel[0])
        inside = kernel != 0
        weights = kernel[inside] * (_LEAST / _SAMPLES)
        weights[0] /= 2
        modes = np.arange(count // 2 + 1)
        half = 1 / (np.cos(np.outer(modes, at[inside] * (2 * np.pi / fine))) @ weights)
        return half[np.abs(np.arange(count) - count // 2)]


def _fine_length(count: int, finer: float) -> int:
    """Return an even length of at least ``finer`` times ``count`` that is quick to transform."""
    return 2 * int(scipy.fft.next_fast_len(max(_LEAST, int(np.ceil(finer * count))) // 2 + 1, real=True))


def _spectrum(image: Floats, fine: tuple[int, int], workers: int) -> Complex:
    """Return the transform on the fine grid: all rows, columns 0 … ⌊n/2⌋ and a margin on either side."""
    rows, cols = image.shape
    above, left = rows // 2, cols // 2
    wrapped = np.zeros((rows, fine[1]), image.dtype)
    wrapped[:, : cols - left] = image[:, left:]
    wrapped[:, fine[1] - left :] = image[:, :left]
    lines = scipy.fft.rfft(wrapped, axis=1, workers=workers)
    half = lines.shape[1]
    grid = np.zeros((fine[0], half + 2 * _MARGIN), lines.dtype)
    inner = grid[:, _MARGIN : _MARGIN + half]
    inner[: rows - above] = lines[above:]
    inner[fine[0] - above :] = lines[:above]
    inner[...] = scipy.fft.fft(inner, axis=0, workers=workers, overwrite_x=True)
    for beyond, within in _reflections(half):
        grid[:, beyond] = np.conj(_mirrored(grid[:, within]))
    return grid


def _image(grid: Complex, fine: tuple[int, int], shape: tuple[int, int], workers: int) -> Floats:
    """Return the transpose of ``_spectrum`` applied to a grid, which is overwritten."""
    rows, cols = shape
    above, left = rows // 2, cols // 2
    half = fine[1] // 2 + 1
    for beyond, within in _reflections(half):
        grid[:, within] += np.conj(_mirrored(grid[:, beyond]))
    inner = grid[:, _MARGIN : _MARGIN + half]
    # The real inverse transform counts the inner columns twice, once for their conjugates; here they stand alone.
    inner[:, 1:-1] *= 0.5
    lines = scipy.fft.ifft(inner, axis=0, norm="forward", workers=workers, overwrite_x=True)
    kept = np.concatenate((lines[fine[0] - above :], lines[: rows - above]))
    wrapped = scipy.fft.irfft(kept, n=fine[1], axis=1, norm="forward", workers=workers, overwrite_x=True)
    return np.concatenate((wrapped[:, fine[1] - left :], wrapped[:, : cols - left]), axis=1)


def _reflections(half: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the columns of both margins with those that hold the conjugate values, in this order."""
    last = _MARGIN + half - 1
    return (
        (slice(0, _MARGIN), slice(2 * _MARGIN, _MARGIN, -1)),
        (slice(last + 1, last + 1 + _MARGIN), slice(last - 1, last - 1 - _MARGIN, -1)),
    )


def _mirrored(columns: Complex) -> Complex:
    """Return the columns with row l moved to row -l (modulo their number)."""
    return np.roll(columns[::-1], 1, axis=0)

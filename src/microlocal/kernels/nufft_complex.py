"""Fourier sums of complex images at any frequencies, and their exact conjugate transposes, on finufft.

    forward:  F_k = Σ_{r,c} f[r, c] exp(-i (a_k m_r + b_k m_c)),    m_r = r - ⌊R/2⌋,  m_c = c - ⌊C/2⌋
    adjoint:  f[r, c] = Σ_k exp(+i (a_k m_r + b_k m_c)) F_k

One plan serves both directions, so the transpose is exact whatever the tolerance is.

Reference: Barnett, Magland and af Klinteberg, SIAM J. Sci. Comput. 41(5), 2019.
"""

import threading
from typing import Any

import finufft
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.forks import waited_for
from microlocal.kernels.nufft import eps_of
from microlocal.kernels.threads import threads_allowed

Complex = NDArray[np.complexfloating]
Floats = NDArray[np.float64]

_POINTS_WORTH_A_THREAD = 1 << 14


class ComplexNonUniformFourier:
    """The sums at fixed points (a_k, b_k) in radians, for complex images of a fixed shape.

    ``rows_rad`` a and ``cols_rad`` b, both (points,); any real number stands for itself modulo 2π. ``tolerance`` is
    relative, by precision where None. Plans are made on first use; copies and pickles leave them behind.
    """

    def __init__(self, shape: tuple[int, int], rows_rad: Floats, cols_rad: Floats, tolerance: float | None) -> None:
        self.shape, self.tolerance = shape, tolerance
        self.rows_rad, self.cols_rad = (np.mod(a + np.pi, 2 * np.pi) - np.pi for a in (rows_rad, cols_rad))
        self._plans: dict[tuple[str, int], tuple[finufft.Plan, threading.Lock]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_plans": {}}

    def forward(self, images: Complex) -> Complex:
        """(image, row, col) -> (image, point)."""
        sums = np.empty((len(images), self.rows_rad.size), images.dtype)
        plan, lock = self._plan(images.dtype.name)
        with lock:
            for image, result in zip(images, sums, strict=True):
                plan.execute(image, out=result)
        return sums

    def adjoint(self, sums: Complex) -> Complex:
        """(image, point) -> (image, row, col)."""
        images = np.empty((len(sums), *self.shape), sums.dtype)
        plan, lock = self._plan(sums.dtype.name)
        with lock:
            for values, result in zip(sums, images, strict=True):
                plan.execute_adjoint(values, out=result)
        return images

    def _plan(self, dtype: str) -> tuple[finufft.Plan, threading.Lock]:
        threads = threads_allowed() if self.rows_rad.size > _POINTS_WORTH_A_THREAD else 1
        if (dtype, threads) not in self._plans:
            eps = eps_of(dtype, self.tolerance)
            plan = finufft.Plan(2, self.shape, 1, eps, -1, dtype, nthreads=threads, showwarn=0)
            real = np.float32 if dtype == "complex64" else np.float64
            plan.setpts(self.rows_rad.astype(real), self.cols_rad.astype(real))
            self._plans.setdefault((dtype, threads), (plan, waited_for(threading.Lock())))
        return self._plans[dtype, threads]

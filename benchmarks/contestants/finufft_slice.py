"""The Fourier slice theorem as one writes it with finufft by hand, without tuning."""

import os

import finufft
import numpy as np
import scipy.fft

VERSION = f"finufft {finufft.__version__}"
TOLERANCE = 1e-5
THREADS = int(os.environ["OMP_NUM_THREADS"])


def _plan(arrays, kind):
    """Return the plan of a type, the factors that turn its sums into data, and the length of the Fourier series."""
    size, detectors, angles = arrays["image"].shape[0], arrays["sinogram"].shape[-1], arrays["angles"]
    length = 2 * size
    omega = 2 * np.pi * np.arange(length // 2) / length
    along_x, along_y = np.outer(np.cos(angles), omega), np.outer(np.sin(angles), omega)
    plan = finufft.Plan(
        kind, (size, size), eps=TOLERANCE, isign=-1 if kind == 2 else 1, dtype="complex64", nthreads=THREADS
    )
    plan.setpts(*(np.ascontiguousarray(part.ravel(), np.float32) for part in (-along_y, along_x)))
    pixel = np.sinc(along_x / (2 * np.pi)) * np.sinc(along_y / (2 * np.pi))
    phase = np.exp(-0.5j * (along_x - along_y) - 0.5j * (detectors - 1) * omega)
    return plan, (pixel * phase).astype(np.complex64), length


def _forward(arrays):
    plan, response, length = _plan(arrays, 2)
    image, detectors = arrays["image"].astype(np.complex64), arrays["sinogram"].shape[-1]

    def work():
        spectrum = plan.execute(image).reshape(response.shape) * response
        return scipy.fft.irfft(spectrum, n=length, axis=-1, workers=THREADS)[:, :detectors]

    return work


def _adjoint(arrays):
    plan, response, length = _plan(arrays, 1)
    twice = np.full(response.shape[-1], 2 / length, np.float32)
    twice[0] = 1 / length

    def work():
        spectrum = scipy.fft.rfft(arrays["sinogram"], n=length, axis=-1, workers=THREADS)[:, : response.shape[-1]]
        return plan.execute((spectrum * np.conj(response) * twice).astype(np.complex64).ravel()).real

    return work


CASES = {"parallel forward": _forward, "parallel adjoint": _adjoint}

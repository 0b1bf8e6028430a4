"""Sparse reconstruction from an arc: time and quality on the protocol of the published comparison, and at 512 x 512.

    python -m benchmarks.limited_angle quality    # 256 x 256, 120 views of 1 degree, 384 detector pixels, 1 % noise
    python -m benchmarks.limited_angle speed      # 512 x 512, 240 views over 120 degrees, 100 iterations, all beams

The phantom is the modified Shepp-Logan head; data are exact line integrals averaged over every detector pixel. For the
quality table every method's weight is the best of a sweep, chosen against the truth, as for the peers it is compared
with (two threads of the same machine: pyShearLab + ASTRA, 50 x 8 iterations, 21.3 dB in 43 s; TV by ODL + ASTRA,
300 iterations, 21.8 dB in 23 s).
"""

import math
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from microlocal.core import Detector, FanBeam, Geometry, Grid, ParallelBeam, Scan
from microlocal.core.registry import lookup
from microlocal.core.seeding import generator
from microlocal.data import phantoms
from microlocal.reconstruction.method import Settings

# value, half axes, middle, turn in degrees; the image spans [-1, 1] squared.
HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0), (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0), (-0.2, 0.11, 0.31, 0.22, 0.0, -18),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18), (0.1, 0.21, 0.25, 0.0, 0.35, 0), (0.1, 0.046, 0.046, 0.0, 0.1, 0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0), (0.1, 0.046, 0.023, -0.08, -0.605, 0), (0.1, 0.023, 0.023, 0.0, -0.606, 0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0),
)  # fmt: skip
SUBSAMPLES = 5


def head(size: int) -> list[phantoms.Ellipse]:
    """Return the phantom on a grid of ``size`` pixels of side one."""
    h = size / 2
    return [phantoms.Ellipse(v, (a * h, b * h), (x * h, y * h), math.radians(t)) for v, a, b, x, y, t in HEAD]


def measured(size: int, geometry: Geometry, noise: float = 0.01) -> Scan:
    """Return the data of the phantom, averaged over detector pixels, with ``noise`` of their maximum added."""
    detector = geometry.detector
    shifts = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5) * detector.pitch
    exact = np.mean([phantoms.sinogram(head(size), geometry.with_offset(detector.offset + s)) for s in shifts], axis=0)
    data = torch.from_numpy(exact)
    data += noise * float(data.max()) * torch.randn(data.shape, dtype=data.dtype, generator=generator(1))
    return Scan(data.float(), geometry, Grid((size, size), 1.0))


def psnr(image: Tensor, truth: Tensor) -> float:
    """Return 10 log10 of (range of the truth)² over the mean squared error."""
    return float(10 * torch.log10((truth.max() - truth.min()) ** 2 / (image - truth).square().mean()))


def timed(name: str, scan: Scan, settings: Settings, truth: Tensor) -> str:
    """Reconstruct and return a line of numbers."""
    method = lookup("method", name, "limited_angle").member
    began = time.perf_counter()
    estimate = method(scan, scan.grid, settings)
    seconds = time.perf_counter() - began
    weight, residual = estimate.config["weight"], estimate.config["relative residual"]
    iterations = estimate.config["iterations"]
    quality = psnr(estimate.image.double(), truth)
    return (
        f"{seconds:6.2f} s  {quality:5.2f} dB  weight {weight:8.4g}, {iterations} iterations, residual {residual:.4f}"
    )


def quality() -> None:
    geometry = ParallelBeam(tuple(np.radians(np.arange(120.0))), Detector(384, 1.0))
    scan = measured(256, geometry)
    truth = torch.from_numpy(phantoms.image(head(256), scan.grid))
    for name, iterations, weights in (("tv", 300, (1.0, 3.0, 6.0)), ("shearlet", 150, (1.0, 3.0, 10.0))):
        timed(name, scan, Settings(weight=1.0, iterations=2), truth)  # compiles
        for weight in weights:
            print(f"{name:9s}", timed(name, scan, Settings(weight=weight, iterations=iterations), truth), flush=True)


def speed() -> None:
    parallel = ParallelBeam(tuple(np.radians(np.arange(240) * 0.5)), Detector(768, 1.0))
    fan = FanBeam(parallel.angles_rad, Detector(768, 2.0), source_axis=2048.0, source_detector=4096.0)
    beams = {
        "parallel": parallel,
        "parallel, cut": replace(parallel, detector=Detector(512, 1.0)),
        "fan": fan,
    }
    wanted = sys.argv[2:]
    for beam, geometry in beams.items():
        scan = measured(512, geometry)
        truth = torch.from_numpy(phantoms.image(head(512), scan.grid))
        for name in ("tv", "shearlet"):
            if wanted and f"{name}-{beam}" not in wanted:
                continue
            timed(name, scan, Settings(weight=10.0, iterations=2), truth)  # compiles
            line = timed(name, scan, Settings(weight=10.0, iterations=100), truth)
            print(f"{beam:14s} {name:9s}", line, flush=True)


if __name__ == "__main__":
    {"quality": quality, "speed": speed}[sys.argv[1]]()

"""Our speed beside peers and beside the floor: same arrays, same threads, one process, alternating.

The floor of a projector is its arithmetic and its memory traffic; that of a frame is one real FFT in and one
multiplication and inverse real FFT per filter. Ratios hold, seconds do not travel.
"""

import math
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from skimage.transform import radon

from benchmarks.table import Row
from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.data import phantoms
from microlocal.frames import ShearletFrame
from microlocal.operators import RayTransform

N, VIEWS, ROUNDS = 512, 360, 5


def alternate(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Return median and spread (seconds) of every call, taken in turns after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: (statistics.median(t), max(t) - min(t)) for name, t in times.items()}


def _astra(image: np.ndarray, angles: np.ndarray) -> Callable[[], object] | None:
    if find_spec("astra") is None:
        return None
    import astra

    volume = astra.create_vol_geom(N, N)
    projector = astra.create_projector("linear", astra.create_proj_geom("parallel", 1.0, N, angles), volume)

    def project() -> object:
        identifier, sinogram = astra.create_sino(image, projector)
        astra.data2d.delete(identifier)
        return sinogram

    return project


def projectors() -> list[Row]:
    """Forward projection of one image, 512², 360 views, float32; peers are checked to agree first."""
    angles = np.arange(VIEWS) * math.pi / VIEWS
    grid = Grid((N, N), 1.0)
    disc = [phantoms.Ellipse(1.0, (0.4 * N, 0.4 * N), (0.0, 0.0), 0.0)]
    image = phantoms.image(disc, grid).astype(np.float32)
    ray = RayTransform(ParallelBeam(tuple(angles), Detector(N, 1.0)), grid)
    tensor, exact = torch.from_numpy(image), phantoms.sinogram(disc, ray.geometry)
    sums = ray(tensor)
    calls: dict[str, Callable[[], object]] = {
        "microlocal forward": lambda: ray(tensor),
        "microlocal adjoint": lambda: ray.adjoint(sums),
        "scikit-image radon": lambda: radon(image, np.degrees(angles), circle=True),
    }
    astra = _astra(image, angles)
    if astra is not None:
        calls["astra linear (one thread by design)"] = astra
    peer = radon(image, np.degrees(angles), circle=True).T
    agree = min(float(np.linalg.norm(p - exact) / np.linalg.norm(exact)) for p in (peer, peer[:, ::-1]))
    ours = float(np.linalg.norm(sums.numpy() - exact) / np.linalg.norm(exact))
    updates = N * N * VIEWS
    floor = f"{updates / 1e6:.0f} M updates, {(image.nbytes + sums.numel() * 4) / 1e6:.1f} MB compulsory"
    rows = _ratios(alternate(calls), "microlocal forward", f"{N}², {VIEWS} views, float32")
    rows.append(Row("floor of a projection", floor, "", f"errors: ours {ours:.4f}, scikit-image {agree:.4f}", None))
    if astra is None:
        rows.append(Row("astra-toolbox", "peer", "", "not installed (GPL, optional)", None))
    return rows


def shearlets() -> list[Row]:
    """Analysis and synthesis of one image, 512², 49 filters, float32, beside the FFTs they cannot do without."""
    frame = ShearletFrame((N, N))
    x = torch.randn(N, N, generator=torch.Generator().manual_seed(0))
    c = frame(x)
    half = frame.responses.float()

    def floor_analysis() -> None:
        spectrum = torch.fft.rfft2(x)
        for response in half:
            torch.fft.irfft2(spectrum * response, s=(N, N))

    def floor_synthesis() -> None:
        total = torch.zeros_like(half[0], dtype=torch.complex64)
        for k, response in enumerate(half):
            total += torch.fft.rfft2(c[k]) * response
        torch.fft.irfft2(total, s=(N, N))

    calls = {
        "floor of analysis": floor_analysis,
        "shearlet analysis": lambda: frame(x),
        "floor of synthesis": floor_synthesis,
        "shearlet synthesis": lambda: frame.adjoint(c),
    }
    return _ratios(alternate(calls), "floor of analysis", f"{N}², {len(frame.filters)} filters, float32")


def _ratios(times: dict[str, tuple[float, float]], unit: str, where: str) -> list[Row]:
    base = times[unit][0]
    return [
        Row(name, where, "", f"{median / base:.2f} x ({1e3 * median:.1f} ms, spread {1e3 * spread:.1f})", None)
        for name, (median, spread) in times.items()
    ]


def suite() -> list[Row]:
    """All rows of speed; nothing is asked of them here but to be known."""
    return [*projectors(), *shearlets()]

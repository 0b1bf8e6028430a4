"""The checks of ``microlocal doctor``: what runs here, and a projection whose adjoint is known."""

import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numba
import torch
from numba.core.errors import NumbaError

from microlocal.core import Detector, FanBeam, Geometry, Grid, ParallelBeam
from microlocal.core.seeding import generator
from microlocal.frames import ShearletFrame
from microlocal.networks.catalogue import at_hand
from microlocal.networks.weights import load_weights
from microlocal.operators import LinearOperator, RayTransform

PACKAGES = ("microlocal", "torch", "numpy", "scipy", "numba", "h5py", "tifffile", "mrcfile", "matplotlib")
GAP_BOUND = 1e-5


@dataclass(frozen=True)
class Check:
    """One check: its name, whether it passed, and what was found."""

    name: str
    passed: bool
    found: str


def state() -> dict[str, str]:
    """Return versions, threads, accelerators and memory, by name."""
    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "threads": f"torch {torch.get_num_threads()}, numba {numba.get_num_threads()} ({_threading_layer()})",
        "GPU": _gpu(),
        "memory": _memory(),
        "kernel cache": str(numba.config.CACHE_DIR or "beside the package's kernels (set NUMBA_CACHE_DIR to move it)"),
    }


def checks() -> list[Check]:
    """Run every check and return the results; none raises."""
    views = tuple(math.pi * k / 40 for k in range(30))
    parallel = ParallelBeam(views, Detector(47, 1.0, offset=0.3))
    fan = FanBeam(views, Detector(47, 2.0), source_axis=100.0, source_detector=200.0)
    return [
        _attempt("parallel projector", lambda: _projector(parallel)),
        _attempt("fan-beam projector", lambda: _projector(fan)),
        _attempt("shearlets", lambda: _adjoint(ShearletFrame((33, 40)), 0.0)),
        _attempt("shipped weights", _weights),
    ]


def _attempt(name: str, run: Callable[[], tuple[bool, str]]) -> Check:
    try:
        passed, found = run()
    except (RuntimeError, ImportError, OSError, ArithmeticError, TypeError, ValueError, NumbaError) as error:
        return Check(name, passed=False, found=f"{type(error).__name__}: {error}")
    return Check(name, passed, found)


def _projector(geometry: Geometry) -> tuple[bool, str]:
    began = time.perf_counter()
    operator = RayTransform(geometry, Grid((33, 40), 1.0))
    operator(torch.zeros(operator.domain_shape))
    return _adjoint(operator, time.perf_counter() - began)


def _adjoint(operator: LinearOperator, seconds: float) -> tuple[bool, str]:
    """Compare <A x, y> with <x, A* y>, normalised by the norms."""
    draw = generator(0)
    x, y = (torch.randn(shape, generator=draw) for shape in (operator.domain_shape, operator.codomain_shape))
    forward, back = operator(x), operator.adjoint(y)
    size = float(forward.norm() * y.norm())
    gap = abs(float((forward * y).double().sum() - (x * back).double().sum())) / size
    started = f", ready after {seconds:.1f} s" if seconds else ""
    return gap <= GAP_BOUND, f"adjoint exact to {gap:.0e} in float32{started}"


def _weights() -> tuple[bool, str]:
    """Read every shipped file of weights against the checksum on its card."""
    found = at_hand()
    for one in found:
        load_weights(one.path)
    return True, "; ".join(f"{one.name} ({one.trained_on()})" for one in found) or "none in this version"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _threading_layer() -> str:
    try:
        return str(numba.threading_layer())
    except ValueError:  # no parallel kernel has run yet
        return f"layer {numba.config.THREADING_LAYER}"


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none that torch can use; everything runs on the CPU"
    return ", ".join(torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))


def _memory() -> str:
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return "unknown"
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free, total = (int(fields[name].split()[0]) / 2**20 for name in ("MemAvailable", "MemTotal"))
    return f"{free:.1f} of {total:.1f} GiB free"

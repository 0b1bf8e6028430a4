"""What the tests of stacks share: small stacks on disk, and methods that are slow, raise, or kill their process."""

import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import h5py
import numpy as np

from microlocal.cli import main
from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.data import phantoms
from microlocal.reconstruction import Estimate, Settings, StackRequest, fbp, reconstruct_stack

SIZE, VIEWS = 32, 36
GEOMETRY = ParallelBeam(tuple(math.radians(5 * k) for k in range(VIEWS)), Detector(SIZE, 1.0))
CRUEL = 0.05  # the data of a slice on which ``raising`` and ``deadly`` fail have this one value everywhere


def line_integrals(slices: int) -> np.ndarray:
    """(slice, angle, detector): an ellipse that turns and thins from slice to slice, and a little noise."""
    noise = np.random.default_rng(7)
    pages = []
    for k in range(slices):
        shape = phantoms.Ellipse(0.02 + 0.02 * math.cos(k / 5) ** 2, (11.0, 7.0), (1.0, -2.0), k / 7)
        pages.append(phantoms.sinogram((shape,), GEOMETRY) + noise.normal(0, 0.002, GEOMETRY.shape))
    return np.stack(pages).astype(np.float32)


def data_exchange(path: Path, slices: int, finer: int = 1) -> Path:
    """Counts with flats that differ from pixel to pixel, in a Data Exchange file; each pixel ``finer`` times."""
    flat = np.round(20000 + 300 * np.sin(np.arange(slices)[:, None] + np.arange(finer * SIZE)))
    with h5py.File(path, "w") as file:
        integrals = np.repeat(line_integrals(slices).astype(float).transpose(1, 0, 2), finer, axis=2)
        counts = 100 + flat * np.exp(-integrals)
        file["exchange/data"] = np.round(counts).astype(np.uint16)
        file["exchange/data_white"] = np.stack([flat + 99, flat + 101]).astype(np.uint16)
        file["exchange/data_dark"] = np.full((2, slices, finer * SIZE), 100, np.uint16)
        file["exchange/theta"] = 5.0 * np.arange(VIEWS)
    return path


def npy(path: Path, slices: int, cruel: tuple[int, ...] = ()) -> Path:
    """Line integrals (slice, angle, detector) as NPY with its JSON geometry; ``cruel`` slices have one value."""
    data = line_integrals(slices)
    data[list(cruel)] = CRUEL
    np.save(path, data)
    fields = GEOMETRY.to_dict() | {"axes": "slice, angle, detector"}
    path.with_suffix(".json").write_text(json.dumps(fields))
    return path


def slow(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection that takes its time."""
    time.sleep(0.1)
    return fbp(scan, grid, settings)


def raising(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection that raises on a cruel slice."""
    if _cruel(scan):
        raise ArithmeticError("a cruel slice")
    return fbp(scan, grid, settings)


def deadly(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection whose process dies of a cruel slice."""
    if _cruel(scan):
        os.kill(os.getpid(), signal.SIGKILL)
    return fbp(scan, grid, settings)


def deadly_once(mark: Path, scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection whose process dies of the first cruel slice, leaving a mark, and of no other."""
    if _cruel(scan) and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return fbp(scan, grid, settings)


METHODS = {"slow": slow, "raising": raising, "deadly": deadly}


def register_methods() -> None:
    """Register the methods of this file: in a process of its own, or where the registry is restored afterwards."""
    for name, method in METHODS.items():
        register("method", name)(method)


def _cruel(scan: Scan) -> bool:
    pages = scan.data.reshape(-1, scan.data[..., 0, :].shape[-1] * scan.data.shape[-2])
    return bool((pages == pages[:, :1]).all(dim=1).any())


def started(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a process of its own that has the package loaded already, and register the methods of this file there."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["microlocal.reconstruction.pools", "microlocal.cli.stack"])
    process = context.Process(target=_registered, args=(function, arguments))
    process.start()
    return process


def _registered(function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    register_methods()
    function(*arguments)


def command_line(shown: Path, *arguments: object) -> None:
    """Run the command line, with what it prints in a file."""
    with shown.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        sys.argv = ["microlocal", *map(str, arguments)]
        main()


def growth(path: Path, folder: Path) -> None:
    """Write down by how many bytes the memory of this process grows from a few slices to all of them."""
    request = StackRequest(method="fbp", block=4)
    reconstruct_stack(path, folder / "few", replace(request, slices=(0, 8)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state = reconstruct_stack(path, folder / "all", request)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (folder / "grown").write_text(str(1024 * (after - before)) if state.complete else "incomplete")


def recorded(out: Path) -> int:
    """Return how many blocks the journal has."""
    return len(list((out / "job" / "done").glob("[0-9]*.json")))


def wait_for(out: Path, blocks: int) -> None:
    """Wait until the journal has some blocks."""
    end = time.monotonic() + 60
    while recorded(out) < blocks:
        assert time.monotonic() < end, "no block was recorded in a minute"
        time.sleep(0.02)

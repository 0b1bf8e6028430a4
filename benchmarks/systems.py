"""Shearlet systems of images: how long one takes to make, the memory of its analysis, and the way back of autograd.

    python -m benchmarks.systems NAME SIZE BATCH        the numbers of one system, as a process of its own

A system is made when its first analysis and synthesis are done: its tables come with its first use. The library is
loaded and its kernels are compiled on a small image before. Memory is what the process holds at its peak beyond what it
held before an analysis, the coefficients included, as the kernel counts it: nothing that torch allocates is missed.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.contestant import give_back, mebibytes
from benchmarks.table import Row, at_most
from microlocal.frames import CompactShearletFrame, DecimatedShearletFrame, Frame, ShearletFrame

FRAMES: dict[str, type[Frame]] = {
    "band-limited": ShearletFrame,
    "decimated": DecimatedShearletFrame,
    "compact": CompactShearletFrame,
}
SIZES = ((512, 1), (512, 8), (1024, 1))  # pixels a side and images at a time
SMALL = 32
PYSHEARLAB = 5.5  # s to make its system, 512²: quoted from another run
FASTER = 10
EXTRA, COEFFICIENTS, ADJOINTS = 1.3, 8.0, 1.25  # asked; one adjoint, and a quarter for autograd and for noise
TURNS = 9
ROOT = Path(__file__).resolve().parents[1]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _made(frame: type[Frame], image: torch.Tensor) -> float:
    """Return the seconds until a new frame has analysed and synthesised an image."""

    def once() -> None:
        system = frame((image.shape[-2], image.shape[-1]))
        system.adjoint(system(image))

    return _seconds(once)


def _memory(system: Frame, images: torch.Tensor) -> dict[str, float]:
    """Return MiB at the peak of an analysis beyond those before, and those of its coefficients and of the images."""
    before = give_back()
    coefficients = system(images)
    peak = mebibytes("VmHWM") - before
    bytes_of = {"coefficients": coefficients, "images": images}
    return {"peak": peak} | {what: t.numel() * t.element_size() / 2**20 for what, t in bytes_of.items()}


def _back(system: Frame, images: torch.Tensor) -> dict[str, float]:
    """Return the seconds of a backward pass of the analysis and of an adjoint, and their ratio: medians of the turns.

    The ratio is that of neighbours in time: the machine has slow spells, longer than a turn.
    """
    source = images.clone().requires_grad_()
    coefficients = system(source)
    gradient = coefficients.detach().clone()
    times: dict[str, list[float]] = {"backward": [], "adjoint": []}
    for _ in range(TURNS):
        back = _seconds(lambda: torch.autograd.grad(coefficients, source, gradient, retain_graph=True))
        times["backward"].append(back)
        with torch.no_grad():
            times["adjoint"].append(_seconds(lambda: system.adjoint(gradient)))
    times["ratio"] = [back / adjoint for back, adjoint in zip(times["backward"], times["adjoint"], strict=True)]
    return {what: statistics.median(seconds) for what, seconds in times.items()}


def measured(name: str, size: int, batch: int) -> dict[str, float]:
    """Return the numbers of one system in this process, which should be a fresh one."""
    frame, seeded = FRAMES[name], torch.Generator().manual_seed(0)
    _made(frame, torch.rand(SMALL, SMALL, generator=seeded))
    images = torch.rand(batch, size, size, generator=seeded)
    made = {when: _made(frame, images[0]) for when in ("first", "again")}
    system = frame((size, size))
    system(images)
    return made | _memory(system, images) | _back(system, images)


def _apart(name: str, size: int, batch: int) -> dict[str, float]:
    """Return what ``measured`` finds in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.systems", name, str(size), str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ.copy())
    return json.loads(done.stdout)


def rows_of(name: str, size: int, batch: int, found: dict[str, float]) -> list[Row]:
    """Return the rows of one system from its numbers."""
    what, where = f"{name} shearlets", f"{f'{batch} x ' if batch > 1 else ''}{size}², float32"
    rows = []
    if batch == 1:
        limit = PYSHEARLAB / FASTER if size == 512 else None
        for when in ("first", "again"):
            told = f"{what}: system made, {when}, with one analysis and synthesis"
            asked = f"ours >= {FASTER} x faster than pyShearLab's {PYSHEARLAB} s (quoted, another run)" if limit else ""
            met = found[when] <= limit if limit else None
            rows.append(Row(told, where, asked, f"{found[when]:.3f} s", met))
    extra, held = found["peak"] / found["coefficients"], found["coefficients"] / found["images"]
    told = f"{what}: memory of an analysis, output included, over the output"
    over_output = at_most(told, where, extra, EXTRA, "{:.2f}")
    over_image = at_most(f"{what}: coefficients over the image", where, held, COEFFICIENTS, "{:.2f}")
    # Of the decimated frame little output is asked, of the others that there be little beside it.
    unasked = over_output if name == "decimated" else over_image
    kept = [row if row is not unasked else replace(row, asked="", met=None) for row in (over_output, over_image)]
    ratio = found["ratio"]
    shown = f"{ratio:.2f} ({1e3 * found['backward']:.1f} beside {1e3 * found['adjoint']:.1f} ms)"
    told = f"{what}: autograd's way back over one adjoint"
    return [*rows, *kept, Row(told, where, f"<= {ADJOINTS}", shown, ratio <= ADJOINTS)]


def rows() -> list[Row]:
    """All systems at all sizes, each in a process of its own."""
    return [
        row for name in FRAMES for size, batch in SIZES for row in rows_of(name, size, batch, _apart(name, size, batch))
    ]


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))

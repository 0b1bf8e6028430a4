"""The least time that an algorithm can take here: its counted work at rates that are measured in the same run.

    floor = max(multiply-adds / rate + FFTs, bytes / stream)

The rate is that of a product of matrices or of sums of rows in registers, of which the quicker is nearly all that a
processor can multiply and add; the stream that of a copy
of as many bytes, so that what fits into a cache is read at the cache's speed; FFTs of the sizes that the algorithm
needs are timed themselves. Each is the quickest of many calls on one thread, divided by the number of threads, as if
they shared perfectly: threads that meet at barriers would make a floor of a busy machine that is none. Nothing else is
counted, neither fetching neighbours nor divisions, so that no program of the same algorithm goes below.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray

from benchmarks.race import THREADS
from microlocal.core import ConeBeam, Geometry, Grid, ParallelBeam, VolumeGrid
from microlocal.frames import WaveletFrame
from microlocal.kernels import joseph_columns
from microlocal.kernels.combinations import combined, pixels_at_once
from microlocal.kernels.lanes import zeros
from microlocal.kernels.nufft import RealNonUniformFourier
from microlocal.kernels.threads import torch_held_at_one
from microlocal.operators import RayTransform3D
from microlocal.operators.fourier_slice import FourierSlice
from microlocal.operators.rays import ray_table
from microlocal.reconstruction.fbp import _index_table

Array = NDArray[np.float64]
NUMBER = 4  # bytes of a float32, in which all of these cases are
TRIES, ENOUGH = 15, 0.2  # calls at least, and seconds at most beyond them


@dataclass(frozen=True)
class Work:
    """What a map cannot do without: multiply-adds, bytes that come in and go out, and its FFTs, to be timed."""

    multiply_adds: int
    bytes: int
    transforms: tuple[Callable[[], object], ...] = ()


@dataclass(frozen=True)
class Floor:
    """Seconds of every part of the work, and of the whole."""

    adding: float
    moving: float
    transforming: float

    @property
    def seconds(self) -> float:
        return max(self.adding + self.transforming, self.moving)

    def __str__(self) -> str:
        parts = {"multiply-adds": self.adding, "FFTs": self.transforming, "bytes": self.moving}
        told = ", ".join(f"{what} {1e3 * seconds:.2f}" for what, seconds in parts.items() if seconds)
        return f"{1e3 * self.seconds:.2f} ms ({told})"


def shared(call: Callable[[], object]) -> float:
    """Return the least seconds of many calls on one thread, divided by the threads that could share them."""
    times: list[float] = []
    with torch_held_at_one():
        call()
        while len(times) < TRIES or (sum(times) < ENOUGH and len(times) < 50 * TRIES):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return min(times) / THREADS


@functools.cache
def multiply_adds_a_second(size: int = 256) -> float:
    """Return how many multiply-adds a second there are in float32, in products of matrices or in sums of rows."""
    a = torch.rand(size, size)
    return max(size**3 / shared(lambda: a @ a), _in_registers())


@numba.njit(nogil=True)
def _summed(numbers, places, source, target, rows, times):  # type: ignore[no-untyped-def]
    for _ in range(times):
        combined(numbers, 0, places, source, 0, target, 0, rows)


def _in_registers(terms: int = 64, count: int = 8, times: int = 1000) -> float:
    """Return the multiply-adds a second of sums of rows that lie in the nearest cache."""
    wide = pixels_at_once(np.dtype(np.float32))
    numbers, places = np.ones((1, terms, count), np.float32), np.arange(terms) % 4 * wide
    source, target = (zeros((size * wide,), np.dtype(np.float32)) for size in (4, count))
    rows = tuple(k * wide for k in range(count))
    seconds = shared(lambda: _summed(numbers, places, source, target, rows, times))
    return times * terms * count * wide / seconds


def moving(count: int) -> float:
    """Return the seconds in which copies read and write ``count`` bytes together, warm."""
    source = torch.rand(max(count // (2 * NUMBER), 1))
    target = torch.empty_like(source)
    return shared(lambda: target.copy_(source))


def floor(work: Work) -> Floor:
    """Return the least time of some work on this machine, now."""
    transforming = sum(shared(call) for call in work.transforms)
    return Floor(work.multiply_adds / multiply_adds_a_second(), moving(work.bytes), transforming)


def entries(starts: Array, slopes: Array, steps: int, width: int) -> int:
    """Return how many weights other than zero linear interpolation has at starts + slopes k, k < steps, in ``width``.

    The left neighbour ⌊p⌋ counts where 0 <= p < width, the right one where -1 < p < width - 1 and p is not whole.
    """
    total = 0
    whole = (np.abs(starts - np.rint(starts)) < 1e-9) & (np.abs(slopes - np.rint(slopes)) < 1e-9)
    for low, high, kept in ((0, width, True), (-1, width - 1, ~whole)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.sort([(low - starts) / slopes, (high - starts) / slopes], axis=0)
        still = slopes == 0
        inside = (starts >= low) & (starts < high)
        first = np.where(still, 0, np.clip(np.ceil(ends[0]), 0, steps))
        last = np.where(still, np.where(inside, steps, 0), np.clip(np.floor(ends[1]) + 1, 0, steps))
        total += int((np.maximum(last - first, 0) * kept).sum())
    return total


def rays(geometry: Geometry, grid: Grid) -> Work:
    """Joseph's projector, either way: one multiply-add for every entry of its matrix.

    Two neighbours for every (ray, row) of a steep ray and (ray, column) of a flat one, where they lie in the grid; the
    image and the data pass once.
    """
    offsets, slopes, steep, _ = ray_table(geometry, grid)
    rows, cols = grid.shape
    upright = entries(offsets[steep] - 1, slopes[steep], rows, cols)
    return Work(upright + entries(offsets[~steep] - 1, slopes[~steep], cols, rows), _passing(geometry, grid))


def fourier(geometry: ParallelBeam, grid: Grid, back: bool) -> Work:
    """The Fourier slice projector: interpolation at every point, and FFTs.

    2 w (w + 1) multiply-adds a point, w the width of the kernel: w² + w products of a complex number with a real one.
    A real FFT of the image's rows on the fine grid, a complex one of the columns of its half spectrum, and a real one
    of every view; the transposes on the way back.
    """
    slices = FourierSlice(geometry, grid)
    fine, width, views = slices.sums._setup("complex64").fine, kernel_width(slices.sums), len(geometry.angles)
    half = fine[1] // 2 + 1
    image = np.ones((grid.shape[0], fine[1]), np.float32)
    lines = np.ones((grid.shape[0], half), np.complex64)
    columns, data = np.ones((fine[0], half), np.complex64), np.ones((views, slices.length), np.float32)
    spectra = np.ones((views, slices.length // 2 + 1), np.complex64)
    transforms = (
        partial(scipy.fft.irfft, lines, n=fine[1]) if back else partial(scipy.fft.rfft, image),
        partial(scipy.fft.ifft if back else scipy.fft.fft, columns, axis=0),
        partial(scipy.fft.rfft, data) if back else partial(scipy.fft.irfft, spectra, n=slices.length),
    )
    return Work(2 * width * (width + 1) * slices.response.size, _passing(geometry, grid), transforms)


def kernel_width(sums: RealNonUniformFourier) -> int:
    """Return how many neighbours the interpolation in float32 has along an axis: those that a point spreads to."""
    grid, plan = np.zeros((32, 32), np.complex64), sums._interpolation((32, 32), "complex64")
    plan.setpts(np.array([0.123], np.float32), np.array([-0.456], np.float32))
    plan.execute_adjoint(np.ones(1, np.complex64), out=grid)
    return int(np.count_nonzero(grid.any(axis=0)))


def backprojection(geometry: Geometry, grid: Grid) -> Work:
    """Filtered backprojection: one multiply-add for every (view, pixel) and neighbour on the detector, and FFTs.

    A real FFT of every view, padded for the ramp, and its inverse. The weight 1/U² of fan beam is left out.
    """
    rows, cols = grid.shape
    total, count = 0, geometry.shape[1]
    for n0, nr, nc, d0, dr, dc in _index_table(geometry, grid):
        r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
        place = (n0 + nr * r + nc * c) / (d0 + dr * r + dc * c) - 1
        neighbours = ((place >= 0) & (place < count), (place > -1) & (place < count - 1) & (np.abs(place % 1) > 1e-9))
        total += sum(int(kept.sum()) for kept in neighbours)
    data = torch.ones(geometry.shape)
    size = int(scipy.fft.next_fast_len(2 * count - 1, real=True))
    spectrum = torch.fft.rfft(data, n=size)
    transforms = partial(torch.fft.rfft, data, n=size), partial(torch.fft.irfft, spectrum, n=size)
    return Work(total, _passing(geometry, grid), transforms)


def wavelet(frame: WaveletFrame) -> Work:
    """The orthogonal wavelet transform, either way: F multiply-adds for every pixel of a level along every axis.

    F taps; level l has N/2^(d l) pixels. The image and the coefficients pass once.
    """
    pixels = [np.prod([n >> level for n in frame.codomain_shape]) for level in range(frame.levels)]
    adds = frame.wavelet.length * len(frame.domain_shape) * int(sum(pixels))
    return Work(adds, NUMBER * int(np.prod(frame.domain_shape) + np.prod(frame.codomain_shape)))


def columns(geometry: ConeBeam, grid: VolumeGrid) -> Work:
    """Joseph's projector of an upright panel, either way, column by column (``kernels.joseph_columns``).

    Where a detector column crosses a plane, 2 multiply-adds for every slice (the column between two neighbours), and 2
    for every detector row that sees a height between -1 and the number of slices. Volume and data pass once.
    """
    operator = RayTransform3D(geometry, grid)
    views = operator.views.numpy()
    _, rows, cols = geometry.shape
    if not joseph_columns.applies(views, operator.diverging, grid.shape, rows, cols):
        raise ValueError("columns: counts upright panels only")
    total = sum(
        _crossings(views[:, :, list(order)], order, grid.shape, (rows, cols)) for order in joseph_columns.ORDERS
    )
    return Work(2 * total, NUMBER * int(np.prod(grid.shape) + np.prod(geometry.shape)))


def _crossings(views: Array, order: Sequence[int], shape: Sequence[int], panel: tuple[int, int]) -> int:
    """Return slices and detector rows, summed over all crossings of detector columns with planes of a main axis."""
    depth, width, tall = (shape[axis] for axis in order)
    source, corner, along, down = (views[:, k, None, :] for k in range(4))
    foot = corner + np.arange(panel[1])[None, :, None] * along  # (view, column, axis)
    run, drift = np.abs(np.moveaxis(foot - source, -1, 0))[:2]
    ours = run >= drift if order[0] == 1 else run > drift
    (main, other, height), path = foot[ours].T, (foot - source)[ours].T
    fall = np.broadcast_to(down[..., 2], ours.shape)[ours]
    total = 0
    for k in range(depth):
        step = (k - main) / path[0]
        place, start, slope = other + step * path[1], height + step * path[2], fall * (1 + step)
        crossing = (place > -1) & (place < width)
        ends = np.sort([(-1 - start) / slope, (tall - start) / slope], axis=0)
        seen = np.clip(np.floor(ends[1]) + 1, 0, panel[0]) - np.clip(np.ceil(ends[0]), 0, panel[0])
        total += int(((tall + np.maximum(seen, 0)) * crossing).sum())
    return total


def _passing(geometry: Geometry, grid: Grid) -> int:
    return NUMBER * int(np.prod(grid.shape) + np.prod(geometry.shape))

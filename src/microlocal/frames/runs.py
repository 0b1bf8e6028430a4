"""The table by which the spectra of all filters of a decimated system are gathered into one half spectrum."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.frames.sampling import Place, Samples
from microlocal.kernels.gathering import gather

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Gathering:
    """Runs (run, 5) sorted by the line of the half spectrum, where each line's end, and the values of all filters.

    ``starts`` says where a filter's grid begins in the source, complex numbers one after the other.
    """

    shape: tuple[int, ...]
    starts: tuple[int, ...]
    runs: Whole
    ends: Whole
    values: Float[Tensor, " value"]

    @property
    def lines(self) -> int:
        """How many lines the half spectrum has."""
        return len(self.ends) - 1

    def half_spectrum(
        self, source: Complex[Tensor, " frequency"], half: Complex[Tensor, "line column"], piece: int, pieces: int
    ) -> None:
        """Write one of so many pieces of ``half`` (line, column), complex, from ``source`` (frequency,)."""
        lines = self.lines * piece // pieces, self.lines * (piece + 1) // pieces
        numbers, sums = (torch.view_as_real(t).flatten(-2).numpy() for t in (source, half))
        gather(numbers, self.runs, self.ends, self.values.numpy(), lines, self.shape[-1] % 2 == 0, sums)


def gathering(system: tuple[Samples, ...], shape: tuple[int, ...]) -> Gathering:
    """Return the table of a system of filters, in its precision."""
    starts = np.cumsum([0] + [math.prod(samples.grid) for samples in system])
    rows, lines, values, count = [], [], [], 0
    for start, samples in zip(starts, system, strict=False):
        for there, here, block in samples.blocks:
            for first, last, mirrored in _halves(there[-1], shape[-1]):
                line, row = _block(there, here, samples.grid, shape, (first, last), mirrored)
                row[:, 0] += start
                row[:, 3] += count
                rows.append(row)
                lines.append(line)
            values.append(block.flatten())
            count += block.numel()
    line = np.concatenate(lines)
    order = np.argsort(line, kind="stable")  # filter after filter, always in the same order
    ends = np.searchsorted(line[order], np.arange(math.prod(shape[:-1]) + 1))
    return Gathering(shape, tuple(int(s) for s in starts), np.concatenate(rows)[order], ends, torch.cat(values))


def _halves(columns: slice, n: int) -> list[tuple[int, int, bool]]:
    """Return (first, end, mirrored) of the parts of a block left of column zero and from there on, within the block."""
    cut = min(max(n // 2 - columns.start, 0), columns.stop - columns.start)
    parts = [(0, cut, True), (cut, columns.stop - columns.start, False)]
    return [part for part in parts if part[0] < part[1]]


def _block(
    there: Place, here: Place, grid: tuple[int, ...], shape: tuple[int, ...], part: tuple[int, int], mirrored: bool
) -> tuple[Whole, Whole]:
    """Return the line of every row of a block, and its run, counted from the filter's first frequency and value."""
    first, end = part
    sign = -1 if mirrored else 1
    line = source = np.zeros(1, np.int64)
    for axis, n in enumerate(shape[:-1]):
        numbers = sign * (np.arange(there[axis].start, there[axis].stop) - n // 2) % n
        line = np.add.outer(line * n, numbers).ravel()
        source = np.add.outer(source * grid[axis], np.arange(here[axis].start, here[axis].stop)).ravel()
    width, runs = there[-1].stop - there[-1].start, np.empty((len(line), 5), np.int64)
    runs[:, 0] = source * grid[-1] + here[-1].start + first
    runs[:, 1] = sign * (there[-1].start + first - shape[-1] // 2)
    runs[:, 2] = end - first
    runs[:, 3] = np.arange(len(line)) * width + first
    runs[:, 4] = mirrored
    return line, runs

"""Half spectra gathered from the spectra of many small grids: the sum that the synthesis of a decimated frame is.

A run is a stretch of neighbouring frequencies of one grid that go to neighbouring columns of one line of the half
spectrum, each times a real value; on the other half of the frequencies, to their mirror images, conjugated.
"""

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Whole = NDArray[np.int64]


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def gather(
    source: Floats, runs: Whole, ends: Whole, values: Floats, lines: tuple[int, int], even: bool, half: Floats
) -> None:
    """Write lines[0] … lines[1] - 1 of ``half`` (line, 2 column): sums of runs, halved where a column has a mirror.

    ``source`` (2 frequency,); ``runs`` (run, 5): first frequency, first column, length, first value, whether
    mirrored; those of a line between ``ends`` (line + 1,); ``values`` (value,). Complex numbers are pairs.
    Columns that are their own mirror images: the first, and the last where ``even``.
    """
    for line in range(lines[0], lines[1]):
        out = half[line]
        out[:] = 0
        for k in range(ends[line], ends[line + 1]):
            start, column, length, value = runs[k, 0], runs[k, 1], runs[k, 2], runs[k, 3]
            given, factor = source[2 * start : 2 * (start + length)], values[value : value + length]
            if runs[k, 4]:
                sums = out[2 * (column - length + 1) : 2 * (column + 1)]
                for i in range(length):
                    sums[2 * (length - 1 - i)] += factor[i] * given[2 * i]
                    sums[2 * (length - 1 - i) + 1] -= factor[i] * given[2 * i + 1]
            else:
                sums = out[2 * column : 2 * (column + length)]
                for i in range(length):
                    sums[2 * i] += factor[i] * given[2 * i]
                    sums[2 * i + 1] += factor[i] * given[2 * i + 1]
        paired = out[2 : len(out) - 2] if even else out[2:]
        for i in range(len(paired)):
            paired[i] *= half.dtype.type(0.5)

"""Which frame coefficients a scan determines: the share of each filter's directions that is measured, by position.

    share_i(x) = |{φ in [d_i - h_i, d_i + h_i] : the line through x with normal φ is measured}| / (2 h_i)

with d_i the direction and h_i the half width of filter i; the low-pass filter looks in all directions. The visible
and the invisible index set of Bubba et al. (Inverse Problems 35, 2019) are the share thresholded; here the share
depends on the position too, as fan beam and truncated detectors need it.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, trailing_shape
from microlocal.core.errors import InputError
from microlocal.core.geometry import Array, Geometry
from microlocal.core.grid import Grid
from microlocal.frames.base import FilterIndex
from microlocal.frames.lanes import lanes
from microlocal.kernels.overlaps import overlaps
from microlocal.wavefront.segments import direction_segments, position_free
from microlocal.wavefront.visibility import grid_radius, row_chunks


def direction_interval(index: FilterIndex) -> tuple[float, float]:
    """Return the directions (low, high) in radians that a filter answers to; (0, π) for the low-pass."""
    if index.scale < 0 or index.half_width_rad >= np.pi / 2:
        return 0.0, np.pi
    if not index.half_width_rad > 0:
        raise InputError(
            "visible_share",
            expected="half_width_rad > 0",
            got=f"{index.half_width_rad} for {index}",
            do="Give the filter the range of directions of its support.",
        )
    return index.direction_rad - index.half_width_rad, index.direction_rad + index.half_width_rad


def share_at(frame_filters: tuple[FilterIndex, ...], geometry: Geometry, x: Array, y: Array) -> NDArray[np.float32]:
    """Return the share (filter, *point) in [0, 1] at the points (x, y), broadcast together; float32."""
    breaks, measured = direction_segments(geometry, x, y)
    shape, intervals = breaks.shape[1:], np.array([direction_interval(index) for index in frame_filters])
    angles, numbers = np.unique(np.round(intervals % np.pi, 14), return_inverse=True)  # filters share their ends
    turns = np.diff(np.floor(intervals / np.pi), axis=1)
    ends = np.hstack([numbers.reshape(-1, 2), turns]).astype(np.int64)
    shares = np.empty((len(frame_filters), math.prod(shape)), dtype=np.float32)
    flat = breaks.reshape(len(breaks), -1), measured.reshape(len(measured), -1)
    overlaps(*flat, angles, ends, np.diff(intervals, axis=1).ravel(), shares)
    return shares.reshape(-1, *shape)


def visible_share(
    frame_filters: tuple[FilterIndex, ...], geometry: Geometry, grid: Grid
) -> Float[Tensor, "filter #row #col"]:
    """Return the fraction of each filter's directions that is measured at each pixel centre, exactly, as float32.

    Shape (filter, 1, 1) where it is the same at all pixels (parallel beam whose detector covers the image, closed
    full turns), (filter, row, col) otherwise; both broadcast against coefficients (*batch, filter, row, col).

    Raises InputError for a filter without a range of directions.

    >>> from microlocal.core import Detector, ParallelBeam
    >>> beam = ParallelBeam(tuple(np.radians(np.arange(0.5, 90.0))), Detector(9, 1.0))
    >>> pair = tuple(FilterIndex(0, "seam", 0, d, np.pi / 8, (0.0, 0.5)) for d in (np.pi / 4, np.pi / 2))
    >>> visible_share(pair, beam, Grid((2, 2), 1.0)).flatten().tolist()
    [1.0, 0.5]
    """
    if position_free(geometry, grid_radius(grid)):
        return torch.from_numpy(share_at(frame_filters, geometry, np.zeros((1, 1)), np.zeros((1, 1))))
    x, y = grid.coordinates()
    share, chunks = torch.empty((len(frame_filters), *grid.shape)), row_chunks(grid)

    def work(queue: Iterator[int]) -> None:
        for rows in (chunks[k] for k in queue):
            share[:, rows] = torch.from_numpy(share_at(frame_filters, geometry, x, y[rows, None]))

    with lanes(share) as run:
        run(work, len(chunks), share.numel())
    return share


def coarse_share(
    frame_filters: tuple[FilterIndex, ...], geometry: Geometry, grid: Grid, step: int = 8
) -> Float[Tensor, "filter #row #col"]:
    """Return :func:`visible_share` on pixels ``step`` times as large, from which it can be interpolated.

    The coarse grid covers the fine one, whose sides are made multiples of ``step`` at their ends; the share changes
    over the distance from the source, not over pixels.
    """
    at_least(step, 1, "step", "coarse_share")
    rows, cols = (-(-n // step) for n in grid.shape)
    whole = grid.extended((step * rows, step * cols))
    return visible_share(frame_filters, geometry, replace(whole, shape=(rows, cols), pixel=step * grid.pixel))


def visible_mask(share: Float[Tensor, "filter row col"], threshold: float = 0.5) -> Bool[Tensor, "filter row col"]:
    """Return which coefficients count as visible: those with at least ``threshold`` of their directions measured.

    Raises InputError unless 0 < threshold <= 1 (at 0 everything would be visible).

    >>> visible_mask(torch.tensor([[[1.0]], [[0.4]]])).flatten().tolist()
    [True, False]
    """
    if not 0 < threshold <= 1:
        raise InputError("visible_mask", expected="0 < threshold <= 1", got=str(threshold), do="Give a fraction.")
    return share >= threshold


def check_share(
    coefficients: Float[Tensor, "*batch filter row col"], share: Float[Tensor, "filter #row #col"], who: str
) -> None:
    """Raise ShapeError unless the share broadcasts to the last three axes of the coefficients."""
    want = coefficients.shape[-3:]
    shape = tuple(n if m == 1 and i else m for i, (n, m) in enumerate(zip(want, share.shape[-3:], strict=False)))
    trailing_shape(coefficients, shape, "filter, row, col", who, "Compute the share for this frame and grid.")


def energy_split(
    coefficients: Float[Tensor, "*batch filter row col"], share: Float[Tensor, "filter #row #col"]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return the (measured, undetermined) energy: Σ share |c|² and Σ (1 - share) |c|² of each image of the batch.

    Their sum is the energy of all coefficients, |f|² in a Parseval frame. Raises ShapeError where they do not fit.

    >>> measured, undetermined = energy_split(torch.tensor([[[3.0]], [[4.0]]]), torch.tensor([[[1.0]], [[0.25]]]))
    >>> float(measured), float(undetermined)
    (13.0, 12.0)
    """
    check_share(coefficients, share, "energy_split")
    weight = share.to(coefficients)
    measured = torch.zeros(coefficients.shape[:-3], dtype=coefficients.dtype, device=coefficients.device)
    undetermined = torch.zeros_like(measured)
    for k in range(coefficients.shape[-3]):
        energy = coefficients[..., k, :, :].abs().square()
        measured += (energy * weight[k]).sum(dim=(-2, -1))
        undetermined += (energy * (1 - weight[k])).sum(dim=(-2, -1))
    return measured, undetermined

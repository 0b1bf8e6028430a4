"""Filtered backprojection for parallel and fan beams, on any arc, with a flat or a curved detector.

    f(x) = Σ_t Δt  (R/U)²  [w cos γ p(t, ·) * h](u(x, t))

with the ramp filter h, U the depth of x seen from the source and w the share of a line that this datum stands for
(``redundancy``), so that lines measured twice count once. For parallel beam R/U = cos γ = 1. On a curved detector the
distance from the source stands for the depth U, and (γ/sin γ)² h for h. The result is in 1/length on any arc: a partial
arc gives the partial sum of the same integral, not a stretched one.

Reference: Kak and Slaney (1988), sections 3.3 and 3.4.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from microlocal.core.checks import floating, trailing_shape
from microlocal.core.geometry import Detector, FanBeam, Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.kernels import pixel_driven, pixel_driven_torch, pixel_lanes
from microlocal.kernels.cuda_kernels import cuda_kernels
from microlocal.kernels.threads import fft_threads_for
from microlocal.operators.autograd import linear_pair
from microlocal.operators.ray_checks import check_plane
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.redundancy import redundancy, view_steps
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.wavefront import missing_wedge

Array = NDArray[np.float64]


def _trials() -> list[MethodTrial]:
    return [trial("fbp, against the zero image", fbp, lambda scan: torch.zeros(scan.grid.shape), 0.6)]


@register("method", "fbp", samples=_trials, reference="kak1988")
def fbp(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection: fast and linear; streaks where the arc is short.

    Warns when directions are missing, for then it is not an inversion but the measured part of one.
    """
    del settings
    wedge = missing_wedge(scan.geometry)
    notes: tuple[str, ...] = ()
    if wedge > 0.5:
        notes = (
            f"The arc is short: {wedge:.0f} of 180 degrees of edge directions are missing, so filtered backprojection "
            "shows the measured part only, with streaks along the ends of the arc.",
        )
    return Estimate(filtered_backprojection(scan.data, scan.geometry, grid), notes, {"filter": "ramp"})


def filtered_backprojection(
    data: Float[Tensor, "*batch angle detector"], geometry: Geometry, grid: Grid
) -> Float[Tensor, "*batch row col"]:
    """Return the filtered backprojection of ``data`` on ``grid``, in 1/unit: linear, and differentiable in the data.

    Parallel and fan beams, any arc and detector offset. Raises ShapeError for data that do not fit the geometry,
    InputError for other numbers than float32 and float64, and where geometry and grid do not fit (``RayTransform``).

    >>> from microlocal.core import ParallelBeam
    >>> beam = ParallelBeam(tuple(np.radians(np.arange(0.0, 180.0, 6.0))), Detector(9, 1.0))
    >>> filtered_backprojection(torch.ones(2, 30, 9), beam, Grid((5, 6), 1.0)).shape
    torch.Size([2, 5, 6])
    """
    _checked(data, geometry, grid, "filtered_backprojection")
    shape = (*data.shape[:-2], *grid.shape)
    if not data.numel():
        return data.sum().expand(shape)
    weighted, geometry = widened(data * _weights(geometry, data.dtype).to(data.device), geometry)
    pitch = geometry.detector.pitch / geometry.magnification
    if isinstance(geometry, FanBeam) and geometry.curved:
        step = geometry.detector.pitch / geometry.source_detector
        filtered, geometry = _flattened(ramp_filter(weighted, pitch, step, refine=2), geometry)
    else:
        filtered = ramp_filter(weighted, pitch)
    power = 2 if isinstance(geometry, FanBeam) else 0
    projections = filtered.reshape(-1, *geometry.shape)
    table, steps, count = _index_table(geometry, grid), view_steps(geometry), geometry.detector.count
    images = linear_pair(
        projections,
        lambda part: _accumulated(part, table, steps, power, grid.shape),
        lambda part: pixel_driven_torch.spread(part, table, steps, power, count),
    )
    return images.reshape(shape)


def _checked(data: Tensor, geometry: Geometry, grid: Grid, who: str) -> None:
    check_plane(geometry, grid, who)
    floating(trailing_shape(data, geometry.shape, "angle, detector", who, "Give the geometry of these data."), who)


def _accumulated(projections: Tensor, table: Array, steps: Array, power: int, shape: tuple[int, int]) -> Tensor:
    if projections.device.type != "cpu":
        kernels = cuda_kernels("pixel_driven_cuda", "filtered_backprojection")
        return kernels.accumulate(projections, table, steps, power, shape)
    kernel = pixel_lanes if pixel_lanes.applies(table, shape) else pixel_driven
    return torch.from_numpy(kernel.accumulate(projections.numpy(), table, steps, power, shape))


def ramp_filter(
    data: Float[Tensor, "*batch angle detector"], pitch: float, arc_step: float = 0.0, refine: int = 1
) -> Float[Tensor, "*batch angle {refine}*detector"]:
    """Convolve every view with the band-limited ramp, h(0) = 1/(4 a²), h(n) = -1/(π n a)² for odd n, 0 for even.

    ``arc_step``, the angle in radians between pixels of a curved detector, multiplies h by (γ/sin γ)², γ = n arc_step;
    ``refine`` times as many samples are returned, the first of each group at the data's own pixel.
    """
    count = data.shape[-1]
    size = next_fast_len(2 * count - 1, real=True)
    response = torch.from_numpy(_ramp_response(size, count, pitch, arc_step)).to(data.device, data.dtype)
    with fft_threads_for(data.numel()):
        spectrum = torch.fft.rfft(data, n=size).mul_(response)
        if refine > 1 and size % 2 == 0:
            spectrum[..., -1] *= 0.5  # the last frequency of an even size, which stood for its negative too
        return torch.fft.irfft(spectrum, n=refine * size)[..., : refine * count].mul_(refine)


@lru_cache(maxsize=8)
def _ramp_response(size: int, count: int, pitch: float, arc_step: float) -> Array:
    """Return the real transform (size // 2 + 1,) of the sampled ramp, times the pitch."""
    n = np.minimum(np.arange(size), size - np.arange(size))  # whole; those of fftfreq are rounded, and odd ones missed
    kernel = np.where(n % 2 == 1, -1 / (np.pi * np.maximum(n, 1) * pitch) ** 2, 0.0)
    kernel[0] = 1 / (4 * pitch**2)
    gamma = np.where(n < count, n * arc_step, 0.0)  # beyond, nothing meets the data
    return np.fft.rfft(kernel / np.sinc(gamma / np.pi) ** 2).real * pitch


@lru_cache(maxsize=8)
def _weights(geometry: Geometry, dtype: torch.dtype) -> Tensor:
    """Return w cos γ of every datum, (angle, detector)."""
    shares = redundancy(geometry)
    if isinstance(geometry, FanBeam):
        shares = shares * np.cos(geometry.fan_angle(geometry.detector.positions()))
    return torch.tensor(shares, dtype=dtype)


def widened(
    weighted: Float[Tensor, "*batch detector"], geometry: Geometry
) -> tuple[Float[Tensor, "*batch wider"], Geometry]:
    """Let a detector that is moved aside reach equally far on both sides, with zeros; return data and geometry.

    What the ramp spreads beyond the nearer end belongs to the image: the lines there are measured from the other side.
    """
    detector = geometry.detector
    low, high = detector.edges
    extra = int(abs(low + high) / detector.pitch + 0.5)
    if extra == 0:
        return weighted, geometry
    at_low = -low < high
    offset = detector.offset + (-1 if at_low else 1) * extra * detector.pitch / 2
    wide = replace(detector, count=detector.count + extra, offset=offset)
    padding = (extra, 0) if at_low != detector.reversed else (0, extra)
    return torch.nn.functional.pad(weighted, padding), replace(geometry, detector=wide)


def _flattened(filtered: Tensor, geometry: FanBeam) -> tuple[Tensor, FanBeam]:
    """Carry data on an arc, two samples a pixel, to a flat detector, with cos² γ for the distance instead of the depth.

    Two samples a pixel keep the linear interpolation between them from blurring what the next one blurs again.
    """
    detector = geometry.detector
    low, high = geometry.source_detector * np.tan(np.asarray(detector.edges) / geometry.source_detector)
    flat = Detector(int(np.ceil((high - low) / detector.pitch)), detector.pitch, (low + high) / 2)
    gamma = np.arctan(flat.positions() / geometry.source_detector)
    sign = -1.0 if detector.reversed else 1.0
    index = 2 * (sign * (geometry.landing(gamma) - detector.offset) / detector.pitch + (detector.count - 1) / 2)
    position = np.clip(index, 0, filtered.shape[-1] - 2)
    left = torch.from_numpy(position.astype(np.int64)).to(filtered.device)
    share, cosine = (torch.from_numpy(a).to(filtered) for a in (position % 1, np.cos(gamma) ** 2))
    values = filtered[..., left] * ((1 - share) * cosine) + filtered[..., left + 1] * (share * cosine)
    return values, replace(geometry, detector=flat, detector_shape="flat")


def _index_table(geometry: Geometry, grid: Grid) -> Array:
    """Return the coefficients (constant, row, column) of numerator and denominator of the padded detector index.

    In fan beam u = D (x·e)/(R + x·d) with e = (cos t, sin t), d = (-sin t, cos t); the denominator is U/R. In parallel
    beam u = x·e.
    """
    t = geometry.angles
    cos, sin, zero, one = np.cos(t), np.sin(t), np.zeros_like(t), np.ones_like(t)
    x, y = grid.coordinates()
    p = grid.pixel
    across = np.stack((x[0] * cos + y[0] * sin, -p * sin, p * cos))  # x·e as (constant, per row, per column)
    depth = np.stack((one, zero, zero))
    if isinstance(geometry, FanBeam):
        across = across * geometry.magnification
        depth = depth + np.stack((-x[0] * sin + y[0] * cos, -p * cos, -p * sin)) / geometry.source_axis
    detector = geometry.detector
    sign = -1.0 if detector.reversed else 1.0
    middle = (detector.count - 1) / 2 + 1
    index = sign * (across - detector.offset * depth) / detector.pitch + middle * depth
    return np.ascontiguousarray(np.concatenate((index, depth)).T)

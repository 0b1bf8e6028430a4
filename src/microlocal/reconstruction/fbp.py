"""Filtered backprojection for parallel and fan beams, on any arc.

    f(x) = Σ_t Δt  (R/U)²  [w c p(t, ·) * h](u(x, t))

with the ramp filter h, U the depth of x seen from the source, c = R/√(R² + u²) and w the share of a line that this
datum stands for, so that lines measured twice count once. For parallel beam R/U = c = 1. The result is in 1/length on
any arc: a partial arc gives the partial sum of the same integral, not a stretched one.

References: Kak and Slaney (1988), sections 3.3 and 3.4; the smooth redundancy weights follow the idea of Parker (1982).
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.geometry import FanBeam, Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.kernels.pixel_driven import accumulate
from microlocal.reconstruction.method import Estimate, Settings
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
    """Return the filtered backprojection of ``data`` on ``grid``, in 1/unit."""
    pitch = geometry.detector.pitch / geometry.magnification
    weights = torch.from_numpy(redundancy(geometry) * _cosine(geometry)).to(data.dtype)
    filtered = ramp_filter(data * weights, pitch).reshape(-1, *geometry.shape).numpy()
    power = 2 if isinstance(geometry, FanBeam) else 0
    images = accumulate(filtered, _index_table(geometry, grid), view_steps(geometry), power, grid.shape)
    return torch.from_numpy(images).reshape(*data.shape[:-2], *grid.shape)


def ramp_filter(data: Float[Tensor, "*batch angle detector"], pitch: float) -> Float[Tensor, "*batch angle detector"]:
    """Convolve every view with the band-limited ramp, h(0) = 1/(4 a²), h(n) = -1/(π n a)² for odd n, 0 for even."""
    count = data.shape[-1]
    size = 1 << (2 * count - 1).bit_length()
    n = np.abs(np.fft.fftfreq(size, 1 / size))
    kernel = np.where(n % 2 == 1, -1 / (np.pi * np.maximum(n, 1) * pitch) ** 2, 0.0)
    kernel[0] = 1 / (4 * pitch**2)
    response = torch.from_numpy(np.fft.rfft(kernel).real * pitch).to(data.dtype)
    return torch.fft.irfft(torch.fft.rfft(data, n=size) * response, n=size)[..., :count].contiguous()


def view_steps(geometry: Geometry) -> Array:
    """Return Δt of every view: half the way to its neighbours, a usual step at the ends of the arcs; (angle,).

    Where a view is measured twice (modulo a full turn), the two share its step.
    """
    angles = geometry.angles % (2 * math.pi)
    unique, inverse, counts = np.unique(np.round(angles, 9), return_inverse=True, return_counts=True)
    if unique.size == 1:
        return np.full(angles.size, math.pi / angles.size)
    gaps = np.diff(unique, append=unique[0] + 2 * math.pi)
    usual = float(np.median(gaps))
    gaps = np.where(gaps > 2.5 * usual, usual, gaps)
    steps = (gaps + np.roll(gaps, 1)) / 2
    return np.asarray((steps / counts)[inverse])


def redundancy(geometry: Geometry) -> Array:
    """Return the share w in [0, 1] of every datum in its line, (angle, detector): w + w' = 1 with its opposite.

    The opposite view of the line (φ, s) is the one that sees (φ + π, -s). Both are weighted by a smooth distance to the
    ends of their arcs, so that weights do not jump where a second measurement sets in.
    """
    phi, s = geometry.lines()
    opposite, u = geometry.locate(phi + math.pi, -s)
    low, high = geometry.detector.edges
    seen = (u >= low) & (u <= high)
    own = _distance_to_ends(geometry, np.broadcast_to(geometry.angles[:, None], phi.shape))
    other = np.where(seen, _distance_to_ends(geometry, opposite), 0.0)
    return own**2 / (own**2 + other**2)


def _distance_to_ends(geometry: Geometry, angle: Array) -> Array:
    """Return how far inside its arc an angle lies, in radians, at most 10 degrees; 0 outside of every arc."""
    inside = np.zeros(np.shape(angle))
    for first, last in geometry.arcs():
        if last - first >= 2 * math.pi - 1e-9:
            return np.full(np.shape(angle), math.radians(10.0))
        behind = (angle - first) % (2 * math.pi)
        inside = np.maximum(inside, np.minimum(behind, (last - first) - behind))
    return np.clip(inside, 0.0, math.radians(10.0))


def _cosine(geometry: Geometry) -> Array:
    """Return the obliquity factor c of every detector pixel, (detector,)."""
    u = geometry.detector.positions()
    if isinstance(geometry, FanBeam):
        return geometry.source_detector / np.sqrt(geometry.source_detector**2 + u**2)
    return np.ones_like(u)


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

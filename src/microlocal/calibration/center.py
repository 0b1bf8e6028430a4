"""Where the axis of rotation projects onto the detector, found from the data alone.

Three consistency conditions of a sinogram g(t, u), each of which holds for the right axis only:

- centre of mass (Ludwig and Helgason, first order): ∫ u g du / ∫ g du = x cos t + y sin t; any arc, parallel beam;
- double wedge: a half turn and its mirror image make a full turn, whose Fourier transform vanishes outside
  |angular order| <= R |frequency|, R the radius of the object (Edholm, Lewitt and Lindholm 1986; Vo et al. 2014);
- opposite rays: g(φ, s) = g(φ + π, -s), full turns, parallel and fan beam.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import InputError
from microlocal.core.geometry import Detector, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan

Sinogram = Float[np.ndarray, "angle detector"]
MOST_SLICES = 5


@dataclass(frozen=True)
class AxisEstimate:
    """An estimate of the axis of rotation.

    Parameters: ``offset`` for ``Detector.offset`` (length); ``center_pixels``, the detector pixel (from 0) onto
    which the axis projects; ``spread``, how far slices, halves of the views, or methods disagree, in pixels;
    ``method``; ``note``, a sentence.
    """

    offset: float
    center_pixels: float
    spread: float
    method: str
    note: str


def find_axis(scan: Scan) -> AxisEstimate:
    """Return the axis of rotation of a scan, by the strongest condition that its arc allows.

    Full turns: opposite rays; half turns (parallel beam): double wedge; other arcs (parallel beam): centre of mass.
    The axis of a fan-beam scan of less than a full turn cannot be seen this way: the file's own is returned.
    """
    detector = scan.geometry.detector
    rough = None
    if covers(scan, 360):
        method, found = "opposite rays", _estimates(scan, _opposite_rays)
    elif isinstance(scan.geometry, ParallelBeam):
        method, found = "centre of mass", _estimates(scan, _center_of_mass)
        if covers(scan, 180):
            rough = float(np.median(found))
            method, found = "double wedge", [_double_wedge(scan, g, rough) for g in _slices(scan)]
    else:
        note = "A fan-beam scan of less than a full turn does not show its axis: the offset of the file is kept."
        return AxisEstimate(detector.offset, center_of(detector), 0.0, "as in the file", note)
    center = float(np.median(found))
    spread = float(np.ptp(found if rough is None else [rough, *found]))
    note = f"The axis of rotation was found at pixel {center:.2f} by {method} (spread {spread:.2f} pixels)."
    return AxisEstimate(offset_of(detector, center), center, spread, method, note)


def with_center(scan: Scan, pixels: float) -> Scan:
    """Return the scan with its axis of rotation at detector pixel ``pixels`` (from 0, fractions allowed).

    Its grid follows (``recentred``). Raises InputError for a pixel that is not within the detector's width of it.
    """
    count = scan.geometry.detector.count
    if not -count <= pixels <= 2 * count:
        do = "Give the pixel, counted from 0, onto which the axis projects."
        raise InputError("with_center", expected=f"a pixel near 0..{count - 1}", got=str(pixels), do=do)
    geometry, grid = recentred(scan.geometry, scan.grid, pixels)
    return replace(scan, geometry=geometry, grid=grid)


def recentred(geometry: Geometry, grid: Grid, pixels: float) -> tuple[Geometry, Grid]:
    """Return the geometry with its axis at ``pixels``; a grid that was its default becomes that of the moved one."""
    moved = geometry.with_offset(offset_of(geometry.detector, pixels))
    return moved, moved.default_grid() if grid == geometry.default_grid() else grid


def offset_of(detector: Detector, center: float) -> float:
    """Return the offset that puts u = 0 at pixel ``center``."""
    sign = -1.0 if detector.reversed else 1.0
    return sign * ((detector.count - 1) / 2 - center) * detector.pitch


def center_of(detector: Detector) -> float:
    """Return the pixel at which u = 0."""
    sign = -1.0 if detector.reversed else 1.0
    return (detector.count - 1) / 2 - sign * detector.offset / detector.pitch


def covers(scan: Scan, degrees: float) -> bool:
    """Whether evenly spaced views cover a full turn (360), or at least half of one (180), within 1.5 steps."""
    angles = np.degrees(scan.geometry.angles)
    steps = np.diff(angles)
    if angles.size < 16 or np.ptp(steps) > 0.1 * abs(float(steps.mean())):
        return False
    step = abs(float(steps.mean()))
    covered = abs(float(angles[-1] - angles[0])) + step
    return bool(abs(covered - 360) <= 1.5 * step) if degrees == 360 else bool(covered >= 180 - 1.5 * step)


def _slices(scan: Scan) -> list[Sinogram]:
    """Return up to five slices, those with the most mass among evenly spread ones."""
    stack = to_numpy(scan.data.double()).reshape(-1, *scan.geometry.shape)
    chosen = np.unique(np.linspace(0, len(stack) - 1, min(4 * MOST_SLICES, len(stack))).astype(int))
    heaviest = sorted(chosen, key=lambda i: -float(np.abs(stack[i]).sum()))[:MOST_SLICES]
    return [stack[i] for i in sorted(heaviest)]


def _estimates(scan: Scan, method: Callable[[Scan, Sinogram], float]) -> list[float]:
    """Return one estimate a slice; for a single slice those of all views, the even and the odd ones."""
    found = [method(scan, g) for g in _slices(scan)]
    count = scan.geometry.shape[0]
    if len(found) > 1 or count < 8:
        return found
    halves = [scan.views(range(k, count - count % 2, 2)) for k in (0, 1)]
    return [found[0], *(method(half, _slices(half)[0]) for half in halves)]


def _moments(g: Sinogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mass and centre of mass in pixels of every view, the air level (outermost 3 % of pixels) subtracted."""
    margin = max(1, round(0.03 * g.shape[1]))
    air = float(np.median(np.concatenate([g[:, :margin], g[:, -margin:]], axis=1)))
    mass = (g - air).sum(axis=1)
    usable = np.where(np.abs(mass) > 1e-6 * np.abs(g).sum(axis=1).max(), mass, np.inf)
    return mass, (g - air) @ np.arange(g.shape[1]) / usable


def _center_of_mass(scan: Scan, g: Sinogram) -> float:
    """Return c of the least-squares fit centre(t) = c + x cos t + y sin t, outlying views left out."""
    mass, centers = _moments(g)
    t = scan.geometry.angles
    design = np.stack([np.ones_like(t), np.cos(t), np.sin(t)], axis=1)
    kept = mass > 0.5 * np.median(mass)
    fit = np.full(3, (g.shape[1] - 1) / 2)
    for _ in range(3):
        if np.count_nonzero(kept) < 4:
            break
        fit = np.linalg.lstsq(design[kept], centers[kept], rcond=None)[0]
        error = np.abs(centers - design @ fit)
        kept = error <= 4 * max(float(np.median(error)), 1e-9)
    return float(np.clip(fit[0], 0, g.shape[1] - 1))


def _double_wedge(scan: Scan, g: Sinogram, start: float) -> float:
    """Return the centre whose mirrored half turn leaves the least energy outside the double wedge."""
    half = round(np.pi / abs(float(np.diff(scan.geometry.angles).mean())))
    views = g[:half]
    reach = max(12.0, g.shape[1] / 16)
    return _least(lambda center: _outside_wedge(views, center), start, reach, g.shape[1])


def _outside_wedge(g: Sinogram, center: float) -> float:
    """Mean amplitude outside the wedge of the half turn and its mirror image about ``center`` (whole or half pixel)."""
    twice = round(2 * center)
    reach = min(twice, 2 * (g.shape[1] - 1) - twice) // 2
    first = (twice - 2 * reach + 1) // 2 if twice % 2 else twice // 2 - reach
    window = g[:, first : twice - first + 1]
    turn = np.concatenate([window, window[:, ::-1]])
    orders = np.minimum(np.arange(turn.shape[0]), turn.shape[0] - np.arange(turn.shape[0]))
    frequencies = 2 * np.pi * np.fft.rfftfreq(turn.shape[1])
    outside = orders[:, None] > frequencies[None, :] * turn.shape[1] / 2 + 3
    amplitude = np.abs(np.fft.rfft2(turn))
    return float(amplitude[outside].mean() / np.sqrt(turn.size)) if outside.any() else np.inf


def _opposite_rays(scan: Scan, g: Sinogram) -> float:
    """Return the centre for which rays measured from both ends agree best."""
    start = center_of(scan.geometry.detector)
    views = slice(None, None, max(1, g.shape[0] // 180))
    return _least(lambda center: _mismatch(scan, g, center, views), start, max(12.0, g.shape[1] / 16), g.shape[1])


def _mismatch(scan: Scan, g: Sinogram, center: float, views: slice) -> float:
    """Root mean square of g(φ, s) - g(φ + π, -s) over rays that the detector sees from both ends."""
    geometry = scan.geometry.with_offset(offset_of(scan.geometry.detector, center))
    detector, step = geometry.detector, float(np.diff(geometry.angles).mean())
    phi, s = (lines[views] for lines in geometry.lines())
    t, u = geometry.locate(phi + np.pi, -s)
    sign = -1.0 if detector.reversed else 1.0
    pixel = sign * (u - detector.offset) / detector.pitch + (detector.count - 1) / 2
    view = np.mod((t - geometry.angles[0]) / step, g.shape[0])
    seen = (pixel >= 0) & (pixel <= detector.count - 1)
    closed = np.concatenate([g, g[:1]])
    partner = map_coordinates(closed, [view[seen], pixel[seen]], order=1, mode="nearest")
    return float(np.sqrt(np.mean((g[views][seen] - partner) ** 2))) if seen.any() else np.inf


def _least(cost: Callable[[float], float], start: float, reach: float, count: int) -> float:
    """Return the minimiser near ``start``: every 2 pixels, every half pixel, then the vertex of a parabola.

    The costs are sampled at whole and half pixels only, where mirroring needs no interpolation that would smooth
    the data and so prefer itself.
    """
    lowest, highest = 0.15 * count, 0.85 * count
    coarse = np.round(np.arange(start - reach, start + reach + 1, 2.0))
    coarse = coarse[(coarse >= lowest) & (coarse <= highest)]
    if coarse.size == 0:
        return start
    best = float(coarse[np.argmin([cost(c) for c in coarse])])
    fine = best + np.arange(-5, 6) * 0.5
    costs = np.array([cost(c) for c in fine])
    near = np.clip(int(np.argmin(costs)), 2, 8) + np.arange(-2, 3)
    square, slope, _ = np.polyfit(fine[near] - best, costs[near] ** 2, 2)
    vertex = best - slope / (2 * square) if square > 0 else float(fine[np.argmin(costs)])
    return float(np.clip(vertex, fine[near[0]], fine[near[-1]]))

"""The sinogram and its residual on the whole axis of views, so that the missing part is seen as a gap.

Parallel beam: R f(t + π, u) = R f(t, -u), so that half a turn holds everything and later views fold back onto it.
Fan beam: the axis is a full turn. Columns are views, rows detector coordinates.
"""

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.core.geometry import Geometry, ParallelBeam
from microlocal.report.encode import png_uri
from microlocal.report.svg import Axis, Frame

COLUMNS, ROWS = 540, 360
_POSITIVE, _NEGATIVE = (np.array(c) for c in ((0xC6, 0x28, 0x4A), (0x2E, 0x62, 0xC9)))


@dataclass(frozen=True)
class ViewAxis:
    """The axis of views in degrees: its start and length, and which view (folded back or not) each column shows."""

    start: float
    period: float
    missing: float  # degrees that no view covers
    view: NDArray[np.int64]  # per column, -1 where nothing was measured
    folded: NDArray[np.bool_]


def view_axis(geometry: Geometry) -> ViewAxis:
    """Return the axis of views: half a turn (parallel) or a full one (fan), placed where the views are."""
    period = math.pi if isinstance(geometry, ParallelBeam) else 2 * math.pi
    angles = geometry.angles
    start = next((s for s in (0.0, -period / 2) if np.all((angles > s - 1e-6) & (angles < s + period + 1e-6))), 0.0)
    columns = start + (np.arange(COLUMNS) + 0.5) / COLUMNS * period
    view, folded = np.full(COLUMNS, -1), np.zeros(COLUMNS, dtype=bool)
    missing = _uncovered_deg(geometry, period)
    turns = range(math.floor((angles.min() - start) / period) - 1, math.ceil((angles.max() - start) / period) + 2)
    for turn in sorted(turns, key=abs):
        t = columns + turn * period
        distance = np.abs(t[:, None] - angles[None, :])
        inside = np.any([(t >= a - 1e-9) & (t <= b + 1e-9) for a, b in geometry.arcs()], axis=0)
        # An arc reaches half a step beyond its outer views; across the axis's end that would draw a stray sliver,
        # unless all is measured: then its lack would look like a gap.
        shown = inside & (view < 0) & ((t >= angles.min()) & (t <= angles.max()) | (turn == 0) | (missing == 0))
        view[shown] = distance.argmin(axis=1)[shown]
        folded |= shown & (turn % 2 == 1) & isinstance(geometry, ParallelBeam)
    return ViewAxis(math.degrees(start), math.degrees(period), missing, view, folded)


def folds_back(geometry: Geometry, axis: ViewAxis) -> bool:
    """Return whether views lie beyond the axis, and not only the half step that an outer view stands for."""
    angles = np.degrees(geometry.angles)
    outside = (angles < axis.start - 1e-4) | (angles > axis.start + axis.period + 1e-4)
    return isinstance(geometry, ParallelBeam) and bool(outside.any())


def _uncovered_deg(geometry: Geometry, period: float) -> float:
    """Return how many degrees of the period no arc covers, modulo the period."""
    placed = [(first % period, last - first) for first, last in geometry.arcs()]
    end, missing = 0.0, 0.0
    for first, last in sorted((at + back, at + back + width) for at, width in placed for back in (-period, 0.0)):
        missing += max(0.0, first - end)
        end = max(end, last)
    return round(math.degrees(missing + max(0.0, period - end)), 6)


def spread(data: NDArray[np.float64], geometry: Geometry, axis: ViewAxis) -> NDArray[np.float64]:
    """Return data (angle, detector) on the axis as (row, column), u upwards; nan where nothing was measured."""
    u = geometry.detector.positions()
    order = np.argsort(u)
    low, high = geometry.detector.edges
    rows = min(ROWS, max(geometry.detector.count, 2))
    wanted = high - (np.arange(rows) + 0.5) / rows * (high - low)
    picture = np.full((rows, COLUMNS), np.nan)
    for column, (view, folded) in enumerate(zip(axis.view, axis.folded, strict=True)):
        if view >= 0:
            at = -wanted if folded else wanted
            values = np.interp(at, u[order], data[view][order])
            picture[:, column] = np.where((at >= low) & (at <= high), values, np.nan)
    return picture


def _frame(geometry: Geometry, axis: ViewAxis, name: str) -> Frame:
    low, high = geometry.detector.edges
    step = 30.0 if axis.period < 270 else 60.0
    views = Axis(axis.start, axis.start + axis.period, "view angle [°]", step=step)
    return Frame(views, Axis(low, high, f"detector u [{geometry.unit}]"), name)


def _draw(frame: Frame, uri: str, axis: ViewAxis) -> Markup:
    body = frame.rectangle("fill-hatch") + frame.picture(uri)
    gap = _longest_gap(axis.view < 0)
    if gap is not None and gap[1] > COLUMNS // 16:
        left, top, width, height = frame.inner
        middle = left + width * (gap[0] + gap[1] / 2) / COLUMNS
        turn = 0 if gap[1] > COLUMNS // 4 else -90  # upright where it fits, along the gap otherwise
        note = Markup('<text class="note halo-text" transform="{}" text-anchor="middle" dy="5">not measured</text>')
        body += note.format(f"translate({middle:.1f} {top + height / 2:.1f}) rotate({turn})")
    return frame.draw(body, grid=False)


def _longest_gap(missing: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The first column and the length of the longest run of missing columns."""
    edges = np.flatnonzero(np.diff(np.r_[0, missing.astype(np.int8), 0]))
    runs = [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return max(runs, key=lambda run: run[1], default=None)


def sinogram_svg(data: NDArray[np.float64], geometry: Geometry, axis: ViewAxis) -> tuple[Markup, float, float]:
    """Return the drawing of the data in grey, and the values of black and white."""
    picture = spread(data, geometry, axis)
    low, high = float(np.min(data)), float(np.max(data))
    grey = np.clip((picture - low) / ((high - low) or 1.0), 0, 1) * 254
    index = np.where(np.isnan(picture), 255, np.round(np.nan_to_num(grey))).astype(np.uint8)
    ramp = np.round(np.arange(256) * 255 / 254).clip(0, 255)
    palette = np.stack([ramp, ramp, ramp, np.where(np.arange(256) < 255, 255, 0)], axis=1).astype(np.uint8)
    frame = _frame(geometry, axis, f"Sinogram; {axis.missing:.0f} of {axis.period:.0f} degrees of views are missing.")
    return _draw(frame, png_uri(index, palette), axis), low, high


def residual_svg(residual: NDArray[np.float64], limit: float, geometry: Geometry, label: str) -> Markup:
    """Return the drawing of R f - g: red above zero, blue below, clear at zero, full colour at ``limit``."""
    axis = view_axis(geometry)
    picture = spread(residual, geometry, axis)
    index = np.round(127 + 127 * np.clip(np.nan_to_num(picture) / limit, -1, 1)).astype(np.uint8)
    strength = (np.arange(256) - 127) / 127
    rgb = np.where(strength[:, None] > 0, _POSITIVE, _NEGATIVE)
    backing = np.full(3, 0xFA)
    mixed = backing + (rgb - backing) * np.minimum(np.abs(strength), 1)[:, None]
    palette = np.hstack([np.round(mixed), np.full((256, 1), 255)]).astype(np.uint8)
    palette[255, 3] = 0
    index[np.isnan(picture)] = 255
    frame = _frame(geometry, axis, f"Residual R f − g of {label}.")
    return _draw(frame, png_uri(index, palette), axis)

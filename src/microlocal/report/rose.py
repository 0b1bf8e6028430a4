"""The visibility rose and map: which edge directions the scan measures, as drawings.

A disc at the point shows it at once: its outline has every normal direction once a half turn. The part of the outline
whose normals are measured is drawn in one colour, the part that leaves no stable trace in the data in the other.
"""

import math

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.report.encode import png_uri, shrink
from microlocal.report.svg import Axis, Frame
from microlocal.wavefront import measured_range

Intervals = list[tuple[float, float]]

# Undetermined orange over a neutral to measured teal; told apart by every common form of colour blindness.
_ORANGE, _NEUTRAL, _TEAL = (np.array(c) for c in ((0xE0, 0x7B, 0x00), (0xE9, 0xE4, 0xD8), (0x00, 0x8C, 0x95)))


def missing_range(measured: Intervals) -> Intervals:
    """Return the intervals of [0, π) modulo π that ``measured`` leaves over, of the same form.

    >>> missing_range([(0.0, 1.0)]) == [(1.0, math.pi)]
    True
    """
    if not measured:
        return [(0.0, math.pi)]
    ordered = sorted(measured)
    starts = [*(low for low, _ in ordered[1:]), ordered[0][0] + math.pi]
    gaps = [(high, start) for (_, high), start in zip(ordered, starts, strict=True)]
    return [(low % math.pi, low % math.pi + high - low) for low, high in gaps if high - low > 1e-6]


def share(intervals: Intervals) -> float:
    """Return the fraction of all directions that the intervals hold."""
    return min(sum(high - low for low, high in intervals) / math.pi, 1.0)


def in_words(intervals: Intervals) -> str:
    """Return the intervals in degrees, in (-90, 90] where they lie around 0.

    >>> in_words([(math.radians(120), math.radians(240))])
    '−60° to 60°'
    """
    if not intervals:
        return "none"
    if share(intervals) > 1 - 1e-6:
        return "all"
    spans = []
    for low, high in sorted(intervals):
        shift = math.pi if (low + high) / 2 > math.pi * 0.75 and high > math.pi else 0.0
        ends = (f"{round(math.degrees(end - shift), 1) + 0.0:g}°".replace("-", "−") for end in (low, high))
        spans.append(" to ".join(ends))
    return ", ".join(spans)


def both_in_words(measured: Intervals) -> str:
    """Return which edge normals are measured and which are not.

    >>> both_in_words([(0.0, math.pi)]), both_in_words([(0.0, math.pi / 2)])
    ('all are measured', 'measured 0° to 90°; not measured 90° to 180°')
    """
    missing = missing_range(measured)
    if not missing or not measured:
        return "all are measured" if measured else "none is measured"
    return f"measured {in_words(measured)}; not measured {in_words(missing)}"


def _wedge(low: float, high: float, inner: float, outer: float, css: str) -> Markup:
    """A ring sector between two directions, y up."""
    corners = ((outer, low), (outer, high), (inner, high), (inner, low))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = ((r * math.cos(a), -r * math.sin(a)) for r, a in corners)
    path = f"M{ax:.2f} {ay:.2f}A{outer} {outer} 0 0 0 {bx:.2f} {by:.2f}L{cx:.2f} {cy:.2f}" + (
        f"A{inner} {inner} 0 0 1 {dx:.2f} {dy:.2f}Z" if inner else "Z"
    )
    return Markup('<path class="{}" d="{}"/>').format(css, path)


def _both_sides(intervals: Intervals, inner: float, outer: float, css: str) -> Markup:
    turns = [(low + turn, high + turn) for low, high in intervals for turn in (0.0, math.pi)]
    return Markup().join(_wedge(low, high, inner, outer, css) for low, high in turns)


def visibility_rose(geometry: Geometry, x: float, y: float) -> Markup:
    """Return the rose at the point (x, y) as SVG: wedges of normal directions and the disc whose outline has them."""
    measured = measured_range(geometry, x, y)
    missing = missing_range(measured)
    labels = [
        Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}°</text>').format(
            139 * math.cos(a), -139 * math.sin(a) + 4.5, d
        )
        for d, a in ((d, math.radians(d)) for d in range(0, 360, 30))
    ]
    name = f"Rose of edge normals at the centre of the image: {both_in_words(measured)}."
    return Markup('<svg class="rose" viewBox="-160 -155 320 310" role="img" aria-label="{}">{}</svg>').format(
        name,
        Markup().join(
            (
                _both_sides(measured, 0, 96, "fill-measured soft"),
                _both_sides(missing, 0, 96, "fill-hatch"),
                _both_sides(measured, 102, 118, "fill-measured"),
                _both_sides(missing, 102, 118, "fill-undetermined"),
                Markup('<circle class="frame" r="96"/><path class="grid" d="M-96 0H96M0 -96V96"/>'),
                *labels,
            )
        ),
    )


def _ring(geometry: Geometry, x: float, y: float, at: tuple[float, float], radius: float) -> Markup:
    measured = measured_range(geometry, x, y)
    body = Markup().join(
        (
            Markup('<circle class="halo" r="{}"/>').format(radius + 1.5),
            _both_sides(measured, radius - 4, radius, "fill-measured"),
            _both_sides(missing_range(measured), radius - 4, radius, "fill-undetermined"),
        )
    )
    return Markup('<g transform="translate({:.1f} {:.1f})">{}</g>').format(*at, body)


def blend() -> NDArray[np.uint8]:
    """Return the 256 colours from undetermined (0) over neutral to measured (255), with opacity."""
    t = np.linspace(0, 2, 256)[:, None]
    rgb = np.where(t < 1, _ORANGE + (_NEUTRAL - _ORANGE) * t, _NEUTRAL + (_TEAL - _NEUTRAL) * (t - 1))
    return np.hstack([np.round(rgb), np.full((256, 1), 255)]).astype(np.uint8)


def visibility_map(geometry: Geometry, grid: Grid, fraction: NDArray[np.float64]) -> Markup:
    """Return the map of the measured fraction as SVG, with small rings of measured directions at nine points."""
    left, right, low, high = grid.extent
    uri = png_uri(np.round(np.clip(shrink(fraction, 256), 0, 1) * 255).astype(np.uint8), blend())
    height = 340 * min(max((high - low) / (right - left), 0.35), 1.6) + 54
    frame = Frame(
        Axis(left, right, f"x [{grid.unit}]"),
        Axis(low, high, f"y [{grid.unit}]"),
        "Map of the fraction of edge directions that the scan measures at each point, with rings at nine points.",
        width=412,
        height=height,
    )
    rings = []
    for fx in (1 / 6, 1 / 2, 5 / 6):
        for fy in (1 / 6, 1 / 2, 5 / 6):
            x, y = left + fx * (right - left), low + fy * (high - low)
            px, py = frame.points(np.array([x]), np.array([y]))
            rings.append(_ring(geometry, x, y, (float(px[0]), float(py[0])), 20))
    return frame.draw(frame.picture(uri) + Markup().join(rings), grid=False)


def fraction_bar() -> str:
    """Return the colour bar of the map as a data URI, 256 x 1 pixels."""
    return png_uri(np.arange(256, dtype=np.uint8)[None, :], blend())

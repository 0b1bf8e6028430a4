"""Charts as SVG in the page's own colours: axes with round ticks, lines, bars and pictures.

Drawn by hand, since a chart must follow the light or dark theme, stay sharp in print and weigh little. Text that comes
from files passes through ``Markup.format``, which escapes it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``, linear or logarithmic, with its label."""

    low: float
    high: float
    label: str = ""
    log: bool = False
    step: float = 0.0

    def place(self, values: NDArray[np.float64] | Sequence[float] | float) -> NDArray[np.float64]:
        """Return where ``values`` lie on the axis, 0 at its start and 1 at its end."""
        v = np.asarray(values, dtype=np.float64)
        if self.log:
            return np.log(v / self.low) / math.log(self.high / self.low)
        return (v - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return about five round values, each with its place on the axis and its text."""
        values = self._decades() if self.log else self._round_values()
        return [(float(self.place(v)), number(v)) for v in values]

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        stride = max(1, (last - first) // 5)
        marks = (1.0,) if last - first > 2 else (1.0, 2.0, 5.0)
        values = [m * 10.0**k for k in range(first, last + 1, stride) for m in marks]
        inside = [v for v in values if self.low * 0.999 <= v <= self.high * 1.001]
        return inside if len(inside) > 1 else self._round_values()

    def _round_values(self) -> list[float]:
        step = self.step or round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1) if not (self.log and k <= 0)]


def round_step(width: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least ``width``.

    >>> round_step(0.03)
    0.05
    """
    power = 10.0 ** math.floor(math.log10(width))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= width * (1 - 1e-9))


def axis_over(values: NDArray[np.float64], label: str, *, log: bool = False) -> Axis:
    """Return an axis that holds all ``values`` with a little air, never of zero length."""
    low, high = float(np.min(values)), float(np.max(values))
    if log and low > 0:
        air = (high / low) ** 0.05 if high > low else 1.02
        return Axis(low / air, high * air, label, log=True)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(low - air, high + air, label)


def number(value: float, digits: int = 4) -> str:
    """Return a number as a reader writes it, with ``digits`` significant digits but no needless zeros.

    A true minus sign, and 10ⁿ outside 0.001..99999.

    >>> number(-0.25), number(1e-7), number(40.0)
    ('−0.25', '1·10⁻⁷', '40')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞" if value < 0 else "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.3g}".split("e") if "e" in f"{value:.3g}" else f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{raised}".replace("-", "−")


@dataclass(frozen=True)
class Frame:
    """The place of a chart: outer size, the two axes, and an accessible name."""

    x: Axis
    y: Axis
    name: str
    width: float = 480.0
    height: float = 300.0
    bottom: float = 44.0
    top: float = 10.0
    right: float = 14.0

    @property
    def left(self) -> float:
        """The left margin, wide enough for the longest tick text of the y axis."""
        return max(58.0, 33.0 + 7.6 * max((len(text) for _, text in self.y.ticks()), default=0))

    @property
    def inner(self) -> tuple[float, float, float, float]:
        """The inner rectangle (x, y, width, height)."""
        return self.left, self.top, self.width - self.left - self.right, self.height - self.top - self.bottom

    def points(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return drawing coordinates of the data points."""
        left, top, width, height = self.inner
        return left + width * self.x.place(x), top + height * (1 - self.y.place(y))

    def line(self, x: NDArray[np.float64], y: NDArray[np.float64], css: str) -> Markup:
        """Return a polyline through the data points."""
        px, py = self.points(x, y)
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        return Markup('<polyline class="{}" points="{}"/>').format(css, path)

    def bars(self, edges: NDArray[np.float64], heights: NDArray[np.float64], css: str) -> Markup:
        """Return a filled staircase of bars between ``edges``, from zero up to ``heights``."""
        px, py = self.points(np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(heights, 2), [0.0]]))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))
        return Markup('<polygon class="{}" points="{}"/>').format(css, path)

    def picture(self, uri: str, css: str = "") -> Markup:
        """Return an embedded picture stretched over the inner rectangle."""
        left, top, width, height = self.inner
        return Markup(
            '<image class="{}" href="{}" x="{}" y="{}" width="{:.1f}" height="{:.1f}" preserveAspectRatio="none"/>'
        ).format(css, uri, left, top, width, height)

    def rectangle(self, css: str) -> Markup:
        """Return the inner rectangle itself, to be filled."""
        left, top, width, height = self.inner
        return Markup('<rect class="{}" x="{}" y="{}" width="{:.1f}" height="{:.1f}"/>').format(
            css, left, top, width, height
        )

    def draw(self, body: Markup, *, grid: bool = True) -> Markup:
        """Return the whole chart: grid, ``body``, axes with ticks and labels."""
        parts = (*self._x_ticks(grid=grid), *self._y_ticks(grid=grid))
        whole = Markup('<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}{}{}</svg>')
        axes = self.rectangle("frame") + self._labels()
        return whole.format(self.width, self.height, self.name, Markup().join(parts), body, axes)

    def _x_ticks(self, *, grid: bool) -> list[Markup]:
        left, top, width, height = self.inner
        mark = Markup('{}<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
        line = Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>')
        places = [(left + width * f, text) for f, text in self.x.ticks()]
        return [
            mark.format(line.format(at, top, top + height) if grid else "", at, top + height + 17, text)
            for at, text in places
        ]

    def _y_ticks(self, *, grid: bool) -> list[Markup]:
        left, top, width, height = self.inner
        mark = Markup('{}<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>')
        line = Markup('<line class="grid" x1="{1:.1f}" x2="{2:.1f}" y1="{0:.1f}" y2="{0:.1f}"/>')
        places = [(top + height * (1 - f), text) for f, text in self.y.ticks()]
        return [
            mark.format(line.format(at, left, left + width) if grid else "", left - 7, at + 4.5, text)
            for at, text in places
        ]

    def _labels(self) -> Markup:
        left, top, width, height = self.inner
        return Markup(
            '<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>'
            '<text class="label" transform="translate(14 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format(left + width / 2, self.height - 6, self.x.label, top + height / 2, self.y.label)

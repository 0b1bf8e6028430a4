"""Charts of a stack, one column a slice: where the pixels come from, and which claims hold."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.core.provenance import KINDS
from microlocal.reconstruction.journal import Row
from microlocal.report.svg import Axis, Frame, axis_over, round_step

STRIP, GAP, LABELS = 20.0, 8.0, 92.0  # height of a strip, space between two, room for their names
Span = tuple[float, float, str]  # first slice, one past the last, colour


def slice_axis(numbers: NDArray[np.float64]) -> Axis:
    """Return the axis of the slices, half a slice wider at both ends; ticks are whole slices."""
    low, high = float(numbers.min()) - 0.5, float(numbers.max()) + 0.5
    return Axis(low, high, "slice", step=max(1.0, round_step((high - low) / 5)))


def line_chart(numbers: NDArray[np.float64], values: NDArray[np.float64], name: str) -> Markup:
    """Return one number of every slice as a line."""
    frame = Frame(slice_axis(numbers), axis_over(values, name), f"{name} of every slice")
    if numbers.size == 1:  # a line of one point would not be seen
        numbers, values = numbers + np.array([-0.5, 0.5]), np.repeat(values, 2)
    return frame.draw(frame.line(numbers, values, "series s0"))


def sources_chart(rows: Sequence[Row]) -> Markup:
    """Return the shares of the pixels that are measured, learned and undetermined, one upon the other."""
    numbers = np.array([row.slice for row in rows], int)
    frame = Frame(slice_axis(numbers.astype(float)), Axis(0.0, 1.0, "share of the pixels"), "Provenance of every slice")
    edges = np.arange(numbers[0], numbers[-1] + 2) - 0.5
    names = [kind.name.lower() for kind in KINDS]
    heights = np.zeros((len(names), len(edges) - 1))  # zero where a slice is missing
    heights[:, numbers - numbers[0]] = np.cumsum([[row.provenance[name] for row in rows] for name in names], axis=0)
    layers = [frame.bars(edges, upper, f"fill-{name}") for name, upper in zip(names, heights, strict=True)]
    return frame.draw(Markup().join(reversed(layers)), grid=False)


def claims_strips(rows: Sequence[Row]) -> Markup:
    """Return two strips: whether the claims of every slice hold, and whether a network took part in it."""
    strips = [("claims", _spans(rows, ["bad" if row.broken_claims else "good" for row in rows]))]
    if any(row.network for row in rows):
        strips.append(("network", _spans(rows, ["nothing" if row.network == "none" else "learned" for row in rows])))
    axis = slice_axis(np.array([row.slice for row in rows], float))
    height = len(strips) * (STRIP + GAP) + 44.0
    frame = Frame(axis, Axis(0.0, 1.0), "Claims of every slice", height=height, top=0.0)
    parts = [_strip(frame, GAP + k * (STRIP + GAP), *strip) for k, strip in enumerate(strips)]
    foot = [_tick(frame, place, text, height - 27) for place, text in axis.ticks()]
    whole = '<svg class="chart" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}{}{}</svg>'
    label = Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="middle">slice</text>')
    said = label.format(_across(frame, 0.5), height - 6)
    return Markup(whole).format(frame.width, height, frame.name, Markup().join(parts), Markup().join(foot), said)


def _spans(rows: Sequence[Row], colours: Sequence[str]) -> list[Span]:
    """Return runs of neighbouring slices of one colour."""
    pairs = [(row.slice, colour) for row, colour in zip(rows, colours, strict=True)]
    runs = [list(run) for _, run in groupby(enumerate(pairs), key=lambda item: (item[1][0] - item[0], item[1][1]))]
    return [(run[0][1][0] - 0.5, run[-1][1][0] + 0.5, run[0][1][1]) for run in runs]


def _strip(frame: Frame, top: float, name: str, spans: Sequence[Span]) -> Markup:
    label = Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>')
    parts = [label.format(LABELS - 10, top + STRIP / 2 + 4.5, name)]
    box = Markup('<rect class="fill-{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    for first, last, colour in spans:
        left, right = (_across(frame, float(frame.x.place(end))) for end in (first, last))
        parts.append(box.format(colour, left, top, right - left, STRIP))
    return Markup().join(parts)


def _tick(frame: Frame, place: float, text: str, y: float) -> Markup:
    mark = Markup('<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
    return mark.format(_across(frame, place), y, text)


def _across(frame: Frame, place: float) -> float:
    return LABELS + (frame.width - LABELS - frame.right) * place

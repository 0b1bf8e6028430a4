"""Charts of numbers: the residual's histogram against the noise, and how the solver converged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.report.payload import Stack
from microlocal.report.svg import Axis, Frame, axis_over, number

BINS = 81
# Most solvers watch how far they are from an optimum, which is not what is left of the data.
SOLVERS = {"residual": "residual of the iteration"}


@dataclass(frozen=True)
class Chart:
    """A drawing with its title and the sentence below it."""

    title: str
    svg: Markup
    caption: str = ""


def noise_level(metrics: dict[str, float]) -> float | None:
    """Return the standard deviation of the data's noise if a metric names it, None otherwise."""
    known = ("noise per ray", "noise level", "noise_level", "noise", "noise sigma", "noise_sigma", "sigma")
    return next((metrics[k] for k in known if math.isfinite(metrics.get(k, math.nan)) and metrics[k] > 0), None)


def residual_histogram(residuals: Sequence[NDArray[np.float64]], found: Sequence[Stack]) -> Chart:
    """Return the histogram of every reconstruction's residual, with a normal density of the noise level if known."""
    noise = noise_level(found[0].result.metrics)
    limit = max(float(np.quantile(np.abs(residuals[0]), 0.998)), 3.5 * (noise or 0.0)) or 1.0
    edges = np.linspace(-limit, limit, BINS + 1)
    density = [np.histogram(r, edges)[0] / r.size / (edges[1] - edges[0]) for r in residuals]
    top = 1.6 * float(np.max(density))
    grid = np.linspace(-4.5, 4.5, 181) * (noise or 0.0)
    normal = np.exp(-((grid / noise) ** 2) / 2) / (noise * math.sqrt(2 * math.pi)) if noise else np.zeros(1)
    cut = float(normal.max()) > top
    top = top if cut else 1.08 * max(float(np.max(density)), float(normal.max()))
    frame = Frame(Axis(-limit, limit, "R f − g"), Axis(0.0, top, "density"), "Histogram of the residual R f − g.")
    body = frame.bars(edges, density[0], "bars s0")
    middles = (edges[1:] + edges[:-1]) / 2
    for k, heights in enumerate(density[1:], start=1):
        body += frame.line(middles, heights, f"series s{k}")
    if noise:
        inside = np.abs(grid) <= limit
        body += frame.line(grid[inside], np.minimum(normal, top)[inside], "series reference")
    spreads = "; ".join(f"{s.label} {number(float(np.std(r)))}" for s, r in zip(found, residuals, strict=True))
    said = f" Dashed: normal noise of standard deviation {number(noise)}, as measured" if noise else ""
    said += " (its peak is cut off)." if cut else "." if noise else ""
    return Chart("Residual histogram", frame.draw(body), f"Standard deviation: {spreads}.{said}")


def convergence(found: Sequence[Stack]) -> list[Chart]:
    """Return one chart for each recorded series, with a line for each reconstruction that recorded it."""
    names = dict.fromkeys(name for s in found for name in s.result.history if name != "iteration")
    charts = (_series(name, found) for name in names)
    return [chart for chart in charts if chart is not None]


def _series(name: str, found: Sequence[Stack]) -> Chart | None:
    lines = [(k, *_points(s.result.history, name)) for k, s in enumerate(found) if name in s.result.history]
    lines = [(k, x, y) for k, x, y in lines if x.size > 1]
    if not lines:
        return None
    x_all, y_all = (np.concatenate([line[i] for line in lines]) for i in (1, 2))
    log = bool((y_all > 0).all())
    called = SOLVERS.get(name, name)
    frame = Frame(
        Axis(float(x_all.min()), float(x_all.max()), "iteration"),
        axis_over(y_all, name, log=log),
        f"{called} over the iterations.",
    )
    body = Markup().join(frame.line(x, y, f"series s{k}") for k, x, y in lines)
    ends = "; ".join(f"{found[k].label} ends at {number(float(y[-1]))}" for k, _, y in lines)
    title = called[0].upper() + called[1:]
    return Chart(f"{title}{' (logarithmic)' if log else ''}", frame.draw(body), ends + ".")


def _points(history: dict[str, list[float]], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y = np.asarray(history[name], dtype=np.float64)
    x = np.asarray(history.get("iteration", []), dtype=np.float64)
    x = x if x.size == y.size else np.arange(1.0, y.size + 1)
    kept = np.isfinite(y)
    return x[kept], y[kept]

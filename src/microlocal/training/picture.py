"""The picture of a training: its loss and what validation measured, over the steps."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from microlocal.io.atomic import replacing
from microlocal.training.log import Row, read_log

TEAL, ORANGE = "#008c95", "#e07b00"
MOST_PANELS = 4
WINDOW = 0.02  # of all steps, over which the loss is averaged for the eye


def draw_training(folder: Path) -> Path | None:
    """Draw <folder>/training.png from <folder>/log.jsonl; return its path, or None where nothing was logged."""
    rows = [row for row in read_log(folder / "log.jsonl") if np.isfinite(row.loss)]
    if not rows:
        return None
    checks = [row for row in rows if row.validation]
    names = [name for name in (checks[0].validation if checks else ()) if name != "loss"][: MOST_PANELS - 1]
    figure = Figure(figsize=(4.6 * (1 + len(names)) + 0.6, 3.6), layout="constrained")
    panels = figure.subplots(1, 1 + len(names), squeeze=False)[0]
    _draw_loss(panels[0], rows, checks)
    for axes, name in zip(panels[1:], names, strict=True):
        axes.plot([r.step for r in checks], [r.validation.get(name, np.nan) for r in checks], "o-", color=ORANGE, ms=3)
        axes.set(title=f"{name.replace('_', ' ')} (validation)", xlabel="step")
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    target = folder / "training.png"
    with replacing(target) as temporary, temporary.open("wb") as stream:
        figure.savefig(stream, dpi=130, format="png")
    return target


def _draw_loss(axes: Axes, rows: list[Row], checks: list[Row]) -> None:
    steps, loss = np.array([r.step for r in rows]), np.array([r.loss for r in rows])
    axes.plot(steps, loss, color=TEAL, alpha=0.25, linewidth=0.8)
    axes.plot(steps, smoothed(loss), color=TEAL, label="training")
    if checks:
        axes.plot([r.step for r in checks], [r.validation["loss"] for r in checks], "o-", color=ORANGE, ms=3)
        axes.lines[-1].set_label("validation")
    if loss.min() > 0:
        axes.set_yscale("log")
    axes.set(title="loss", xlabel="step")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def smoothed(values: Float[np.ndarray, " step"]) -> Float[np.ndarray, " step"]:
    """Return running means over about 2 % of the values, fewer at the ends.

    >>> smoothed(np.array([1.0, 3.0]))
    array([1., 3.])
    """
    half = int(WINDOW * len(values) / 2)
    total = np.concatenate(([0.0], np.cumsum(values)))
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)

"""The page of a stack: how far it is, which slices stand out, what was chosen for all of them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.core.registry import register
from microlocal.io.atomic import replacing
from microlocal.reconstruction.stack_state import StackState
from microlocal.report import facts
from microlocal.report.html import ENVIRONMENT, own
from microlocal.report.svg import Axis, Frame, axis_over, number

MOST_LISTED = 20


@register("stack-writer", "summary.html")
def write_stack_page(state: StackState) -> Path:
    """Write summary.html into the folder of the stack; raises OutputError when it cannot be written."""
    target = state.folder / "summary.html"
    page = render_stack_page(state)
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return target


def render_stack_page(state: StackState) -> str:
    """Return the page as text."""
    fields = state.to_dict()
    rows = [row for _, row in sorted(state.rows.items()) if not row.error]
    numbers, residuals, seconds = (np.array([getattr(r, name) for r in rows], float) for name in _SERIES)
    return ENVIRONMENT.get_template("stack.html.j2").render(
        light=own("light.css"),
        dark=own("dark.css"),
        style=own("report.css"),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        method=fields["method"],
        complete=state.complete,
        tiles=_tiles(fields, residuals, seconds),
        charts=[_chart(numbers, residuals, "relative residual"), _chart(numbers, seconds, "seconds")] if rows else [],
        outliers=[(int(k), number(float(r))) for k, r in outliers(numbers, residuals)],
        failed=list(state.failed.items())[:MOST_LISTED],
        notes=fields["choices"]["notes"],
        request=facts.nodes(fields["request"]),
        versions=facts.nodes(fields["versions"]),
        checksum=fields["image_sha256"],
    )


_SERIES = ("slice", "residual", "seconds")


def outliers(numbers: NDArray[np.float64], residuals: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return the slices whose residual is more than five usual deviations above the median, worst first."""
    if residuals.size < 3:
        return []
    middle = float(np.median(residuals))
    spread = 1.4826 * float(np.median(np.abs(residuals - middle)))
    far = np.flatnonzero(residuals > middle + 5 * max(spread, 1e-3 * middle))
    worst = sorted(far, key=lambda k: -residuals[k])[:MOST_LISTED]
    return [(float(numbers[k]), float(residuals[k])) for k in worst]


def _tiles(
    fields: dict[str, Any], residuals: NDArray[np.float64], seconds: NDArray[np.float64]
) -> list[tuple[str, str]]:
    tiles = [("slices done", f"{fields['done']} of {fields['slices']}"), ("failed", str(len(fields["failed"])))]
    if residuals.size:
        tiles.append(("median relative residual", number(float(np.median(residuals)), 3)))
        tiles.append(("seconds a slice", number(float(np.median(seconds)), 3)))
    return tiles


def _chart(numbers: NDArray[np.float64], values: NDArray[np.float64], name: str) -> tuple[str, Markup]:
    x = Axis(float(numbers.min()) - 0.5, float(numbers.max()) + 0.5, "slice")
    frame = Frame(x, axis_over(values, name), f"{name} of every slice")
    return name.capitalize(), frame.draw(frame.line(numbers, values, "series s0"))

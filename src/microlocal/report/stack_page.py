"""The page of a stack: how far it is, which slices stand out, what was chosen for all of them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from microlocal.certificates.base import certificate_from_dict
from microlocal.core.registry import register
from microlocal.reconstruction.stack_state import StackState
from microlocal.report import facts
from microlocal.report.html import ENVIRONMENT, own, write_page
from microlocal.report.stack_charts import claims_strips, line_chart, sources_chart
from microlocal.report.svg import number

MOST_LISTED = 20


@register("stack-writer", "summary.html")
def write_stack_page(state: StackState) -> Path:
    """Write summary.html into the folder of the stack; raises OutputError when it cannot be written."""
    return write_page(render_stack_page(state), state.folder / "summary.html")


def render_stack_page(state: StackState) -> str:
    """Return the page as text."""
    fields = state.to_dict()
    rows = [row for _, row in sorted(state.rows.items()) if not row.error]
    numbers, residuals, seconds = (np.array([getattr(r, name) for r in rows], float) for name in _SERIES)
    examined = [row for row in rows if row.certificates]
    series = (("relative residual", residuals), ("seconds", seconds))
    return ENVIRONMENT.get_template("stack.html.j2").render(
        light=own("light.css"),
        dark=own("dark.css"),
        style=own("report.css"),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        method=fields["method"],
        title=state.folder.resolve().name,
        complete=state.complete,
        tiles=_tiles(state, residuals, seconds),
        charts=[(name.capitalize(), line_chart(numbers, values, name)) for name, values in series] if rows else [],
        sources=sources_chart(examined) if examined else "",
        claims=claims_strips(examined) if examined else "",
        with_network=any(row.network for row in rows),
        broken=[(k, " ".join(claims)) for k, claims in state.broken.items()][:MOST_LISTED],
        left=list(state.left.items())[:MOST_LISTED],
        left_count=len(state.left),
        shared=[certificate_from_dict(claim) for claim in fields["choices"]["certificates"]],
        number=number,
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


def _tiles(state: StackState, residuals: NDArray[np.float64], seconds: NDArray[np.float64]) -> list[tuple[str, str]]:
    total = len(state.numbers)
    tiles = [("slices done", f"{total - len(state.missing)} of {total}"), ("failed", str(len(state.failed)))]
    if any(row.certificates for row in state.rows.values()):
        tiles.append(("with a claim that does not hold", str(len(state.broken))))
    if state.plan["choices"]["network"] not in ("", "none"):
        tiles.append(("left without the network", str(len(state.left))))
    if residuals.size:
        tiles.append(("median relative residual", number(float(np.median(residuals)), 3)))
        tiles.append(("seconds a slice", number(float(np.median(seconds)), 3)))
    return tiles

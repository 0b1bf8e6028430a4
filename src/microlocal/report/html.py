"""One self-contained page for a reconstruction: no network, no fonts, no trackers; it opens from any disk.

Everything from files passes through jinja2's escaping or ``script_json``, and a content security policy with the hash
of the page's own script forbids everything else.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from microlocal.core.arrays import to_numpy
from microlocal.core.provenance import COLOURS, KINDS, Provenance
from microlocal.core.registry import register
from microlocal.io.atomic import replacing
from microlocal.reconstruction.result import Reconstruction
from microlocal.report import facts, plots, rose, sinogram
from microlocal.report.encode import script_json
from microlocal.report.payload import Stack, build_payload, chosen_slices, stacks
from microlocal.report.svg import number
from microlocal.wavefront import measured_range

_STATIC = Path(__file__).parent / "static"
_SCRIPTS = ("data.js", "viewer.js", "compare.js", "overlay.js", "page.js")
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(reconstruction: Reconstruction, path: str | Path, *, compare: Sequence[Reconstruction] = ()) -> Path:
    """Write the page of ``reconstruction``, beside others of the same scan in ``compare``; return its path.

    The file appears whole or not at all. Raises OutputError when it cannot be written, ShapeError when an image does
    not fit its grid or the reconstructions hold different numbers of slices.
    """
    return write_page(render_report(reconstruction, compare=compare), Path(path))


def write_page(text: str, path: Path) -> Path:
    """Write a page, whole or not at all; return its path. Raises OutputError when it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return path


@register("result-writer", "report.html")
def write_report_into(reconstruction: Reconstruction, folder: Path) -> Path:
    """Write report.html into ``folder``; raises OutputError when it cannot be written."""
    return write_report(reconstruction, folder / "report.html")


def render_report(reconstruction: Reconstruction, *, compare: Sequence[Reconstruction] = ()) -> str:
    """Return the page as text; see ``write_report``."""
    found = stacks([reconstruction, *compare])
    slices = chosen_slices(found)
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return ENVIRONMENT.get_template("report.html.j2").render(
        script=Markup(script),
        script_hash=digest,
        light=own("light.css"),
        dark=own("dark.css"),
        style=own("report.css"),
        payload=Markup(script_json(build_payload(found, slices))),  # script_json has escaped it
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        number=number,
        short_citation=facts.short_citation,
        kinds=[(kind.name.lower(), int(kind)) for kind in KINDS],
        inks=[(kind.name.lower(), COLOURS[kind]) for kind in KINDS],
        **_head(found, slices),
        **_seeing(found[0]),
        **_data(found, slices),
        **_words(found),
    )


def own(name: str) -> Markup:
    """One of our own files, which needs no escaping."""
    return Markup((_STATIC / name).read_text(encoding="utf-8"))


def _script() -> str:
    parts = "\n".join(own(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


def _head(found: Sequence[Stack], slices: Sequence[int]) -> dict[str, Any]:
    scan = found[0].result.scan
    axis = sinogram.view_axis(scan.geometry)
    x, y = scan.grid.center
    central = rose.share(measured_range(scan.geometry, x, y))
    first = found[0].result
    learned = any(s.visible is not None or (s.edges == Provenance.LEARNED).any() for s in found)
    return {
        "title": facts.heading(scan),
        "method": found[0].label,
        "summary": facts.summary(found[0], central),
        "tiles": facts.tiles(found[0], axis.period - axis.missing, axis.period),
        "labels": [stack.label for stack in found],
        "slices": list(slices),
        "slice_count": found[0].image.shape[0],
        "unit": scan.grid.unit,
        "learned": learned,
        "blended": any(stack.visible is not None for stack in found),
        "network": facts.network_sentence(first),
        "consistency": facts.consistency(first),
        "aspect": round(scan.grid.shape[1] / scan.grid.shape[0], 4),
    }


def _seeing(stack: Stack) -> dict[str, Any]:
    scan = stack.result.scan
    measured = measured_range(scan.geometry, *scan.grid.center)
    fraction = to_numpy(stack.result.measured_directions.double())
    return {
        "rose": rose.visibility_rose(scan.geometry, *scan.grid.center),
        "map": rose.visibility_map(scan.geometry, scan.grid, fraction),
        "fraction_bar": rose.fraction_bar(),
        "measured_words": rose.in_words(measured),
        "missing_words": rose.in_words(rose.missing_range(measured)),
        "missing_share": 1 - rose.share(measured),
        "fraction_range": (float(fraction.min()), float(fraction.max()), float(fraction.mean())),
        "beam": facts.beam(scan.geometry),
        "coarse": facts.coarse_views(scan.geometry, scan.grid),
    }


def _flat(values: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    return to_numpy(values.double()).reshape(-1, *shape)


def _limits(residuals: Sequence[NDArray[np.float64]]) -> list[float]:
    """The residual at full colour: common, so that colours compare, but its own where it is over four times larger."""
    reach = [float(np.quantile(np.abs(r), 0.99)) for r in residuals]
    common = reach[0] or max(reach) or 1.0
    return [own if own > 4 * common else common for own in reach]


def _data(found: Sequence[Stack], slices: Sequence[int]) -> dict[str, Any]:
    """The sinograms and residuals of the shown slices, and the charts."""
    scan = found[0].result.scan
    axis = sinogram.view_axis(scan.geometry)
    data = _flat(scan.data, scan.geometry.shape)
    residuals = [_flat(s.result.residual, s.result.scan.geometry.shape) for s in found]
    limits = _limits(residuals)
    pictures = [
        [sinogram.residual_svg(r[k], limit, s.result.scan.geometry, s.label) for k in slices]
        for s, r, limit in zip(found, residuals, limits, strict=True)
    ]
    return {
        "sinograms": [sinogram.sinogram_svg(data[k], scan.geometry, axis) for k in slices],
        "views_missing": axis.missing,
        "views_period": axis.period,
        "folded": sinogram.folds_back(scan.geometry, axis),
        "residuals": list(zip([s.label for s in found], pictures, limits, strict=True)),
        "relative_residuals": [facts.relative_residual(s) for s in found],
        "histogram": plots.residual_histogram(residuals, found),
        "convergence": plots.convergence(found),
    }


def _words(found: Sequence[Stack]) -> dict[str, Any]:
    results = [stack.result for stack in found]
    works = facts.cited(results)
    return {
        "certificates": [(s.label, s.result.certificates) for s in found if s.result.certificates],
        "notes": [(s.label, s.result.notes) for s in found if s.result.notes],
        "warnings": results[0].scan.warnings,
        "scan_rows": facts.scan_table(results[0].scan),
        "configs": [(s.label, facts.nodes(s.result.config)) for s in found],
        "versions": facts.versions(),
        "held_out": facts.metric_rows(found, held_out=True),
        "metrics": facts.metric_rows(found, held_out=False),
        "works": works,
        "bibtex": facts.cited_bibtex(works),
    }

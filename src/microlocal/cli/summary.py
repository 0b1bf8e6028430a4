"""A reconstruction told in the terminal and as JSON: what was found, how sure it is, which files hold it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.failures import BROKEN, DONE, INTERRUPTED
from microlocal.cli.words import angles_in_words, bullets, degrees, heading, joined, length, number

if TYPE_CHECKING:
    from microlocal.certificates.base import Certificate
    from microlocal.core.provenance import Provenance
    from microlocal.reconstruction import Reconstruction


def was_interrupted(result: "Reconstruction") -> bool:
    """Return whether Ctrl-C ended the iteration, as the solver's status in the config says."""
    return bool(result.config.get("status") == "interrupted")


def exit_code(result: "Reconstruction", interrupted: bool) -> int:
    """Return the exit code that a result deserves: a claim that does not hold counts, where nobody interrupted."""
    claimed = all(certificate.holds for certificate in result.certificates)
    return INTERRUPTED if interrupted else DONE if claimed else BROKEN


def fields_of(result: "Reconstruction", others: list["Reconstruction"], files: list[Path]) -> dict[str, Any]:
    """Return the answer for programs."""
    scan = result.scan
    return {
        "method": result.method,
        "interrupted": was_interrupted(result),
        "image_shape": list(result.image.shape),
        "unit": scan.grid.unit,
        "pixel": scan.grid.pixel,
        "measured_share": float(result.measured_directions.mean()),
        "missing_wedge_deg": lazy.wavefront.missing_wedge(scan.geometry),
        "network": lazy.report.network_sentence(result) or None,
        "edges": {kind.name.lower(): share for kind, share in edge_shares(result).items()},
        "metrics": result.metrics,
        "compared": {other.method: other.metrics for other in others},
        "certificates": [certificate.to_dict() for certificate in result.certificates],
        "notes": list(result.notes),
        "warnings": list(scan.warnings),
        "config": result.config,
        "files": files,
    }


def edge_shares(result: "Reconstruction") -> "dict[Provenance, float]":
    """Return which share of the length of the edges has which provenance; empty where there are no edges."""
    return lazy.lengths.edge_shares(result.edges.numpy())


def lines_of(
    result: "Reconstruction", others: list["Reconstruction"], files: list[Path]
) -> list[RenderableType | Path]:
    """Return the answer for people."""
    parts: list[RenderableType | Path] = [opening(result), seen(result), *of_the_network(result)]
    if result.metrics:
        parts += [heading("Numbers"), metric_table([result, *others])]
    if result.certificates:
        parts += [heading("Certificates"), certificate_table(result.certificates)]
    notes = [note for note in result.notes if note not in result.config.values()]
    if notes:
        parts += [heading("What was chosen, and why"), bullets(notes)]
    if result.scan.warnings:
        parts += [heading("Said about the scan"), bullets(result.scan.warnings, "caution")]
    return [*parts, heading("Files"), *files, *where_to_look(files)]


def where_to_look(files: list[Path]) -> list[RenderableType]:
    """Return the sentence that names the report to open, if one was written."""
    reports = [file for file in files if file.suffix == ".html"]
    return [Text.assemble("\nOpen ", (str(file), "what"), " in a browser.") for file in reports]


def opening(result: "Reconstruction") -> Text:
    """Return the first line: image, method, views."""
    grid, geometry = result.scan.grid, result.scan.geometry
    size = " x ".join(map(str, result.image.shape))
    ended = "interrupted: the best image so far" if was_interrupted(result) else "done"
    return Text.assemble(
        (result.method, "what"),
        f" {ended}. {size} pixels of {length(grid.pixel, grid.unit)} from {angles_in_words(geometry)}.",
    )


def seen(result: "Reconstruction") -> Text:
    """Return the sentence on what the scan measured of the edges."""
    missing = lazy.wavefront.missing_wedge(result.scan.geometry)
    shares = edge_shares(result)
    parts = [f"The scan measures {result.measured_directions.mean():.0%} of all edge directions"]
    parts.append(f" ({degrees(missing)} of 180° missing at the axis)")
    if shares:
        told = [f"{share:.0%} are {kind.name.lower()}" for kind, share in shares.items() if share > 0]
        parts.append("; of the length of the edges found, " + joined(told))
    caution = lazy.report.coarse_views(result.scan.geometry, result.scan.grid)
    return Text.assemble("".join(parts) + ".", *([("\n" + caution, "caution")] if caution else []))


def of_the_network(result: "Reconstruction") -> list[RenderableType]:
    """Return what was learned and why, or why not; nothing for methods without a network."""
    said = lazy.report.network_sentence(result)
    return [Text(said, style="" if result.learned is not None else "caution")] if said else []


def metric_table(results: list["Reconstruction"]) -> Padding:
    """Return the numbers, one column a method."""
    table = Table(box=None, padding=(0, 2), header_style="quiet", show_header=len(results) > 1)
    table.add_column("")
    for result in results:
        table.add_column(result.method, justify="right")
    for name in dict.fromkeys(name for result in results for name in result.metrics):
        values = (number(r.metrics[name]) if name in r.metrics else "–" for r in results)
        table.add_row(name.replace("_", " "), *values)
    return Padding(table, (0, 0, 0, 2))


def certificate_table(certificates: tuple["Certificate", ...]) -> Padding:
    """Return the certificates: whether each holds, its kind, value, bound and claim."""
    table = Table(box=None, padding=(0, 2), header_style="quiet")
    for name in ("", "kind"):
        table.add_column(name)
    for name in ("value", "bound"):
        table.add_column(name, justify="right")
    table.add_column("claim", overflow="fold", ratio=1)
    for c in certificates:
        mark = Text("✓", style="good") if c.holds else Text("✗", style="bad")
        table.add_row(mark, str(c.kind), number(c.value), number(c.bound), Text(c.claim))
    return Padding(table, (0, 0, 0, 2))

"""``microlocal edges``: where the edges of an image are, and which way they face."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.choices import OutFolder
from microlocal.cli.edge_subject import Subject, opened
from microlocal.cli.folders import output_folder
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import heading, number

if TYPE_CHECKING:
    from microlocal.wavefront import Singularities

EXAMPLES = examples(
    ("positions and directions of all edges", "microlocal edges photo.png"),
    ("contours of a photograph, less its textures", "microlocal edges photo.png --model network --surround 16"),
    ("lines as well, with their widths", "microlocal edges fibres.tif --ridges"),
    ("what the scan measured of them, what was learned", "microlocal edges results --out results"),
    ("the same for an image of another program", "microlocal edges image.tif --scan scan.mat"),
    after="IMAGE: TIFF, PNG, JPEG, NPY, NPZ, or the folder of a reconstruction, whose\n"
    "scan is then known. Directions are those of the normals, x right and y up,\n"
    "towards the bright side; positions are in pixels, the first one's middle at 0.",
)
SHOWN = 5

Image = Annotated[
    Path, typer.Argument(metavar="IMAGE", show_default=False, help="A picture, or the folder of a reconstruction.")
]
ModelName = Annotated[
    str, typer.Option("--model", metavar="NAME", help="canny, shearlet, network, or another edge model.")
]
WeightsOf = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="Weights of the model network, if not those that ship."),
]
WithRidges = Annotated[bool, typer.Option("--ridges", help="Find lines as well, with their widths.")]
ScanOf = Annotated[
    Path | None,
    typer.Option("--scan", metavar="SCAN", help="The scan behind the image: labels what it measured."),
]
SliceOf = Annotated[
    int | None,
    typer.Option("--slice", metavar="K", help="Which slice of a stack's reconstruction; default: the middle one."),
]

SurroundOf = Annotated[
    float | None,
    typer.Option(
        "--surround",
        metavar="PIXELS",
        help="Take off the mean strength within so many pixels: fewer lines in textures. 16 suits photographs.",
    ),
]


def edges(
    context: typer.Context,
    image: Image,
    model: ModelName = "shearlet",
    weights: WeightsOf = None,
    out: OutFolder = Path("microlocal-out"),
    ridges: WithRidges = False,
    scan: ScanOf = None,
    slice_index: SliceOf = None,
    surround: SurroundOf = None,
) -> None:
    """Find the edges of an image with their directions: edges.csv, edges.npz and edges.png."""
    lazy.members.load_all()
    screen = screen_of(context)
    with output_folder(out) as folder:
        seen = opened(image, scan, slice_index)
        finder = partial(lazy.wavefront.edges, model=model, weights=weights, ridges=ridges, surround=surround)
        look = partial(finder, geometry=seen.geometry, grid=seen.grid)
        everywhere = look(seen.plane, before=seen.before)
        found = everywhere if seen.air is None else everywhere.outside(seen.air)
        files = [
            lazy.point_files.write_csv(found.columns(), folder / "edges.csv"),
            lazy.io.write_npz(_arrays(found), folder / "edges.npz"),
            lazy.edge_picture.draw(seen.plane, found, folder / "edges.png"),
        ]
        of_before = folder / "edges_visible.csv"
        if seen.before is None:
            of_before.unlink(missing_ok=True)  # of an earlier run: it would pass for one of this image
        else:
            visible = look(seen.before).outside(seen.air)
            files.append(lazy.point_files.write_csv(visible.columns(), of_before))
    notes = [*seen.notes, *_of_the_air(len(everywhere) - len(found)), *_of_the_model(model, seen)]
    fields = fields_of(found, model) | {"slice": seen.slice_index, "notes": notes}
    screen.answer(fields | {"files": files}, *lines_of(found, fields), heading("Files"), *files)


def _of_the_air(count: int) -> list[str]:
    return [f"{count} more lie in what the data show to be air, and were left out."] if count else []


def _of_the_model(model: str, seen: Subject) -> list[str]:
    """Warn of what the network takes for edges where a scan is known, and the image a reconstruction."""
    if model != "network" or seen.geometry is None:
        return []
    return [
        "The model network was trained on pictures, not on reconstructions: it takes streaks and texture for edges, "
        "and labels them as such. The models shearlet and canny know the noise of the image."
    ]


def _arrays(found: "Singularities") -> dict[str, Any]:
    """Return what edges.npz holds: the columns of the table, and the dense maps."""
    maps = {"edge_strength": found.edge.strength, "edge_normal_rad": found.edge.normal_rad}
    if found.ridge is not None:
        maps |= {"ridge_strength": found.ridge.strength, "ridge_normal_rad": found.ridge.normal_rad}
    return found.columns() | maps


def fields_of(found: "Singularities", model: str) -> dict[str, Any]:
    """Return the answer for programs."""
    labels = {
        code.name.lower(): int((found.provenance == int(code)).sum()) for code in lazy.provenance.Provenance if code
    }
    return {
        "model": model,
        "shape": list(found.shape),
        "edges": int((found.kind == lazy.wavefront.EDGE).sum()),
        "ridges": int((found.kind == lazy.wavefront.RIDGE).sum()),
        "provenance": labels if found.provenance.any() else None,
        "directions": _rose(found),
    }


def _rose(found: "Singularities") -> dict[str, float]:
    """Return the share of the points whose normals lie around 0°, 45°, 90° and 135°."""
    if not len(found):
        return {}
    sectors = (found.direction_rad * (4 / math.pi)).round().astype(int) % 4
    return {f"{45 * k}°": float((sectors == k).mean()) for k in range(4)}


def lines_of(found: "Singularities", fields: dict[str, Any]) -> list[RenderableType | Path]:
    """Return the answer for people."""
    rows, cols = fields["shape"]
    ridges = f" and {fields['ridges']} of lines" if found.ridge is not None else ""
    said = f"{fields['edges']} points of edges{ridges} in {rows} x {cols} pixels (model {fields['model']})."
    parts: list[RenderableType | Path] = [Text(said), *(Text(note, style="caution") for note in fields["notes"])]
    if fields["provenance"]:
        measured, learned, rest = (fields["provenance"][name] for name in ("measured", "learned", "undetermined"))
        drawn = f"{learned} are learned and " if learned else ""
        parts.append(Text(f"The scan measured {measured} of them; {drawn}{rest} are undetermined.", style="caution"))
    if len(found):
        shares = ", ".join(f"{share:.0%} around {name}" for name, share in fields["directions"].items())
        parts += [Text(f"Normals: {shares}."), heading("The strongest"), _table(found)]
    return parts


def _table(found: "Singularities") -> Table:
    table = Table(box=None, padding=(0, 2), header_style="quiet")
    for name in ("kind", "row", "col", "normal", "strength", "radius"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    columns = found.columns()
    for k in range(min(SHOWN, len(found))):
        bend = float(found.curvature[k])
        radius = f"{1 / abs(bend):.0f}" if abs(bend) > 1e-3 else "straight"
        place = (f"{found.row[k]:.1f}", f"{found.col[k]:.1f}", f"{columns['direction_deg'][k]:.1f}°")
        table.add_row(str(columns["kind"][k]), *place, number(float(found.strength[k])), radius)
    return table

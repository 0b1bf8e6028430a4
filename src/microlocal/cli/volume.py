"""``microlocal volume``: projections of a cone beam (or of any parallel beam) in, a volume and a report out."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.choices import ArcChoice, OutFolder, Slices, parse_center, parse_pixel, parse_slices, parse_weight
from microlocal.cli.failures import BROKEN, DONE, INTERRUPTED
from microlocal.cli.folders import output_folder
from microlocal.cli.screen import screen_of
from microlocal.cli.summary import certificate_table, where_to_look
from microlocal.cli.teaching import examples
from microlocal.cli.volume_choices import (
    FULL_TURN,
    QUANTITIES,
    Pair,
    Setup,
    Size,
    chosen_volume,
    narrowed,
    opened,
    parse_offset,
    parse_pair,
    parse_size,
    parse_turn,
)
from microlocal.cli.words import bullets, heading, length, number

if TYPE_CHECKING:
    from microlocal.reconstruction import VolumeResult

EXAMPLES = examples(
    ("a Nikon scan at half resolution", "microlocal volume scan.xtekct --binning 2"),
    ("all of it, with the axis found from the data", "microlocal volume scan.xtekct --center auto"),
    ("a hundred slices only", "microlocal volume scan.xtekct --slice 300:400"),
    (
        "a folder of TIFF projections over a full turn",
        "microlocal volume tiffs/ --source-axis 120 --source-detector 600 --pixel 0.2 --flats open.tif",
    ),
    ("few views, by total variation", "microlocal volume scan.h5 --method tv --binning 4"),
    after="Ctrl-C keeps the slices that are complete, or the best volume so far\n"
    "(exit code 3); the same command with --resume goes on from there.",
)
SETUP = "Where the files do not say how they were measured"


def _quantity(text: str) -> str:
    if text not in QUANTITIES:
        raise typer.BadParameter(f"expected one of {', '.join(QUANTITIES)}, got {text!r}.")
    return text


def volume(
    context: typer.Context,
    scan: Annotated[
        Path,
        typer.Argument(metavar="SCAN", show_default=False, help="A file or a folder of projections."),
    ],
    method: Annotated[
        str,
        typer.Option("--method", "-m", metavar="NAME", help="fdk (a formula, any size), cgls, tv or shearlet."),
    ] = "fdk",
    out: OutFolder = Path("microlocal-volume"),
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help="tiff (a file a slice), bigtiff (one file), or zarr.")
    ] = "tiff",
    binning: Annotated[
        int, typer.Option("--binning", metavar="N", min=1, help="Join N x N pixels of the panel, and voxels with them.")
    ] = 1,
    angles: ArcChoice = None,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Use only every N-th view.")] = 1,
    center: Annotated[
        str | None,
        typer.Option(
            "--center",
            metavar="auto|file|PIXELS",
            parser=parse_center,
            help="Axis of rotation: found in the middle row, as in the file, or this column (from 0).",
        ),
    ] = None,
    size: Annotated[
        Size | None,
        typer.Option("--size", metavar="N|SxRxC", parser=parse_size, help="Voxels; default: the field of view."),
    ] = None,
    voxel: Annotated[
        float | None, typer.Option("--voxel", metavar="LENGTH", parser=parse_pixel, help="Side of a voxel.")
    ] = None,
    slices: Annotated[
        Slices | None,
        typer.Option("--slice", metavar="K|A:B", parser=parse_slices, help="Only slice K, or A to B-1 (fdk)."),
    ] = None,
    weight: Annotated[
        str,
        typer.Option("--weight", metavar="auto|X", parser=parse_weight, help="Regularisation; auto: by the noise."),
    ] = "auto",
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", min=1, help="Budget. Default: the method's own.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Start of every random draw.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished volume in --out.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard the volume that is in --out.")] = False,
    source_axis: Annotated[
        float | None,
        typer.Option(
            "--source-axis", metavar="LENGTH", parser=parse_pixel, help="From source to axis.", rich_help_panel=SETUP
        ),
    ] = None,
    source_detector: Annotated[
        float | None,
        typer.Option(
            "--source-detector",
            metavar="LENGTH",
            parser=parse_pixel,
            help="From source to panel.",
            rich_help_panel=SETUP,
        ),
    ] = None,
    pixel: Annotated[
        Pair | None,
        typer.Option(
            "--pixel", metavar="P|VxU", parser=parse_pair, help="Size of the panel's pixels.", rich_help_panel=SETUP
        ),
    ] = None,
    offset: Annotated[
        Pair | None,
        typer.Option(
            "--offset",
            metavar="V,U",
            parser=parse_offset,
            help="Middle of the panel off the beam.",
            rich_help_panel=SETUP,
        ),
    ] = None,
    turn: Annotated[
        float,
        typer.Option(
            "--turn",
            metavar="DEG",
            parser=parse_turn,
            help="Turn of all views; below zero: the other way.",
            rich_help_panel=SETUP,
        ),
    ] = FULL_TURN,
    angle_file: Annotated[
        Path | None,
        typer.Option("--angle-file", metavar="FILE", help="Angles in degrees, one a line.", rich_help_panel=SETUP),
    ] = None,
    unit: Annotated[
        str, typer.Option("--unit", metavar="NAME", help="Of all these lengths.", rich_help_panel=SETUP)
    ] = "mm",
    flats: Annotated[
        Path | None, typer.Option("--flats", metavar="PATH", help="Pictures without sample.", rich_help_panel=SETUP)
    ] = None,
    darks: Annotated[
        Path | None, typer.Option("--darks", metavar="PATH", help="Pictures without beam.", rich_help_panel=SETUP)
    ] = None,
    white: Annotated[
        float | None,
        typer.Option(
            "--white",
            metavar="COUNTS",
            parser=parse_pixel,
            help="The open beam, instead of flats.",
            rich_help_panel=SETUP,
        ),
    ] = None,
    quantity: Annotated[
        str | None,
        typer.Option(
            "--quantity",
            metavar="NAME",
            parser=_quantity,
            help="counts (where --flats or --white is given), transmission or lines.",
            rich_help_panel=SETUP,
        ),
    ] = None,
    flip: Annotated[
        str | None,
        typer.Option(
            "--flip",
            metavar="NAME",
            help="rows, cols, both or none: what runs against up and right in the pictures. TIFF: rows.",
            rich_help_panel=SETUP,
        ),
    ] = None,
    geometry: Annotated[
        Path | None,
        typer.Option("--geometry", metavar="FILE", help="A JSON with all of this.", rich_help_panel=SETUP),
    ] = None,
) -> None:
    """Reconstruct the volume of a cone-beam scan: slices, result.json, report.html.

    Nikon .xtekct files, our own files, and projections as TIFF, NPY or NPZ with a
    geometry by options or JSON. The report shows the middle planes and which
    surfaces in them were measured.
    """
    screen = screen_of(context)
    lazy.members.load_all()
    setup = Setup(
        geometry,
        source_axis,
        source_detector,
        pixel,
        offset,
        turn,
        angle_file,
        unit,
        flats,
        darks,
        white,
        quantity,
        flip,
    )
    request = lazy.reconstruction.VolumeRequest(
        method=method,
        slices=None if slices is None else (slices.first, slices.first + 1 if slices.last is None else slices.last),
        weight=None if weight == "auto" else float(weight),
        iterations=iterations,
        seed=seed,
        form=form,
    )
    found = narrowed(opened(scan, setup), binning, angles, every, center)
    request = replace(request, grid=chosen_volume(found, size, voxel))
    with output_folder(out) as folder, screen.bars() as bars:
        bars.prefix = f"{method}: "
        if resume and not lazy.reconstruction.is_under_way(folder):
            screen.say(f"There is nothing to go on with in {out}: it begins anew. Runs that ended keep no state.")
        result = lazy.reconstruction.reconstruct_volume(
            found, folder, request, fresh=fresh, resume=resume, progress=bars
        )
        if result.interrupted:
            screen.say("It can be resumed: the same command with --resume goes on from there.")
    screen.answer(fields_of(result), *lines_of(result))
    claimed = all(certificate.holds for certificate in result.certificates)
    raise typer.Exit(INTERRUPTED if result.interrupted else DONE if claimed else BROKEN)


def fields_of(result: "VolumeResult") -> dict[str, Any]:
    """Return the answer for programs: what result.json holds, and the files."""
    fields = {name: value for name, value in result.to_dict().items() if name != "history"}
    return fields | {"interrupted": result.interrupted, "files": _files(result)}


def lines_of(result: "VolumeResult") -> list[RenderableType | Path]:
    """Return the answer for people."""
    grid, (views, rows, cols) = result.grid, result.geometry.shape
    ended = "interrupted" if result.interrupted else "done"
    size = " x ".join(map(str, grid.shape))
    opening = (
        f" {ended}. {size} voxels of {length(grid.voxel, grid.unit)} from {views} views of {rows} x {cols} pixels."
    )
    parts: list[RenderableType | Path] = [Text.assemble((result.request.method, "what"), opening)]
    if result.surfaces:
        parts.append(Text(lazy.report.told_surfaces(result.surfaces)))
    if "relative residual" in result.metrics:
        parts.append(Text(f"Relative residual {number(result.metrics['relative residual'])}."))
    if result.certificates:
        parts += [heading("Certificates"), certificate_table(result.certificates)]
    if result.notes:
        parts += [heading("What was chosen, and why"), bullets(result.notes)]
    if result.warnings:
        parts += [heading("Said about the scan"), bullets(result.warnings, "caution")]
    files = _files(result)
    return [*parts, heading("Files"), *files, *where_to_look(files)]


def _files(result: "VolumeResult") -> list[Path]:
    names = ("slices", "volume.tif", "volume.zarr", "result.json", "report.html")
    return [path for path in (result.folder / name for name in names) if path.exists()]

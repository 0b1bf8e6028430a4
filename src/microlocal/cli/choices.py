"""What can be chosen on the command line: the text forms (5, 3:7, -30:30, auto, 256x300) and the shared options."""

import math
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from microlocal.cli import lazy


class Slices(NamedTuple):
    """One slice (``last`` is None), or slices first..last-1."""

    first: int
    last: int | None


class Arc(NamedTuple):
    """View angles from ``first_deg`` to ``last_deg``."""

    first_deg: float
    last_deg: float


class Shape(NamedTuple):
    """Rows and columns of an image."""

    rows: int
    cols: int


def _number(text: str, form: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return value


def _whole(text: str, form: str) -> int:
    value = _number(text, form)
    if value != int(value):
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return int(value)


def parse_slices(text: str) -> Slices:
    """Read "K" or "A:B" (A included, B not).

    >>> parse_slices("3:7")
    Slices(first=3, last=7)
    """
    form = "K or A:B with whole numbers, such as 60 or 3:7"
    first, colon, last = text.partition(":")
    return Slices(_whole(first, form), _whole(last, form) if colon else None)


def parse_arc(text: str) -> Arc:
    """Read "A:B" in degrees, both included.

    >>> parse_arc("-30:30")
    Arc(first_deg=-30.0, last_deg=30.0)
    """
    form = "A:B in degrees, such as 0:90 or -30:30"
    first, colon, last = text.partition(":")
    if not colon:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    arc = Arc(_number(first, form), _number(last, form))
    if arc.first_deg > arc.last_deg:
        raise typer.BadParameter(f"expected A <= B, got {text!r}. Write {last}:{first}.")
    return arc


def parse_center(text: str) -> str | float:
    """Read "auto", "file" or a detector pixel, counted from 0.

    >>> parse_center("296.5")
    296.5
    """
    return text if text in ("auto", "file") else _number(text, "auto, file, or a detector pixel such as 296.5")


def parse_weight(text: str) -> str | float:
    """Read "auto" or a positive number.

    >>> parse_weight("0.05")
    0.05
    """
    if text == "auto":
        return text
    value = _number(text, "auto or a positive number")
    if value <= 0:
        raise typer.BadParameter(f"expected auto or a positive number, got {text!r}.")
    return value


def parse_residual(text: str) -> float:
    """Read which share of the data may be left unexplained.

    >>> parse_residual("0.02")
    0.02
    """
    form = "a share of the data between 0 and 1, such as 0.02"
    value = _number(text, form)
    if not 0 < value < 1:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return value


def parse_sigma(text: str) -> str | float:
    """Read "auto" or a noise level above zero.

    >>> parse_sigma("25")
    25.0
    """
    form = "auto or a number above 0 in the unit of the file, such as 25 for 8 bits"
    if text == "auto":
        return text
    value = _number(text, form)
    if value <= 0:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return value


def parse_sigma_or_none(text: str) -> str | float:
    """Read "auto", 0 where there is no noise, or a noise level above zero.

    >>> parse_sigma_or_none("0")
    0.0
    """
    form = "auto, 0 or a number above it in the unit of the file, such as 5 for 8 bits"
    if text == "auto":
        return text
    value = _number(text, form)
    if value < 0:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return value


def parse_pixel(text: str) -> float:
    """Read a length above zero.

    >>> parse_pixel("0.15")
    0.15
    """
    form = "a length above 0"
    value = _number(text, form)
    if value <= 0:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return value


def parse_grid(text: str) -> Shape:
    """Read "N" for a square grid or "ROWSxCOLS".

    >>> parse_grid("512"), parse_grid("300x200")
    (Shape(rows=512, cols=512), Shape(rows=300, cols=200))
    """
    form = "N or ROWSxCOLS with whole numbers above 0, such as 512 or 300x200"
    rows, cross, cols = text.lower().partition("x")
    shape = Shape(_whole(rows, form), _whole(cols if cross else rows, form))
    if min(shape) < 1:
        raise typer.BadParameter(f"expected {form}, got {text!r}.")
    return shape


ScanFile = Annotated[
    Path, typer.Argument(metavar="SCAN", show_default=False, help="The file of the scan; its content says what it is.")
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results; made if missing.")]
SliceChoice = Annotated[
    Slices | None,
    typer.Option("--slice", metavar="K|A:B", parser=parse_slices, help="One slice of a stack, or A to B-1."),
]
ArcChoice = Annotated[
    Arc | None,
    typer.Option("--angles", metavar="A:B", parser=parse_arc, help="Use only views from A to B degrees."),
]
CenterChoice = Annotated[
    str | None,
    typer.Option(
        "--center",
        metavar="auto|file|PIXELS",
        parser=parse_center,
        help="Axis of rotation: found from the data, as in the file, or this detector pixel (from 0). "
        "Default: as in the file, found where it says nothing.",
    ),
]
GridChoice = Annotated[
    Shape | None,
    typer.Option("--grid", metavar="N|RxC", parser=parse_grid, help="Pixels of the image; default: the file's."),
]
PixelChoice = Annotated[
    float | None,
    typer.Option(
        "--pixel",
        metavar="LENGTH",
        parser=parse_pixel,
        help="Side of a pixel, in the scan's unit (mm unless it says).",
    ),
]
ResidualChoice = Annotated[
    float | None,
    typer.Option(
        "--residual",
        metavar="X",
        parser=parse_residual,
        help="Afterwards change the image by the least that leaves this share of the data unexplained.",
    ),
]
NetworkChoice = Annotated[
    str,
    typer.Option(
        "--network",
        metavar="auto|none|NAME|FILE",
        help="Weights of a learned method: shipped ones that suit the scan, none, or these. See microlocal weights.",
    ),
]
NoNetwork = Annotated[
    bool, typer.Option("--no-network", help="The same as --network none: what is not measured stays undetermined.")
]
ForceNetwork = Annotated[
    bool, typer.Option("--force-network", help="Use the network also on a scan unlike those it was trained on.")
]


def chosen_network(network: str, no_network: bool, force: bool) -> tuple[str, bool]:
    """Return (network, force) of the three options, the network as a name or file that a method takes.

    Raises BadParameter where they contradict each other, InputError for weights that are not there.

    >>> chosen_network("auto", True, False)
    ('none', False)
    """
    if no_network and network not in ("auto", "none"):
        raise typer.BadParameter("expected one of --network and --no-network, got both.")
    if no_network:
        network = "none"
    if network == "none" and force:
        raise typer.BadParameter("expected a network with --force-network, got none. Leave one of them out.")
    return (network, force) if network in ("auto", "none") else (str(lazy.catalogue.find_weights(network)), force)

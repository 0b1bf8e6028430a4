"""``microlocal denoise``: take the noise off pictures, and say what is proved of the result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microlocal.cli import lazy
from microlocal.cli.choices import OutFolder, parse_sigma
from microlocal.cli.pictures import Images, WeightsOf, over_pictures
from microlocal.cli.teaching import examples

if TYPE_CHECKING:
    from microlocal.cli.bars import Bars
    from microlocal.report.denoised import DenoisedPicture

EXAMPLES = examples(
    ("a photograph, its noise level estimated", "microlocal denoise photo.png"),
    ("the noise level is known: 25 of 255 grey values", "microlocal denoise photo.png --sigma 25"),
    ("all pages of a stack, with total variation", "microlocal denoise stack.tif --model tv"),
    ("a folder of pictures, a network of your own", "microlocal denoise scans/*.tif --weights run/weights"),
    after="IMAGE: TIFF (pages too), PNG, JPEG or NPY, grey or colours; the result has its\n"
    "format. Written: denoised.*, removed.png, certificate.json and report.html;\n"
    "for several images, each into a folder of its own. Ctrl-C leaves those that\n"
    "are done.",
)

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="shrinkage, nonexpansive, tv, shearlet, or another. Default: shrinkage."
    ),
]
Sigma = Annotated[
    str,
    typer.Option("--sigma", metavar="auto|X", parser=parse_sigma, help="Noise level, in the unit of the file."),
]


def denoise(
    context: typer.Context,
    images: Images,
    model: ModelName = None,
    weights: WeightsOf = None,
    sigma: Sigma = "auto",
    out: OutFolder = Path("microlocal-denoised"),
) -> None:
    """Remove noise from pictures, of any size, and tell what is proved of the result.

    The exit code is 1 where something that is claimed does not hold; the files
    are written all the same.
    The picture keeps its format, type of numbers, colours, opacity and pages.
    Noise is taken to be white: independent from pixel to pixel, of one level.
    """
    lazy.members.load_all()
    chosen = lazy.models.denoiser_of(model, weights)
    noise = None if sigma == "auto" else float(sigma)

    def one(image: Path, bars: "Bars") -> "DenoisedPicture":
        picture = lazy.io.read_photograph(image)
        found = lazy.colours.denoise_pages(lazy.colours.as_pages(picture.values), chosen, noise, bars)
        return lazy.denoised.DenoisedPicture(picture, found, chosen, noise)

    over_pictures(context, images, out, one)

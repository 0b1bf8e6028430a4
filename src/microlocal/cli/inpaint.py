"""``microlocal inpaint``: fill in missing pixels of pictures, and say which were filled in by what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microlocal.cli import lazy
from microlocal.cli.choices import OutFolder, parse_sigma_or_none
from microlocal.cli.pictures import Images, Iterations, RestoredBy, WeightsOf, over_pictures
from microlocal.cli.teaching import examples

if TYPE_CHECKING:
    from microlocal.cli.bars import Bars
    from microlocal.report.denoised import DenoisedPicture

EXAMPLES = examples(
    ("fill in where the mask is zero", "microlocal inpaint photo.png --mask known.png"),
    ("the known pixels have noise, and lose it too", "microlocal inpaint photo.png --mask known.png --sigma auto"),
    ("all pages of a stack, without a network", "microlocal inpaint stack.tif --mask known.tif --model shearlet"),
    ("by a flow trained to fill gaps", "microlocal inpaint photo.png --mask known.png --weights run/weights"),
    after="IMAGE: TIFF (pages too), PNG, JPEG or NPY; the result has its format.\n"
    "The mask is a picture or NPY of the same size, of one page or of as many:\n"
    "zero is unknown, anything else known. NaN in the picture is unknown too.\n"
    "Ctrl-C ends the iteration and keeps its image.\n"
    "Written: inpainted.*, filled.png, certificate.json and report.html.",
)

MaskFile = Annotated[
    Path,
    typer.Option("--mask", metavar="FILE", show_default=False, help="What is known: non-zero; zero is filled in."),
]
Sigma = Annotated[
    str,
    typer.Option(
        "--sigma",
        metavar="auto|0|X",
        parser=parse_sigma_or_none,
        help="Noise level of the known pixels, in the unit of the file; 0: they are kept bit for bit.",
    ),
]


def inpaint(
    context: typer.Context,
    images: Images,
    mask: MaskFile,
    model: RestoredBy = None,
    weights: WeightsOf = None,
    sigma: Sigma = "0",
    iterations: Iterations = None,
    out: OutFolder = Path("microlocal-inpainted"),
) -> None:
    """Fill in missing pixels of pictures, of any size, and tell what is proved of the result.

    The known pixels are kept as they are, unless there is a noise level. What
    is filled in was not measured: it is marked as learned or undetermined.
    The exit code is 1 where something that is claimed does not hold; the files
    are written all the same.
    """
    lazy.members.load_all()
    choice = lazy.restorers.choice_of(model, weights, iterations, lazy.restorers.INPAINTING)
    noise = None if sigma == "auto" else float(sigma)
    marks = lazy.gaps.read_mask(mask)

    def one(image: Path, bars: "Bars") -> "DenoisedPicture":
        picture = lazy.io.read_photograph(image, gaps=True)
        known = lazy.gaps.known_pixels(picture, marks, mask)
        pages = lazy.colours.as_pages(picture.values)
        found = lazy.restorers.inpaint_pages(pages, lazy.colours.as_pages(known), choice, noise, bars)
        job = lazy.picture_jobs.inpainted(mask.name, int((~known).sum()), 1 - float(known.mean()), choice.learned)
        return lazy.denoised.DenoisedPicture(picture, found, lazy.restorers.inpainter(choice), noise, job, known)

    over_pictures(context, images, out, one)

"""``microlocal deblur``: undo a known blur of pictures, and say what is proved of the result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from microlocal.cli import lazy
from microlocal.cli.choices import OutFolder, parse_sigma
from microlocal.cli.pictures import Images, Iterations, RestoredBy, WeightsOf, over_pictures
from microlocal.cli.teaching import examples

if TYPE_CHECKING:
    from microlocal.cli.bars import Bars
    from microlocal.report.denoised import DenoisedPicture

EXAMPLES = examples(
    ("a Gaussian blur of 1.5 pixels", "microlocal deblur photo.png --blur gaussian:1.5"),
    ("out of focus by 3 pixels, the noise is known", "microlocal deblur photo.png --blur disc:3 --sigma 2"),
    ("moved by 9 pixels along 30 degrees, no network", "microlocal deblur a.tif --blur motion:9,30 --model shearlet"),
    (
        "by a flow trained for this blur",
        "microlocal deblur photo.png --blur gaussian:1.5 --weights run/weights",
    ),
    ("the picture of a point is the kernel", "microlocal deblur stack.tif --blur point.png"),
    after="IMAGE: TIFF (pages too), PNG, JPEG or NPY; the result has its format.\n"
    "A kernel file is a picture or NPY, its middle at (rows // 2, cols // 2);\n"
    "it is divided by its sum. Ctrl-C ends the iteration and keeps its image.\n"
    "Written: deblurred.*, changed.png, certificate.json and report.html.",
)

BlurText = Annotated[
    str,
    typer.Option(
        "--blur",
        metavar="FORM|FILE",
        show_default=False,
        help="gaussian:SIGMA, disc:RADIUS, motion:LENGTH,DEGREES in pixels, or the file of a kernel.",
    ),
]
Sigma = Annotated[
    str,
    typer.Option("--sigma", metavar="auto|X", parser=parse_sigma, help="Noise level, in the unit of the file."),
]


def deblur(
    context: typer.Context,
    images: Images,
    blur: BlurText,
    model: RestoredBy = None,
    weights: WeightsOf = None,
    sigma: Sigma = "auto",
    iterations: Iterations = None,
    out: OutFolder = Path("microlocal-deblurred"),
) -> None:
    """Undo a known blur of pictures, of any size, and tell what is proved of the result.

    What the blur has wiped out comes back only as far as the model knows
    pictures. Nothing is assumed beyond the edge.
    The exit code is 1 where something that is claimed does not hold; the files
    are written all the same.
    """
    lazy.members.load_all()
    known = lazy.blur.blur_of(blur)
    choice = lazy.restorers.choice_of(model, weights, iterations)
    noise = None if sigma == "auto" else float(sigma)
    rows, cols = known.kernel.shape
    job = lazy.picture_jobs.deblurred(known.words, rows, cols)

    def one(image: Path, bars: "Bars") -> "DenoisedPicture":
        picture = lazy.io.read_photograph(image)
        chosen = lazy.restorers.deblurrer(choice, known)
        known.within(picture.values.shape[-2:], str(image))
        found = lazy.colours.denoise_pages(lazy.colours.as_pages(picture.values), chosen, noise, bars)
        return lazy.denoised.DenoisedPicture(picture, found, chosen, noise, job)

    over_pictures(context, images, out, one)

"""``microlocal denoise``: take the noise off pictures, and say what is proved of the result."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.choices import OutFolder, parse_sigma
from microlocal.cli.failures import BAD_INPUT, BROKEN, INTERRUPTED
from microlocal.cli.folders import output_folder
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples
from microlocal.cli.words import bullets, heading, number

if TYPE_CHECKING:
    from microlocal.cli.bars import Bars
    from microlocal.reconstruction.images.models import Denoiser
    from microlocal.report.denoised import DenoisedPicture

EXAMPLES = examples(
    ("a photograph, its noise level estimated", "microlocal denoise photo.png"),
    ("the noise level is known: 25 of 255 grey values", "microlocal denoise photo.png --sigma 25"),
    ("all pages of a stack, with total variation", "microlocal denoise stack.tif --model tv"),
    ("a folder of pictures, a network of your own", "microlocal denoise scans/*.tif --weights run/weights"),
    after="IMAGE: TIFF (pages too), PNG, JPEG or NPY, grey or colours; the result has its format.\n"
    "Written: denoised.*, removed.png, certificate.json and report.html; for several\n"
    "images, each into a folder of its own. Ctrl-C leaves those that are done.",
)

Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", show_default=False, help="Pictures, one or several.")]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="shrinkage, nonexpansive, tv, shearlet, or another. Default: shrinkage."
    ),
]
WeightsOf = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Weights of the network, if not those that ship.")
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

    The exit code is 1 where something that is claimed does not hold; the files are written all the same.
    The picture keeps its format, type of numbers, colours, opacity and pages.
    Noise is taken to be white: independent from pixel to pixel, of one level.
    """
    screen = screen_of(context)
    lazy.members.load_all()
    chosen = lazy.models.denoiser_of(model, weights)
    noise = None if sigma == "auto" else float(sigma)
    done: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    interrupted = False
    with output_folder(out) as folder, screen.bars() as bars:
        try:
            for image, place in places(images, folder):
                try:
                    done.append(_one(image, place, chosen, noise, bars))
                except lazy.core.InputError as error:
                    if len(images) == 1:
                        raise
                    failed[str(image)] = str(error)
        except KeyboardInterrupt:
            if not done:
                raise
            interrupted = True
    left = len(images) - len(done) - len(failed)
    fields = {"images": done, "failed": failed, "interrupted": interrupted}
    screen.answer(fields, *lines_of(done, failed, left))
    if interrupted or failed:
        raise typer.Exit(INTERRUPTED if interrupted else BAD_INPUT)
    if not all(certificate["holds"] for one in done for certificate in one["certificates"]):
        raise typer.Exit(BROKEN)


def places(images: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Return for each image where its results go: the folder, or with several one named after it.

    >>> [str(place) for _, place in places([Path("a.png"), Path("b/a.png")], Path("out"))]
    ['out/a', 'out/a-2']
    """
    if len(images) == 1:
        return [(images[0], folder)]
    found: list[tuple[Path, Path]] = []
    for image in images:
        taken = {place.name for _, place in found}
        stem, k = image.stem or "image", 2
        while (name := stem if k == 2 else f"{stem}-{k - 1}") in taken:
            k += 1
        found.append((image, folder / name))
    return found


def _one(image: Path, place: Path, chosen: "Denoiser", noise: float | None, bars: "Bars") -> dict[str, Any]:
    """Denoise a picture; return what is told of it."""
    picture = lazy.io.read_photograph(image)
    bars.prefix = f"{image.name}: "
    found = lazy.colours.denoise_pages(lazy.colours.as_pages(picture.values), chosen, noise, bars)
    result = lazy.denoised.DenoisedPicture(picture, found, chosen, noise)
    return fields_of(result, lazy.denoised.write_denoised(result, place))


def fields_of(result: "DenoisedPicture", files: list[Path]) -> dict[str, Any]:
    """Return the answer for programs: certificate.json without the planes' noise, and the files."""
    kept = {name: value for name, value in result.fields.items() if name not in ("noise_of_planes", "weights")}
    return kept | {"files": files}


def lines_of(done: list[dict[str, Any]], failed: dict[str, str], left: int) -> list[RenderableType | Path]:
    """Return the answer for people."""
    parts: list[RenderableType | Path] = []
    for one in done:
        shape = one["shape"]
        pages = f"{shape['pages']} pages of " if shape["pages"] > 1 else ""
        size = f"{pages}{shape['cols']} x {shape['rows']} pixels"
        said = f": {size}, noise level {number(one['noise'])} ({one['noise_is']}), model {one['model']}."
        parts.append(Text.assemble((one["picture"], "what"), said))
        proved = [f"{c['claim']} Here {c['value']:.4g}." for c in one["certificates"] if c["holds"]]
        broken = [
            f"{c['claim']} Here {c['value']:.4g}: this does not hold." for c in one["certificates"] if not c["holds"]
        ]
        parts += [bullets(proved)] if proved else []
        parts += [bullets([*broken, *_why(one["certificates"])], "bad")] if broken else []
        parts += [bullets(one["notes"], "quiet")] if one["notes"] else []
    if failed:
        parts += [heading(f"Failed: {len(failed)}"), bullets(list(failed.values()), "bad")]
    if left:
        parts.append(Text(f"\nInterrupted: {left} of the images were not reached.", style="caution"))
    return [*parts, heading("Files"), *(file for one in done for file in one["files"])]


def _why(certificates: list[dict[str, Any]]) -> list[str]:
    """Return the hypotheses that fail, each once, with what was measured."""
    failing = [h for certificate in certificates for h in certificate["hypotheses"] if not h["holds"]]
    return list(dict.fromkeys(f"It rests on: {h['statement']}. Here: {h['measured']}." for h in failing))

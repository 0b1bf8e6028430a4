"""What the verbs for pictures share: the loop over them, where their results go, and what is told of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from microlocal.cli import lazy
from microlocal.cli.failures import BAD_INPUT, BROKEN, INTERRUPTED
from microlocal.cli.folders import output_folder
from microlocal.cli.screen import screen_of
from microlocal.cli.words import bullets, heading, number

if TYPE_CHECKING:
    from microlocal.cli.bars import Bars
    from microlocal.report.denoised import DenoisedPicture

Images = Annotated[list[Path], typer.Argument(metavar="IMAGE", show_default=False, help="Pictures, one or several.")]
WeightsOf = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Weights of the network, if not those that ship.")
]
RestoredBy = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="plug-and-play, red, shearlet, tv or stopped-flow. Default: plug-and-play, or what the weights are.",
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(
        "--iterations", metavar="N", min=1, help="Of the model, for every plane. Default: 50 for plug-and-play and red."
    ),
]


def over_pictures(
    context: typer.Context, images: list[Path], out: Path, one: Callable[[Path, "Bars"], "DenoisedPicture"]
) -> None:
    """Take the pictures one by one, write what became of each, tell it, and end with the exit code it deserves."""
    screen = screen_of(context)
    done: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    interrupted = False
    with output_folder(out) as folder, screen.bars() as bars:
        try:
            for image, place in places(images, folder):
                try:
                    bars.prefix = f"{image.name}: "
                    result = one(image, bars)
                    done.append(fields_of(result, lazy.denoised.write_denoised(result, place)))
                except lazy.core.InputError as error:
                    if len(images) == 1:
                        raise
                    failed[str(image)] = str(error)
                if done and done[-1]["interrupted"]:
                    interrupted = True
                    break
        except KeyboardInterrupt:
            if not done:
                raise
            interrupted = True
    left = len(images) - len(done) - len(failed)
    fields = {"images": done, "failed": failed, "interrupted": interrupted}
    screen.answer(fields, *lines_of(done, failed, left))
    broken = not all(c["holds"] for told in done for c in told["certificates"])
    if interrupted or failed or broken:
        raise typer.Exit(INTERRUPTED if interrupted else BAD_INPUT if failed else BROKEN)


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


def fields_of(result: "DenoisedPicture", files: list[Path]) -> dict[str, Any]:
    """Return the answer for programs: certificate.json without the planes' noise, and the files."""
    kept = {name: value for name, value in result.fields.items() if name not in ("noise_of_planes", "weights")}
    return kept | {"files": files}


def lines_of(done: list[dict[str, Any]], failed: dict[str, str], left: int) -> list[RenderableType | Path]:
    """Return the answer for people."""
    parts: list[RenderableType | Path] = []
    for one in done:
        parts.append(Text.assemble((one["picture"], "what"), f": {_summary(one)}"))
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


def _summary(one: dict[str, Any]) -> str:
    """Return size, what was done, noise and model in one sentence."""
    shape = one["shape"]
    pages = f"{shape['pages']} pages of " if shape["pages"] > 1 else ""
    said = [f"{pages}{shape['cols']} x {shape['rows']} pixels"]
    if "blur" in one:
        said.append(f"blur {one['blur']['what']}")
    if "filled" in one:
        said.append(f"{100 * one['filled']['share']:.3g} % of them filled in ({one['filled']['provenance']})")
    kept = "filled" in one and not one["noise"]
    said.append("known pixels kept" if kept else f"noise level {number(one['noise'])} ({one['noise_is']})")
    return ", ".join([*said, f"model {one['model']}."])


def _why(certificates: list[dict[str, Any]]) -> list[str]:
    """Return the hypotheses that fail, each once, with what was measured."""
    failing = [h for certificate in certificates for h in certificate["hypotheses"] if not h["holds"]]
    return list(dict.fromkeys(f"It rests on: {h['statement']}. Here: {h['measured']}." for h in failing))

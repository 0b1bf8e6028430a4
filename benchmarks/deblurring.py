"""Blurs undone by plug-and-play, whose denoiser is told more than the noise, and told the noise itself.

Crops of four pictures of Set12, two blurs, little noise and much; beside them total variation, whose weight follows
from the noise, and shearlets, as ``microlocal deblur`` runs them.
"""

from pathlib import Path
from unittest import mock

import torch

from benchmarks.table import Row
from microlocal.core.progress import SILENT
from microlocal.core.seeding import generator
from microlocal.io.picture import read_picture
from microlocal.operators import Convolution
from microlocal.reconstruction.images import plug_and_play
from microlocal.reconstruction.images.blur import blur_of
from microlocal.reconstruction.images.restorers import choice_of, deblurrer

PICTURES, SIDE, CORNER = (1, 3, 6, 8), 128, 48
BLURS, NOISES = ("gaussian:1", "motion:9,45"), (0.01, 0.03, 0.1)
MODELS = ("plug-and-play", "tv", "shearlet")


def rows(data: Path) -> list[Row]:
    """The mean PSNR of every model, for every blur and noise."""
    wide = [read_picture(path) for path in sorted((data / "denoising" / "Set12").glob("*.png"))]
    found = []
    for blur in BLURS:
        for noise in NOISES:
            where = f"{len(PICTURES)} crops of Set12, {SIDE}², {blur}, noise {noise:g}, 50 iterations"
            pairs = [_blurred(torch.from_numpy(wide[k]).float(), blur, noise, k) for k in PICTURES]
            for model in MODELS:
                found.append(_row(model, where, pairs, blur, noise))
            with mock.patch.object(plug_and_play, "RAISED", 0.0):
                found.append(_row("plug-and-play", where, pairs, blur, noise, ", told the noise itself"))
    return found


def _blurred(picture: torch.Tensor, blur: str, noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is seen of a crop, whose surroundings blur into it, and the crop."""
    kernel = blur_of(blur).kernel
    down, right = (side // 2 for side in kernel.shape)
    wide = picture[CORNER - down : CORNER + SIDE + down, CORNER - right : CORNER + SIDE + right]
    seen = Convolution(kernel.float(), (wide.shape[0], wide.shape[1]), "valid")(wide)
    truth = picture[CORNER : CORNER + SIDE, CORNER : CORNER + SIDE]
    return seen + noise * torch.randn(seen.shape, generator=generator(seed)), truth


def _row(
    model: str, where: str, pairs: list[tuple[torch.Tensor, torch.Tensor]], blur: str, noise: float, how: str = ""
) -> Row:
    run = deblurrer(choice_of(model, None), blur_of(blur)).run
    errors = [(run(seen, noise, SILENT).image - truth).square().mean() for seen, truth in pairs]
    psnr = float((-10 * torch.log10(torch.stack(errors))).mean())
    return Row(f"PSNR of {model}{how}, dB", where, "", f"{psnr:.2f}", None)

"""Small images with known answers, on which the laws try every image method."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.seeding import generator
from microlocal.reconstruction.images.estimate import ImageEstimate

SIZE = 48


@dataclass(frozen=True)
class ImageTrial:
    """A method for images, data with a known answer, and the relative error that the method promises to beat.

    ``run`` maps data (*batch, *shape) to an estimate; ``baseline`` gives the image to beat, ``factor`` how far below
    its error the method stays.
    """

    name: str
    run: Callable[[Tensor], ImageEstimate]
    data: Float[Tensor, "row col"]
    truth: Float[Tensor, "row col"]
    baseline: Callable[[Tensor], Tensor]
    factor: float


def cartoon(size: int = SIZE) -> Float[Tensor, "row col"]:
    """Return a disc on a slope beside a bar, values from 0 to about 1.3."""
    r, c = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    disc = ((r - 0.45) ** 2 + (c - 0.4) ** 2 < 0.08).float()
    bar = ((r - 0.5 * c > 0.5) & (r - 0.5 * c < 0.62)).float()
    return disc + 0.7 * bar + 0.3 * c


def noisy_trial(
    name: str,
    run: Callable[[Float[Tensor, "row col"]], ImageEstimate],
    baseline: Callable[[Float[Tensor, "row col"]], Float[Tensor, "row col"]],
    factor: float,
    noise: float = 0.15,
) -> ImageTrial:
    """Return the trial of a denoising method on the cartoon."""
    truth = cartoon()
    data = truth + noise * torch.randn(truth.shape, generator=generator(0))
    return ImageTrial(name, run, data, truth, baseline, factor)

"""Denoise whole pictures with a method for single planes: colours and pages.

    (y, p, q) = O (r, g, b),      O orthogonal,  y = (r + g + b)/√3

Each of the three planes is denoised by itself and turned back. The structure of the channels gathers in y, where it
stands out more from the noise than in any of them; p and q hold little but noise, which single channels could not be
told from structure. O is orthogonal, so white noise keeps its level in every plane, and bounds in the Euclidean norm
hold for the colours as they hold for the planes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.image_noise import at_ends, image_noise
from microlocal.certificates.base import Certificate
from microlocal.core.progress import SILENT, Progress
from microlocal.reconstruction.images.models import Denoiser
from microlocal.reconstruction.images.noise import given_noise

TASK = "denoising"
SILENT_PICTURE = "No noise was found, so that nothing was removed."
OPPONENT = (
    (1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)),
    (1 / math.sqrt(2), 0.0, -1 / math.sqrt(2)),
    (1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)),
)


@dataclass(frozen=True, eq=False)
class DenoisedPages:
    """Denoised pages, the noise of every plane, and what is proved, with the worst value of all planes."""

    values: Float[Tensor, "page channel row col"]
    noise: Float[Tensor, "page channel"]
    certificates: tuple[Certificate, ...]
    notes: tuple[str, ...]


def denoise_pages(
    pages: Float[Tensor, "page channel row col"],
    denoiser: Denoiser,
    noise: float | None = None,
    progress: Progress = SILENT,
) -> DenoisedPages:
    """Remove noise from pages of one channel (grey), or three (colours, as the opponents of this file's formula).

    ``noise``, its standard deviation in every channel, estimated for every plane unless given. Raises InputError for
    pages that cannot be used. Notes speak of the first plane, grey or y, of the pages.
    """
    if noise is not None:
        given_noise(noise, pages, denoiser.name)
    turned = in_opponents(pages)
    result, levels = turned.clone(), turned.new_empty(turned.shape[:2])
    certificates: list[tuple[Certificate, ...]] = []
    notes: dict[str, None] = {}
    progress.start(TASK, levels.numel())
    for page, planes in enumerate(turned):
        levels[page] = _levels(pages[page], planes) if noise is None else noise
        for channel, (plane, level) in enumerate(zip(planes, levels[page].tolist(), strict=True)):
            if level > 0:
                found = denoiser.run(plane, level)
                result[page, channel] = found.image
                certificates.append(found.certificates)
                notes |= dict.fromkeys(_further(found.notes) if channel == 0 else ())
            progress.advance(TASK)
    progress.finish(TASK)
    if not levels.any():
        notes[SILENT_PICTURE] = None
    return DenoisedPages(from_opponents(result), levels, worst_of(certificates), tuple(notes))


def _further(notes: Sequence[str]) -> list[str]:
    """Return the notes of a method without its first sentence, the noise, which is told of all planes together."""
    first, *others = notes or ("",)
    after = first.partition(" was given.")[2].strip()
    return [after, *others] if after else others


def _levels(
    channels: Float[Tensor, "channel row col"], planes: Float[Tensor, "channel row col"]
) -> Float[Tensor, " channel"]:
    """Return the noise of each plane, away from pixels at which a channel may have been clipped."""
    clipped = torch.stack([at_ends(channel) for channel in channels]).any(dim=0)
    return image_noise(planes, clipped)


def as_pages(values: Float[np.ndarray, "page channel row col"]) -> Float[Tensor, "page channel row col"]:
    """Return the values of a picture as a tensor of their own."""
    return torch.from_numpy(values.copy())


def in_opponents(pages: Float[Tensor, "page channel row col"]) -> Float[Tensor, "page channel row col"]:
    """Return colours as y, p, q; grey as it is.

    >>> grey = torch.ones(1, 3, 2, 2)
    >>> bool(in_opponents(grey)[:, 1:].abs().max() < 1e-6)
    True
    """
    return pages if pages.shape[1] != 3 else torch.einsum("ij,pjrc->pirc", pages.new_tensor(OPPONENT), pages)


def from_opponents(pages: Float[Tensor, "page channel row col"]) -> Float[Tensor, "page channel row col"]:
    """Return red, green and blue; grey as it is."""
    return pages if pages.shape[1] != 3 else torch.einsum("ji,pjrc->pirc", pages.new_tensor(OPPONENT), pages)


def worst_of(issued: list[tuple[Certificate, ...]]) -> tuple[Certificate, ...]:
    """Return each claim with the largest value among the planes, and with what it rests on in any of them."""
    return tuple(_worst(same) for same in zip(*issued, strict=True))


def _worst(same: tuple[Certificate, ...]) -> Certificate:
    rests = dict.fromkeys(hypothesis for certificate in same for hypothesis in certificate.hypotheses)
    return replace(same[0], value=max(certificate.value for certificate in same), hypotheses=tuple(rests))

"""Denoise whole pictures, or restore them otherwise, with a method for single planes: colours and pages.

    (y, p, q) = O (r, g, b),      O orthogonal,  y = (r + g + b)/√3

Each of the three planes is denoised by itself and turned back. The structure of the channels gathers in y, where it
stands out more from the noise than in any of them; p and q hold little but noise, which single channels could not be
told from structure. O is orthogonal, so white noise keeps its level in every plane, and bounds in the Euclidean norm
hold for the colours as they hold for the planes. O mixes the channels of a pixel, and blurs and gaps act on every
channel alike, so that each plane is blurred, or has gaps, as the picture is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from microlocal.calibration.image_noise import CLIPPED, LEAST, SIDE, at_ends, image_noise
from microlocal.certificates.base import Certificate
from microlocal.core.brief import Brief
from microlocal.core.progress import SILENT, Progress
from microlocal.reconstruction.images.estimate import ImageEstimate
from microlocal.reconstruction.images.models import Denoiser
from microlocal.reconstruction.images.noise import given_noise

SILENT_PICTURE = "No noise was found, so that nothing was removed."
INTERRUPTED = "Interrupted: the iteration was ended early, and {} of {} planes were not reached and are as they came."
OPPONENT = (
    (1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)),
    (1 / math.sqrt(2), 0.0, -1 / math.sqrt(2)),
    (1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)),
)


@dataclass(frozen=True, eq=False, repr=False)
class DenoisedPages(Brief):
    """Denoised pages, the noise of every plane, and what is proved, with the worst value of all planes.

    ``left``, the root mean square of what the result leaves of the data, by plane; ``records``, what was chosen for
    each plane that was run; ``interrupted``, whether some were not reached, or not to their end.
    """

    values: Float[Tensor, "page channel row col"]
    noise: Float[Tensor, "page channel"]
    certificates: tuple[Certificate, ...]
    notes: tuple[str, ...]
    left: Float[Tensor, "page channel"]
    records: tuple[dict[str, Any], ...] = ()
    interrupted: bool = False


def denoise_pages(
    pages: Float[Tensor, "page channel row col"],
    denoiser: Denoiser,
    noise: float | None = None,
    progress: Progress = SILENT,
) -> DenoisedPages:
    """Remove noise from pages of one channel (grey), or three (colours, as the opponents of this file's formula).

    ``noise``, its standard deviation in every channel, estimated for every plane unless given. Raises InputError for
    pages that cannot be used. Notes speak of the first plane, grey or y, of the pages. NaN marks gaps, for those that
    fill them. Ctrl-C in an iteration that keeps its best image ends the work with that.
    """
    if noise is not None and not (noise == 0 and denoiser.without_noise):
        given_noise(noise, pages, denoiser.name)
    turned = in_opponents(pages)
    result = turned.clone() if turned is pages else turned  # a plane is read once, and its result takes its place
    levels, left = turned.new_zeros(turned.shape[:2]), turned.new_zeros(turned.shape[:2])
    found: list[ImageEstimate] = []
    notes: dict[str, None] = {}
    interrupted = False
    progress.start(denoiser.task, levels.numel())
    for done, (page, channel) in enumerate(product(*map(range, levels.shape)), start=1):
        if channel == 0:
            levels[page] = _levels(pages[page], turned[page]) if noise is None else noise
        if levels[page, channel] > 0 or denoiser.without_noise:
            found.append(denoiser.run(turned[page, channel], float(levels[page, channel]), progress))
            result[page, channel] = found[-1].image
            left[page, channel] = found[-1].residual.double().square().mean().sqrt()
            notes |= dict.fromkeys(_further(found[-1].notes) if channel == 0 else ())
            interrupted = found[-1].config.get("status") == "interrupted"
        progress.advance(denoiser.task)
        if interrupted:
            notes |= dict.fromkeys([INTERRUPTED.format(levels.numel() - done, levels.numel())])
            break
    progress.finish(denoiser.task)
    if not levels.any() and not denoiser.without_noise:
        notes[SILENT_PICTURE] = None
    certificates = worst_of([one.certificates for one in found if one.certificates])
    records = tuple(one.config for one in found)
    return DenoisedPages(from_opponents(result), levels, certificates, tuple(notes), left, records, interrupted)


def _further(notes: Sequence[str]) -> list[str]:
    """Return the notes of a method without its first sentence, the noise, which is told of all planes together."""
    first, *others = notes or ("",)
    after = first.partition(" was given.")[2].strip()
    return [after, *others] if after else others


def _levels(
    channels: Float[Tensor, "channel row col"], planes: Float[Tensor, "channel row col"]
) -> Float[Tensor, " channel"]:
    """Return the noise of each plane, away from gaps and pixels at which a channel may have been clipped.

    Zero where the gaps leave too few whole patches to see it in.
    """
    unknown = planes.isnan().any(dim=0)
    if not bool(unknown.any()):
        clipped = torch.stack([at_ends(channel) for channel in channels]).any(dim=0)
        return image_noise(planes, clipped)
    whole = avg_pool2d(unknown[None, None].double(), min(SIDE, *unknown.shape), 1) <= CLIPPED
    if int(whole.sum()) < LEAST:
        return planes.new_zeros(len(planes))
    clipped = torch.stack([at_ends(channel[~unknown]) for channel in channels]).any(dim=0)
    left_out = unknown.masked_scatter(~unknown, clipped)
    return image_noise(planes.nan_to_num(), left_out)


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

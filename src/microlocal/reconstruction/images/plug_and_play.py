"""Deblurring and inpainting by plug-and-play: observations of ``reconstruct`` whose denoiser knows the noise.

    y = k * x + n   or   y = M x + n,      x a fixed point of  P(D(G(x)))

It is told the noise of known pixels, and more than that of a blurred image: the data's step makes noise larger where it
undoes the blur, and at a fixed point the noise itself would leave most of that where it is strong. How much more, and
the degree of that step, were chosen on pictures with three blurs (``benchmarks/deblurring.py`` has two of them).

The denoiser knows images between 0 and 1: every image is moved and scaled so that its 0.5 and 99.5 % quantiles get
there, and pixels are kept within one such range beyond them on either side.
"""

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from microlocal.core.checks import at_least, positive, tensor
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.convolution import Convolution, gaussian_kernel
from microlocal.operators.cropped_blur import CroppedBlur
from microlocal.operators.mask import Mask
from microlocal.reconstruction.fixed_point import tiny_denoiser
from microlocal.reconstruction.images.estimate import MARGIN, ImageEstimate, checked_image
from microlocal.reconstruction.images.inpaint import checked_mask
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.trial import SIZE, ImageTrial, cartoon
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.observation import Observation
from microlocal.reconstruction.observed import told
from microlocal.reconstruction.plug_and_play import Known, loaded, observation_by_denoiser
from microlocal.reconstruction.scaled import range_of

Denoiser = nn.Module | str | Path
DEGREE = 2  # of the data's step for blurred images: three makes strong noise larger than it undoes blur
RAISED, MOST_RAISED = 10.0, 1.5  # noise σ, in parts of the contrast, is told as σ (1 + 10 σ), but at most as 1.5 σ


def _deblur_trials() -> list[ImageTrial]:
    kernel, truth = gaussian_kernel(1.5).float(), cartoon()
    blurred = Convolution(kernel, (truth.shape[0], truth.shape[1]))(truth)
    data = blurred + 0.01 * torch.randn(truth.shape, generator=generator(0))

    def run(y: Tensor) -> ImageEstimate:
        return deblur_plug_and_play(y, kernel, tiny_denoiser(), iterations=40)

    return [ImageTrial("deblur-plug-and-play, against the data", run, data, truth, lambda y: y, 0.85)]


@register("image-method", "deblur-plug-and-play", samples=_deblur_trials, reference="ryu2019")
def deblur_plug_and_play(
    image: Float[Tensor, "*batch row col"],
    kernel: Float[Tensor, "krow kcol"],
    denoiser: Denoiser = "nonexpansive",
    *,
    noise: float | None = None,
    iterations: int = 300,
    scheme: str = "plug-and-play",
    force: bool = False,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Undo a known blur of images (*batch, row, col) with a denoiser for a prior.

    ``kernel`` as for ``deblur``; ``denoiser``, the name or file of weights, or a network D(u, noise), or D(u) where
    it takes none; ``noise``, its standard deviation, estimated for every image unless given, of which the denoiser is
    told up to 1.5 times as much; ``scheme``, "plug-and-play" or "red". Raises InputError for images and kernels that
    cannot be used, and for denoisers of which convergence is not proved, unless forced.
    """
    who = "deblur_plug_and_play"
    y = checked_image(image, who)
    sigma, note = given_or_estimated(noise, y, who)
    observation, inside = blurred(y, kernel, who)
    margin = inside[0].start
    start = nn.functional.pad(y.reshape(-1, 1, *y.shape[-2:]), (margin,) * 4, mode="reflect")
    settings = _settings(iterations, force, progress, who)
    _, contrast = range_of(y.reshape(-1, 1, *y.shape[-2:]))
    level = sigma * (1 + RAISED * sigma / contrast.reshape(sigma.shape)).clamp_max(MOST_RAISED)
    found = observation_by_denoiser(observation, settings, _known(denoiser), scheme, start, level, DEGREE)
    residual = y - observation.operator(found.image)
    return _told(replace(found, image=found.image[..., inside[0], inside[1]].contiguous()), residual, sigma, note)


def blurred(
    image: Float[Tensor, "*batch row col"], kernel: Float[Tensor, "krow kcol"], who: str, noise: float | None = None
) -> tuple[Observation, tuple[slice, slice]]:
    """Return blurred images as an observation of wider ones, and where the images are in these.

    Nothing is assumed beyond the edge: a margin is sought with the image. Raises InputError for a kernel of zeros.
    """
    if not bool((tensor(kernel, who) != 0).any()):
        do = "Give a blur, such as gaussian_kernel(2.0)."
        raise InputError(who, expected="a kernel that is not zero", got="zeros only", do=do)
    rows, cols = int(image.shape[-2]), int(image.shape[-1])
    margin = min(MARGIN, rows - 1, cols - 1)
    operator = CroppedBlur(kernel.detach(), (rows, cols), ((margin, margin), (margin, margin)))
    return Observation(image, operator, noise), (slice(margin, margin + rows), slice(margin, margin + cols))


def _inpaint_trials() -> list[ImageTrial]:
    mask = torch.rand((SIZE, SIZE), generator=generator(3)) > 0.5
    truth = cartoon()

    def run(y: Tensor) -> ImageEstimate:
        return inpaint_plug_and_play(y, mask, tiny_denoiser(), iterations=60)

    def fill_with_mean(data: Tensor) -> Tensor:
        return torch.where(mask, data, data[mask].mean())

    return [ImageTrial("inpaint-plug-and-play, against the mean", run, truth * mask, truth, fill_with_mean, 0.5)]


@register("image-method", "inpaint-plug-and-play", samples=_inpaint_trials, reference="ryu2019")
def inpaint_plug_and_play(
    image: Float[Tensor, "*batch row col"],
    mask: Bool[Tensor, "row col"],
    denoiser: Denoiser = "nonexpansive",
    *,
    noise: float | None = None,
    iterations: int = 300,
    scheme: str = "plug-and-play",
    force: bool = False,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Fill in the pixels of images (*batch, row, col) where ``mask`` (row, col) is False, with a denoiser for a prior.

    ``noise`` in the known pixels is what the denoiser is told; without it the known pixels are kept as they are, and it
    is told 3 % of the image's range. The other arguments and errors are those of ``deblur_plug_and_play``; masks as for
    ``inpaint``.
    """
    who = "inpaint_plug_and_play"
    known = checked_mask(mask, tensor(image, who))
    y = checked_image(torch.where(known, image.detach(), torch.zeros_like(image)), who)
    observation = Observation(y, Mask(known), 0.0 if noise is None else positive(noise, "noise", who))
    sigma = y.new_full(y.shape[:-2], observation.noise or 0.0)
    settings, given = _settings(iterations, force, progress, who), sigma if noise is not None else None
    found = observation_by_denoiser(observation, settings, _known(denoiser), scheme, told=given)
    result = told(observation, found, scheme)
    return _told(replace(found, image=result.image), y - Mask(known)(found.image), sigma, *result.notes[2:])


def _known(denoiser: Denoiser) -> Known:
    if isinstance(denoiser, nn.Module):
        return Known(denoiser, type(denoiser).__name__)
    return loaded(str(denoiser))


def _settings(iterations: int, force: bool, progress: Progress, who: str) -> Settings:
    return Settings(iterations=at_least(iterations, 1, "iterations", who), force=force, progress=progress)


def _told(found: Estimate, residual: Tensor, sigma: Tensor, *notes: str) -> ImageEstimate:
    """Return what is said of a fixed point, with notes in the place of the one on the level."""
    return ImageEstimate(
        found.image,
        residual,
        sigma,
        config=found.config,
        notes=(*notes, *found.notes[1:]),
        history=found.history,
        certificates=found.certificates,
    )

"""Inpainting: missing pixels from the sparsity of the image in a frame.

    x = argmin |W x|_0 "subject to" M x = M y,      by thresholding with a decreasing threshold

Curves go on through a gap as long as the filters that see them reach over it: shearlets fill wider gaps than wavelets.
Reference: Elad, Starck, Querre and Donoho (2005).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microlocal.core.checks import at_least, positive, tensor
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.base import Frame
from microlocal.operators.mask import Mask
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image, per_image
from microlocal.reconstruction.images.framed import framed
from microlocal.reconstruction.images.thresholding import Schedule, thresholded_descent
from microlocal.reconstruction.images.trial import SIZE, ImageTrial, cartoon

LAST = 0.1  # of the standard deviation of the known pixels: the last threshold where no noise is given
OF_NOISE = 3.0  # the last threshold in units of the noise


def _trials() -> list[ImageTrial]:
    mask = torch.rand((SIZE, SIZE), generator=generator(3)) > 0.5
    truth = cartoon()

    def run(data: Tensor) -> ImageEstimate:
        return inpaint(data, mask, iterations=25)

    def fill_with_mean(data: Tensor) -> Tensor:
        return torch.where(mask, data, data[mask].mean())

    return [ImageTrial("inpaint, against the mean of the known pixels", run, truth * mask, truth, fill_with_mean, 0.3)]


@register("image-method", "inpaint", samples=_trials, reference="elad2005")
def inpaint(
    image: Float[Tensor, "*batch row col"],
    mask: Bool[Tensor, "row col"],
    frame: Frame | str = "compact-shearlet",
    *,
    noise: float | None = None,
    iterations: int = 60,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Fill in the pixels of images (*batch, row, col) where ``mask`` (row, col) is False, whatever they hold.

    ``frame``, a registered name or a frame of the image's shape; ``noise``, the standard deviation in the known pixels:
    with it they are denoised too, without they are kept as they are. Gains over a smooth spline where there are edges
    and curves; texture without direction, such as hair, is not sparse in shearlets. Raises InputError for images and
    masks that cannot be used.

    >>> image = torch.linspace(0, 1, 32).expand(32, 32)
    >>> mask = torch.rand(32, 32, generator=torch.Generator().manual_seed(0)) > 0.4
    >>> bool((inpaint(image * mask, mask).image - image).abs().max() < 0.2)
    True
    """
    known = checked_mask(mask, tensor(image, "inpaint"))
    y = checked_image(torch.where(known, image.detach(), torch.zeros_like(image)), "inpaint")
    at_least(iterations, 1, "iterations", "inpaint")
    count = known.sum()
    mean = y.sum(dim=(-2, -1)) / count
    deviation = torch.where(known, y - per_image(mean, 2), 0.0)
    spread = (deviation.square().sum(dim=(-2, -1)) / count).sqrt()
    sigma = y.new_full(y.shape[:-2], 0.0 if noise is None else positive(noise, "noise", "inpaint"))
    last = OF_NOISE * sigma if noise is not None else (LAST * spread).clamp_min(torch.finfo(y.dtype).tiny)
    start, system, cut = framed(torch.where(known, y, per_image(mean, 2)), frame, "inpaint", progress)
    seen = framed(known.to(y.dtype), frame, "inpaint")[0] > 0.5
    wide, residuals = thresholded_descent(
        Mask(seen), start * seen, system, start, Schedule(last, iterations), progress=progress
    )
    found = cut(wide)
    result = found if noise is not None else torch.where(known, y, found)
    config = {"frame": system.name, "iterations": iterations, "last threshold": last.tolist()}
    note = f"{100 * (1 - float(count) / known.numel()):.3g} % of the pixels were filled in."
    kept = "The known pixels were denoised." if noise is not None else "The known pixels were kept."
    history = {"residual": residuals}
    return ImageEstimate(
        result, torch.where(known, y - found, 0.0), sigma, config=config, notes=(note, kept), history=history
    )


def checked_mask(mask: Bool[Tensor, "row col"], image: Float[Tensor, "*batch row col"]) -> Bool[Tensor, "row col"]:
    """Return ``mask`` if it is Boolean, of the image's shape and marks some pixel; raises InputError otherwise."""
    if mask.dtype != torch.bool or tuple(mask.shape) != tuple(image.shape[-2:]):
        expected, got = f"a Boolean mask {tuple(image.shape[-2:])}", f"{mask.dtype} {tuple(mask.shape)}"
        raise InputError("inpaint", expected=expected, got=got, do="Mark known pixels by comparing, as in weights > 0.")
    if not bool(mask.any()):
        raise InputError("inpaint", expected="known pixels", got="none", do="True marks what is known.")
    return mask

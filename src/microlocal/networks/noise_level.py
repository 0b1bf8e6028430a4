"""The noise level that a denoiser is told: one number, or one for every image of a batch; or none at all."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.attack import takes_level
from microlocal.core.errors import InputError, ShapeError

LevelOf = float | Float[Tensor, "*batch"] | None


def levels(
    noise: float | Float[Tensor, "*batch"], f: Float[Tensor, "batch channel row col"]
) -> Float[Tensor, "batch 1 1 1"]:
    """Return the standard deviations with axes as the images have; raises InputError unless they are positive."""
    level = torch.as_tensor(noise, dtype=f.dtype, device=f.device).reshape(-1, 1, 1, 1)
    if len(level) not in (1, len(f)) or not bool((level > 0).all()):
        expected, got = f"positive, one or {len(f)} of them", f"{level.flatten()[:4].tolist()}"
        raise InputError("noise level", expected=expected, got=got, do="Give the standard deviation of the noise.")
    return level


def at_level(
    denoiser: nn.Module, f: Float[Tensor, "batch channel row col"], noise: float | Float[Tensor, "*batch"]
) -> Float[Tensor, "batch channel row col"]:
    """Return N(f, noise), or N(f) of a network that takes no noise level, whose guarantee is one for all levels.

    Raises ShapeError where the result has another shape than the images.
    """
    found: Tensor = denoiser(f, noise) if takes_level(denoiser) else denoiser(f)
    if found.shape != f.shape:
        do = "Give a network from images to images of the same size."
        raise ShapeError(type(denoiser).__name__, expected=str(tuple(f.shape)), got=str(tuple(found.shape)), do=do)
    return found

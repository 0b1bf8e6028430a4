"""The noise of images as methods take it: given, or estimated, and the sentence that says which."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.image_noise import image_noise
from microlocal.core.checks import positive
from microlocal.core.errors import InputError


def given_or_estimated(
    noise: float | None, image: Float[Tensor, "*batch row col"], who: str
) -> tuple[Float[Tensor, "*batch"], str]:
    """Return σ for every image and the sentence that says where it comes from."""
    if noise is not None:
        size = given_noise(noise, image, who)
        return image.new_full(image.shape[:-2], size), f"The noise level {size:.4g} was given."
    estimated = image_noise(image)
    listed = ", ".join(f"{value:.4g}" for value in estimated.flatten()[:4].tolist())
    return estimated, f"The noise level {listed} was estimated from the flattest patches."


def given_noise(noise: float, image: Float[Tensor, "..."], who: str) -> float:
    """Return σ if it is a positive number that the type of the image can hold; raises InputError otherwise."""
    most = torch.finfo(image.dtype).max
    if positive(noise, "noise", who) > most:
        do = "Give the standard deviation in the unit of the image."
        raise InputError(who, expected=f"noise up to {most:.3g}", got=f"noise = {noise}", do=do)
    return noise

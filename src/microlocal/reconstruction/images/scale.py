"""How an image is brought to the range that a network knows: by its own contrast, with the noise it was trained on.

    N is applied as a + s N((y - a)/s, σ/s)

a and a + s are the 1st and 99th percentile of the means over 4 x 4 pixels, so that the unit does not matter; where the
noise lies outside of what the network was trained on, s brings it to the nearest level that was.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from microlocal.certificates.base import Hypothesis
from microlocal.core.errors import InputError

BLOCK = 4  # pixels of a side: the means of blocks tell the range of an image, since noise hardly widens theirs
ENDS = (0.01, 0.99)  # the shares of the blocks below black and below white
RANGE = "noise of images in [0, 1]"  # its name on the card
SILENCE = 1e-6  # noise, in parts of the largest difference of two pixels, that counts as none


class Scale(NamedTuple):
    """What is black, how much more is white, and what the noise is in units of the image's own contrast."""

    black: float
    span: float
    noise: float


def scale_of(plane: Float[Tensor, "row col"], level: float, trained: tuple[float, float] | None, who: str) -> Scale:
    """Return how an image is brought to [0, 1], or as near as makes its noise one of those trained on.

    Raises InputError naming ``who`` for noise that is too large for numbers of this kind.
    """
    means = avg_pool2d(plane[None], BLOCK).flatten().sort().values
    black, white = (float(means[round(share * (len(means) - 1))]) for share in ENDS)
    reach = float(plane.max() - plane.min())
    if level <= SILENCE * reach or reach == 0:
        return Scale(black, 1.0, 0.0)
    span = max(white - black, SILENCE * reach)
    own = level / span
    low, high = trained or (own, own)
    wide = level / min(max(own, low), high)
    if wide > torch.finfo(plane.dtype).max:
        got, do = f"{level:.4g}, and values that differ by {reach:.4g}", "Give it in the unit of the image."
        raise InputError(who, expected="noise of the size of the image's values", got=got, do=do)
    return Scale(black, wide, own)


def fixed(scales: list[Scale], levels: list[float]) -> Hypothesis:
    """Return which numbers a statement on two images takes to be those of both."""
    told = (f"a = {a:.6g}, s = {s:.6g}, σ = {level:.6g}" for (a, s, _), level in zip(scales, levels, strict=True))
    return Hypothesis("a, s and σ are held at those of this image", "; ".join(told), True)


def trained_range(card: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the least and the greatest noise a network was trained on, as its card says, or None."""
    found = dict(dict(card.get("trained on", {})).get("ranges", {})).get(RANGE)
    return None if found is None else (float(found[0]), float(found[1]))


def unlike(scales: list[Scale], trained: tuple[float, float] | None) -> tuple[str, ...]:
    """Return what is to be said of the noise: that there is none, or less or more than was trained on."""
    said = []
    if any(scale.noise == 0 for scale in scales):
        said.append("No noise was found, so that nothing was removed.")
    low, high = trained or (0.0, torch.inf)
    others = [scale.noise for scale in scales if scale.noise and not 0.9 * low <= scale.noise <= 1.1 * high]
    if others:
        much = f"{others[0]:.2g} of" if others[0] <= 1 else "more than"
        said.append(
            f"The noise is {much} the contrast of the image; the network was trained on {low:.2g} to "
            f"{high:.2g}. What is proved holds all the same, how well it does has not been tested."
        )
    return tuple(said)

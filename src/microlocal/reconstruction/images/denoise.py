"""Denoising by shrinkage of frame coefficients.

    x = W⁺ S(W y),    y = x + σ n

S keeps what exceeds a multiple of the noise in its band. The default takes that estimate as a pilot and then damps all
coefficients as Wiener's filter would for the pilot. Reference: Donoho and Johnstone (1994); Kutyniok, Lim and
Reisenhofer (2016), section 5.
"""

from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.errors import UnknownNameError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.frames.base import Frame
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image
from microlocal.reconstruction.images.framed import framed
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.shrinkage import bayes, hard, shrink, shrink_by_pilot, soft
from microlocal.reconstruction.images.trial import ImageTrial, noisy_trial

RULES = {"hard": hard, "soft": soft, "bayes": bayes, "wiener": hard}
STRENGTHS = {"hard": 3.0, "soft": 1.5, "bayes": 1.0, "wiener": 3.0}  # in units of the noise of a band


def _trials() -> list[ImageTrial]:
    return [
        noisy_trial("denoise by shearlets, against the data", denoise, lambda y: y, 0.5),
        noisy_trial(
            "denoise by shearlets, against wavelets",
            denoise,
            lambda y: denoise(y, "wavelet", rule="bayes").image,
            0.9,
        ),
    ]


@register("image-method", "denoise", samples=_trials, reference="donoho1994")
def denoise(
    image: Float[Tensor, "*batch row col"],
    frame: Frame | str = "compact-shearlet",
    *,
    noise: float | None = None,
    rule: str = "wiener",
    strength: float | None = None,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Remove white noise from images (*batch, row, col) by shrinking their coefficients in a frame.

    ``frame``, a registered name ("compact-shearlet", "shearlet", "undecimated-wavelet", "wavelet", …) or a frame of
    the image's shape; ``noise``, its standard deviation, estimated for every image unless given; ``rule``, "wiener",
    "hard", "soft" or "bayes"; ``strength``, the threshold in units of the noise of a band (default 3 for hard and the
    pilot of wiener, 1.5 for soft; for bayes a factor of σ). The low-pass is kept. Raises InputError for images that
    cannot be used and UnknownNameError for other names.

    >>> import torch
    >>> clean = torch.zeros(32, 32)
    >>> clean[:, 16:] = 1.0
    >>> noisy = clean + 0.1 * torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    >>> bool((denoise(noisy).image - clean).norm() < 0.5 * (noisy - clean).norm())
    True
    """
    if rule not in RULES:
        raise UnknownNameError("denoise", rule, RULES)
    y = checked_image(image, "denoise")
    factor = STRENGTHS[rule] if strength is None else positive(strength, "strength", "denoise")
    sigma, note = given_or_estimated(noise, y, "denoise")
    wide, system, cut = framed(y, frame, "denoise", progress)
    system.divides = rule != "bayes"  # its thresholds are read off the bands of the whole image

    def shrunk(frame: Frame, part: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch row col"]:
        found = frame.inverse(shrink(frame, frame(part), factor * sigma, RULES[rule]))
        return found if rule != "wiener" else frame.inverse(shrink_by_pilot(frame, frame(part), frame(found), sigma))

    result = cut(system.map(shrunk, wide))
    config = {"frame": system.name, "rule": rule, "strength": factor}
    return ImageEstimate(result, y - result, sigma, config=config, notes=(note,))

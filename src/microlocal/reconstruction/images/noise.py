"""How noisy an image is, from its finest wavelet coefficients."""

from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.frames.wavelet import WaveletFrame

GAUSSIAN_MEDIAN = 0.6744897501960817  # median of |n| for standard normal n


def image_noise(image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch"]:
    """Return σ of white noise in every image: median |d| / 0.6745 over the finest diagonal wavelet coefficients d.

    Few edges reach the diagonal band and the median ignores those, so that σ is over- rather than underestimated.
    Reference: Donoho and Johnstone (1994).

    >>> import torch
    >>> noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    >>> bool(abs(image_noise(0.1 * noise) - 0.1) < 0.01)
    True
    """
    even = image[..., : image.shape[-2] // 2 * 2, : image.shape[-1] // 2 * 2]
    frame = WaveletFrame((even.shape[-2], even.shape[-1]), "db2", levels=1)
    return frame.bands(frame(even.detach()))[-1].flatten(start_dim=-2).abs().median(dim=-1).values / GAUSSIAN_MEDIAN


def given_or_estimated(
    noise: float | None, image: Float[Tensor, "*batch row col"], who: str
) -> tuple[Float[Tensor, "*batch"], str]:
    """Return σ for every image and the sentence that says where it comes from."""
    if noise is not None:
        size = positive(noise, "noise", who)
        return image.new_full(image.shape[:-2], size), f"The noise level {size:.4g} was given."
    estimated = image_noise(image)
    listed = ", ".join(f"{value:.4g}" for value in estimated.flatten()[:4].tolist())
    return estimated, f"The noise level {listed} was estimated from the finest wavelet coefficients."

"""Shrinkage of frame coefficients, band by band, at multiples of the noise that each band carries.

White noise of level σ has level s = σ |ψ_k| in the band of filter k, whatever the frame.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.frames.base import Frame
from microlocal.reconstruction.images.estimate import per_image

Band = Float[Tensor, "*batch row col"]
Rule = Callable[[Band, Float[Tensor, "*batch 1 1"]], Band]


def hard(band: Band, threshold: Float[Tensor, "*batch 1 1"]) -> Band:
    """Keep what exceeds the threshold."""
    return band * (band.abs() > threshold)


def soft(band: Band, threshold: Float[Tensor, "*batch 1 1"]) -> Band:
    """Move everything towards zero by the threshold."""
    return band.sign() * (band.abs() - threshold).clamp_min(0)


def bayes(band: Band, level: Float[Tensor, "*batch 1 1"]) -> Band:
    """Shrink softly at s²/σ_x, σ_x² = mean(c²) - s²: near the best threshold for Laplacian coefficients.

    Reference: Chang, Yu and Vetterli (2000).
    """
    signal = (band.square().mean(dim=(-2, -1), keepdim=True) - level**2).clamp_min(0).sqrt()
    return soft(band, level**2 / signal.clamp_min(torch.finfo(band.dtype).tiny))


def wiener(band: Band, pilot: Band, level: Float[Tensor, "*batch 1 1"]) -> Band:
    """Damp every coefficient by p²/(p² + s²), p that of a pilot estimate: the best linear damping if p were true."""
    energy = pilot.square()
    return band * (energy / (energy + level**2).clamp_min(torch.finfo(band.dtype).tiny))


def shrink(
    frame: Frame, coefficients: Float[Tensor, "..."], sizes: Float[Tensor, "*batch"], rule: Rule
) -> Float[Tensor, "..."]:
    """Apply ``rule`` in place with threshold ``sizes`` |ψ_k| to all bands but the low-pass; return them."""
    for band, record, norm in zip(frame.bands(coefficients), frame.filters, frame.filter_norms().tolist(), strict=True):
        if record.scale >= 0:
            band.copy_(rule(band, per_image(sizes * norm, band.ndim - sizes.ndim)))
    return coefficients


def shrink_by_pilot(
    frame: Frame, coefficients: Float[Tensor, "..."], pilot: Float[Tensor, "..."], noise: Float[Tensor, "*batch"]
) -> Float[Tensor, "..."]:
    """Apply :func:`wiener` in place to all bands but the low-pass, ``pilot`` the pilot's coefficients."""
    norms = frame.filter_norms().tolist()
    for band, guess, record, norm in zip(
        frame.bands(coefficients), frame.bands(pilot), frame.filters, norms, strict=True
    ):
        if record.scale >= 0:
            band.copy_(wiener(band, guess, per_image(noise * norm, band.ndim - noise.ndim)))
    return coefficients

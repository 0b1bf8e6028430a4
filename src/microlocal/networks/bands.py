"""Learned activations that need not increase, nor be of one row: any diffusivity between zero and one, in bands.

    Φ_c(s) = s Σ_j a_cj (r(s/λ_cj) - r(s/λ_cj-1)),      r(t) = 1/(1 + t²),  λ_cj = 3^j λ_c,  0 <= a_cj <= 1

for channel c, s in units of the noise; the first band has no second term. The bands are not negative, since r grows
with λ, and their sum is at most one: whatever is learned, Φ_c(s)/s lies in [0, 1]. A diffusivity may be small for the
smallest differences and rise to a band of its own, as the influence functions of trained reaction diffusion do. As
Φ = Σ_j c_j λ_j φ(s/λ_j) with c_j = a_j - a_j+1 and the slopes of rational Perona-Malik φ in [-1/8, 1],

    Φ' >= -Σ c_j⁺/8 - Σ c_j⁻,      Φ' <= Σ c_j⁺ + Σ c_j⁻/8

Reference: Chen and Pock (2017) for free influence functions; Alt, Weickert, Peter (2020) for 0 <= Φ(s)/s <= 1.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import at_least
from microlocal.networks.mixture import Parts, contrasts_at

RATIO = 3.0  # of neighbouring λ
STEEP = 0.125  # -φ' at √3: the most that rational Perona-Malik falls
BEGIN = (2.0, 1.5)  # logit of a for the first band, and by how much it falls from band to band, to begin with


class Bands(nn.Module):
    """An activation per channel with a learned diffusivity.

    Parameters: ``channels``; ``parts``, how many bands; ``contrast`` λ of the first to begin with, in units of the
    noise. Raises InputError without a band.

    >>> bands = Bands(1, parts=3)
    >>> s = torch.linspace(-5, 5, 101).reshape(1, 1, 1, -1)
    >>> ratio = (bands(s) / s)[s != 0]
    >>> bool((0 <= ratio).all() and (ratio <= 1).all()), bands.least_slope < 0
    (True, True)
    """

    row = "bands"

    def __init__(self, channels: int, parts: int = 5, contrast: float = 0.05) -> None:
        super().__init__()
        at_least(parts, 1, "parts", "Bands")
        first, fall = BEGIN
        self.log_contrast = nn.Parameter(torch.full((channels, 1), math.log(contrast)))
        self.by_noise = nn.Parameter(torch.zeros(channels, 1))
        self.raw_share = nn.Parameter((first - fall * torch.arange(parts)).expand(channels, parts).clone())

    @property
    def least_slope(self) -> float:
        """What no slope is below, now."""
        rises, falls = self._sums()
        return -STEEP * rises - falls

    @property
    def greatest_slope(self) -> float:
        """What no slope is above, now."""
        rises, falls = self._sums()
        return rises + STEEP * falls

    def contrasts(
        self, log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0
    ) -> Float[Tensor, "batch channel 1 1 part"]:
        """Return λ, which may grow with a power of the noise beside it."""
        first = contrasts_at(log_noise, self.log_contrast, self.by_noise)
        return first * RATIO ** torch.arange(self.raw_share.shape[1], device=first.device)

    def forward(
        self,
        s: Float[Tensor, "batch channel row col"],
        log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0,
    ) -> Float[Tensor, "batch channel row col"]:
        """Return Φ(s), s in units of the noise; ``log_noise``, the logarithm of the noise level over a usual one."""
        wide = s if s.dtype in (torch.float32, torch.float64) else s.float()
        squared = wide.square()
        jumps = self._jumps().to(wide.dtype)[:, None, None].unbind(-1)
        contrasts = self.contrasts(log_noise).to(wide.dtype).square().unbind(-1)
        pairs = zip(jumps, contrasts, strict=True)
        diffusivity = torch.stack([jump * (square / (square + squared)) for jump, square in pairs]).sum(dim=0)
        return (diffusivity * wide).to(s.dtype)

    def mixture(self, log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0) -> Parts:
        """Return the same as a mixture of rational Perona-Malik, some of whose shares may be negative."""
        return Parts("perona-malik-rational", self._jumps(), self.contrasts(log_noise)[:, :, 0, 0])

    def _jumps(self) -> Float[Tensor, "channel part"]:
        """Return c = a_j - a_j+1, with nothing after the last."""
        share = self.raw_share.sigmoid()
        return share - torch.cat((share[:, 1:], torch.zeros_like(share[:, :1])), dim=1)

    def _sums(self) -> tuple[float, float]:
        """Return the largest sums over a channel's positive and its negative c."""
        jumps = self._jumps().detach().double()
        return tuple(float(part.clamp_min(0).sum(dim=1).max()) for part in (jumps, -jumps))  # type: ignore[return-value]

"""A denoiser with Lipschitz constant one: symmetric blocks with increasing activations, each mixed with the data.

    u_0 = f,      u_{k+1} = (1 - μ_k) (u_k - τ_k K_kᵀ Φ_k(K_k u_k)) + μ_k f,      N(f) = u_m

in units of the noise: N at noise level n is n N(f/n). Each block is a gradient step on a convex energy of its own, each
mixing an average, so that N is averaged: what plug-and-play iterations need to converge. Unlike the minimiser of one
convex energy, which it contains for equal blocks and m to infinity, the filters may change from block to block.

Reference: Goujon, Neumayer, Bohra, Ducotterd, Unser (2023) for one energy; Chen and Pock (2017) for unrolled diffusion.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import IDENTITY, Guarantee, weakest
from microlocal.core.checks import at_least, positive
from microlocal.core.registry import register
from microlocal.networks.mirror import Border
from microlocal.networks.mixture import Mixture
from microlocal.networks.noise_level import LevelOf, levels
from microlocal.networks.symmetric_block import SymmetricBlock, numbered
from microlocal.networks.trial import NetworkTrial

MIXED = 0.05  # μ to begin with


def _samples() -> list[NetworkTrial]:
    def build(dilations: tuple[int, ...], repeats: int, border: Border = "valid") -> Nonexpansive:
        torch.manual_seed(0)
        return Nonexpansive(dilations, filters=6, side=3, repeats=repeats, noise=0.5, border=border)

    return [
        NetworkTrial("three non-expansive blocks", lambda: build((1, 2, 1), 1), (1, 10, 11)),
        NetworkTrial("two non-expansive blocks, three times", lambda: build((1, 2), 3), (1, 10, 11)),
        NetworkTrial("two non-expansive blocks, mirrored", lambda: build((1, 2), 1, "symmetric"), (1, 8, 9)),
    ]


@register("network", "nonexpansive", samples=_samples, reference="goujon2023")
class Nonexpansive(nn.Module):
    """A denoiser of images (batch, 1, row, col) that brings no two images further apart.

    Parameters: ``dilations`` of the filters, one for every block; ``repeats`` of the row of blocks, with the same
    filters; ``filters`` and ``side`` of all of them; ``parts`` of an activation; ``row`` of the dictionary it is made
    of (one that does not increase gives a denoiser whose norm decreases, but whose Lipschitz constant is above one);
    ``noise`` that is assumed where a call gives none, in the unit of the image; ``usual``, the noise in the middle of
    what it is trained for; ``coupled``, how many filters an activation sees together; ``border``, as for
    ``SymmetricBlock``: with "symmetric" noise falls there as it does inside. With a row that does not increase this is
    trained nonlinear reaction diffusion, whose reaction is the pull μ of the data.

    >>> network = Nonexpansive((1, 2), filters=4, side=3)
    >>> network.guarantee().nonexpansive, network.guarantee().averaged < 1
    (True, True)
    """

    def __init__(
        self,
        dilations: Sequence[int],
        filters: int,
        side: int,
        parts: int = 2,
        row: str = "soft",
        repeats: int = 1,
        noise: float = 0.1,
        usual: float = 0.1,
        coupled: int = 1,
        border: Border = "valid",
    ) -> None:
        super().__init__()
        self.noise, self.usual = noise, usual
        self.blocks = nn.ModuleList(
            SymmetricBlock(1, filters, side, Mixture(filters, row, parts, 0.1, coupled), dilation, 1.8, border)
            for dilation in dilations
        )
        self.repeats = at_least(repeats, 1, "repeats", "Nonexpansive")
        self.raw_mix = nn.Parameter(torch.full((len(self.blocks) * repeats, 2), math.log(MIXED / (1 - MIXED))))
        with torch.no_grad():
            self.raw_mix[:, 1] = 0.0

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the denoised images; ``noise``, its standard deviation, one number or one for every image."""
        level = levels(self.noise if noise is None else noise, f)
        log_level = (level / self.usual).log()
        u = f = f / level
        kernels = [block.filters() for block in self._rows()]
        for k, (block, mix) in enumerate(zip(self._in_order(), self.raw_mix, strict=True)):
            share = torch.sigmoid(mix[0] + mix[1] * log_level)
            after = u - block.step() * block.force(u, log_level, kernels[k % len(kernels)])
            u = torch.lerp(after, f, share)
        return u * level

    def guarantee(self, noise: float | None = None) -> Guarantee:
        """Return what is proved at a noise level, unless given at the usual one and that assumed without one.

        a depends on it, the Lipschitz constant does not.
        """
        if noise is None:
            return weakest([self.guarantee(level) for level in {self.usual, self.noise}])
        found = IDENTITY
        for block, mix in zip(self._in_order(), self._mixed(noise), strict=True):
            found = found.then(block.guarantee()).mixed(IDENTITY, mix)
        return found

    def parts(self) -> list[tuple[str, Guarantee]]:
        """Return what is proved of every block by itself: which of them loses most."""
        return [(f"block {k}, dilation {block.dilation}", block.guarantee()) for k, block in enumerate(self._rows())]

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        found = numbered([block.hypotheses() for block in self._rows()])
        mixed = self._mixed()
        inside = Hypothesis("0 <= μ <= 1", f"{min(mixed):.3g} to {max(mixed):.3g}", 0 <= min(mixed) <= max(mixed) <= 1)
        return (*found, inside)

    def _rows(self) -> list[SymmetricBlock]:
        return [cast(SymmetricBlock, block) for block in self.blocks]

    def _in_order(self) -> list[SymmetricBlock]:
        return self._rows() * self.repeats

    def _mixed(self, noise: float | None = None) -> list[float]:
        """Return μ of every block at a noise level, the usual one unless given."""
        log_level = math.log((self.usual if noise is None else positive(noise, "noise", "Nonexpansive")) / self.usual)
        mix = self.raw_mix.detach()
        return [float(share) for share in torch.sigmoid(mix[:, 0] + mix[:, 1] * log_level)]

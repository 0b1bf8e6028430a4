"""Trained nonlinear reaction diffusion with a bound: learned filters and influence functions, and the pull of the data.

    u_0 = f,      u_{k+1} = u_k - τ_k (K_kᵀ Φ_k(K_k u_k) + λ_k (u_k - f)),      N(f) = u_m

in units of the noise. As Chen and Pock (2017) have it, every stage has filters K, influence functions Φ and a reaction
λ of its own, and Φ need not increase; other than there, |K| <= 1 and 0 <= Φ(s)/s <= 1 hold by parametrisation
(``Bands`` or a row of the dictionary), filters have mean zero, and no border is continued. With the step l = τ/(1 - τ
λ)

    u_{k+1} = (u_k - l Kᵀ Φ(K u_k) + l λ f)/(1 + l λ),      0 < l <= 2  if and only if  0 < τ (1 + 2 λ) <= 2

which takes the reaction implicitly. Proved, for any filters and number of stages: |u_k - c| <= |f - c| for constants c,
and the mean stays. Slopes within [m, M], m <= 0, give distances

    L_{k+1} <= (q L_k + l λ)/(1 + l λ),      q = max(1 - l m, l M - 1),      L_0 = 1

which grow with the stages, but where q = 1 - l m and λ > -m in all of them stay below λ/(λ + m): there the energy that
a stage descends is convex although Φ does not increase.

Reference: Chen and Pock (2017); Alt, Weickert, Peter (2020).
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import IDENTITY, Guarantee, weakest
from microlocal.core.checks import positive
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.registry import register
from microlocal.networks.bands import Bands
from microlocal.networks.mirror import Border
from microlocal.networks.mixture import LEAST_SLOPES, Mixture
from microlocal.networks.noise_level import LevelOf, levels
from microlocal.networks.symmetric_block import LONGEST, SymmetricBlock, numbered
from microlocal.networks.trial import NetworkTrial

PULL = 0.05  # λ to begin with
STRONGEST = 300.0  # log λ that is told apart: beyond, a stage returns the data
FREE = "bands"


def _samples() -> list[NetworkTrial]:
    def build(row: str, border: Border = "valid") -> ReactionDiffusion:
        torch.manual_seed(0)
        return ReactionDiffusion((1, 2), filters=5, side=3, row=row, noise=0.5, border=border)

    def falling() -> ReactionDiffusion:
        """Whose reaction falls with the noise: distances that stay at the usual one grow beyond it."""
        torch.manual_seed(0)
        network = ReactionDiffusion((1, 1), filters=2, side=2, row="perona-malik")
        network.log_pull.data.copy_(torch.tensor([8.0, 10.0]))
        return network

    return [
        NetworkTrial("reaction diffusion, learned in bands", lambda: build(FREE), (1, 9, 8)),
        NetworkTrial("reaction diffusion, Perona-Malik", lambda: build("perona-malik"), (1, 9, 8)),
        NetworkTrial("reaction diffusion, mirrored", lambda: build(FREE, "symmetric"), (1, 7, 8)),
        NetworkTrial("reaction diffusion, less pull of more noise", falling, (1, 8, 8)),
    ]


@register("network", "reaction-diffusion", samples=_samples, reference="chen2017")
class ReactionDiffusion(nn.Module):
    """A denoiser of images (batch, 1, row, col) by stages of learned diffusion and reaction: no norm grows.

    Parameters: ``dilations`` of the filters, one for every stage; ``filters`` and ``side`` of all of them; ``parts`` of
    an activation; ``row``, "bands" for diffusivities that are learned freely, or one of the dictionary; ``noise`` that
    is assumed where a call gives none, in the unit of the image; ``usual``, the noise in the middle of what it is
    trained for; ``border``, as for ``SymmetricBlock``. Raises InputError without a stage, UnknownNameError for another
    row or border.

    >>> network = ReactionDiffusion((1, 1), filters=4, side=3)
    >>> network.guarantee().gain, network.guarantee().mean, network.guarantee().nonexpansive
    (1.0, True, False)
    """

    def __init__(
        self,
        dilations: Sequence[int],
        filters: int,
        side: int,
        parts: int = 5,
        row: str = FREE,
        noise: float = 0.1,
        usual: float = 0.1,
        border: Border = "valid",
    ) -> None:
        super().__init__()
        if not dilations:
            raise InputError("ReactionDiffusion", expected="a stage or more", got="none", do="Give some dilations.")
        if row not in (FREE, *LEAST_SLOPES):
            raise UnknownNameError("ReactionDiffusion", row, (FREE, *LEAST_SLOPES))
        self.noise, self.usual = noise, usual

        def activation() -> Bands | Mixture:
            return Bands(filters, parts) if row == FREE else Mixture(filters, row, parts, 0.1)

        self.blocks = nn.ModuleList(
            SymmetricBlock(1, filters, side, activation(), dilation, 1.8, border) for dilation in dilations
        )
        self.log_pull = nn.Parameter(torch.tensor([math.log(PULL), 0.0]).repeat(len(self.blocks), 1))

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the denoised images; ``noise``, its standard deviation, one number or one for every image."""
        level = levels(self.noise if noise is None else noise, f)
        log_level = (level / self.usual).log()
        u = f = f / level
        for block, pull in zip(self._stages(), self.log_pull, strict=True):
            length = block.step()
            share = torch.sigmoid(length.log() + pull[0] - pull[1] * log_level)  # l λ/(1 + l λ), finite for any λ
            u = torch.lerp(u - length * block.force(u, log_level), f, share)
        return u * level

    def guarantee(self, noise: float | None = None) -> Guarantee:
        """Return what is proved at a noise level, unless given at the usual one and that assumed without one.

        The gain is one at all, distances depend on it.
        """
        if noise is None:
            return weakest([self.guarantee(level) for level in {self.usual, self.noise}])
        found = IDENTITY
        for block, (_, _, length, pull) in zip(self._stages(), self.stages(noise), strict=True):
            found = found.then(block.guarantee()).mixed(IDENTITY, length * pull / (1 + length * pull))
        return found

    def stages(self, noise: float | None = None) -> list[tuple[float, float, float, float]]:
        """Return m, τ, l and λ of every stage: what slopes are above, the steps of both forms, and the reaction."""
        level = self.usual if noise is None else positive(noise, "noise", "ReactionDiffusion")
        log_level = math.log(level / self.usual)
        found = []
        for block, (own, power) in zip(self._stages(), self.log_pull.detach().double().tolist(), strict=True):
            length, pull = float(block.step().detach()), math.exp(min(own - power * log_level, STRONGEST))
            found.append((block.activation.least_slope, length / (1 + length * pull), length, pull))
        return found

    def parts(self) -> list[tuple[str, Guarantee]]:
        """Return what is proved of the diffusion of every stage by itself: which of them loses most."""
        return [(f"stage {k}, dilation {block.dilation}", block.guarantee()) for k, block in enumerate(self._stages())]

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        found = numbered([block.hypotheses() for block in self._stages()])
        steps = [tau * (1 + 2 * pull) for _, tau, _, pull in self.stages()]
        stable = 0 < min(steps) <= max(steps) <= LONGEST * (1 + 1e-9)
        return (*found, Hypothesis("0 < τ (1 + 2 λ) <= 2", f"{min(steps):.3g} to {max(steps):.3g}", stable))

    def _stages(self) -> list[SymmetricBlock]:
        return [cast(SymmetricBlock, block) for block in self.blocks]

"""Learned diffusion of signals, the rows of an image, with the maximum-minimum principle or sign stability as well.

    u_i <- u_i + τ_k (Φ_k(u_{i+1} - u_i) - Φ_k(u_i - u_{i-1})),      0 <= Φ_k(s)/s <= L = 1

with reflection at both ends, in units of the noise: the explicit step of the dictionary, a residual block of two
convolutions, with an activation that is a learned mixture. A step is A(u) u with a tridiagonal A of rows that sum to
one. Proved, for any weights and any number of steps (Alt, Weickert and Peter, 2020, Theorem 2, with h = 1):

    τ <= 1/2      A >= 0: no value leaves the range of its row
    τ <= 1/4      A is diagonally dominant, hence totally non-negative: no step adds a change of sign along a row

Neither can be improved: 1 % above, there are signals that break it. As constants pass, the second holds about every
grey value, which is crossed no more often than before: no row oscillates. In both cases norms fall and the mean stays.
"""

import math
from collections.abc import Iterator
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee, chain, gradient_step
from microlocal.core.checks import at_least
from microlocal.core.errors import UnknownNameError
from microlocal.core.registry import register
from microlocal.networks.mixture import Mixture
from microlocal.networks.noise_level import LevelOf, levels
from microlocal.networks.trial import NetworkTrial

Keeps = Literal["signs", "range"]
LONGEST = {"signs": 0.25, "range": 0.5}  # τ for h = 1 and L = 1
BEGIN = 2.0  # logit of τ over the longest
SQUARED = 4.0  # |D|², D the differences of neighbours

Rows = Float[Tensor, "batch channel row col"]


def _samples() -> list[NetworkTrial]:
    def build(keeps: Keeps, row: str, repeats: int) -> SignalDiffusion:
        torch.manual_seed(0)
        return SignalDiffusion(2, repeats, row=row, keeps=keeps, noise=0.5)

    return [
        NetworkTrial("signals, no new signs", lambda: build("signs", "perona-malik", 3), (1, 1, 24)),
        NetworkTrial("rows, no new signs, garrote", lambda: build("signs", "garrote", 1), (2, 3, 17)),
        NetworkTrial("signals, within their range", lambda: build("range", "soft", 2), (1, 1, 19)),
    ]


@register("network", "signal-diffusion", samples=_samples, reference="alt2020")
class SignalDiffusion(nn.Module):
    """Diffusion along the last axis of signals or images (batch, channel, row, col), each row by itself.

    Parameters: ``steps`` with weights of their own, the whole row of them ``repeats`` times; ``parts`` of an activation
    and the ``row`` of the dictionary it is made of; ``keeps``, "signs" or "range", what steps are short enough for;
    ``noise`` that is assumed where a call gives none, in the unit of the signal; ``usual``, the noise in the middle of
    what it is trained for. Raises UnknownNameError for anything else to keep.

    >>> network = SignalDiffusion(steps=4)
    >>> network.guarantee().signs, network.guarantee().range, SignalDiffusion(4, keeps="range").guarantee().signs
    (True, True, False)
    """

    def __init__(
        self,
        steps: int = 8,
        repeats: int = 1,
        parts: int = 2,
        row: str = "perona-malik",
        keeps: Keeps = "signs",
        noise: float = 0.1,
        usual: float = 0.1,
    ) -> None:
        super().__init__()
        if keeps not in LONGEST:
            raise UnknownNameError("SignalDiffusion", keeps, LONGEST)
        at_least(steps, 1, "steps", "SignalDiffusion")
        self.repeats, self.keeps = at_least(repeats, 1, "repeats", "SignalDiffusion"), keeps
        self.noise, self.usual = noise, usual
        self.activations = nn.ModuleList(Mixture(1, row, parts, 1.0) for _ in range(steps))
        self.raw_steps = nn.Parameter(torch.full((steps,), BEGIN))

    def steps(self) -> Float[Tensor, " step"]:
        """Return τ of every step, between 0 and the longest."""
        return LONGEST[self.keeps] * torch.sigmoid(self.raw_steps)

    def forward(self, u: Rows, noise: LevelOf = None) -> Rows:
        """Return the signals after all steps; ``noise``, its standard deviation, one number or one for every image."""
        for after in self.states(u, noise):
            u = after
        return u

    def states(self, u: Rows, noise: LevelOf = None) -> Iterator[Rows]:
        """Yield the signals after each step."""
        level = levels(self.noise if noise is None else noise, u)
        log_level, steps = (level / self.usual).log(), self.steps().to(u.dtype)
        u = u / level
        for _ in range(self.repeats):
            for step, activation in zip(steps, self.activations, strict=True):
                u = u + step * pad(activation(u.diff(dim=-1), log_level), (1, 1)).diff(dim=-1)
                yield u * level

    def guarantee(self) -> Guarantee:
        pairs = zip(self.steps().detach().tolist(), self._mixtures(), strict=True)
        return chain([_of_step(step, activation.least_slope) for step, activation in pairs] * self.repeats)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        longest, steps = LONGEST[self.keeps], self.steps().detach()
        ends = [end for activation in self._mixtures() for end in activation.contrasts().detach().aminmax()]
        least, most = float(min(ends)), float(max(ends))
        name = "1/4" if self.keeps == "signs" else "1/2"
        first, last = (float(end) for end in steps.aminmax())
        return (
            Hypothesis(f"0 < τ <= {name}", f"{first:.4f} to {last:.4f}", 0 < first <= last <= longest),
            Hypothesis("contrasts of Φ are finite", f"{least:.3g} to {most:.3g}", 0 < least <= most < math.inf),
        )

    def _mixtures(self) -> list[Mixture]:
        return [cast(Mixture, activation) for activation in self.activations]


def _of_step(step: float, least: float) -> Guarantee:
    """Return what is proved of a step of size τ, where slopes of Φ are between ``least`` and one."""
    whole = gradient_step(step, SQUARED)
    if least < 0:
        whole = Guarantee(gain=whole.gain, lipschitz=max(1 - step * SQUARED * least, step * SQUARED - 1))
    signs, within = step <= LONGEST["signs"], step <= LONGEST["range"]
    return Guarantee(whole.gain, whole.lipschitz, whole.averaged, within, signs, mean=True)

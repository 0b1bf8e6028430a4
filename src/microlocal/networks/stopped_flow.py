"""A variational network that is stopped in time: the gradient flow of a learned energy, and when to leave it.

    u' = -λ (u - f) - Kᵀ Φ(K u),              u(0) = f,      N(f) = u(T)
    u' = -λ A*(A u - f) - Kᵀ Φ(K u)           with an operator A, as a blur that is to be undone

in S explicit steps of size T/S, in units of the noise. The minimiser of the energy is not what one wants, on the way to
it lies something better: the energy is learned together with the time T at which the flow is left. With J(T) =
|u(T) - g|²/2, summed over images with truths g and in their unit, T is optimal where

    J'(T) = 0,      J''(T) >= 0

which ``optimality`` evaluates by differentiating the flow itself twice. J' is the mean over the steps of <p, u'> with
the adjoint state p of the paper.

Proved: every step is a mixture of f and a gradient step on a convex energy while T (2λ + 1) <= 2 S, so that N is
1-Lipschitz for increasing Φ, and norms fall for the others; T is kept below that by its parametrisation. With an
operator every step is a gradient step on a convex energy while T (λ |A|² + 1) <= 2 S, moved by T/S λ A*f: two images
get apart by at most 1 + T λ |A| for increasing Φ, in S steps or in many, and norms grow by no more.

Reference: Effland, Kobler, Kunisch, Pock (2020).
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import IDENTITY, Guarantee, chain, gradient_step
from microlocal.certificates.operators import operator_hypotheses
from microlocal.core.checks import at_least, positive
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.networks.mirror import Border
from microlocal.networks.mixture import Mixture
from microlocal.networks.noise_level import LevelOf, levels
from microlocal.networks.symmetric_block import SymmetricBlock
from microlocal.networks.trial import NetworkTrial
from microlocal.operators import Convolution, LinearOperator, gaussian_kernel

BEGIN = 0.3  # of the longest time that S steps allow, to begin with
PULL = 0.1  # λ to begin with


def _samples() -> list[NetworkTrial]:
    def build(row: str, blur: float = 0.0, border: Border = "valid") -> StoppedFlow:
        torch.manual_seed(0)
        operator = Convolution(gaussian_kernel(blur), (9, 8)) if blur else None
        return StoppedFlow(4, 3, steps=4, row=row, noise=0.5, operator=operator, border=border)

    return [
        NetworkTrial("a stopped flow, soft", lambda: build("soft"), (1, 9, 8)),
        NetworkTrial("a stopped flow, Perona-Malik", lambda: build("perona-malik-rational"), (1, 9, 8)),
        NetworkTrial("a stopped flow behind a blur", lambda: build("soft", 0.7), (1, 9, 8)),
        NetworkTrial("Perona-Malik behind a blur", lambda: build("perona-malik-rational", 0.7), (1, 9, 8)),
        NetworkTrial("a stopped flow, mirrored", lambda: build("soft", border="symmetric"), (1, 9, 8)),
    ]


@dataclass(frozen=True)
class Optimality:
    """The conditions of an optimal stopping time: ``time`` T, the ``error`` J(T), its first and second derivative."""

    time: float
    error: float
    slope: float
    curvature: float

    def holds(self, tolerance: float = 1e-2) -> bool:
        """Whether |T J'(T)| <= tolerance J(T) and J''(T) >= 0."""
        return abs(self.time * self.slope) <= tolerance * self.error and self.curvature >= 0


@register("network", "stopped-flow", samples=_samples, reference="effland2020")
class StoppedFlow(nn.Module):
    """A denoiser of images (batch, 1, row, col): a learned gradient flow with a learned stopping time.

    Parameters: ``filters`` and ``side`` of K; ``steps`` S; ``parts`` of an activation and the ``row`` of the dictionary
    it is made of; ``noise`` that is assumed where a call gives none, in the unit of the image; ``usual``, the noise in
    the middle of what it is trained for; ``coupled``, how many filters an activation sees together; ``operator`` A in
    front of the image, none for denoising: the flow begins at f where A keeps the shape, at A*f/|A|² otherwise;
    ``border``, as for ``SymmetricBlock``.

    >>> network = StoppedFlow(4, 3, steps=10)
    >>> network.guarantee().nonexpansive, 0 < network.time().item() < network.longest()
    (True, True)
    """

    def __init__(
        self,
        filters: int,
        side: int,
        steps: int = 10,
        parts: int = 2,
        row: str = "soft",
        noise: float = 0.1,
        usual: float = 0.1,
        coupled: int = 1,
        operator: LinearOperator | None = None,
        border: Border = "valid",
    ) -> None:
        super().__init__()
        self.noise, self.usual, self.steps = noise, usual, at_least(steps, 1, "steps", "StoppedFlow")
        self.block = SymmetricBlock(1, filters, side, Mixture(filters, row, parts, 0.1, coupled), border=border)
        self.block.raw_step.requires_grad_(False)
        self.operator = operator
        self.begin: LinearOperator | None = None
        self.norm = None if operator is None else operator.norm_bound()
        if self.norm is not None and not 0 < self.norm < math.inf:
            do = "Give the operator a norm_bound(), or bound= where it wraps a foreign one."
            raise InputError("StoppedFlow", expected="an operator with a norm bound", got=f"{self.norm:g}", do=do)
        self.log_pull = nn.Parameter(torch.tensor(math.log(PULL)))
        self.raw_time = nn.Parameter(torch.tensor(math.log(BEGIN / (1 - BEGIN))))

    def behind(self, operator: LinearOperator, begin: LinearOperator | None = None, norm: float | None = None) -> Self:
        """Return the flow, with the same weights, behind another operator A.

        ``begin``, the linear map from f to u(0); ``norm``, a proved bound of |A|, its own unless given: one that does
        not depend on the shape of the image keeps T the same for all.
        """
        moved = copy.copy(self)
        moved._modules = dict(self._modules)
        moved.operator, moved.begin = operator, begin
        moved.norm = operator.norm_bound() if norm is None else norm
        return moved

    def pull(self) -> Float[Tensor, ""]:
        """Return λ."""
        return self.log_pull.exp()

    def longest(self) -> float:
        """Return the time below which every step is stable: 2 S/(1 + 2λ), or 2 S/(1 + λ |A|²)."""
        return 2 * self.steps / (1 + self._stiffness() * float(self.pull().detach()))

    def time(self) -> Float[Tensor, ""]:
        """Return T."""
        return 2 * self.steps / (1 + self._stiffness() * self.pull()) * torch.sigmoid(self.raw_time)

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the flow at the learned time; ``noise``, its standard deviation, one number or one for every image."""
        return self.flow(f, self.time(), noise)

    def flow(
        self, f: Float[Tensor, "batch 1 row col"], time: Float[Tensor, ""] | float, noise: LevelOf = None
    ) -> Float[Tensor, "batch 1 row col"]:
        """Return the flow at a time of one's own: S explicit steps of size T/S."""
        level = levels(self.noise if noise is None else noise, f)
        log_level, kernel, step = (level / self.usual).log(), self.block.filters(), time / self.steps
        f = f / level
        u = self._begin(f)
        for _ in range(self.steps):
            u = u - step * (self.pull() * self._misfit(u, f) + self.block.force(u, log_level, kernel))
        return u * level

    def _begin(self, f: Tensor) -> Tensor:
        a = self.operator
        if self.begin is not None:
            return self.begin(f)
        if a is None or a.domain_shape == a.codomain_shape:
            return f
        return a.adjoint(f) / self._bound() ** 2

    def _misfit(self, u: Tensor, f: Tensor) -> Tensor:
        """Return the gradient of |A u - f|²/2."""
        a = self.operator
        return u - f if a is None else a.adjoint(a(u) - f)

    def _stiffness(self) -> float:
        return 2.0 if self.operator is None else self._bound() ** 2

    def _bound(self) -> float:
        """Return a bound of |A|; an operator keeps its norm."""
        return 1.0 if self.norm is None else self.norm

    def optimality(
        self,
        f: Float[Tensor, "batch 1 row col"],
        truth: Float[Tensor, "batch 1 row col"],
        noise: LevelOf = None,
        time: float | None = None,
        seen: Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]] = lambda u: u,
    ) -> Optimality:
        """Return the error and its derivatives by the stopping time, at the learned one unless given.

        ``seen``, the linear map from u to what the truth is known of, as the part of a wider image.
        """
        at = float(self.time().detach()) if time is None else positive(time, "time", "StoppedFlow")
        with torch.enable_grad():
            moment = f.new_tensor(at, dtype=torch.float64).requires_grad_()
            gap = seen(self.flow(f, moment.to(f.dtype), noise)) - truth
            error = gap.square().sum() / 2
            (slope,) = torch.autograd.grad(error, moment, create_graph=True)
            (curvature,) = torch.autograd.grad(slope, moment)
        return Optimality(at, float(error.detach()), float(slope.detach()), float(curvature))

    def guarantee(self) -> Guarantee:
        if self.operator is not None:
            return self._behind(self.operator)
        pull, step = float(self.pull().detach()), float(self.time().detach()) / self.steps
        share = pull * step  # of f in every mixture, below one
        length, least = step / (1 - share), self.block.activation.least_slope
        found = gradient_step(length, 1.0)
        if least < 0:
            found = Guarantee(gain=found.gain, lipschitz=max(1 - length * least, abs(1 - length)))
        one = Guarantee(found.gain, found.lipschitz, found.averaged, mean=True)
        total = IDENTITY
        for _ in range(self.steps):
            total = chain([total, one]).mixed(IDENTITY, share)
        return total

    def _behind(self, operator: LinearOperator) -> Guarantee:
        """Return what is proved with an operator: every step adds T/S λ |A| of the data to what the last one left."""
        norm, step = self._bound(), float(self.time().detach()) / self.steps
        pull, least = float(self.pull().detach()), self.block.activation.least_slope
        most = step * (pull * norm**2 + 1) - 1  # at most one, below the longest time
        begin = 1.0 if operator.domain_shape == operator.codomain_shape else 1 / norm
        gain = lipschitz = begin if self.begin is None else self.begin.norm_bound()
        for _ in range(self.steps):
            gain = max(1.0, most) * gain + step * pull * norm
            lipschitz = max(1 - step * min(least, 0.0), most) * lipschitz + step * pull * norm
        return Guarantee(gain, lipschitz)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        time, longest = float(self.time().detach()), self.longest()
        norm, _, *others = self.block.hypotheses()
        stable = "T (2λ + 1) <= 2 S" if self.operator is None else "T (λ |A|² + 1) <= 2 S"
        tried = () if self.operator is None else operator_hypotheses(self.operator)
        return (norm, *others, *tried, Hypothesis(stable, f"T = {time:.4g}, at most {longest:.4g}", time <= longest))

"""The symmetric residual block: one explicit step of a diffusion that is learned.

    u - τ Kᵀ Φ(K u),      |K| <= 1,  0 <= Φ(s)/s <= 1,  0 < τ <= 2

K is a bank of filters applied where they fit into the image ("valid"), Kᵀ its transpose, so that there is nothing to
learn twice, and no border condition: beyond the border nothing is penalised, and noise stays there. With the border
"symmetric" the image goes on as its mirror image (``mirror``), and the bank has the reflections of its filters, too:
K P has the norm of K. The filters have mean zero, so that constants pass and the mean grey value stays. They are
divided by an upper bound of their own norm each time they are used: the bounds hold before, during and after training.

Proved, for any filters: |N(u) - c| <= |u - c| for constants c (I - τ KᵀGK with a diagonal 0 <= G <= 1). If Φ increases,
the block is a gradient step on a convex energy: averaged with the constant τ/2, 1-Lipschitz. If m <= Φ' <= M with
m < 0, its Lipschitz constant is at most max(1 - τ m, τ M - 1): norms fall, distances need not.

Reference: Alt, Weickert, Peter (2020); Ruthotto and Haber (2020); Bauschke and Combettes (2017), theorem 18.15.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.filters import filter_norm_bound
from microlocal.certificates.guarantee import Guarantee, gradient_step
from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.bands import Bands
from microlocal.networks.fused_force import fused_force, fuses
from microlocal.networks.mirror import Border, checked_border, folded, mirrored, with_reflections
from microlocal.networks.mixture import Mixture
from microlocal.networks.trial import NetworkTrial

LONGEST = 2.0  # τ for |K| = 1 and L = 1


def _samples() -> list[NetworkTrial]:
    def build(row: str, coupled: int, side: int | tuple[int, int] = 3, border: Border = "valid") -> SymmetricBlock:
        torch.manual_seed(0)
        return SymmetricBlock(1, 6, side, Mixture(6, row, parts=2, coupled=coupled), step=1.9, border=border)

    return [
        NetworkTrial("a symmetric block with soft shrinkage", lambda: build("soft", 1), (1, 8, 9)),
        NetworkTrial("a symmetric block of Perona and Malik", lambda: build("perona-malik", 1), (1, 8, 9)),
        NetworkTrial("a symmetric block on signals", lambda: build("garrote", 1, (1, 3)), (1, 1, 17)),
        NetworkTrial("a symmetric block with coupled channels", lambda: build("charbonnier", 2), (1, 7, 8)),
        NetworkTrial("a symmetric block, mirrored", lambda: build("soft", 1, border="symmetric"), (1, 8, 7)),
        NetworkTrial("mirrored, coupled, garrote", lambda: build("garrote", 3, (5, 3), "symmetric"), (1, 6, 7)),
    ]


@register("network", "symmetric-block", samples=_samples, reference="alt2020")
class SymmetricBlock(nn.Module):
    """One learned diffusion step on images (batch, channel, row, col).

    Parameters: ``channels`` of the image; ``filters``, how many; ``side`` of a filter, or (rows, cols), as (1, 5) for
    signals, which are images of one row; ``activation`` Φ of as many channels as filters; ``dilation``, the distance
    between the filter's pixels; ``step`` τ to begin with, in (0, 2); ``border``, "valid" or "symmetric": then there are
    four times as many filters as are learned, of an odd number of rows and columns. Raises InputError,
    UnknownNameError.

    >>> block = SymmetricBlock(1, 4, 3, Mixture(4))
    >>> flat = torch.full((1, 1, 6, 6), 0.3)
    >>> bool(torch.equal(block(flat), flat)), block.guarantee().nonexpansive
    (True, True)
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        side: int | tuple[int, int],
        activation: Mixture | Bands,
        dilation: int = 1,
        step: float = 1.0,
        border: Border = "valid",
    ) -> None:
        super().__init__()
        self.activation, self.dilation = activation, at_least(dilation, 1, "dilation", "SymmetricBlock")
        rows, cols = (side, side) if isinstance(side, int) else side
        at_least(max(rows, cols), 2, "side", "SymmetricBlock")
        if not 0 < step < LONGEST:
            do = "Begin with a shorter step: training can come as near to 2 as it likes."
            raise InputError("SymmetricBlock", expected=f"a step in (0, {LONGEST:g})", got=f"{step:g}", do=do)
        self.border = checked_border(border, (rows, cols), "SymmetricBlock")
        start = _cosines if border == "valid" else _noise
        self.raw = nn.Parameter(start(filters, channels, rows, cols))
        self.raw_step = nn.Parameter(torch.tensor(math.log(step / (LONGEST - step))))

    def filters(self) -> Float[Tensor, "filter channel row col"]:
        """Return K: of mean zero in each filter, |K| <= 1; with their reflections where the border is symmetric."""
        raw = self.raw if self.raw.dtype in (torch.float32, torch.float64) else self.raw.float()
        plain = raw - raw.mean(dim=(-2, -1), keepdim=True)
        plain = plain - plain.mean(dim=(-2, -1), keepdim=True)  # what rounding left of a large mean
        bank = plain if self.border == "valid" else with_reflections(plain)
        return bank / filter_norm_bound(bank)

    def margins(self) -> tuple[int, int]:
        """Return by how many rows and columns the image is continued on each side."""
        rows, cols = (0, 0) if self.border == "valid" else (side // 2 for side in self.raw.shape[-2:])
        return self.dilation * rows, self.dilation * cols

    def step(self) -> Float[Tensor, ""]:
        """Return τ, between 0 and 2."""
        return LONGEST * torch.sigmoid(self.raw_step)

    def forward(
        self,
        u: Float[Tensor, "batch channel row col"],
        *,
        log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0,
    ) -> Float[Tensor, "batch channel row col"]:
        """Return u - τ Kᵀ Φ(K u); images smaller than a filter pass as they are.

        ``log_noise``, by its name only since it is no noise level as denoisers are told one: the logarithm of that over
        a usual one.
        """
        return u - self.step() * self.force(u, log_noise)

    def force(
        self,
        u: Float[Tensor, "batch channel row col"],
        log_noise: Float[Tensor, "batch 1 1 1"] | float = 0.0,
        kernel: Float[Tensor, "filter channel row col"] | None = None,
    ) -> Float[Tensor, "batch channel row col"]:
        """Return Kᵀ Φ(K u), the gradient of the energy; ``kernel``, K if it is at hand.

        It is zero for images smaller than a filter, or of fewer pixels than they would be continued by.
        """
        kernel = (self.filters() if kernel is None else kernel).to(u)
        margins, sides = self.margins(), tuple(u.shape[-2:])
        least = (margin or self.dilation * (n - 1) + 1 for margin, n in zip(margins, kernel.shape[-2:], strict=True))
        if any(n < few for n, few in zip(sides, least, strict=True)):
            return torch.zeros_like(u)
        return folded(self._inner_force(mirrored(u, margins), log_noise, kernel), margins)

    def _inner_force(self, u: Tensor, log_noise: Tensor | float, kernel: Tensor) -> Tensor:
        """Return Kᵀ Φ(K u) where the filters fit."""
        copies = len(kernel) // len(self.raw)
        mixture = self.activation.mixture(log_noise)
        if mixture is not None and fuses(u):
            return fused_force(u[:, 0], kernel[:, 0], mixture.repeated(copies), self.dilation)[:, None]
        parts = functional.conv2d(u, kernel, dilation=self.dilation).chunk(copies, dim=1)
        flux = torch.cat([self.activation(part, log_noise) for part in parts], dim=1)
        return functional.conv_transpose2d(flux, kernel, dilation=self.dilation)

    def guarantee(self) -> Guarantee:
        step, least = float(self.step().detach()), self.activation.least_slope
        if least >= 0:
            found = gradient_step(step, 1.0)
            return Guarantee(found.gain, found.lipschitz, found.averaged, mean=True)
        most = self.activation.greatest_slope
        return Guarantee(gain=1.0, lipschitz=max(1 - step * least, step * most - 1), mean=True)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        kernel, step = self.filters().detach().double(), float(self.step().detach())
        norm = float(filter_norm_bound(kernel))  # as fine as it was divided by: a coarser one would say more than it is
        rest = float(kernel.mean(dim=(-2, -1)).abs().max())
        least, most = (float(end) for end in self.activation.contrasts().detach().aminmax())
        return (
            Hypothesis("|K| <= 1", f"at most {norm:.6f}", norm <= 1 + 1e-6),
            Hypothesis("0 < τ <= 2", f"{step:.4f}", 0 < step <= LONGEST),
            Hypothesis("filters have mean zero", f"at most {rest:.1e}", rest <= 1e-6),
            Hypothesis("contrasts of Φ are finite", f"{least:.3g} to {most:.3g}", 0 < least <= most < math.inf),
        )


def numbered(blocks: Sequence[tuple[Hypothesis, ...]]) -> list[Hypothesis]:
    """Return the hypotheses of several blocks, each with the number of its block.

    >>> [h.statement for h in numbered([(Hypothesis("a", "1", True),), (Hypothesis("a", "2", True),)])]
    ['block 0: a', 'block 1: a']
    """
    return [replace(h, statement=f"block {k}: {h.statement}") for k, block in enumerate(blocks) for h in block]


def _cosines(filters: int, channels: int, rows: int, cols: int) -> Float[Tensor, "filter channel row col"]:
    """Return filters to begin with: products of cosines without the constant, the slowest first, turned at random."""
    down, right = _waves(rows), _waves(cols)
    order = sorted(((i, j) for i in range(rows) for j in range(cols) if i + j), key=lambda p: (p[0] + p[1], p))
    bank = torch.stack([torch.outer(down[i], right[j]) for i, j in order])
    bank = bank / bank.flatten(1).norm(dim=1)[:, None, None]
    chosen = bank[torch.arange(filters * channels) % len(bank)].reshape(filters, channels, rows, cols)
    return chosen + 0.1 / math.sqrt(rows * cols) * torch.randn(chosen.shape, generator=generator(filters))


def _noise(filters: int, channels: int, rows: int, cols: int) -> Float[Tensor, "filter channel row col"]:
    """Return filters to begin with that are none of their own reflections, as cosines are."""
    return torch.randn((filters, channels, rows, cols), generator=generator(filters)) / math.sqrt(rows * cols)


def _waves(side: int) -> Float[Tensor, "wave place"]:
    k = torch.arange(side, dtype=torch.float32)
    return torch.cos(math.pi / side * (k + 0.5) * k[:, None])

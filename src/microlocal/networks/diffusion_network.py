"""Networks of symmetric blocks as schemes for one diffusion: explicit, fast semi-iterative, Du Fort and Frankel.

    explicit            u_{k+1} = B u_k,                                        B u = u - τ Kᵀ Φ(K u)
    fsi                 u_{k+1} = a_k B u_k + (1 - a_k) u_{k-1},                a_k = (4k + 2)/(2k + 3),  u_{-1} = u_0
    du-fort-frankel     (1 + 2τa) u_{k+1} = (1 - 2τa) u_{k-1} + 4τa u_k - 2τ Kᵀ Φ(K u_k),      a = |K|²/4

The second is momentum: m steps reach the time τ (m² + m)/3 of the explicit scheme's m τ. Both are residual networks
with one more skip connection. Of the explicit one everything is proved that is proved of its blocks. Of fsi norms and
distances are proved not to grow where Φ is linear and one block is repeated: it is a polynomial of I - τKᵀK within
[-1, 1] then. Elsewhere what follows from the triangle inequality is stated, a bound that grows with the depth; for
linear Φ the scheme of Du Fort and Frankel is stable for every τ, which says less than a bound for every depth.

Reference: Hafner, Ochs, Weickert, Reißel, Grewenig (2016); Alt, Schrader, Augustin, Peter, Weickert (2022).
"""

from collections.abc import Sequence
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee, chain
from microlocal.core.checks import at_least, positive
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.registry import register
from microlocal.networks.mixture import Mixture
from microlocal.networks.symmetric_block import SymmetricBlock, numbered
from microlocal.networks.trial import NetworkTrial

Scheme = Literal["explicit", "fsi", "du-fort-frankel"]
SCHEMES = ("explicit", "fsi", "du-fort-frankel")
LINEAR = "whittaker-tikhonov"


def _samples() -> list[NetworkTrial]:
    def build(scheme: Scheme, row: str, repeats: int, count: int) -> DiffusionNetwork:
        torch.manual_seed(0)
        blocks = [SymmetricBlock(2, 4, 3, Mixture(4, row), step=1.5) for _ in range(count)]
        return DiffusionNetwork(blocks, repeats, scheme, 4.0 if scheme == "du-fort-frankel" else 1.0)

    return [
        NetworkTrial("explicit, Perona-Malik", lambda: build("explicit", "perona-malik-rational", 3, 2), (2, 7, 8)),
        NetworkTrial("fsi, linear", lambda: build("fsi", LINEAR, 6, 1), (2, 7, 8)),
        NetworkTrial("fsi, soft", lambda: build("fsi", "soft", 3, 1), (2, 7, 8)),
        NetworkTrial("Du Fort-Frankel, charbonnier", lambda: build("du-fort-frankel", "charbonnier", 3, 1), (2, 7, 8)),
    ]


@register("network", "diffusion-network", samples=_samples, reference="alt2023")
class DiffusionNetwork(nn.Module):
    """Blocks one after the other, the whole row ``repeats`` times, on images (batch, channel, row, col).

    Parameters: ``blocks``; ``repeats``, with the same weights; ``scheme``, "explicit", "fsi" or "du-fort-frankel";
    ``stretch``, by which the steps of the last are longer than those of its blocks, which need not be stable there.
    Raises UnknownNameError for another scheme, InputError without a block.

    >>> network = DiffusionNetwork([SymmetricBlock(1, 4, 3, Mixture(4, "perona-malik"))], repeats=100)
    >>> network.guarantee().gain
    1.0
    """

    def __init__(
        self, blocks: Sequence[SymmetricBlock], repeats: int = 1, scheme: Scheme = "explicit", stretch: float = 1.0
    ) -> None:
        super().__init__()
        if scheme not in SCHEMES:
            raise UnknownNameError("DiffusionNetwork", scheme, SCHEMES)
        if not blocks:
            raise InputError("DiffusionNetwork", expected="a block or more", got="none", do="Give some blocks.")
        self.repeats, self.scheme = at_least(repeats, 1, "repeats", "DiffusionNetwork"), scheme
        if stretch != 1 and scheme != "du-fort-frankel":
            do = "Leave the stretch out, or take the scheme du-fort-frankel."
            raise InputError("DiffusionNetwork", expected="steps of the blocks", got=f"stretch {stretch:g}", do=do)
        self.blocks, self.stretch = nn.ModuleList(blocks), positive(stretch, "stretch", "DiffusionNetwork")

    def forward(self, u: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch channel row col"]:
        """Return u after the last step; images smaller than a filter pass as they are."""
        before, kernels = u, [cast(SymmetricBlock, block).filters() for block in self.blocks]
        for k, block in enumerate(self._in_order()):
            force, own, old = _weights(self.scheme, k, block.step() * self.stretch)
            flow = block.force(u, kernel=kernels[k % len(kernels)])
            u, before = own * u + old * before - force * flow, u
        return u

    def guarantee(self) -> Guarantee:
        blocks = self._in_order()
        if self.scheme == "explicit":
            return chain([block.guarantee() for block in blocks])
        if self.scheme == "fsi" and len(self.blocks) == 1 and blocks[0].activation.row == LINEAR:
            return Guarantee(gain=1.0, lipschitz=1.0, mean=True)
        least = min(block.activation.least_slope for block in blocks)
        most = max(block.activation.greatest_slope for block in blocks)
        return Guarantee(self._growth(0.0, 1.0), self._growth(least, most), mean=True)

    def parts(self) -> list[tuple[str, Guarantee]]:
        """Return what is proved of an explicit step of every block by itself: which of them loses most."""
        own = (cast(SymmetricBlock, block) for block in self.blocks)
        return [(f"block {k}, dilation {block.dilation}", block.guarantee()) for k, block in enumerate(own)]

    def _growth(self, least: float, most: float) -> float:
        """Return what |u_m| can be over |u_0| where diffusivities, or slopes, lie between ``least`` and ``most``."""
        before = here = 1.0
        for k, block in enumerate(self._in_order()):
            force, own, old = (float(w) for w in _weights(self.scheme, k, block.step().detach() * self.stretch))
            norm = max(abs(own - most * force), abs(own - least * force))
            here, before = norm * here + abs(old) * before, here
        return here

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return tuple(numbered([cast(SymmetricBlock, block).hypotheses() for block in self.blocks]))

    def _in_order(self) -> list[SymmetricBlock]:
        return [cast(SymmetricBlock, block) for _ in range(self.repeats) for block in self.blocks]


def _weights(scheme: Scheme, k: int, step: Tensor) -> tuple[Tensor | float, Tensor | float, Tensor | float]:
    """Return what the force, u_k and u_{k-1} are multiplied by."""
    if scheme == "explicit":
        return step, 1.0, 0.0
    if scheme == "fsi":
        a = (4 * k + 2) / (2 * k + 3)
        return a * step, a, 1 - a
    share = step / 2  # 2τa
    return 2 * step / (1 + share), step / (1 + share), (1 - share) / (1 + share)

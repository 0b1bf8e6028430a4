"""DiffNet: explicit steps of a diffusion whose filters a small network reads off the image, forward and backward.

    u_{k+1} = u_k + L_k(u_k) u_k,      (L u)(x) = Σ_j w_j(x) (u(x + e_j) - u(x)),      w = s_k σ(C_k(D u_k))

The rows of L sum to zero, so that constants pass; e_j leads to the n = 4 or 8 neighbours, D are the differences of
neighbours, C_k small convolutional networks, and s_k > 0 the largest weight of a layer, learned. With A = 1 + L:

    forward     σ logistic, n s <= 1     A has weights >= 0 that sum to one: min u <= A u <= max u, whatever C_k says
    inverse     σ = tanh,   n s <= 2     |A u| <= (1 + s √(2 n λ)) |u|,      max |A u| <= (1 + 2 n s) max |u|

λ is the largest eigenvalue of the graph Laplacian, 8 for four neighbours and 12 for eight: |Σ_j w_j (u(x + e_j) -
u(x))|² <= n s² Σ_j (u(x + e_j) - u(x))², and summed over x every pair comes twice. Both bounds hold with u - c for u,
c constant. Forward, columns of A sum to 1 + n s at most, so that |A|² <= |A|_1 |A|_∞ <= 1 + n s.

Of the inverse problem that is all. Backward diffusion is ill-posed: values leave the range of the image, and bounds
grow with every layer. For neither direction is anything proved of distances, since w depends on u. Unlike learned
diffusivities, w need not be the same from both sides of a pair, and the mean grey value is not kept.

Reference: Arridge and Hauptmann (2020), whose code has n = 4 and learns the centre of the filter freely.
"""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee, chain
from microlocal.core.checks import at_least
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.neighbours import NEIGHBOURS, differences, estimator, exchanged
from microlocal.networks.trial import NetworkTrial

TOTALS = {"forward": 1.0, "inverse": 2.0}  # n s at most
BEGIN = {"forward": 0.8, "inverse": 0.4}  # n s of a network that has learned nothing
LAPLACIAN = {4: 8.0, 8: 12.0}  # λ
SIDE = 16  # pixels of the images on which hypotheses are measured


def _samples() -> list[NetworkTrial]:
    def build(direction: str, neighbours: int) -> DiffNet:
        torch.manual_seed(0)
        network = DiffNet(direction, layers=3, width=4, neighbours=neighbours)
        for net in network.nets:
            nn.init.normal_(_last(net).weight)
        return network

    return [
        NetworkTrial("DiffNet, forward", lambda: build("forward", 4), (1, 7, 9)),
        NetworkTrial("DiffNet, forward, eight neighbours", lambda: build("forward", 8), (1, 7, 9)),
        NetworkTrial("DiffNet, inverse", lambda: build("inverse", 4), (1, 7, 9)),
        NetworkTrial("DiffNet, inverse, eight neighbours", lambda: build("inverse", 8), (1, 7, 9)),
    ]


@register("network", "diffnet", samples=_samples, reference="arridge2020")
class DiffNet(nn.Module):
    """Steps with filters of their own at every pixel, on images (batch, 1, row, col).

    Parameters: ``direction``, "forward" or "inverse"; ``layers``, each with a network of its own; ``width`` and
    ``depth``, features and hidden layers of these; ``neighbours`` of a pixel, 4 or 8. One that has learned nothing is
    linear diffusion, or the identity. Raises InputError, UnknownNameError.

    >>> network = DiffNet("inverse", layers=2, width=4)
    >>> image = torch.rand(1, 1, 5, 6)
    >>> bool((network(image) == image).all()), round(network.guarantee().gain, 4)
    (True, 3.24)
    >>> network = DiffNet("forward", layers=2, width=4)
    >>> found = network(image).detach()
    >>> bool(found.min() >= image.min() and found.max() <= image.max()), network.guarantee().range
    (True, True)
    """

    def __init__(
        self, direction: str = "forward", layers: int = 5, width: int = 32, depth: int = 3, neighbours: int = 4
    ) -> None:
        super().__init__()
        if direction not in TOTALS:
            raise UnknownNameError("DiffNet", direction, TOTALS)
        if neighbours not in LAPLACIAN:
            do = "Pixels have 4 neighbours beside them, and 4 along the diagonals."
            raise InputError("DiffNet", expected="4 or 8 neighbours", got=f"{neighbours}", do=do)
        self.direction, self.neighbours, self.pairs = direction, neighbours, NEIGHBOURS[: neighbours // 2]
        dilations = [1] * at_least(depth, 1, "depth", "DiffNet")
        self.nets = nn.ModuleList(
            estimator(len(self.pairs), neighbours, at_least(width, 1, "width", "DiffNet"), dilations)
            for _ in range(at_least(layers, 1, "layers", "DiffNet"))
        )
        for net in self.nets:
            nn.init.zeros_(_last(net).weight)
            nn.init.zeros_(_last(net).get_parameter("bias"))
        share = BEGIN[direction] / TOTALS[direction]
        self.raw_size = nn.Parameter(torch.full((layers,), math.log(share / (1 - share))))

    def sizes(self) -> Float[Tensor, " layer"]:
        """Return s, the bound of the weights of every layer."""
        return TOTALS[self.direction] / self.neighbours * torch.sigmoid(self.raw_size)

    def forward(self, u: Float[Tensor, "batch 1 row col"]) -> Float[Tensor, "batch 1 row col"]:
        """Return u after all layers."""
        for net, size in zip(self.nets, self.sizes(), strict=True):
            first, second = (size * self._shares(net, u)).chunk(2, dim=1)
            u = exchanged(u, first, second, self.pairs)
        return u

    def guarantee(self) -> Guarantee:
        return chain([proved for _, proved in self.parts()])

    def parts(self) -> list[tuple[str, Guarantee]]:
        """Return what is proved of every layer by itself."""
        return [(f"layer {k}", self._layer(size)) for k, size in enumerate(self._sizes())]

    def sup_gain(self) -> float:
        """Return a bound of max |N(u) - c| / max |u - c| for constants c: 1 forward, Π (1 + 2 n s) inverse."""
        if self.direction == "forward":
            return 1.0
        return math.prod(1 + 2 * self.neighbours * size for size in self._sizes())

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        sizes, n, total = self._sizes(), self.neighbours, TOTALS[self.direction]
        bound = Hypothesis(
            f"n s <= {total:g}, the weights of a pixel together", f"{n} · {max(sizes):.4g}", n * max(sizes) <= total
        )
        low, high = self._extremes()
        least, statement = (0, "0 <= w <= s") if self.direction == "forward" else (-1, "|w| <= s")
        weights = Hypothesis(statement, f"{low:.3g} s to {high:.3g} s on noise", least <= low <= high <= 1)
        flat = torch.full((1, 1, SIDE, SIDE), 0.3).to(self.raw_size)
        moved = float((self(flat) - flat).detach().abs().max())
        return weights, bound, Hypothesis("rows of L sum to zero", f"constants move by {moved:.1g}", moved <= 1e-6)

    @torch.no_grad()
    def _extremes(self) -> tuple[float, float]:
        """Return the least and the greatest w/s of all layers on an image of noise."""
        noise = torch.randn(1, 1, SIDE, SIDE, generator=generator(0)).to(self.raw_size)
        found = torch.stack([torch.stack(self._shares(net, noise).aminmax()) for net in self.nets]).double()
        return float(found[:, 0].min()), float(found[:, 1].max())

    def _shares(self, net: nn.Module, u: Tensor) -> Tensor:
        """Return w/s, (batch, neighbour, row, col)."""
        bend = torch.sigmoid if self.direction == "forward" else torch.tanh
        return bend(net(differences(u, self.pairs)))

    def _layer(self, size: float) -> Guarantee:
        n = self.neighbours
        if self.direction == "forward":
            return Guarantee(gain=math.sqrt(1 + n * size), range=True)
        return Guarantee(gain=1 + size * math.sqrt(2 * n * LAPLACIAN[n]))

    def _sizes(self) -> list[float]:
        """Return s in float64, as attacks compute it."""
        raw = self.raw_size.detach().double()
        return [float(s) for s in TOTALS[self.direction] / self.neighbours * torch.sigmoid(raw)]


def _last(net: nn.Module) -> nn.Conv2d:
    *_, last = net.children()
    return cast(nn.Conv2d, last)

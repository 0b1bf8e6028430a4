"""A stopped flow that fills gaps, for images of every size: what is trained for ``microlocal inpaint``.

    u' = -λ M (u - f) - Kᵀ Φ(K u),      u(0) = P f,      N(f) = u(T)

M is one where a pixel is known and zero in the gaps, which the learned energy fills; P begins there with the means of
what is known around (:class:`Filling`), and f counts for nothing in the gaps.

Proved: |M| <= 1 for all gaps, so that T, kept below 2 S/(1 + λ), does not depend on them; two images get apart by at
most |P| + T λ, where |P| is computed from the gaps: what one pixel gives to all.

Reference: Effland, Kobler, Kunisch, Pock (2020).
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.networks.flow_behind import FlowBehind
from microlocal.networks.loading import built, load_network
from microlocal.networks.mirror import Border
from microlocal.networks.stopped_flow import StoppedFlow
from microlocal.networks.trial import NetworkTrial
from microlocal.operators import Filling, Mask

TASK = "inpainting"
WHO = "InpaintingFlow"


def _samples() -> list[NetworkTrial]:
    def build(row: str, known: Tensor | None, border: Border = "valid") -> InpaintingFlow:
        torch.manual_seed(0)
        network = InpaintingFlow(4, 3, steps=4, row=row, border=border)
        return network if known is None else network.knowing(known)

    gaps = (torch.arange(72).reshape(9, 8) * 7 % 5) > 1
    return [
        NetworkTrial("an inpainting flow", lambda: build("soft", gaps), (1, 9, 8)),
        NetworkTrial("a flow of Perona-Malik", lambda: build("perona-malik-rational", gaps), (1, 9, 8)),
        NetworkTrial("an inpainting flow without gaps", lambda: build("soft", None), (1, 9, 8)),
        NetworkTrial("an inpainting flow, mirrored", lambda: build("soft", gaps, "symmetric"), (1, 9, 8)),
    ]


@register("network", "inpainting-flow", samples=_samples, reference="effland2020")
class InpaintingFlow(FlowBehind):
    """A network from images (batch, 1, row, col) with gaps and noise to whole ones; which pixels are known is told.

    Parameters: those of :class:`StoppedFlow`; until ``knowing`` tells more, every pixel is known.

    >>> known = torch.rand(20, 30) > 0.3
    >>> network = InpaintingFlow(4, 3, steps=5).knowing(known)
    >>> network(torch.rand(1, 1, 20, 30), 0.05).shape, 1 < network.guarantee().lipschitz
    (torch.Size([1, 1, 20, 30]), True)
    """

    known: Tensor | None

    def __init__(
        self,
        filters: int,
        side: int,
        steps: int = 10,
        parts: int = 2,
        row: str = "soft",
        usual: float = 0.02,
        coupled: int = 1,
        border: Border = "valid",
    ) -> None:
        super().__init__()
        self.flow = StoppedFlow(
            filters, side, steps, parts, row, noise=usual, usual=usual, coupled=coupled, border=border
        )
        self.register_buffer("known", None, persistent=False)

    def knowing(self, known: Bool[Tensor, "*image row col"]) -> Self:
        """Return the network with the same weights for images of which these pixels are known.

        ``known`` (row, col) of all images, or (batch, 1, row, col). Raises InputError where nothing is known.
        """
        Filling(known)
        moved = copy.copy(self)
        moved._buffers = {"known": known.detach().to(self.flow.log_pull.device)}
        return moved

    def behind(self, shape: Sequence[int]) -> StoppedFlow:
        """Return the flow of images of ``shape`` (..., row, col) with these gaps; raises ShapeError for others."""
        known = self.known
        if known is None:
            known = torch.ones(tuple(shape[-2:]), dtype=torch.bool, device=self.flow.log_pull.device)
        if tuple(known.shape[-2:]) != tuple(shape[-2:]):
            do = "Tell which pixels of these images are known: network.knowing(known)."
            raise ShapeError(WHO, expected=f"images {tuple(known.shape[-2:])}", got=str(tuple(shape)), do=do)
        return self.flow.behind(Mask(known), Filling(known), 1.0)

    def least_shape(self) -> Sequence[int]:
        return (1, 1) if self.known is None else self.known.shape

    def of_filled(self, known: Bool[Tensor, "*image row col"]) -> StoppedFlow:
        """Return the flow for images whose gaps hold P f already: what windows of a large image need."""
        return self.flow.behind(Mask(known), None, 1.0)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        found = super().hypotheses()
        if self.known is None:
            return found
        share, norm = 1 - float(self.known.double().mean()), Filling(self.known).norm_bound()
        return (*found, Hypothesis("the gaps are these ones", f"{100 * share:.3g} %, |P| <= {norm:.4g}", True))


KINDS: dict[str, type[nn.Module]] = {"stopped-flow": InpaintingFlow}


def inpainting_network(architecture: Mapping[str, Any]) -> nn.Module:
    """Return an inpainting network that has learned nothing: ``kind`` and the arguments of that network.

    Raises UnknownNameError for another kind.

    >>> inpainting_network({"kind": "stopped-flow", "filters": 2, "side": 3}).guarantee().lipschitz > 1
    True
    """
    return built(architecture, KINDS, "inpainting network")


def load_inpainting(weights: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the inpainting network of a file of weights with its card; raises InputError for those of other tasks."""
    return load_network(weights, {TASK: inpainting_network})

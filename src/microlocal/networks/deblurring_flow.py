"""A stopped flow that undoes a blur, for images of every size: what is trained for ``microlocal deblur``.

    u' = -λ A*(A u - f) - Kᵀ Φ(K u),      u(0) = P f,      N(f) = u(T) where f is

A convolves where the kernel fits, so that u is wider than f by the kernel and nothing is assumed beyond the edge of f:
it is sought. P continues f by its mirror image, by zeros where f is narrower than that, which is only the beginning.

Proved: |A| <= Σ |k| for every size (Young), so that T, kept below 2 S/(1 + λ (Σ |k|)²), and the bounds of
:class:`StoppedFlow` do not depend on the size; two images get apart by at most |P| + T λ Σ |k|, |P| <= 2.

Reference: Effland, Kobler, Kunisch, Pock (2020).
"""

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import finite, real
from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.networks.flow_behind import FlowBehind
from microlocal.networks.loading import built, load_network
from microlocal.networks.mirror import Border
from microlocal.networks.stopped_flow import StoppedFlow
from microlocal.networks.trial import NetworkTrial
from microlocal.operators import Convolution, Pad, gaussian_kernel

TASK = "deblurring"
WHO = "DeblurringFlow"
PULL = 3.0  # λ to begin with: a blur that is to be undone pulls harder than an image that is there


def _samples() -> list[NetworkTrial]:
    def build(row: str, kernel: Tensor) -> DeblurringFlow:
        torch.manual_seed(0)
        return DeblurringFlow([1, 1], 4, 3, steps=4, row=row).undoing(kernel)

    moved = torch.tensor([[0.1, 0.6, 0.3, -0.1]])
    return [
        NetworkTrial("a deblurring flow", lambda: build("soft", gaussian_kernel(0.7)), (1, 9, 8)),
        NetworkTrial("a flow of Perona-Malik and a kernel with signs",
                     lambda: build("perona-malik-rational", moved), (1, 9, 8)),
    ]  # fmt: skip


@register("network", "deblurring-flow", samples=_samples, reference="effland2020")
class DeblurringFlow(FlowBehind):
    """A network from blurred images (batch, 1, row, col) with noise to sharp ones, the kernel being among its weights.

    Parameters: ``kernel``, its rows and columns, of which the middle pixel is one until ``undoing`` sets it or weights
    are read; the others are those of :class:`StoppedFlow`.

    >>> network = DeblurringFlow([1, 1], 4, 3, steps=5).undoing(gaussian_kernel(1.0))
    >>> network(torch.rand(1, 1, 20, 30), 0.05).shape, 1 < network.guarantee().lipschitz < 5
    (torch.Size([1, 1, 20, 30]), True)
    """

    kernel: Tensor

    def __init__(
        self,
        kernel: Sequence[int],
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
        self.flow.log_pull.data.fill_(math.log(PULL))
        rows, cols = kernel
        begin = torch.zeros(rows, cols)
        begin[rows // 2, cols // 2] = 1.0
        self.register_buffer("kernel", begin)

    def undoing(self, kernel: Float[Tensor, "krow kcol"]) -> Self:
        """Return the network with the same weights for another blur, centred at (rows // 2, cols // 2).

        T and λ are those learned, unless the new Σ |k| is another one: T stays the same part of the longest time.
        Raises ShapeError or InputError for a kernel that is none.
        """
        if kernel.ndim != 2 or not kernel.numel():
            do = "Give one kernel (row, col), such as gaussian_kernel(1.5)."
            raise ShapeError(WHO, expected="a kernel (row, col)", got=str(tuple(kernel.shape)), do=do)
        finite(real(kernel, WHO), WHO, "Look at how the kernel was made.")
        moved = copy.copy(self)
        moved._buffers = {"kernel": kernel.detach().to(self.kernel)}
        return moved

    def behind(self, shape: Sequence[int]) -> StoppedFlow:
        """Return the flow of images that belong to blurred ones of ``shape`` (..., row, col)."""
        rows, cols = int(shape[-2]), int(shape[-1])
        above, below, left, right = self._margins()
        wide = (rows + above + below, cols + left + right)
        blur = Convolution(self.kernel, wide, "valid")
        fits = max(above, below) <= rows and max(left, right) <= cols
        mirror = Pad((rows, cols), ((above, below), (left, right)), "symmetric" if fits else "zero")
        return self.flow.behind(blur.to(self.kernel.device), mirror.to(self.kernel.device), self.norm_bound())

    def norm_bound(self) -> float:
        """Return Σ |k|, at least |A|."""
        return float(self.kernel.double().abs().sum())

    def least_shape(self) -> Sequence[int]:
        return self.kernel.shape

    def _margins(self) -> tuple[int, int, int, int]:
        rows, cols = self.kernel.shape
        return rows - 1 - rows // 2, rows // 2, cols - 1 - cols // 2, cols // 2

    def inside(self, u: Float[Tensor, "..."], f: Float[Tensor, "batch 1 row col"]) -> Float[Tensor, "..."]:
        above, _, left, _ = self._margins()
        return u[..., above : above + f.shape[-2], left : left + f.shape[-1]]


KINDS: dict[str, type[nn.Module]] = {"stopped-flow": DeblurringFlow}


def deblurring_network(architecture: Mapping[str, Any]) -> nn.Module:
    """Return a deblurring network that has learned nothing: ``kind`` and the arguments of that network.

    Raises UnknownNameError for another kind.

    >>> deblurring_network({"kind": "stopped-flow", "kernel": [3, 3], "filters": 2, "side": 3}).norm_bound()
    1.0
    """
    return built(architecture, KINDS, "deblurring network")


def load_deblurring(weights: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the deblurring network of a file of weights with its card; raises InputError for those of another task."""
    return load_network(weights, {TASK: deblurring_network})

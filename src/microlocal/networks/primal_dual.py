"""Learned primal-dual: small networks in data space and in image space take turns, joined by the operator itself.

    h ← h + Γ_i(h, K f², g / (a |R|)),      f ← f + Λ_i(f, K* h¹),      K = R / |R|,  i = 1..n

f and h have channels of memory, of which f² and h¹ go through the operator and a f¹ is the result; a is the size of
the first image, so that neither unit nor geometry changes what the networks see. The first image is the filtered
backprojection (in the paper zero), in all channels. Reference: Adler and Öktem (2018).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import at_least
from microlocal.networks.invisible import image_size
from microlocal.operators.base import LinearOperator


def _convolutions(channels: int, width: int, memory: int) -> nn.Sequential:
    """Return three layers as in the paper: the last one begins small, so that an untrained iteration does little."""
    last = nn.Conv2d(width, memory, 3, padding=1)
    with torch.no_grad():
        last.weight.mul_(0.1)
    nn.init.zeros_(last.get_parameter("bias"))
    first, second = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(first, nn.PReLU(), second, nn.PReLU(), last)


class LearnedPrimalDual(nn.Module):
    """``iterations`` learned steps in data space and in image space by turns.

    Parameters: ``iterations``; ``memory``, channels of the images and of the data; ``width``, features of a layer.
    Raises InputError for fewer than two channels.

    >>> sum(p.numel() for p in LearnedPrimalDual().parameters())                    # the paper: about 2.5 · 10⁵
    251980
    """

    def __init__(self, iterations: int = 10, memory: int = 5, width: int = 32) -> None:
        super().__init__()
        self.memory = at_least(memory, 2, "memory", "LearnedPrimalDual")
        count = range(at_least(iterations, 1, "iterations", "LearnedPrimalDual"))
        self.dual = nn.ModuleList(_convolutions(memory + 2, width, memory) for _ in count)
        self.primal = nn.ModuleList(_convolutions(memory + 1, width, memory) for _ in count)

    def forward(
        self,
        operator: LinearOperator,
        data: Float[Tensor, "batch angle detector"],
        start: Float[Tensor, "batch row col"],
    ) -> Float[Tensor, "batch row col"]:
        """Return the images of a batch measured by one ``operator``, whose ``norm_bound`` is taken for |R|."""
        norm, size = operator.norm_bound(), image_size(start)
        given = (data / (size * norm))[:, None]
        f = (start / size)[:, None].repeat(1, self.memory, 1, 1)
        h = given.new_zeros(given.shape[0], self.memory, *given.shape[2:])
        for dual, primal in zip(self.dual, self.primal, strict=True):
            seen = operator(f[:, 1].contiguous()) / norm
            h = h + dual(torch.cat([h, seen[:, None], given], dim=1)).to(h)
            back = operator.adjoint(h[:, 0].contiguous()) / norm
            f = f + primal(torch.cat([f, back[:, None]], dim=1)).to(f)
        return size * f[:, 0]

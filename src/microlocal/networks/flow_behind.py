"""What stopped flows behind an operator have in common: one set of weights, an operator for every image size or gap."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee
from microlocal.networks.noise_level import LevelOf
from microlocal.networks.stopped_flow import Optimality, StoppedFlow


class FlowBehind(nn.Module, ABC):
    """Base of networks from measured images (batch, 1, row, col) with noise to the images behind them.

    A final class has its weights in ``flow`` and writes ``behind``; where the images are wider than what is measured
    of them, ``inside`` too.
    """

    flow: StoppedFlow

    @abstractmethod
    def behind(self, shape: Sequence[int]) -> StoppedFlow:
        """Return the flow of the images that belong to measured ones of ``shape`` (..., row, col)."""

    @abstractmethod
    def least_shape(self) -> Sequence[int]:
        """Return the shape of the images for which the guarantee is computed."""

    def inside(self, u: Float[Tensor, "..."], f: Float[Tensor, "batch 1 row col"]) -> Float[Tensor, "..."]:
        """Return the part of u that is where f is."""
        del f
        return u

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the images; ``noise``, its standard deviation in f, one number or one for every image."""
        wide = f if f.dtype in (torch.float32, torch.float64) else f.float()  # no operator takes fewer bits
        return self.inside(self.behind(f.shape)(wide, noise), f).to(f.dtype)

    def at(
        self, f: Float[Tensor, "batch 1 row col"], time: float, noise: LevelOf = None
    ) -> Float[Tensor, "batch 1 row col"]:
        """Return the flow at a time of one's own."""
        return self.inside(self.behind(f.shape).flow(f, time, noise), f)

    def optimality(
        self,
        f: Float[Tensor, "batch 1 row col"],
        truth: Float[Tensor, "batch 1 row col"],
        noise: LevelOf = None,
        time: float | None = None,
    ) -> Optimality:
        """Return error, J' and J'' at a stopping time, the learned one unless given, where the images are known."""
        return self.behind(f.shape).optimality(f, truth, noise, time, lambda u: self.inside(u, f))

    def guarantee(self) -> Guarantee:
        return self.behind(self.least_shape()).guarantee()

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return self.behind(self.least_shape()).hypotheses()

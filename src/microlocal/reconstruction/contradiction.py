"""The search for data that a learned part would contradict: what attacks the certificate of consistency."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.consistency import residual_growth
from microlocal.core.seeding import generator
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.learned import Chosen
from microlocal.reconstruction.null_space import complete_consistently, quick_normal


@dataclass(frozen=True, eq=False)
class Attack:
    """A search for data on which the learned part would contradict them: steps uphill in |R h|, from noise.

    The data are g + d with d of growing size; what the network sees is f* + e, where e lives on the pixels of its
    training, begins as noise and climbs along the gradient of |R h(f* + e)|², h being the change that the network
    proposes there. Returns the largest growth of the residual, of the first image of a batch.
    """

    chosen: Chosen
    ray: RayTransform
    data: Float[Tensor, "*batch angle detector"]
    image: Float[Tensor, "*batch row col"]
    epsilon: float
    steps: int = 4

    def __call__(self, seed: int) -> float:
        draw, at, grid = generator(seed), self.chosen.scales[0], self.ray.grid
        image = self.image.reshape(-1, *self.ray.domain_shape)[:1]
        data = self.data.reshape(-1, *self.ray.codomain_shape)[:1]
        before = seen = at.seen(image, grid)
        worst = -1.0
        for step in range(self.steps):
            size = float(seen.abs().max()) * 10.0 ** (step - 2)
            seen = (seen + size * torch.randn(seen.shape, generator=draw).to(seen)).clamp_min(0)
            seen = seen + size * self._uphill(seen)
            noisy = data + float(data.std()) * 10.0 ** (step - 3) * torch.randn(data.shape, generator=draw).to(data)
            shown = image + at.onto(seen - before, grid)
            with torch.no_grad():
                proposal = image + self.chosen.proposal(shown) - shown
            found = complete_consistently(self.ray, noisy, image, proposal, self.epsilon, quick_normal(self.ray))
            worst = max(worst, residual_growth(self.ray, noisy, image, found.image))
        return worst

    def _uphill(self, seen: Tensor) -> Tensor:
        """Return the direction, of largest entry one, in which the scan would see more of the change."""
        at = self.chosen.scales[0]
        with torch.enable_grad():
            moved = seen.clone().requires_grad_(True)
            whole = self.chosen.learned.completed(moved, at)
            change = self.ray(at.onto(whole - moved, self.ray.grid))
            (slope,) = torch.autograd.grad(change.square().sum(), moved)
        return slope / slope.abs().max().clamp_min(1e-30)

"""The search for data that a learned part would contradict: what attacks the certificate of consistency."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.consistency import residual_growth
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.learned import Learned, Working
from microlocal.reconstruction.null_space import complete_consistently, quick_normal


@dataclass(frozen=True, eq=False)
class Attack:
    """A search for data on which the learned part would contradict them: steps uphill in |R (f - f*)|, from noise.

    The data are g + d and the image f* + e; e climbs along the gradient of |R h(f* + e)|², h being what the network
    proposes, and d takes random directions of growing size. Returns the largest growth of the residual.
    """

    learned: Learned
    ray: RayTransform
    scan: Scan
    visible: Float[Tensor, "*batch row col"]
    epsilon: float
    steps: int = 4

    def __call__(self, seed: int) -> float:
        draw, where = generator(seed), self.learned.working(self.scan.geometry, self.ray.grid)
        image = self.visible.reshape(-1, *self.ray.domain_shape)[:1]
        data = self.scan.data.reshape(-1, *self.ray.codomain_shape)[:1]
        worst = -1.0
        for step in range(self.steps):
            size = float(image.abs().max()) * 10.0 ** (step - 2)
            image = (image + size * torch.randn(image.shape, generator=draw).to(image)).clamp_min(0)
            image = self._uphill(image, size, where)
            noisy = data + float(data.std()) * 10.0 ** (step - 3) * torch.randn(data.shape, generator=draw).to(data)
            proposal = self.learned.propose(image, where)
            found = complete_consistently(self.ray, noisy, image, proposal, self.epsilon, quick_normal(self.ray))
            worst = max(worst, residual_growth(self.ray, noisy, image, found.image))
        return worst

    def _uphill(self, image: Tensor, size: float, where: Working) -> Tensor:
        """Return the image after a step along the gradient of what the scan would see of the proposal."""
        with torch.enable_grad():
            moved = image.clone().requires_grad_(True)
            small = where.reduced(moved)
            whole = self.learned.network.complete(small, where.share[None].to(image), where.frame)
            change = self.ray(where.enlarged(whole - small, moved))
            (slope,) = torch.autograd.grad(change.square().sum(), moved)
        return image + size * slope / slope.abs().max().clamp_min(1e-30)

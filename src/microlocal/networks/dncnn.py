"""DnCNN: the plain residual network that denoisers are compared with. Nothing keeps it from misbehaving.

N(f) = f - R(f),      R = convolutions and rectifiers
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.guarantee import Guarantee
from microlocal.certificates.layers import guarantee_of
from microlocal.networks.noise_level import LevelOf, levels


class DnCNN(nn.Module):
    """A denoiser of images (batch, 1, row, col) without any guarantee but the product of its layers' bounds.

    Parameters: ``depth`` of convolutions 3 x 3 with ``width`` channels; the noise level enters as a second channel.
    Without batch normalisation, which would be absorbed by the convolutions after training anyway.

    Reference: Zhang, Zuo, Chen, Meng, Zhang (2017).
    """

    def __init__(self, depth: int = 17, width: int = 64, noise: float = 0.1, usual: float = 0.1) -> None:
        super().__init__()
        self.noise, self.usual = noise, usual
        inner = [layer for _ in range(depth - 2) for layer in (nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
        last = nn.Conv2d(width, 1, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.residual = nn.Sequential(nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), *inner, last)
        for layer in self.residual.children():
            if isinstance(layer, nn.Conv2d) and layer is not last:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the denoised images; ``noise``, its standard deviation, one number or one for every image."""
        level = levels(self.noise if noise is None else noise, f)
        seen = torch.cat([f, level.expand(len(f), 1, *f.shape[-2:])], dim=1)
        return f - self.residual(seen)

    def upper_bound(self) -> Guarantee:
        """Return the product of the layers' bounds: true, and far from any use."""
        return Guarantee(lipschitz=1 + guarantee_of(self.residual).lipschitz)

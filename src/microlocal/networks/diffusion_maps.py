"""Networks that learn what nonlinear diffusion does to an image, or how to undo it, by the card of their weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from microlocal.networks.diffnet import DiffNet
from microlocal.networks.image_unet import ImageUNet
from microlocal.networks.loading import built

TASK = "diffusion-problem"


class ResidualUNet(nn.Module):
    """u + U(u) for a U-Net U, on images (batch, 1, row, col): what DiffNet is compared with. Nothing is proved of it.

    Parameters: ``widths`` and ``pairs`` of the :class:`ImageUNet`.
    """

    def __init__(self, widths: Sequence[int], pairs: int = 1) -> None:
        super().__init__()
        self.unet = ImageUNet(widths, pairs)

    def forward(self, u: Float[Tensor, "batch 1 row col"]) -> Float[Tensor, "batch 1 row col"]:
        return u + self.unet(u[:, 0])[:, None]


KINDS: dict[str, type[nn.Module]] = {"diffnet": DiffNet, "unet": ResidualUNet}


def diffusion_map(architecture: Mapping[str, Any]) -> nn.Module:
    """Return a network that has learned nothing: ``kind`` and the arguments of that network.

    Raises UnknownNameError for another kind.

    >>> diffusion_map({"kind": "diffnet", "direction": "forward", "layers": 2, "width": 4}).guarantee().range
    True
    """
    return built(architecture, KINDS, "diffusion network")

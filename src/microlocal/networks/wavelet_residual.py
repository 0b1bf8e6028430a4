"""A U-Net on the wavelet coefficients of an image that predicts those of its artefacts, to be subtracted.

    f = x - a W^T U(W x / a)

The streaks of a short arc have directions and every scale, so they are told apart more easily band by band. W are
orthogonal wavelets whose levels are the levels of the U-Net; the paper has a redundant contourlet transform and a
plain chain of convolutions in its place. Reference: Gu and Ye (2017).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.frames.wavelet import WaveletFrame
from microlocal.networks.invisible import image_size
from microlocal.networks.unet import PyramidUNet

WAVELET = "db2"


class WaveletResidual(nn.Module):
    """The artefacts a W^T U(W x / a) of an image x, zero for a network that has learned nothing.

    Parameters: ``widths`` and ``pairs`` of the :class:`PyramidUNet`: level ℓ has the three details of scale ℓ, at half
    the sides of the level above, the coarsest the low-pass as well.

    >>> WaveletResidual((4, 8))(torch.rand(2, 20, 13)).abs().max().item()
    0.0
    """

    def __init__(self, widths: Sequence[int], pairs: int = 1) -> None:
        super().__init__()
        bands = [3 for _ in widths]
        bands[-1] += 1
        self.unet = PyramidUNet(bands, bands, widths, pairs)

    def forward(self, image: Float[Tensor, "batch row col"]) -> Float[Tensor, "batch row col"]:
        rows, cols = image.shape[-2:]
        frame = WaveletFrame((rows, cols), WAVELET, levels=len(self.unet.inputs)).to(image.device)
        size = image_size(image)
        return size * frame.adjoint(_joined(self.unet(_levels(frame, frame(image / size)))))


def _levels(frame: WaveletFrame, coefficients: Tensor) -> list[Tensor]:
    """Return the bands as channels of every level, the finest first, divided by their growth from scale to scale."""
    low, *details = frame.bands(coefficients)
    found = [torch.stack(details[k : k + 3], dim=1) for k in range(0, len(details), 3)]
    found[0] = torch.cat([found[0], low[:, None]], dim=1)
    return [level / 2 ** (k + 1) for k, level in enumerate(reversed(found))]


def _joined(levels: Sequence[Tensor]) -> Tensor:
    """Undo ``_levels``: the low-pass, then from coarse to fine the details around it, as Mallat orders them."""
    block = 2 ** len(levels) * levels[-1][:, 3].float()
    for k, level in reversed(list(enumerate(levels))):
        along, across, both = (2 ** (k + 1) * level[:, :3].float()).unbind(1)
        block = torch.cat([torch.cat([block, along], dim=-1), torch.cat([across, both], dim=-1)], dim=-2)
    return block

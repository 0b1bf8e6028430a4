"""A residual U-Net on one image: what is to be added to a quick reconstruction so that it looks like the truth.

    f = x + a U(x / a)

a is the size of the image, so that no unit matters. Reference: Jin, McCann, Froustey and Unser (2017), FBPConvNet.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microlocal.networks.invisible import image_size
from microlocal.networks.unet import PyramidUNet


class ImageUNet(nn.Module):
    """The correction a U(x / a) of an image x, zero for a network that has learned nothing.

    Parameters: ``widths`` and ``pairs`` of the :class:`PyramidUNet`, which has one channel in and one out. Images of
    any sides are continued by zeros.

    >>> import torch
    >>> ImageUNet((4, 8))(torch.rand(2, 9, 7)).abs().max().item()
    0.0
    """

    def __init__(self, widths: Sequence[int], pairs: int = 1) -> None:
        super().__init__()
        self.unet = PyramidUNet((1,), (1,), widths, pairs)
        self.unit = 2 ** (len(widths) - 1)

    def forward(self, image: Float[Tensor, "batch row col"]) -> Float[Tensor, "batch row col"]:
        size = image_size(image)
        rows, cols = image.shape[-2:]
        wide = functional.pad(image / size, (0, -cols % self.unit, 0, -rows % self.unit))
        (found,) = self.unet([wide[:, None]])
        return size * found[:, 0, :rows, :cols].to(image.dtype)

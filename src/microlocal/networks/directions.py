"""The network of DeNSE, fully convolutional: from shearlet coefficients to the singular directions at every pixel.

    (e, p_1 ... p_K) = Φ( asinh( c / (a G) ) ),      c = SH(f), without the low-pass

e is the logit of "an edge runs here", p_k that of "its normal lies at (k + 1/2) π/K"; a normal between two classes is
shared between them, in proportion to how near they are, so that directions are not quantised; several may be present
at a corner. a is the size of all coefficients of the image and G the usual size of those of a scale: grey values
may have any unit and any black. Where DeNSE classifies patches, one at a time, this network sees the whole image once.

Reference: Andrade-Loarca, Kutyniok, Öktem, Petersen (2019).
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.unet import PyramidUNet

MARGIN = 16  # pixels by which an image is continued by reflection, so that its border is no edge
RARE = -3.0  # logits to begin with: an edge, or a direction, is rare
WINDOW = 2  # classes to either side of the likeliest that say where between them the normal lies


@lru_cache(maxsize=8)
def _frame(shape: tuple[int, int], scales: int) -> DyadicShearletFrame:
    return DyadicShearletFrame(shape, scales)


class DirectionNetwork(nn.Module):
    """A :class:`PyramidUNet` from the coefficients of an image to an edge and K directions at every pixel.

    Parameters: ``scales`` of the dyadic shearlets; ``widths`` and ``pairs`` of the U-Net, at least as many widths as
    scales; ``classes`` K of directions in [0, π); ``gains``, the usual size of the coefficients of every scale in
    images of size one, the finest first, kept with the weights.

    Raises InputError for fewer widths than scales.

    >>> network = DirectionNetwork(2, (4, 4), classes=12)
    >>> edge, directions = network(torch.rand(1, 30, 37))
    >>> edge.shape, directions.shape
    (torch.Size([1, 30, 37]), torch.Size([1, 12, 30, 37]))
    """

    gains: Tensor

    def __init__(
        self,
        scales: int,
        widths: Sequence[int],
        pairs: int = 1,
        classes: int = 36,
        gains: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < scales:
            do = "Give a width for every scale, or fewer scales."
            raise InputError("DirectionNetwork", expected=f"{scales} widths or more", got=str(len(widths)), do=do)
        self.scales, self.classes = scales, classes
        self.step = 2 ** (len(widths) - 1)
        channels = list(_frame((64, 64), scales).channels)
        channels[-1] -= 1
        self.unet = PyramidUNet(channels, [1 + classes], widths, pairs)
        last = self.unet.out[0].get_parameter("bias")
        nn.init.constant_(last, RARE)
        self.register_buffer("gains", torch.tensor([1.0] * scales if gains is None else list(gains)))

    def forward(
        self, image: Float[Tensor, "batch row col"], jitter: Float[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch row col"], Float[Tensor, "batch direction row col"]]:
        """Return the logits of an edge and of the directions; ``jitter`` scales what the network sees (training)."""
        levels, size = self.coefficients(image)
        unit = size if jitter is None else size / jitter[:, None, None, None]
        seen = [torch.asinh(c / (unit * g)) for c, g in zip(levels, self.gains, strict=True)]
        (found,) = self.unet(seen)
        rows, cols = image.shape[-2:]
        inside = found[..., MARGIN : MARGIN + rows, MARGIN : MARGIN + cols].float()
        return inside[:, 0], inside[:, 1:]

    def coefficients(
        self, image: Float[Tensor, "batch row col"]
    ) -> tuple[list[Float[Tensor, "batch channel row col"]], Float[Tensor, "batch 1 1 1"]]:
        """Return the coefficients of the reflected image, the finest scale first, and their root mean square."""
        bright = image - image.mean(dim=(-2, -1), keepdim=True)
        wide = _reflected(bright, MARGIN, self.step)
        frame = _frame((wide.shape[-2], wide.shape[-1]), self.scales)
        levels = list(frame.levels(frame(wide)))
        levels[-1] = levels[-1][:, 1:]
        energy = torch.stack([level.square().sum(dim=(-3, -2, -1)) for level in levels]).sum(dim=0)
        size = (energy / wide[0].numel()).sqrt().clamp_min(torch.finfo(image.dtype).tiny)
        return levels, size[:, None, None, None]


def _reflected(image: Tensor, margin: int, step: int) -> Tensor:
    """Return the image continued by reflection, ``margin`` pixels before it and as many or more behind it."""
    for axis in (-2, -1):
        n = image.shape[axis]
        total = -(-(n + 2 * margin) // step) * step
        place = (torch.arange(total, device=image.device) - margin) % (2 * n)
        image = image.index_select(axis, torch.where(place < n, place, 2 * n - 1 - place))
    return image


def shared(normal_rad: Float[Tensor, "*batch row col"], classes: int) -> Float[Tensor, "*batch direction row col"]:
    """Return what of a normal belongs to every class: 1 at its middle, 0 at the middles of its neighbours.

    >>> shared(torch.tensor([[math.pi / 8]]), 4).flatten().tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    place = (normal_rad * (classes / math.pi) - 0.5)[..., None, :, :]
    number = torch.arange(classes, dtype=place.dtype, device=place.device)[:, None, None]
    gap = (place - number + classes / 2) % classes - classes / 2
    return (1 - gap.abs()).clamp(min=0)


def decoded(likely: Float[Tensor, "*batch direction row col"]) -> Float[Tensor, "*batch row col"]:
    """Return the normal in [0, π) that probabilities mean: the mean of the classes around the likeliest.

    >>> normal = torch.tensor([[0.3, 3.1]])
    >>> bool(torch.allclose(decoded(shared(normal, 36)), normal, atol=1e-5))
    True
    """
    classes = likely.shape[-3]
    top = likely.argmax(dim=-3, keepdim=True)
    shifts = torch.arange(-WINDOW, WINDOW + 1, device=likely.device)[:, None, None]
    weight = likely.gather(-3, (top + shifts) % classes)
    turn = (weight * shifts).sum(dim=-3) / weight.sum(dim=-3).clamp(min=1e-12)
    return (top.squeeze(-3) + turn + 0.5) * (math.pi / classes) % math.pi

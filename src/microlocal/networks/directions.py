"""The network of DeNSE, fully convolutional: from shearlet coefficients to the singular directions at every pixel.

    (e, h_0 ... h_2H) = Φ( s, |s| ),      s = asinh( 0.3 c / (a G) ) / 0.3,      c = SH(f), without the low-pass
    p_k = h_0 + Σ_n h_{2n-1} cos 2nθ_k + h_{2n} sin 2nθ_k,      θ_k = (k + 1/2) π/K,      n = 1 ... H

e is the logit of "an edge runs here", p_k that of "its normal lies at θ_k": neighbouring directions are learned
together. A normal between two classes is
shared between them, in proportion to how near they are, so that directions are not quantised; several may be present
at a corner. a is the size of all coefficients of the image and G the usual size of those of a scale: grey values
may have any unit and any black. Where DeNSE classifies patches, one at a time, this network sees the whole image once.

Reference: Andrade-Loarca, Kutyniok, Öktem, Petersen (2019).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.unet import PyramidUNet

FLOOR = 1e-3  # of the mean square that channels are divided by
MARGIN = 16  # pixels by which an image is continued by reflection, so that its border is no edge
STRETCH = 0.3  # coefficients enter as they are, and by their logarithm beyond some three times the usual size
HARMONICS = 8  # of the logits of directions, where there are classes enough
RARE = -3.0  # logits to begin with: an edge, or a direction, is rare
WINDOW = 2  # classes to either side of the likeliest that say where between them the normal lies


@lru_cache(maxsize=8)
def _frame(shape: tuple[int, int], scales: int) -> DyadicShearletFrame:
    return DyadicShearletFrame(shape, scales)


class ChannelNorm(nn.Module):
    """Divide the channels of every pixel by their root mean square: local, so that images may have any size.

    >>> ChannelNorm(2)(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).square().mean().round(decimals=2).item()
    1.0
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch channel row col"]:
        return self.gain * x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + FLOOR)


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
    waves: Tensor

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
        channels = [2 * c for c in _frame((64, 64), scales).channels]
        channels[-1] -= 2
        angles = (torch.arange(classes) + 0.5) * (math.pi / classes)
        turns = [2 * n * angles for n in range(1, 1 + min(HARMONICS, (classes - 1) // 2))]
        waves = torch.stack([torch.ones(classes), *(f(t) for t in turns for f in (torch.cos, torch.sin))], dim=1)
        self.register_buffer("waves", waves, persistent=False)
        self.unet = PyramidUNet(channels, [1 + waves.shape[1]], widths, pairs, normalised=False)
        _begin(self.unet)
        self.register_buffer("gains", torch.tensor([1.0] * scales if gains is None else list(gains)))

    def forward(
        self, image: Float[Tensor, "batch row col"], jitter: Float[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, "batch row col"], Float[Tensor, "batch direction row col"]]:
        """Return the logits of an edge and of the directions; ``jitter`` scales what the network sees (training)."""
        levels, size = self.coefficients(image)
        unit = size if jitter is None else size / jitter[:, None, None, None]
        seen = [torch.asinh(c / (unit * g) * STRETCH) / STRETCH for c, g in zip(levels, self.gains, strict=True)]
        (found,) = self.unet([torch.cat([c, c.abs()], dim=1) for c in seen])
        rows, cols = image.shape[-2:]
        inside = found[..., MARGIN : MARGIN + rows, MARGIN : MARGIN + cols].float()
        return inside[:, 0], torch.einsum("kh,bhij->bkij", self.waves, inside[:, 1:])

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


def _begin(unet: PyramidUNet) -> None:
    """Normalise what enters the blocks, and let signals keep their size on their way: it learns faster so."""
    for layer in unet.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
    for block in (*unet.down, *unet.up):
        enter = cast(nn.Conv2d, block.get_submodule("enter"))
        for pair in block.get_submodule("pairs").children():
            pair.get_submodule("3").get_parameter("weight").data.mul_(0.3)
        block.enter = nn.Sequential(enter, ChannelNorm(enter.out_channels), nn.SiLU())
    last = unet.out[0]
    nn.init.normal_(last.get_parameter("weight"), std=0.02)
    nn.init.zeros_(last.get_parameter("bias"))
    last.get_parameter("bias").data[:2] = RARE


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

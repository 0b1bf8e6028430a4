"""A U-Net whose levels take and give channels of their own: what lives at half the sampling rate enters one level down.

    e_0 = B(x_0),   e_ℓ = B(↓e_{ℓ-1}, x_ℓ),      d_L = e_L,   d_ℓ = B(↑d_{ℓ+1}, e_ℓ),      y_ℓ = C d_ℓ

B are residual blocks of 3 x 3 convolutions, ↓ the mean of 2 x 2 pixels, ↑ bilinear interpolation. With channels at the
finest level alone it is the U-Net of Ronneberger, Fischer and Brox (2015) with group instead of batch normalisation
(Wu and He, 2018): an output does not depend on what else is in the batch.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from microlocal.core.errors import InputError

Images = Float[Tensor, "batch channel row col"]
GROUP = 8  # features that are normalised together


class Block(nn.Module):
    """One convolution to ``width`` channels, then residual pairs of convolutions that begin as the identity.

    A pair normalises what it reads, in groups of features over one image; what it adds to is left as it is.
    """

    def __init__(self, channels: int, width: int, pairs: int, normalised: bool = True) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.pairs = nn.ModuleList(
            nn.Sequential(*_step(width, normalised), *_step(width, normalised)) for _ in range(pairs)
        )
        for pair in self.pairs:
            *_, last = pair.children()
            nn.init.zeros_(last.get_parameter("weight"))
            nn.init.zeros_(last.get_parameter("bias"))

    def forward(self, x: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch width row col"]:
        x = self.enter(x)
        for pair in self.pairs:
            x = x + pair(x)
        return x


def _step(width: int, normalised: bool) -> list[nn.Module]:
    groups = math.gcd(width, max(width // GROUP, 1))
    return [*[nn.GroupNorm(groups, width)] * normalised, nn.SiLU(), nn.Conv2d(width, width, 3, padding=1)]


class PyramidUNet(nn.Module):
    """A U-Net from channels at several sampling rates to channels at several sampling rates.

    Parameters: ``inputs`` and ``outputs``, how many channels level ℓ has (0: none), the finest first; ``widths``, the
    features of every level, at least as many as there are levels; ``pairs`` of residual convolutions in a block;
    ``normalised``, by groups: trains faster, but has no Lipschitz constant worth stating.
    Level ℓ has the sides of level 0 over 2^ℓ. Sides that 2^(levels - 1) does not divide are refused.

    Raises InputError for channels without a level.

    >>> network = PyramidUNet((2, 3), (1, 3), (8, 16))
    >>> fine, coarse = network([torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4)])
    >>> fine.shape, coarse.shape
    (torch.Size([1, 1, 8, 8]), torch.Size([1, 3, 4, 4]))
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        widths: Sequence[int],
        pairs: int = 1,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        depth = len(widths)
        if not inputs or inputs[0] < 1 or max(len(inputs), len(outputs)) > depth:
            got = f"inputs {tuple(inputs)}, outputs {tuple(outputs)}, widths {tuple(widths)}"
            do = "Give a width for every level, and channels at the first."
            raise InputError("PyramidUNet", expected="as many widths as levels", got=got, do=do)
        self.inputs, self.outputs = _padded(inputs, depth), _padded(outputs, depth)
        self.divisor = 2 ** (depth - 1)  # of the sides
        before = (0, *widths[:-1])
        entering = (b + i for b, i in zip(before, self.inputs, strict=True))
        self.down = nn.ModuleList(Block(c, w, pairs, normalised) for c, w in zip(entering, widths, strict=True))
        joined = (widths[k] + widths[k + 1] for k in range(depth - 1))
        self.up = nn.ModuleList(Block(c, w, pairs, normalised) for c, w in zip(joined, widths[:-1], strict=True))
        ends = zip(widths, self.outputs, strict=True)
        self.out = nn.ModuleList(nn.Conv2d(w, o, 1) if o else nn.Identity() for w, o in ends)
        for layer in self.out:
            if isinstance(layer, nn.Conv2d):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, levels: Sequence[Images]) -> list[Images]:
        """Return the channels of every level that has some: (batch, channel, row, col) each, the finest first."""
        _check_levels(levels, self.inputs, self.divisor)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            parts = [functional.avg_pool2d(skips[-1], 2)] if skips else []
            if level < len(levels) and self.inputs[level]:
                parts.append(levels[level])
            skips.append(block(torch.cat(parts, dim=1)))
        here = skips[-1]
        found = [(len(skips) - 1, here)]
        for level in reversed(range(len(self.up))):
            wide = functional.interpolate(here, scale_factor=2, mode="bilinear", align_corners=False)
            here = self.up[level](torch.cat([wide, skips[level]], dim=1))
            found.append((level, here))
        return [self.out[level](x) for level, x in reversed(found) if self.outputs[level]]


def _padded(channels: Sequence[int], depth: int) -> tuple[int, ...]:
    return (*channels, *(0 for _ in range(depth - len(channels))))


def _check_levels(levels: Sequence[Tensor], channels: tuple[int, ...], divisor: int) -> None:
    """Raise InputError unless every level has its channels and the sides halve from one to the next."""
    rows, cols = levels[0].shape[-2:]
    got = ", ".join(str(tuple(level.shape[1:])) for level in levels)
    if rows % divisor or cols % divisor:
        raise InputError("PyramidUNet", expected=f"sides that {divisor} divides", got=got, do="Pad the image.")
    wanted = [(c, rows >> k, cols >> k) for k, c in enumerate(channels) if c]
    if [tuple(level.shape[1:]) for level in levels if level.shape[1]] != wanted:
        expected = ", ".join(map(str, wanted))
        raise InputError("PyramidUNet", expected=expected, got=got, do="Build the network for these channels.")

"""Adaptive shrinkage: a network changes the coefficients of patches, and no patch may gain energy.

    N(f) = Kᵀ P_f(K f),      P_f(c) = min(1, |c|/|d|) d  on every patch,      d = a(f) c + n b(f)

K are the cosine coefficients of all 8 x 8 patches at every second pixel of the image, continued by reflection; they
form a Parseval frame, KᵀK = I. A U-Net that sees K f predicts factors a in (0, 1) and corrections b in units of the
noise n of a coefficient; the mean of a patch stays. What it proposes for a patch is shortened where it is longer than
what was there. In the dictionary this is shift-invariant shrinkage whose shrinkage function is learned, acts on all
coefficients of a patch together, and sees its surroundings.

Proved for any weights whatever: |N(f) - c| <= |f - c| for every constant c, since Σ |P c|² <= Σ |c|² patch by patch and
Kᵀ has norm one; and the mean grey value is kept. A patch that is the mirror image of another one is changed as its
mirror image, so that a period of the torus holds the image four times and the bound of the torus is that of the image.
Nothing is proved of distances: P depends on f.

Reference: Alt, Weickert, Peter (2020); Yu and Sapiro (2011) for shrinkage of patches' cosines.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from microlocal.certificates.base import Hypothesis
from microlocal.certificates.guarantee import Guarantee
from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.networks.noise_level import LevelOf, levels
from microlocal.networks.trial import NetworkTrial
from microlocal.networks.unet import PyramidUNet

SIDE, STRIDE = 8, 2  # of a patch, and from one to the next
MARGIN = SIDE - STRIDE  # pixels by which an image is continued
FIRST = -SIDE // 2  # the first patch that is not the mirror image of another one
WAVES = SIDE**2 - 1  # coefficients of a patch without its mean
UNIT = STRIDE / SIDE  # noise of a coefficient, in parts of that of a pixel
TINY = 1e-12
KEPT = 0.8  # of a coefficient, to begin with


def _samples() -> list[NetworkTrial]:
    def build() -> AdaptiveShrinkage:
        torch.manual_seed(0)
        network = AdaptiveShrinkage((6, 8), noise=0.5)
        nn.init.normal_(network.unet.get_parameter("out.0.weight"))
        return network

    return [
        NetworkTrial("adaptive shrinkage, even sides", build, (1, 12, 16)),
        NetworkTrial("adaptive shrinkage, odd sides", build, (1, 9, 11)),
    ]


@register("network", "adaptive-shrinkage", samples=_samples, reference="yu2011")
class AdaptiveShrinkage(nn.Module):
    """A denoiser of images (batch, 1, row, col) whose norm decreases.

    Parameters: ``widths`` of the levels of its U-Net, ``pairs`` of convolutions in a block; ``noise``, the standard
    deviation that is assumed where a call gives none, in the unit of the image; ``usual``, the noise in the middle of
    what it is trained for.

    >>> network = AdaptiveShrinkage((4, 4))
    >>> image = torch.rand(1, 1, 13, 10)
    >>> bool(network(image, 0.1).norm() <= image.norm()), network.guarantee().gain
    (True, 1.0)
    """

    def __init__(self, widths: Sequence[int], pairs: int = 1, noise: float = 0.1, usual: float = 0.1) -> None:
        super().__init__()
        self.noise, self.usual = noise, usual
        self.unet = PyramidUNet((SIDE**2,), (2 * WAVES,), widths, pairs, normalised=False)

    def forward(self, f: Float[Tensor, "batch 1 row col"], noise: LevelOf = None) -> Float[Tensor, "batch 1 row col"]:
        """Return the denoised images; ``noise``, its standard deviation, one number or one for every image."""
        if f.ndim != 4 or f.shape[1] != 1:
            do = "Denoise the channels of an image one by one."
            raise ShapeError("AdaptiveShrinkage", expected="(batch, 1, row, col)", got=str(tuple(f.shape)), do=do)
        rows, cols = f.shape[-2:]
        level = levels(self.noise if noise is None else noise, f)
        found = _analysis(f, rows, cols)
        return _synthesis(self._shrunk(found, level, rows, cols), rows, cols)

    def _shrunk(self, coefficients: Tensor, level: Tensor, rows: int, cols: int) -> Tensor:
        """Return P c: patches that are mirror images of others are changed as their mirror images."""
        skip = (MARGIN + FIRST) // STRIDE
        own = coefficients[..., skip : skip + rows // STRIDE + 1, skip : skip + cols // STRIDE + 1]
        unit = UNIT * level
        waves = own[:, 1:] / unit
        shares, changes = self._predicted(waves, (level / self.usual).log())
        proposed = shares * waves + changes
        kept = torch.cat([own[:, :1], unit * proposed * _shortened(_length(proposed), _length(waves)).to(waves)], dim=1)
        return _mirrored(kept, rows, cols, coefficients.shape[-2:])

    def _predicted(self, waves: Tensor, log_level: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and b from coefficients in units of their noise."""
        seen = torch.cat([log_level.expand(len(waves), 1, *waves.shape[-2:]), torch.asinh(waves)], dim=1)
        down, right = (-side % self.unet.divisor for side in waves.shape[-2:])
        (found,) = self.unet([functional.pad(seen, (0, right, 0, down), mode="replicate")])
        shares, changes = found[..., : waves.shape[-2], : waves.shape[-1]].to(waves).chunk(2, dim=1)
        return torch.sigmoid(shares + math.log(KEPT / (1 - KEPT))), changes

    def guarantee(self) -> Guarantee:
        return Guarantee(gain=1.0, mean=True)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        gap = _parseval_gap()
        return (
            Hypothesis("KᵀK = I for images continued by reflection", f"largest deviation {gap:.1e}", gap <= 1e-12),
            Hypothesis("|P c| <= |c| on every patch: longer proposals are shortened", "for any weights", True),
            Hypothesis("patches beyond the border are changed as mirror images", "at even places", SIDE % STRIDE == 0),
        )


def _shortened(length: Tensor, before: Tensor) -> Float[Tensor, "batch 1 row col"]:
    """Return by what a proposal is multiplied: by 0 where the patch was next to nothing, so that nothing is added."""
    return torch.where(before > TINY, (before / length).clamp(max=1.0), 0.0)


def _length(x: Tensor) -> Float[Tensor, "batch 1 row col"]:
    """Return |c| of every patch, in 32 bits at least: squares leave the range of 16."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.square().sum(dim=1, keepdim=True).clamp_min(TINY**2).sqrt()


@lru_cache(maxsize=8)
def patch_cosines(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "filter 1 row col"]:
    """Return the filters of K: the orthogonal cosines of a patch, the constant first, so that KᵀK = I."""
    k = torch.arange(SIDE, dtype=torch.float64)
    waves = torch.cos(math.pi / SIDE * (k + 0.5) * k[:, None]) * math.sqrt(2 / SIDE)
    waves[0] /= math.sqrt(2)
    both = torch.einsum("ir,jc->ijrc", waves, waves).reshape(SIDE**2, 1, SIDE, SIDE)
    return (both * (STRIDE / SIDE)).to(device, dtype)


def _analysis(f: Tensor, rows: int, cols: int) -> Float[Tensor, "batch filter row col"]:
    """Return K f, of the image continued by reflection so far that patches cover its pixels equally often."""
    down, right = (_places(n).to(f.device) for n in (rows, cols))
    wide = f.index_select(-2, down).index_select(-1, right)
    with torch.autocast(f.device.type, enabled=False):
        return functional.conv2d(wide, patch_cosines(f.dtype, f.device), stride=STRIDE)


def _synthesis(coefficients: Tensor, rows: int, cols: int) -> Float[Tensor, "batch 1 row col"]:
    """Return Kᵀ c on the pixels of the image."""
    with torch.autocast(coefficients.device.type, enabled=False):
        kernel = patch_cosines(coefficients.dtype, coefficients.device)
        wide = functional.conv_transpose2d(coefficients, kernel, stride=STRIDE)
    return wide[..., MARGIN : MARGIN + rows, MARGIN : MARGIN + cols]


@lru_cache(maxsize=1)
def _parseval_gap() -> float:
    """Return how far KᵀK is from the identity, on all images of a few pixels continued by reflection."""
    n = SIDE + 3
    unit = torch.eye(n * n, dtype=torch.float64).reshape(-1, 1, n, n)
    return float((_synthesis(_analysis(unit, n, n), n, n) - unit).abs().max())


@lru_cache(maxsize=64)
def _places(n: int) -> Int[Tensor, " place"]:
    """Return which pixel stands where: reflected at the edges of the first and the last pixel, as often as need be."""
    place = torch.arange(-MARGIN, n + MARGIN + n % STRIDE) % (2 * n)
    return torch.where(place < n, place, 2 * n - 1 - place)


def _mirrored(kept: Tensor, rows: int, cols: int, counts: Sequence[int]) -> Float[Tensor, "batch filter row col"]:
    """Return the coefficients of all patches of the continued image, from those of its own patches."""
    order = torch.arange(SIDE**2, device=kept.device)
    for axis, n, count, wave in ((-2, rows, counts[0], order // SIDE), (-1, cols, counts[1], order % SIDE)):
        which, sign = (x.to(kept.device) for x in _mirror_images(n, count))
        sign = sign.to(kept)[:, None] if axis == -2 else sign.to(kept)
        kept = kept.index_select(axis, which) * torch.where((wave % 2 == 1).reshape(-1, 1, 1), sign, 1.0)
    return kept


@lru_cache(maxsize=64)
def _mirror_images(n: int, count: int) -> tuple[Int[Tensor, " patch"], Int[Tensor, " patch"]]:
    """Return for each patch which one of those from FIRST to n + FIRST it shows, and the sign of its odd waves.

    It is -1 for a mirror image, and 0 for patches that lie on the border and are their own.
    """
    start = (torch.arange(count) * STRIDE - MARGIN - FIRST) % (2 * n)
    turned = start > n
    sign = torch.where(start % n == 0, 0, torch.where(turned, -1, 1))
    return torch.where(turned, 2 * n - start, start) // STRIDE, sign

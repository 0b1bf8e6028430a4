"""The network of Learn the Invisible: from the shearlet coefficients of f* to an estimate of the invisible ones.

    F = c + a G/2 Φ( arsinh(c / (a G)), s ),      f = SH^T( s c + (1 - s) F ),      c = SH(f*)

s is the share of a coefficient's directions that was measured (the index set I_vis of Bubba et al. where it is 0 or
1), an input of the network beside the coefficients, so that one set of weights serves every arc; a is the size of the
image and G the usual size of the details of a scale, so that no unit matters and what is to be found is of size one at
every scale: without that the coarsest, a hundred times as large, leave nothing to learn for the others. Coefficients
at edges are a hundred times the usual size, which arsinh brings down to ten. The invisible part of c, near zero after
a sparse reconstruction, is what the network begins from: an untrained one returns f*.

Reference: Bubba et al. (2019); Kutyniok (2023), section 4.1.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.unet import PyramidUNet

Level = Float[Tensor, "batch channel row col"]
WRONG = 0.5  # error of a coefficient of f* over its usual size, at all scales
BRIGHT = 0.995  # quantile of |f*| that stands for the size of an image


def image_size(image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch 1 1"]:
    """Return the brightness of an image, (*batch, 1, 1): a high quantile of |f|, at least the least positive number."""
    flat = image.detach().flatten(-2).abs().float()
    rank = max(round(BRIGHT * flat.shape[-1]), 1)
    size = flat.kthvalue(rank, dim=-1).values.clamp_min(torch.finfo(torch.float32).tiny)
    return size.to(image.dtype)[..., None, None]


class InvisibleEstimator(nn.Module, ABC):
    """What completes images: a map from coefficients and measured shares to what is added to the invisible ones.

    Sides of images are multiples of ``divisor``.
    """

    divisor: int

    @abstractmethod
    def forward(self, coefficients: Sequence[Level], share: Sequence[Level]) -> list[Level]:
        """Return what is to be added to the invisible coefficients, level by level, in images of size one."""

    def complete(
        self,
        image: Float[Tensor, "batch row col"],
        share: Float[Tensor, "batch filter #row #col"],
        frame: DyadicShearletFrame,
    ) -> Float[Tensor, "batch row col"]:
        """Return SH^T(s SH(f*) + (1 - s) F): f* with its invisible coefficients replaced by learned ones.

        ``share`` of every filter, one number or a map that is interpolated. Scaling the image scales the result.
        """
        size = image_size(image)
        levels = frame.sampled(share)
        given = frame.levels(frame(image / size))
        combined = [c + (1 - s) * f for c, s, f in zip(given, levels, self(given, levels), strict=True)]
        return size * frame.adjoint(frame.joined(combined))


class InvisibleNetwork(InvisibleEstimator):
    """A :class:`PyramidUNet` on the dyadic shearlet coefficients of an image and their measured shares.

    Parameters: ``channels``, how many filters every level of the frame has (``DyadicShearletFrame.channels``);
    ``widths`` and ``pairs`` of the U-Net; ``gains``, the usual size of the details of every level, the finest first,
    and then of the low-pass, in images of size one, kept with the weights.

    >>> frame = DyadicShearletFrame((16, 16), scales=2)
    >>> network = InvisibleNetwork(frame.channels, (8, 8))
    >>> image = torch.rand(1, 16, 16)
    >>> bool(torch.allclose(network.complete(image, torch.full((1, 13, 1, 1), 0.5), frame), image, atol=1e-6))
    True
    """

    gains: Tensor

    def __init__(
        self, channels: Sequence[int], widths: Sequence[int], pairs: int = 1, gains: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.unet = PyramidUNet([2 * c for c in channels], list(channels), widths, pairs)
        self.divisor = self.unet.divisor
        self.register_buffer("gains", torch.tensor([1.0] * (len(channels) + 1) if gains is None else list(gains)))

    def forward(self, coefficients: Sequence[Level], share: Sequence[Level]) -> list[Level]:
        """Return what is to be added to the invisible coefficients, level by level, in images of size one."""
        *usual, low = self.gains
        seen = [c / gain for c, gain in zip(coefficients, usual, strict=True)]
        seen[-1] = torch.cat([coefficients[-1][:, :1] / low, seen[-1][:, 1:]], dim=1)
        inputs = [torch.cat([c.asinh(), s.expand_as(c)], dim=1) for c, s in zip(seen, share, strict=True)]
        return [WRONG * gain * found for found, gain in zip(self.unet(inputs), usual, strict=True)]


class InvisibleEnsemble(InvisibleEstimator):
    """The mean of networks that were trained apart, on different examples: it keeps what they agree on.

    F = (F₁ + … + F_n) / n, so that the image is the mean of theirs. Parameters: ``members``, of the same channels.
    """

    def __init__(self, members: Sequence[InvisibleNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.divisor = max(member.divisor for member in members)

    def forward(self, coefficients: Sequence[Level], share: Sequence[Level]) -> list[Level]:
        """Return the mean of what the members add, level by level."""
        added = [member(coefficients, share) for member in self.members]
        return [torch.stack(level).mean(dim=0) for level in zip(*added, strict=True)]

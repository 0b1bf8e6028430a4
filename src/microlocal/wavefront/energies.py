"""How much of an image's energy is measured, around every pixel and in all, from one pass over the filters.

    measured(x) = Σ_k s_k(x) mean over a window of |c_k|²,        undetermined(x) the same with 1 - s_k

The sums of ``local_energies`` and ``energy_split`` without their coefficients, of which one filter's are held at a
time: at 2048 x 2048 pixels 49 filters have 800 MB.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.checks import at_least, trailing_shape
from microlocal.frames.shearlet import ShearletFrame
from microlocal.kernels.window_means import add_shares, split_squares, window_means

_LOTS = 4  # partial sums, always as many, so that rounding does not depend on the threads


@dataclass(frozen=True, eq=False)
class Energies:
    """Measured and undetermined energy: around each pixel (*batch, row, col), and of each whole image (*batch,)."""

    measured: Float[Tensor, "*batch row col"]
    undetermined: Float[Tensor, "*batch row col"]
    measured_sum: Float[Tensor, "*batch"]
    undetermined_sum: Float[Tensor, "*batch"]


def image_energies(
    image: Float[Tensor, "*batch row col"],
    frame: ShearletFrame,
    share: Float[Tensor, "filter #row #col"],
    window: int = 7,
) -> Energies:
    """Return what ``local_energies`` and ``energy_split`` say of the coefficients of an image on the CPU.

    ``share`` is ``visible_share`` of the frame's filters. Raises ShapeError where image, frame and share do not fit.
    """
    shape = tuple(n if m == 1 else m for n, m in zip(frame.domain_shape, share.shape[-2:], strict=True))
    trailing_shape(share.expand(-1, *shape), frame.codomain_shape, frame.codomain_axes, "image_energies", frame.advice)
    radius = at_least(window, 1, "window", "image_energies") // 2
    found = [_of_one(x, frame, share, radius) for x in image.reshape(-1, *frame.domain_shape)]
    batch = image.shape[:-2]
    return Energies(
        torch.stack([f.measured for f in found]).reshape(image.shape),
        torch.stack([f.undetermined for f in found]).reshape(image.shape),
        torch.stack([f.measured_sum for f in found]).reshape(batch),
        torch.stack([f.undetermined_sum for f in found]).reshape(batch),
    )


def _of_one(image: Tensor, frame: ShearletFrame, share: Tensor, radius: int) -> Energies:
    image, shares = torch.from_numpy(to_numpy(image)), to_numpy(share)
    seen, rest, means = (np.zeros((_LOTS, *image.shape), dtype=to_numpy(image).dtype) for _ in range(3))
    sums = np.zeros((len(frame.filters), 2))

    def visit(band: Tensor, k: int, lot: int) -> None:
        values = to_numpy(band)
        sums[k] = split_squares(values, shares[k])
        if frame.filters[k].scale < 0:  # the grey level around a pixel is no structure
            window_means(values, radius, False, means[lot])
            values = values - means[lot]
        window_means(values, radius, True, means[lot])
        add_shares(means[lot], shares[k], seen[lot], rest[lot])

    frame.visit_filters(image, visit, _LOTS)
    measured, undetermined = torch.from_numpy(sums.sum(axis=0))
    return Energies(torch.from_numpy(seen.sum(axis=0)), torch.from_numpy(rest.sum(axis=0)), measured, undetermined)

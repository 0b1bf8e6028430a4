"""Iterative thresholding with a decreasing threshold: the solver of the inverse problems of images.

    x <- W⁺ H_{λ_n}(W(x + τ A*(b - A x))),    λ_n falling geometrically,    τ = 1/|A|²

H is hard thresholding at λ_n |ψ_k| in the band of filter k. While the threshold is high only the strongest features
are filled in; each lower one starts from an image that already explains them. The problem is not convex and there is
no promise of a minimum: the number of iterations is part of the method.
Reference: Elad, Starck, Querre and Donoho (2005).
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.progress import SILENT, Progress
from microlocal.frames.base import Frame
from microlocal.operators.base import LinearOperator
from microlocal.reconstruction.images.framed import Framed
from microlocal.reconstruction.images.shrinkage import hard, shrink


@dataclass(frozen=True)
class Schedule:
    """``iterations`` thresholds that fall geometrically from the largest coefficient to ``last`` (*batch,)."""

    last: Float[Tensor, "*batch"]
    iterations: int

    def size(self, first: Float[Tensor, "*batch"], iteration: int) -> Float[Tensor, "*batch"]:
        """Return λ of an iteration, one an image."""
        share = iteration / max(self.iterations - 1, 1)
        return torch.maximum(first, self.last) ** (1 - share) * self.last**share


def largest_size(frame: Frame, coefficients: Float[Tensor, "..."]) -> Float[Tensor, "*batch"]:
    """Return the largest |c| / |ψ_k| over the bands above the low-pass: the threshold at which nothing is left."""
    norms, batch = frame.filter_norms().tolist(), coefficients.ndim - len(frame.codomain_shape)
    tops = [
        band.abs().flatten(start_dim=batch).amax(dim=-1) / norm
        for band, record, norm in zip(frame.bands(coefficients), frame.filters, norms, strict=True)
        if record.scale >= 0 and norm > 0  # a filter between the frequencies of a small image is zero
    ]
    return torch.stack(tops).amax(dim=0)


def thresholded_descent(
    operator: LinearOperator,
    data: Float[Tensor, "..."],
    frame: Framed,
    start: Float[Tensor, "*batch row col"],
    schedule: Schedule,
    momentum: float = 0.0,
    progress: Progress = SILENT,
) -> tuple[Float[Tensor, "*batch row col"], list[float]]:
    """Return the last iterate and |A x - b| / |b| by iteration; ``momentum`` in [0, 1) carries on the last move."""
    step, x, ahead = 1 / operator.norm_bound() ** 2, start, start
    size = max(float(data.norm()), torch.finfo(data.dtype).tiny)
    first, residuals = None, []
    progress.start("thresholding", schedule.iterations)
    for k in range(schedule.iterations):
        gap = data - operator(ahead)
        residuals.append(float(gap.norm()) / size)
        ahead = operator.adjoint(gap).mul_(step).add_(ahead)  # in place: of large images no copy more than needed
        first = frame.greatest(lambda w, part: largest_size(w, w(part)), ahead) if first is None else first
        new = frame.map(partial(_thresholded, schedule.size(first, k)), ahead)
        ahead = (new - x).mul_(momentum).add_(new) if momentum else new
        x = new
        progress.advance("thresholding")
    progress.finish("thresholding")
    return x, residuals


def _thresholded(
    size: Float[Tensor, "*batch"], frame: Frame, image: Float[Tensor, "*batch row col"]
) -> Float[Tensor, "*batch row col"]:
    return frame.inverse(shrink(frame, frame(image), size, hard))


def image_spread(image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch"]:
    """Return the standard deviation of every image, at least a tiny number."""
    spread = image.flatten(start_dim=-2).std(dim=-1)
    return spread.clamp_min(torch.finfo(image.dtype).tiny)

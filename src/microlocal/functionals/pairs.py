"""The l1 norm of complex numbers that are stored as adjacent pairs of reals, as decimated frames store them."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Step, weights_of
from microlocal.functionals.norms import plain
from microlocal.kernels.dual_steps import shorten_pairs_step


def _samples() -> list["PairL1"]:
    weights = torch.arange(9.0).repeat_interleave(2).reshape(2, 3, 3) / 10
    return [PairL1(0.8), PairL1(weights)]


@register("functional", "pair-l1", samples=_samples, reference="candes2006")
class PairL1(Proximable):
    """F(x) = Σ_i w_i |(x_{2i}, x_{2i+1})|₂ over the flattened x: the magnitudes of complex coefficients.

    ``weights`` w >= 0, a number or a tensor that broadcasts to x and is the same for both numbers of a pair, as
    ``frame.spread`` of a decimated frame makes it; so must ``step`` be. The number of entries is even. Thresholding
    magnitudes leaves the phases, hence positions, alone. Pairs of complex numbers, which such a frame makes of complex
    images, have the norm of C².

    >>> PairL1(2.5).prox(torch.tensor([3.0, 4.0]), 1.0).tolist()
    [1.5, 2.0]
    """

    takes_complex = True

    def __init__(self, weights: float | Tensor) -> None:
        self.weights = weights_of(weights, "PairL1")

    def __call__(self, x: Float[Tensor, "..."]) -> float:
        return float((_one_a_pair(self.weights, x) * _size(x)).sum())

    def prox(self, x: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        threshold = _one_a_pair(step, x) * _one_a_pair(self.weights, x)
        shrink = (1 - threshold / _size(x).clamp_min(torch.finfo(x.dtype).tiny)).clamp_min(0)
        return (x.reshape(-1, 2) * shrink).reshape(x.shape)

    def conjugate_prox(self, y: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        """Return the projection of every pair on the disc of radius w: the step does not matter."""
        del step
        limit = _one_a_pair(self.weights, y)
        inside = limit / torch.maximum(_size(y), limit).clamp_min(torch.finfo(y.dtype).tiny)
        return (y.reshape(-1, 2) * inside).reshape(y.shape)

    def dual_step(self, y: Float[Tensor, "..."], image: Float[Tensor, "..."], step: Step) -> Float[Tensor, "..."]:
        limits = torch.as_tensor(self.weights, dtype=image.real.dtype)
        if not plain(y, image, step) or limits.shape != image.shape[-1:] or image.shape[-1] % 2:
            return super().dual_step(y, image, step)
        rows = y.reshape(-1, limits.numel()).numpy(), image.view(-1, limits.numel()).numpy()
        shorten_pairs_step(*rows, float(step), limits.contiguous().numpy())
        return image


def _size(x: Tensor) -> Tensor:
    """Return the magnitudes, (pair, 1)."""
    return torch.linalg.vector_norm(x.reshape(-1, 2), dim=-1, keepdim=True)


def _one_a_pair(values: float | Tensor, like: Tensor) -> Tensor:
    """Return a number or one value a pair, (pair, 1)."""
    values = torch.as_tensor(values, dtype=like.real.dtype, device=like.device)
    return values.expand(like.shape).reshape(-1, 2)[:, :1] if values.ndim else values

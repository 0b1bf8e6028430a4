"""Gaps filled with the means of what is known around them: where an iteration that fills them better may begin."""

import math

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from microlocal.core.checks import tensor
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.autograd import linear_pair
from microlocal.operators.base import LinearOperator


def _samples() -> list["Filling"]:
    pattern = (torch.arange(35).reshape(5, 7) * 7 % 5) > 1
    hole = torch.ones(6, 9, dtype=torch.bool)
    hole[1:6, 2:8] = False
    return [Filling(pattern), Filling(hole), Filling(torch.stack((hole, hole.flip(-1))))]


@register("operator", "filling", samples=_samples)
class Filling(LinearOperator):
    """Known pixels as they are, gaps from the means of blocks: (*batch, row, col) -> (*batch, row, col).

        (P f)[x] = f[x] where x is known,    the mean of the known f in B_k(x) elsewhere

    B_k(x) is the block of 2^k x 2^k pixels, on a grid that begins in the corner, with the least k that holds a known
    pixel. Parameters: ``known`` (row, col), Boolean, True for known pixels, or (*image, row, col) for images with gaps
    of their own, which then are the domain. Raises InputError for an image of which nothing is known.

    Guarantee: constants pass; |P|² is at most the largest sum of a column (Schur), what one pixel gives to all.

    >>> Filling(torch.tensor([[True, False, False, False]]))(torch.tensor([[2.0, 9.0, 9.0, 9.0]])).tolist()
    [[2.0, 2.0, 2.0, 2.0]]
    """

    known: Tensor
    level: Tensor

    def __init__(self, known: Bool[Tensor, "*image row col"]) -> None:
        marks = tensor(known, "Filling")
        if marks.dtype != torch.bool or marks.ndim < 2 or not bool(marks.flatten(-2).any(dim=-1).all()):
            got = f"{marks.dtype} {tuple(marks.shape)}, {int(marks.sum())} known"
            do = "Mark known pixels by comparing, as in weights > 0."
            raise InputError("Filling", expected="a Boolean mask with known pixels", got=got, do=do)
        super().__init__(tuple(marks.shape), tuple(marks.shape))
        self.domain_axes = self.codomain_axes = ", ".join(("image",) * (marks.ndim - 2) + ("row", "col"))
        self.register_buffer("known", marks.clone(), persistent=False)
        self.register_buffer("level", self._levels(), persistent=False)
        self._last = int(self.level.max())  # asked once: of a GPU's memory it would be waited for

    @property
    def widest(self) -> int:
        """The side of the largest block that a gap is filled from; 1 where there is no gap."""
        return int(2**self._last)

    def norm_bound(self) -> float:
        ones = torch.ones(self.domain_shape, dtype=torch.float64, device=self.known.device)
        return math.sqrt(float(self._spread(ones).max())) * (1 + 1e-9)

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._filled, self._spread)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._spread, self._filled)

    def _filled(self, x: Tensor) -> Tensor:
        marks = self.known.to(x.dtype)
        found = x * marks
        seen = found
        for k in range(1, self._last + 1):
            means = self._sums(seen, k) / self._sums(marks, k).clamp_min(1)
            found = torch.where(self.level == k, self._blocks(means, k), found)
        return found

    def _spread(self, y: Tensor) -> Tensor:
        marks = self.known.to(y.dtype)
        found = y * marks
        for k in range(1, self._last + 1):
            shares = self._sums(y * (self.level == k), k) / self._sums(marks, k).clamp_min(1)
            found += marks * self._blocks(shares, k)
        return found

    def _levels(self) -> Tensor:
        """Return k of every pixel, 0 for known ones."""
        found = torch.where(self.known, 0, -1)
        marks, k = self.known.float(), 0
        while bool((found < 0).any()):
            k += 1
            near = self._blocks(self._sums(marks, k), k) > 0
            found = torch.where((found < 0) & near, k, found)
        return found

    def _sums(self, x: Tensor, k: int) -> Tensor:
        """Return the sums over blocks of 2^k pixels a side, those at the ends being cut off."""
        side, (rows, cols) = 2**k, x.shape[-2:]
        wide = pad(x.reshape(-1, 1, rows, cols), (0, -cols % side, 0, -rows % side))
        sums = avg_pool2d(wide, side, divisor_override=1)
        return sums.reshape(*x.shape[:-2], *sums.shape[-2:])

    def _blocks(self, sums: Tensor, k: int) -> Tensor:
        """Return one number for every pixel of a block, in the shape of the images."""
        rows, cols = self.domain_shape[-2:]
        flat = sums.reshape(-1, 1, *sums.shape[-2:])
        fine = interpolate(flat, scale_factor=float(2**k), mode="nearest")[..., :rows, :cols]
        return fine.reshape(*sums.shape[:-2], rows, cols)

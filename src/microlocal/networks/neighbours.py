"""Pairs of neighbouring pixels: their differences, what passes between them, and small networks that see them.

    (D_k u)(x) = u(x + e_k) - u(x),      e_k: to the right, below, and along both diagonals

A pair exists where both of its pixels do: nothing passes the border of the image.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Pairs = Sequence[tuple[int, int]]
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (down, right) of the second pixel of a pair


def differences(u: Float[Tensor, "batch 1 row col"], pairs: Pairs = NEIGHBOURS) -> Float[Tensor, "batch pair row col"]:
    """Return D_k u at the first pixel of every pair, zero where there is none: grey values themselves do not matter.

    >>> differences(torch.tensor([[[[0.0, 1.0], [3.0, 7.0]]]]), NEIGHBOURS[:2])[0].tolist()
    [[[1.0, 0.0], [4.0, 0.0]], [[3.0, 6.0], [0.0, 0.0]]]
    """
    rows, cols = u.shape[-2:]
    found = []
    for down, right in pairs:
        here, there, left = _places(rows, cols, down, right)
        found.append(functional.pad(u[(..., *there)] - u[(..., *here)], (left, max(right, 0), 0, down)))
    return torch.cat(found, dim=1)


def exchanged(
    u: Float[Tensor, "batch 1 row col"],
    first: Float[Tensor, "batch pair row col"],
    second: Float[Tensor, "batch pair row col"],
    pairs: Pairs = NEIGHBOURS,
) -> Float[Tensor, "batch 1 row col"]:
    """Return u after both pixels of all pairs have moved towards each other by a part of their difference.

    ``first`` and ``second``, the parts of the pixel x and of x + e_k, both kept at x; those that belong to no pair are
    left out. Equal parts are a step of diffusion, u - Dᵀ g D u.

    >>> half, none = torch.full((1, 1, 1, 2), 0.5), torch.zeros(1, 1, 1, 2)
    >>> exchanged(torch.tensor([[[[0.0, 1.0]]]]), half, none, NEIGHBOURS[:1]).flatten().tolist()
    [0.5, 1.0]
    """
    rows, cols = u.shape[-2:]
    change = torch.zeros_like(u)
    for k, (down, right) in enumerate(pairs):
        here, there, left = _places(rows, cols, down, right)
        gap, place = u[(..., *there)] - u[(..., *here)], (..., slice(k, k + 1), *here)
        change = change + functional.pad(first[place] * gap, (left, max(right, 0), 0, down))
        change = change - functional.pad(second[place] * gap, (max(right, 0), left, down, 0))
    return u + change


def estimator(pairs: int, outputs: int, width: int, dilations: Sequence[int]) -> nn.Sequential:
    """Return a network from the differences of ``pairs`` to ``outputs`` numbers a pixel, one layer a dilation."""
    layers: list[nn.Module] = []
    channels = pairs
    for dilation in dilations:
        layers += [nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation), nn.SiLU()]
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, outputs, 1))


def _places(rows: int, cols: int, down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice], int]:
    """Return where the first and the second pixel of all pairs stand, and the columns to the left of the first."""
    left = max(-right, 0)
    here = (slice(0, rows - down), slice(left, cols - max(right, 0)))
    there = (slice(down, rows), slice(left + right, cols - max(right, 0) + right))
    return here, there, left

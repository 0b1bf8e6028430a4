"""The continuation of an image by its mirror image, and its transpose, for filters that keep their norm on it.

    b a | a b c d | d c

Of a bank K of filters of odd sides let every reflection of a filter, of its rows or its columns, be one, too, up to
its sign. Then K is not longer on images that are continued so by half a filter: |K P| <= |K|, with |K| that on all of
Z². For the image and its three reflections beside it, on a torus of twice its sides, have four times the square of its
norm; and in each quarter of that torus K sees the same image by reflected filters, and finds the same squares. Without
the reflections the bound would be |K P| <= 2 |K|.

Reference: Ng, Chan, Tang (1999), for the symmetric continuation.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from microlocal.core.errors import InputError, UnknownNameError

Border = Literal["valid", "symmetric"]
BORDERS: tuple[Border, ...] = get_args(Border)
REFLECTIONS = ((), (-1,), (-2,), (-2, -1))  # the axes along which a filter is turned around
Margins = tuple[int, int]  # of rows and of columns, on each side


def checked_border(border: Border, sides: tuple[int, int], who: str) -> Border:
    """Return the border; raises UnknownNameError for another, InputError for even sides that have no middle."""
    if border not in BORDERS:
        raise UnknownNameError(who, border, BORDERS)
    if border == "symmetric" and not all(side % 2 for side in sides):
        do = "Take odd sides, or the border valid."
        raise InputError(who, expected="filters of odd sides for a symmetric border", got=str(sides), do=do)
    return border


def mirrored(u: Float[Tensor, "*batch row col"], margins: Margins) -> Float[Tensor, "*batch row_ col_"]:
    """Return P u, the image with ``margins``.

    >>> mirrored(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), (0, 1)).tolist()
    [[1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0]]
    """
    rows, cols = margins
    return _mirrored_rows(_mirrored_rows(u, rows).mT, cols).mT


def _mirrored_rows(u: Tensor, margin: int) -> Tensor:
    above, below = u[..., :margin, :].flip(-2), u[..., u.shape[-2] - margin :, :].flip(-2)
    return torch.cat((above, u, below), dim=-2) if margin else u


def folded(v: Float[Tensor, "*batch row_ col_"], margins: Margins) -> Float[Tensor, "*batch row col"]:
    """Return Pᵀ v: what stands in the margin is added to the pixels that it is the mirror image of.

    >>> folded(torch.ones(2, 4), (0, 1)).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """
    rows, cols = margins
    return _folded_rows(_folded_rows(v, rows).mT, cols).mT


def _folded_rows(v: Tensor, margin: int) -> Tensor:
    if not margin:
        return v
    inner = v[..., margin : v.shape[-2] - margin, :]
    above, below = v[..., :margin, :].flip(-2), v[..., v.shape[-2] - margin :, :].flip(-2)
    rest = inner.shape[-2] - margin
    return inner + pad(above, (0, 0, 0, rest)) + pad(below, (0, 0, rest, 0))


def with_reflections(bank: Float[Tensor, "filter channel row col"]) -> Float[Tensor, "all_filters channel row col"]:
    """Return the filters, then those with their columns turned around, with their rows, and with both."""
    return torch.cat([bank.flip(axes) if axes else bank for axes in REFLECTIONS])

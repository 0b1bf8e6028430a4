"""Inpainting: pixels that are seen and pixels that are not, kept in place or picked out as a list."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microlocal.core.checks import finite, real, tensor
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.operators.windows import Place


def _pattern(rows: int, cols: int) -> Tensor:
    return (torch.arange(rows * cols).reshape(rows, cols) * 7 % 5) > 1


@register("operator", "mask", samples=lambda: [Mask(_pattern(4, 5)), Mask(_pattern(3, 3) * 1.5 - 0.5)])
class Mask(LinearOperator):
    """Pointwise weights: (*batch, row, col) -> (*batch, row, col), zero where nothing is seen.

    Parameters: ``weights``, (row, col), Boolean or real. Raises InputError for complex ones and NaN.

    Guarantee: |A| = max |w|. Self-adjoint, and a projection for a Boolean mask.

    >>> Mask(torch.tensor([[True, False]]))(torch.tensor([[3.0, 4.0]])).tolist()
    [[3.0, 0.0]]
    """

    weights: Tensor
    reach = 0  # pixels that a number of the data can see away from its own

    def __init__(self, weights: Bool[Tensor, "*shape"] | Float[Tensor, "*shape"]) -> None:
        finite(real(weights, "Mask"), "Mask", "Set the weights of pixels to leave out to zero.")
        super().__init__(tuple(weights.shape), tuple(weights.shape))
        self.register_buffer("weights", weights.detach().clone(), persistent=False)

    def window(self, place: Place) -> "Mask":
        """Return the mask of a part of the image."""
        return Mask(self.weights[place])

    def _forward(self, x: Tensor) -> Tensor:
        return x * self.weights.to(x.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * self.weights.to(y.dtype)

    def norm_bound(self) -> float:
        return float(self.weights.double().abs().max())


@register("operator", "restriction", samples=lambda: [Restriction(_pattern(4, 5)), Restriction(_pattern(3, 3))])
class Restriction(LinearOperator):
    """The values at the marked pixels as a list: (*batch, row, col) -> (*batch, pixel), of norm 1.

    Parameters: ``marked``, (row, col), Boolean; the list runs row by row. The adjoint fills the rest with zeros.
    Raises InputError where nothing is marked.

    >>> seen = Restriction(torch.tensor([[True, False], [True, True]]))
    >>> seen(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 3.0, 4.0]
    """

    codomain_axes = "pixel"
    places: Tensor

    def __init__(self, marked: Bool[Tensor, "*shape"]) -> None:
        if tensor(marked, "Restriction").dtype != torch.bool or not bool(marked.any()):
            got = f"{marked.dtype}, {int((marked != 0).sum())} marked"
            do = "Mark pixels by comparing, as in weights > 0."
            raise InputError("Restriction", expected="a Boolean mask with marked pixels", got=got, do=do)
        places = marked.flatten().nonzero()[:, 0]
        super().__init__(tuple(marked.shape), (len(places),))
        self.register_buffer("places", places, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        return x.flatten(x.ndim - len(self.domain_shape))[..., self.places]

    def _adjoint(self, y: Tensor) -> Tensor:
        size = int(torch.Size(self.domain_shape).numel())
        filled = y.new_zeros((*y.shape[:-1], size)).index_copy(-1, self.places, y)
        return filled.reshape(*y.shape[:-1], *self.domain_shape)

    def norm_bound(self) -> float:
        return 1.0

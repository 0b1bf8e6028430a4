"""The symmetrised gradient of a vector field, the second-order part of total generalised variation.

    E v = (D v + (D v)ᵀ)/2 = [[∂r v_r, (∂c v_r + ∂r v_c)/2], [·, ∂c v_c]]

It takes backward differences, so that ker E ∘ D holds exactly the affine images: D takes forward ones.
"""

import math

import torch
from torch import Tensor

from microlocal.core.checks import positive, shape_of
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator

_ROOT_HALF = math.sqrt(0.5)


def _samples() -> list["SymmetrisedGradient"]:
    return [SymmetrisedGradient((5, 5)), SymmetrisedGradient((3, 6), pixel=0.5), SymmetrisedGradient((6, 4), 2.0)]


@register("operator", "symmetrised-gradient", samples=_samples, reference="bredies2010")
class SymmetrisedGradient(LinearOperator):
    """Symmetrised backward differences: (*batch, 2, row, col) -> (*batch, 3, row, col), in [v]/length.

    The components are ∂r v_r, ∂c v_c and √2 times the mean of ∂c v_r and ∂r v_c, so that the sum of their squares is
    that of the whole symmetric matrix (Frobenius). Differences are zero in the first row or column.

    Parameters: ``shape`` of the image; ``pixel`` p > 0, the pixel side. Raises ShapeError and InputError for others.

    Guarantee: |E| <= √8 / p.

    >>> SymmetrisedGradient((1, 2))(torch.tensor([[[0.0, 0.0]], [[1.0, 4.0]]]))[1].tolist()
    [[0.0, 3.0]]
    """

    domain_axes = "component, row, col"
    codomain_axes = "component, row, col"

    def __init__(self, shape: tuple[int, int], pixel: float = 1.0) -> None:
        sizes = shape_of(shape, ("row, col",), "SymmetrisedGradient")
        super().__init__((2, *sizes), (3, *sizes))
        self.pixel = positive(pixel, "pixel", "SymmetrisedGradient")

    def _forward(self, x: Tensor) -> Tensor:
        v, w = x[..., 0, :, :], x[..., 1, :, :]
        mixed = _ROOT_HALF * (_difference(v, -1) + _difference(w, -2))
        return torch.stack((_difference(v, -2), _difference(w, -1), mixed), dim=-3) / self.pixel

    def _adjoint(self, y: Tensor) -> Tensor:
        mixed = _ROOT_HALF * y[..., 2, :, :]
        v = _transposed_difference(y[..., 0, :, :], -2) + _transposed_difference(mixed, -1)
        w = _transposed_difference(y[..., 1, :, :], -1) + _transposed_difference(mixed, -2)
        return torch.stack((v, w), dim=-3) / self.pixel

    def norm_bound(self) -> float:
        # |E v|² <= |∂ v|² over all four differences, since 2 ((a + b)/2)² <= a² + b²; each has |∂|² <= 4 / p², two a
        # component.
        return math.sqrt(8.0) / self.pixel


def _difference(x: Tensor, axis: int) -> Tensor:
    """Backward difference, zero at the first place."""
    inner = x.narrow(axis, 1, x.shape[axis] - 1) - x.narrow(axis, 0, x.shape[axis] - 1)
    return torch.cat((torch.zeros_like(x.narrow(axis, 0, 1)), inner), dim=axis)


def _transposed_difference(y: Tensor, axis: int) -> Tensor:
    inner, edge = y.narrow(axis, 1, y.shape[axis] - 1), torch.zeros_like(y.narrow(axis, 0, 1))
    return torch.cat((edge, inner), dim=axis) - torch.cat((inner, edge), dim=axis)

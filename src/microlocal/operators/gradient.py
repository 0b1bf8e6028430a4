"""Forward differences of an image or a volume, the discrete gradient of total variation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from microlocal.core.checks import positive, shape_of
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator

_AXES = ("col", "row, col", "slice, row, col")


def _samples() -> list["Gradient"]:
    planar = [Gradient((5, 5)), Gradient((4, 7), pixel=0.5), Gradient((6, 3), pixel=2.0)]
    return [*planar, Gradient((3, 4, 5), pixel=0.7), Gradient((6,))]


@register("operator", "gradient", samples=_samples, reference="chambolle2004")
class Gradient(LinearOperator):
    """Forward differences: (*batch, row, col) -> (*batch, 2, row, col), in [f]/length.

        (D f)_0 = (f[r+1, c] - f[r, c]) / p,    (D f)_1 = (f[r, c+1] - f[r, c]) / p,    0 beyond the last row and column

    Parameters: ``shape`` of the image, or of a volume (slice, row, col), which has three components, or of a line;
    ``pixel`` p > 0, the pixel side. Raises ShapeError and InputError for others.

    Guarantee: |D| <= 2 √n / p in n dimensions, √8 / p for images (Chambolle 2004).

    >>> Gradient((1, 3))(torch.tensor([[1.0, 2.0, 4.0]])).tolist()
    [[[0.0, 0.0, 0.0]], [[1.0, 2.0, 0.0]]]
    """

    def __init__(self, shape: Sequence[int], pixel: float = 1.0) -> None:
        sizes = shape_of(shape, _AXES, "Gradient")
        super().__init__(sizes, (len(sizes), *sizes))
        self.domain_axes = _AXES[len(sizes) - 1]
        self.codomain_axes = f"component, {self.domain_axes}"
        self.pixel = positive(pixel, "pixel", "Gradient")

    def _forward(self, x: Tensor) -> Tensor:
        n = len(self.domain_shape)
        return torch.stack([_difference(x, axis) for axis in range(-n, 0)], dim=-n - 1) / self.pixel

    def _adjoint(self, y: Tensor) -> Tensor:
        n = len(self.domain_shape)
        first, *others = (_transposed(part, axis) for part, axis in zip(y.unbind(-n - 1), range(-n, 0), strict=True))
        return sum(others, start=first) / self.pixel

    def norm_bound(self) -> float:
        return math.sqrt(4.0 * len(self.domain_shape)) / self.pixel


def _difference(x: Tensor, axis: int) -> Tensor:
    """Forward difference along a negative axis, zero at the last place."""
    before = x.narrow(axis, 0, x.shape[axis] - 1)
    return _padded(x.narrow(axis, 1, x.shape[axis] - 1) - before, axis, (0, 1))


def _transposed(y: Tensor, axis: int) -> Tensor:
    inner = y.narrow(axis, 0, y.shape[axis] - 1)
    return _padded(inner, axis, (1, 0)) - _padded(inner, axis, (0, 1))


def _padded(x: Tensor, axis: int, margins: tuple[int, int]) -> Tensor:
    return torch.nn.functional.pad(x, (0, 0) * (-1 - axis) + margins)

"""Forward differences of an image or a volume, the discrete gradient of total variation."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from microlocal.core.checks import positive, shape_of
from microlocal.core.registry import register
from microlocal.operators.autograd import linear_pair
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
        return linear_pair(x, self._differences, self._sums)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._sums, self._differences)

    def _differences(self, x: Tensor) -> Tensor:
        """Return D f, written in place: of large images no copy more than needed."""
        n = len(self.domain_shape)
        found = torch.zeros((*x.shape[: x.ndim - n], n, *self.domain_shape), dtype=x.dtype, device=x.device)
        for k in range(n):
            part, axis = found.select(-n - 1, k), k - n
            last = x.shape[axis] - 1
            part.narrow(axis, 0, last).copy_(x.narrow(axis, 1, last)).sub_(x.narrow(axis, 0, last))
        return found.div_(self.pixel) if self.pixel != 1 else found

    def _sums(self, y: Tensor) -> Tensor:
        n = len(self.domain_shape)
        found = torch.zeros_like(y.select(-n - 1, 0), memory_format=torch.contiguous_format)
        for k in range(n):
            axis = k - n
            inner = y.select(-n - 1, k).narrow(axis, 0, y.shape[axis] - 1)
            found.narrow(axis, 1, inner.shape[axis]).add_(inner)
            found.narrow(axis, 0, inner.shape[axis]).sub_(inner)
        return found.div_(self.pixel) if self.pixel != 1 else found

    def norm_bound(self) -> float:
        return math.sqrt(4.0 * len(self.domain_shape)) / self.pixel

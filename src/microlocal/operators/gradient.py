"""Forward differences of an image, the discrete gradient of total variation."""

import math

import torch
from torch import Tensor

from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator


def _samples() -> list["Gradient"]:
    return [Gradient((5, 5)), Gradient((4, 7), pixel=0.5), Gradient((6, 3), pixel=2.0)]


@register("operator", "gradient", samples=_samples, reference="chambolle2004")
class Gradient(LinearOperator):
    """Forward differences: (*batch, row, col) -> (*batch, 2, row, col), in [f]/length.

        (D f)_0 = (f[r+1, c] - f[r, c]) / p,    (D f)_1 = (f[r, c+1] - f[r, c]) / p,    0 beyond the last row and column

    Parameters: ``shape`` of the image; ``pixel`` p, the pixel side.

    Guarantee: |D| <= √8 / p (Chambolle 2004).

    >>> Gradient((1, 3))(torch.tensor([[1.0, 2.0, 4.0]])).tolist()
    [[[0.0, 0.0, 0.0]], [[1.0, 2.0, 0.0]]]
    """

    codomain_axes = "component, row, col"

    def __init__(self, shape: tuple[int, int], pixel: float = 1.0) -> None:
        super().__init__(shape, (2, *shape))
        self.pixel = pixel

    def _forward(self, x: Tensor) -> Tensor:
        down = torch.nn.functional.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
        right = torch.nn.functional.pad(x[..., 1:] - x[..., :-1], (0, 1))
        return torch.stack((down, right), dim=-3) / self.pixel

    def _adjoint(self, y: Tensor) -> Tensor:
        down = y[..., 0, :-1, :]
        right = y[..., 1, :, :-1]
        rows = torch.nn.functional.pad(down, (0, 0, 1, 0)) - torch.nn.functional.pad(down, (0, 0, 0, 1))
        cols = torch.nn.functional.pad(right, (1, 0)) - torch.nn.functional.pad(right, (0, 1))
        return (rows + cols) / self.pixel

    def norm_bound(self) -> float:
        return math.sqrt(8.0) / self.pixel

"""Super-resolution's measurement: blur against aliasing, then every n-th pixel.

(A f)[r, c] = (k * f)[r n + r0, c n + c0]
"""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, finite_numbers, shape_of
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.operators.convolution import Convolution, Edge
from microlocal.operators.norms import perron_bounds


def _samples() -> list["Downsampling"]:
    signed = torch.tensor([[0.2, -0.5], [0.1, 1.0], [0.0, 0.4]])
    return [
        Downsampling((4, 6), 2),
        Downsampling((5, 7), 3, offset=(1, 2)),
        Downsampling((5, 4), 2, kernel=box_kernel(2), boundary="replicate"),
        Downsampling((6, 4), 2, kernel=signed, offset=(0, 1), boundary="periodic"),
    ]


@register("operator", "downsampling", samples=_samples)
class Downsampling(LinearOperator):
    """Every ``factor``-th pixel of a blurred image: (*batch, row, col) -> (*batch, row // n, col // n), rounded up.

    Parameters: ``shape`` of the fine image; ``factor`` n; ``offset`` (r0, c0), the first pixel taken, below n;
    ``kernel`` of the blur and its ``boundary`` (see Convolution; not "valid"), none for plain decimation.

    Guarantee: |A| = 1 without a kernel; with one, at most the blur's bound and, for kernels without negative entries,
    within a few per cent of the norm. Raises ShapeError for another shape, InputError for an offset beyond the factor.

    >>> Downsampling((1, 4), 2, offset=(0, 1))(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).tolist()
    [[2.0, 4.0]]
    """

    def __init__(
        self,
        shape: tuple[int, int],
        factor: int,
        *,
        offset: tuple[int, int] = (0, 0),
        kernel: Float[Tensor, "krow kcol"] | None = None,
        boundary: Edge = "symmetric",
    ) -> None:
        rows, cols = shape_of(shape, [self.domain_axes], "Downsampling")
        shape, factor = (rows, cols), at_least(factor, 1, "factor", "Downsampling")
        start = finite_numbers(offset)
        if len(start) != 2 or not all(first in range(min(factor, n)) for first, n in zip(start, shape, strict=True)):
            expected = f"offsets from 0 to {factor - 1} within the image {shape}"
            raise InputError("Downsampling", expected=expected, got=str(offset), do="Offsets pick the first pixel.")
        if kernel is not None and boundary == "valid":
            do = "Take another boundary, or compose Downsampling with Convolution."
            raise InputError("Downsampling", expected="a blur that keeps the shape", got="valid", do=do)
        offset = int(start[0]), int(start[1])
        coarse = tuple(-(-(n - first) // factor) for n, first in zip(shape, offset, strict=True))
        super().__init__(shape, coarse)
        self.factor, self.offset = factor, offset
        self.blur = None if kernel is None else Convolution(kernel, shape, boundary)

    def _forward(self, x: Tensor) -> Tensor:
        fine = x if self.blur is None else self.blur(x)
        return fine[..., self.offset[0] :: self.factor, self.offset[1] :: self.factor].clone()

    def _adjoint(self, y: Tensor) -> Tensor:
        rows = _spread(y, -2, self.domain_shape[0], self.factor, self.offset[0])
        fine = _spread(rows, -1, self.domain_shape[1], self.factor, self.offset[1])
        return fine if self.blur is None else self.blur.adjoint(fine)

    def norm_bound(self) -> float:
        if self.blur is None:
            return 1.0
        absolute = Downsampling(
            (self.domain_shape[0], self.domain_shape[1]),
            self.factor,
            offset=self.offset,
            kernel=self.blur.kernel.abs(),
            boundary=self.blur.boundary,
        )
        return min(self.blur.norm_bound(), perron_bounds(absolute)[1])


def _spread(y: Tensor, axis: int, length: int, factor: int, first: int) -> Tensor:
    """Put the entries along ``axis`` back to every ``factor``-th place of ``length``, zeros between."""
    shape = list(y.shape)
    shape[axis] = length
    places = torch.arange(first, length, factor, device=y.device)
    return y.new_zeros(shape).index_copy(axis, places, y)


def box_kernel(factor: int) -> Float[Tensor, "krow kcol"]:
    """Return the mean over ``factor`` x ``factor`` pixels, the response of a square detector element.

    Centred for odd factors. For even ones pixel r takes r - factor/2 + 1 to r + factor/2, so the offset
    factor/2 - 1 gives disjoint blocks.

    >>> box_kernel(2).tolist()
    [[0.25, 0.25], [0.25, 0.25]]
    """
    factor = at_least(factor, 1, "factor", "box_kernel")
    return torch.full((factor, factor), 1.0 / factor**2, dtype=torch.float64)

"""What is seen of a blurred image that goes on beyond the edge of what is seen.

    A x = (k * x) inside,      x wider than A x

For large images the convolution is computed window by window, in bounded memory, with the result of the whole.
"""

import math
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import shape_of
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.operators.convolution import Convolution
from microlocal.operators.windows import TILE, WHOLE, Place, by_windows

Margins = tuple[tuple[int, int], tuple[int, int]]


def _samples() -> list["CroppedBlur"]:
    kernel = torch.tensor([[0.1, 0.5, 0.3], [0.0, 0.2, -0.1]])
    return [
        CroppedBlur(kernel, (5, 6), ((2, 1), (0, 3))),
        CroppedBlur(kernel.abs(), (11, 9), ((2, 2), (2, 2)), whole=6, tile=4),
    ]


@register("operator", "cropped-blur", samples=_samples, reference="hansen2006")
class CroppedBlur(LinearOperator):
    """A convolution of a wider image, seen inside: (*batch, row, col) -> (*batch, row - margins, col - margins).

    Parameters: ``kernel`` (row, col), centred at (rows // 2, cols // 2); ``shape`` of what is seen; ``margins``,
    ((before, after) of the rows, (before, after) of the columns), beyond which the image is its mirror image; images
    with a side above ``whole`` are convolved in windows of ``tile`` pixels.

    Guarantee: the adjoint is exact; the norm is at most that of the convolution. Raises ShapeError for kernels larger
    than the image, InputError for margins that are none.

    >>> blur = CroppedBlur(torch.full((1, 3), 1 / 3), (1, 2), ((0, 0), (1, 1)))
    >>> blur(torch.tensor([[0.0, 3.0, 0.0, 6.0]])).round(decimals=4).tolist()
    [[1.0, 3.0]]
    """

    def __init__(
        self,
        kernel: Float[Tensor, "krow kcol"],
        shape: tuple[int, int],
        margins: Margins,
        whole: int = WHOLE,
        tile: int = TILE,
    ) -> None:
        shape_of(shape, ["row, col"], "CroppedBlur")
        if min(n for pair in margins for n in pair) < 0:
            do = "Give ((before, after), (before, after)), rows first."
            raise InputError("CroppedBlur", expected="margins of at least 0", got=str(margins), do=do)
        wide = shape[0] + sum(margins[0]), shape[1] + sum(margins[1])
        super().__init__(wide, shape)
        self.margins, self.whole, self.tile = margins, whole, tile
        self.inside = slice(margins[0][0], margins[0][0] + shape[0]), slice(margins[1][0], margins[1][0] + shape[1])
        self.blur = Convolution(kernel, wide) if max(wide) <= whole else None  # also refuses what is no kernel
        self.kernel = kernel.detach().double().cpu()  # windows are made on the CPU, and go where the images are
        if self.blur is None:
            self._part((slice(0, min(tile, wide[0])), slice(0, min(tile, wide[1]))), self.kernel)

    @property
    def reach(self) -> int:
        """How many pixels away a number of the data can see."""
        return max(self.kernel.shape)

    def window(self, place: Place) -> Self:
        """Return the operator of a part of the image, which is this one but for ``reach`` pixels along its border."""
        sizes = [part.stop - part.start for part in place]
        ends = [(max(part.start, seen.start) - part.start, part.stop - min(part.stop, seen.stop))
                for part, seen in zip(place, self.inside, strict=True)]  # fmt: skip
        shape = sizes[0] - sum(ends[0]), sizes[1] - sum(ends[1])
        return type(self)(self.kernel, shape, (ends[0], ends[1]), max(*sizes, self.whole), self.tile)

    def _forward(self, x: Tensor) -> Tensor:
        found = by_windows(lambda part, place: self._part(place, x)(part), x, self.reach, self.whole, self.tile)
        return found[(..., *self.inside)].contiguous()

    def _adjoint(self, y: Tensor) -> Tensor:
        (top, bottom), (left, right) = self.margins
        wide = torch.nn.functional.pad(y, (left, right, top, bottom))
        return by_windows(
            lambda part, place: self._part(place, y).adjoint(part), wide, self.reach, self.whole, self.tile
        )

    def _part(self, place: Place, like: Tensor) -> Convolution:
        if self.blur is not None:
            return self.blur
        shape = place[0].stop - place[0].start, place[1].stop - place[1].start
        return Convolution(self.kernel, shape).to(like.device)

    def norm_bound(self) -> float:
        """Return a bound of the convolution's norm.

        That of a large image by Schur's test, the root of the largest sums of |k| over a row and over a column of the
        matrix: away from the border they are those of any other image, near it those of a smaller one.
        """
        if self.blur is not None:
            return self.blur.norm_bound()
        shape = tuple(min(size, 4 * n) for size, n in zip(self.domain_shape, self.kernel.shape, strict=True))
        absolute = Convolution(self.kernel.abs(), (shape[0], shape[1]))
        ones = torch.ones(shape, dtype=torch.float64)
        return math.sqrt(float(absolute(ones).max()) * float(absolute.adjoint(ones).max())) * (1 + 1e-9)

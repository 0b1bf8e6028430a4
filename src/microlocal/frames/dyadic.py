"""Shearlets on dyadic grids: every scale at half the sampling rate of the next finer one, as the levels of a U-Net.

    c_{j,k} = F_M^{-1} ( ψ̂_{j,k} F x  restricted to the M lowest frequencies ),   M = N / 2^ℓ,  ℓ = scales - 1 - j

A filter of scale j lives below the Nyquist frequency of its grid, so nothing is aliased, |c|² = |x|² and x = W* c: the
undecimated Parseval frame at every 2^ℓ-th pixel, times 2^ℓ. All directions of a scale share one grid, so that they are
channels of one image. Redundancy about 20 instead of 49; the anisotropic grids of the decimated frame need only 4.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from microlocal.core.registry import register
from microlocal.frames.base import FilterIndex, Frame
from microlocal.frames.shearlet import shearlet_system
from microlocal.frames.spectra import Element, folded_response
from microlocal.operators.base import linear_pair


@functools.lru_cache(maxsize=16)
def _responses(
    elements: tuple[Element, ...], shape: tuple[int, int], grid: tuple[int, int], dtype: torch.dtype
) -> Float[Tensor, "filter row half"]:
    """Return ψ̂ on the frequencies of a grid in the order of the real FFT, for an image of ``shape``."""
    box = [(-(grid[0] // 2), (grid[0] - 1) // 2), (0, grid[1] // 2)]
    squares = np.stack([folded_response(element, shape, box) for element in elements])
    return torch.from_numpy(np.fft.ifftshift(np.sqrt(squares), axes=1)).to(dtype)


def _samples() -> list["DyadicShearletFrame"]:
    return [
        DyadicShearletFrame((16, 16)),
        DyadicShearletFrame((15, 22), scales=2),
        DyadicShearletFrame((17, 12), shears=(1, 2, 3)),
    ]


@register("frame", "dyadic-shearlet", samples=_samples, reference="guo2013")
class DyadicShearletFrame(Frame):
    """Cone-adapted shearlets on dyadic grids, a Parseval frame: (*batch, row, col) -> (*batch, coefficient).

    Parameters as for :class:`ShearletFrame`, whose filters, records and directions these are. Images whose sides are
    no multiple of 2^(scales - 1) are continued by zeros. ``levels(c)`` are the coefficients as images with one channel
    a direction, the finest scale first; the low-pass is the first channel of the coarsest.

    >>> import torch
    >>> frame = DyadicShearletFrame((32, 32), scales=3)
    >>> x = torch.rand(32, 32, dtype=torch.float64)
    >>> [tuple(level.shape) for level in frame.levels(frame(x))]
    [(8, 32, 32), (8, 16, 16), (5, 8, 8)]
    >>> bool(torch.allclose(frame.adjoint(frame(x)), x, atol=1e-14))
    True
    """

    codomain_axes = "coefficient"
    filters: tuple[FilterIndex, ...]

    def __init__(self, shape: tuple[int, ...], scales: int | None = None, shears: Sequence[int] | None = None) -> None:
        self.shears, records, elements = shearlet_system(shape, scales, shears, "DyadicShearletFrame")
        depth = len(self.shears)
        self.padded = tuple(-(-n // 2 ** (depth - 1)) * 2 ** (depth - 1) for n in shape)
        self.grids = tuple((self.padded[0] >> level, self.padded[1] >> level) for level in range(depth))
        counts = [sum(r.scale == depth - 1 - level for r in records) for level in range(depth)]
        counts[-1] += 1  # the low-pass
        # Records run from coarse to fine, and so does the flat axis.
        numbers = list(itertools.accumulate(counts[::-1], initial=0))
        self.members = tuple(slice(a, b) for a, b in itertools.pairwise(numbers))[::-1]
        sizes = [count * math.prod(grid) for count, grid in zip(counts, self.grids, strict=True)]
        ends = list(itertools.accumulate(sizes[::-1], initial=0))
        self.places = tuple(slice(a, b) for a, b in itertools.pairwise(ends))[::-1]
        self.elements = tuple(elements)
        super().__init__(tuple(shape), records, (ends[-1],))

    @property
    def channels(self) -> tuple[int, ...]:
        """How many filters every level has, the finest first."""
        return tuple(m.stop - m.start for m in self.members)

    @property
    def redundancy(self) -> float:
        """Coefficients a pixel."""
        return self.codomain_shape[0] / math.prod(self.domain_shape)

    def levels(self, coefficients: Float[Tensor, "*batch coefficient"]) -> tuple[Float[Tensor, "..."], ...]:
        """Return views (*batch, channel, row, col) of the coefficients of every scale, the finest first.

        Raises ShapeError for coefficients of another frame.
        """
        self._check_coefficients(coefficients, "levels")
        parts = zip(self.places, self.channels, self.grids, strict=True)
        return tuple(torch.unflatten(coefficients[..., place], -1, (count, *grid)) for place, count, grid in parts)

    def joined(self, levels: Sequence[Float[Tensor, "*batch channel row col"]]) -> Float[Tensor, "*batch coefficient"]:
        """Return the flat coefficients of levels: undo :meth:`levels`."""
        return torch.cat([level.flatten(-3) for level in reversed(levels)], dim=-1)

    def sampled(self, maps: Float[Tensor, "*batch filter row col"]) -> tuple[Float[Tensor, "..."], ...]:
        """Return maps of all filters on the grid of every level (*batch, channel, row, col), the finest first.

        Maps of one pixel stay as they are and broadcast; others, of any sides, are interpolated bilinearly.
        """
        if maps.shape[-2:] == (1, 1):
            return tuple(maps[..., members, :, :] for members in self.members)
        found = []
        for members, grid in zip(self.members, self.grids, strict=True):
            some = maps[..., members, :, :]
            planes = some.reshape(-1, 1, *some.shape[-2:])
            wide = functional.interpolate(planes, size=grid, mode="bilinear", align_corners=False)
            found.append(wide.reshape(*some.shape[:-2], *grid))
        return tuple(found)

    def turned(self, quarters: int, mirrored: bool) -> tuple[int, ...]:
        """Return, for every filter, which one answers as it does once the image is turned and mirrored.

        ``image.rot90(quarters, (-2, -1))``, then ``flip(-1)`` where ``mirrored``: filter i of the new image is filter
        ``turned(...)[i]`` of the old one, exactly, on square images with an odd number of pixels a side, else up to
        half a pixel.
        """
        found = []
        for record in self.filters:
            direction = math.pi - record.direction_rad if mirrored else record.direction_rad
            wanted = (direction - quarters * math.pi / 2) % math.pi
            gaps = [
                abs((other.direction_rad - wanted + math.pi / 2) % math.pi - math.pi / 2)
                if other.scale == record.scale
                else math.inf
                for other in self.filters
            ]
            found.append(gaps.index(min(gaps)))
        return tuple(found)

    def bands(self, coefficients: Float[Tensor, "*batch coefficient"]) -> tuple[Float[Tensor, "..."], ...]:
        return tuple(band for level in reversed(self.levels(coefficients)) for band in level.unbind(-3))

    def spread(self, values: Float[Tensor, " filter"]) -> Float[Tensor, " coefficient"]:
        self._check_values(values)
        sizes = [[math.prod(grid)] * count for grid, count in zip(self.grids, self.channels, strict=True)]
        counts = [size for level in reversed(sizes) for size in level]
        return values.repeat_interleave(torch.tensor(counts, device=values.device))

    def bounds(self) -> tuple[float, float]:
        """Return (1, 1): the squares of the responses add up to one at every frequency, and nothing is aliased."""
        return 1.0, 1.0

    def filter_norms(self) -> Float[Tensor, " filter"]:
        norms = []
        for level in range(len(self.grids))[::-1]:
            half = self._responses_of(level, torch.float64).square()
            cols = self.grids[level][1]
            twice = torch.full((half.shape[-1],), 2.0, dtype=torch.float64)
            twice[0] = 1.0
            if cols % 2 == 0:
                twice[-1] = 1.0
            norms.append(((half * twice).sum(dim=(-2, -1)) / math.prod(self.grids[level])).sqrt())
        return torch.cat(norms)

    def _responses_of(self, level: int, dtype: torch.dtype) -> Tensor:
        return _responses(self.elements[self.members[level]], self.padded, self.grids[level], dtype)

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._analysis, self._synthesis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._synthesis, self._analysis)

    def _analysis(self, x: Tensor) -> Tensor:
        add = (0, self.padded[1] - x.shape[-1], 0, self.padded[0] - x.shape[-2])
        spectrum = torch.fft.rfft2(functional.pad(x, add), norm="ortho")
        result = x.new_empty((*x.shape[:-2], *self.codomain_shape))
        for level, (grid, target) in enumerate(zip(self.grids, self.levels(result), strict=True)):
            low = _lowest(spectrum, grid)
            for k, response in enumerate(self._responses_of(level, x.dtype).to(x.device)):
                target[..., k, :, :] = torch.fft.irfft2(low * response, s=grid, norm="ortho")
        return result

    def _synthesis(self, y: Tensor) -> Tensor:
        total = y.new_zeros((*y.shape[:-1], self.padded[0], self.padded[1] // 2 + 1), dtype=y.dtype.to_complex())
        for level, coefficients in enumerate(self.levels(y)):
            for k, response in enumerate(self._responses_of(level, y.dtype).to(y.device)):
                part = torch.fft.rfft2(coefficients[..., k, :, :], norm="ortho") * response
                _add_lowest(total, part, self.grids[level])
        image = torch.fft.irfft2(total, s=self.padded, norm="ortho")
        return image[..., : self.domain_shape[0], : self.domain_shape[1]].contiguous()


def _lowest(spectrum: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the frequencies of a real FFT that a smaller grid has."""
    rows, half = grid[0], grid[1] // 2 + 1
    if rows == spectrum.shape[-2]:
        return spectrum[..., :half]
    above = (rows + 1) // 2
    return torch.cat([spectrum[..., :above, :half], spectrum[..., above - rows :, :half]], dim=-2)


def _add_lowest(total: Tensor, part: Tensor, grid: tuple[int, int]) -> None:
    """Add the spectrum of a smaller grid to the larger: the transpose of ``_lowest``."""
    rows, half = grid[0], grid[1] // 2 + 1
    above = (rows + 1) // 2
    total[..., :above, :half] += part[..., :above, :]
    if above < rows:
        total[..., above - rows :, :half] += part[..., above:, :]

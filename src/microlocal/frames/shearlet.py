"""The cone-adapted discrete shearlet system as a Parseval frame of band-limited filters.

The system of Definition 3.4 in Kutyniok (2023): translates of φ, of ψ(S_k A_{2^j} ·) and of ψ̃(S_kᵀ Ã_{2^j} ·) for
j >= 0 and |k| <= ⌈2^{j/2}⌉. In frequency, A_{2^j} dilates by 2^j along one axis and 2^{j/2} along the other and S_k
shears, so that the element (j, k) of the horizontal cone lives around the slope ξ_y/ξ_x = k/⌈2^{j/2}⌉:

    |ψ̂_{j,k}(ξ)|² = W_j(max(|ξ_x|, |ξ_y|))² g(⌈2^{j/2}⌉ ξ_y/ξ_x - k)²

with Meyer's windows. The element k = ±⌈2^{j/2}⌉ sits on the seam of the two cones and is glued from both, as in Guo and
Labate (2013) and Häuser and Steidl (2012). The squares add up to one at every frequency of the pixel grid, which is
the Parseval identity; the squares at the Nyquist frequencies are averaged over their two signs, so that real images
have real coefficients at every size, odd or even. Directions are those of square pixels whatever the image's shape.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.registry import register
from microlocal.frames.base import FilterIndex, Frame
from microlocal.frames.windows import bump_squared, low_pass_squared
from microlocal.kernels.threads import fft_threads_for
from microlocal.operators.base import linear_pair

Array = NDArray[np.float64]


def default_scales(shape: tuple[int, int]) -> int:
    """Return how many scales suit a shape: the low-pass keeps at least about 8 x 8 periods' worth, at most 5."""
    return max(1, min(5, int(math.log2(max(min(shape), 2))) - 3))


def definition_shears(scales: int) -> tuple[int, ...]:
    """Return ⌈2^{j/2}⌉ for j = 0 … scales - 1, the range of shears of Definition 3.4."""
    return tuple(math.ceil(2 ** (j / 2) - 1e-12) for j in range(scales))


def shearlet_index(shears: Sequence[int]) -> tuple[FilterIndex, ...]:
    """Return the record of every filter: the low-pass, then scale by scale, directions turning from 0 to π."""
    scales = len(shears)
    low_cutoff = 2.0 ** -(scales + 1)
    records = [FilterIndex(-1, "low", 0, 0.0, math.pi / 2, (0.0, low_cutoff))]
    for scale, shear_max in enumerate(shears):
        band = (2.0 ** (scale - scales - 2), min(2.0 ** (scale - scales), 0.5))
        # The 4K directions of a scale, in turning order: slopes k/K in the horizontal cone, then K/k in the vertical.
        turning = [("horizontal", k) for k in range(shear_max)]
        turning += [("seam", shear_max)]
        turning += [("vertical", k) for k in range(shear_max - 1, -shear_max, -1)]
        turning += [("seam", -shear_max)]
        turning += [("horizontal", k) for k in range(-shear_max + 1, 0)]
        for cone, k in turning:
            low, high = _half_power_range(cone, k, shear_max)
            middle = ((low + high) / 2) % math.pi
            records.append(FilterIndex(scale, cone, k, middle, (high - low) / 2, band))
    return tuple(records)


def _half_power_range(cone: str, k: int, shear_max: int) -> tuple[float, float]:
    """Return the directions at which g² falls to a half: slopes (k ± 1/2)/K; these ranges tile the half circle."""
    below, above = math.atan((k - 0.5) / shear_max), math.atan((k + 0.5) / shear_max)
    if cone == "horizontal":
        return below, above
    if cone == "vertical":
        return math.pi / 2 - above, math.pi / 2 - below
    inner = math.atan((shear_max - 0.5) / shear_max)
    middle = math.pi / 4 if k > 0 else 3 * math.pi / 4
    return middle - (math.pi / 4 - inner), middle + (math.pi / 4 - inner)


def _squared_response(record: FilterIndex, shears: Sequence[int], fx: Array, fy: Array) -> Array:
    """Return |ψ̂|² of one filter at the frequencies (fx, fy) in cycles per pixel, y up."""
    radius = np.maximum(np.abs(fx), np.abs(fy))
    scales = len(shears)
    if record.cone == "low":
        return low_pass_squared(radius, record.band[1])
    outer = 1.0 if record.scale == scales - 1 else low_pass_squared(radius, 2.0 ** (record.scale - scales))
    ring = outer - low_pass_squared(radius, 2.0 ** (record.scale - scales - 1))
    shear_max = shears[record.scale]
    with np.errstate(divide="ignore", invalid="ignore"):
        horizontal = np.where(np.abs(fx) >= np.abs(fy), bump_squared(shear_max * fy / fx - record.shear), 0.0)
        vertical = np.where(np.abs(fx) < np.abs(fy), bump_squared(shear_max * fx / fy - record.shear), 0.0)
    parts = {"horizontal": horizontal, "vertical": vertical, "seam": horizontal + vertical}
    return np.where(radius > 0, ring * parts[record.cone], 0.0)


@functools.lru_cache(maxsize=4)
def shearlet_filters(shape: tuple[int, int], shears: tuple[int, ...]) -> Float[Tensor, "filter row half"]:
    """Return ψ̂ of every filter on the half spectrum, float64 (filter, rows, cols // 2 + 1): real and even."""
    rows, cols = shape
    fy = -np.asarray(np.fft.fftfreq(rows), dtype=np.float64)[:, None]
    fx = np.asarray(np.fft.fftfreq(cols), dtype=np.float64)[None, :]
    half = slice(0, cols // 2 + 1)
    squares = []
    for record in shearlet_index(shears):
        full = _squared_response(record, shears, fx, fy)
        mirrored = np.roll(full[::-1, ::-1], (1, 1), axis=(0, 1))  # the response at -ξ on the grid's own frequencies
        squares.append((full[:, half] + mirrored[:, half]) / 2)
    stack = np.stack(squares)
    return torch.from_numpy(np.sqrt(stack / stack.sum(axis=0)))


def _samples() -> list["ShearletFrame"]:
    return [ShearletFrame((16, 16)), ShearletFrame((15, 22), scales=2), ShearletFrame((17, 13), shears=(1, 3))]


@register("frame", "shearlet", samples=_samples, reference="guo2013")
class ShearletFrame(Frame):
    """Cone-adapted shearlets, a Parseval frame: (*batch, row, col) -> (*batch, filter, row, col).

    Parameters: ``shape`` of the image, any rows and columns; ``scales``, how many (default by size, at most 5);
    ``shears``, the largest |k| of each scale, ⌈2^{j/2}⌉ unless given. Five scales give 49 filters.

    Guarantees: synthesis inverts analysis exactly, |W x| = |x|; the adjoint is the synthesis; the backward pass of
    autograd is one adjoint and keeps nothing.

    >>> frame = ShearletFrame((32, 20))
    >>> x = torch.rand(32, 20, dtype=torch.float64)
    >>> bool(torch.allclose(frame.adjoint(frame(x)), x, atol=1e-14))
    True
    """

    def __init__(self, shape: tuple[int, int], scales: int | None = None, shears: Sequence[int] | None = None) -> None:
        count = default_scales(shape) if scales is None else at_least(scales, 1, "scales", "ShearletFrame")
        self.shears = definition_shears(count) if shears is None else tuple(shears)
        at_least(min(self.shears), 1, "shears", "ShearletFrame")
        super().__init__(shape, shearlet_index(self.shears))
        self.register_buffer("responses", shearlet_filters(tuple(shape), self.shears), persistent=False)
        self._cast: dict[torch.dtype, Tensor] = {}

    responses: Tensor
    filters: tuple[FilterIndex, ...]

    def _filters(self, like: Tensor) -> Tensor:
        """Return the responses in the precision of ``like``, converted once."""
        cast = self._cast.get(like.dtype)
        if cast is None or cast.device != like.device:
            cast = self._cast[like.dtype] = self.responses.to(like.device, like.dtype)
        return cast

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._analysis, self._synthesis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._synthesis, self._analysis)

    def _analysis(self, x: Tensor) -> Tensor:
        coefficients = x.new_empty((*x.shape[:-2], *self.codomain_shape))
        with fft_threads_for(x.numel()):
            spectrum = torch.fft.rfft2(x)
            for k, response in enumerate(self._filters(x)):  # one filter at a time stays in cache
                coefficients[..., k, :, :] = torch.fft.irfft2(spectrum * response, s=self.domain_shape)
        return coefficients

    def _synthesis(self, y: Tensor) -> Tensor:
        responses = self._filters(y)
        with fft_threads_for(y[..., 0, :, :].numel()):
            spectrum = torch.fft.rfft2(y[..., 0, :, :]) * responses[0]
            for k in range(1, len(responses)):
                spectrum += torch.fft.rfft2(y[..., k, :, :]) * responses[k]
            return torch.fft.irfft2(spectrum, s=self.domain_shape)

    def bounds(self) -> tuple[float, float]:
        """Return (A, B), the least and largest of Σ|ψ̂|² over all frequencies: exact for circular filters."""
        energy = (self.responses**2).sum(dim=0)
        return float(energy.min()), float(energy.max())

    def filter_norms(self) -> Float[Tensor, " filter"]:
        """Return the l2 norm of every filter, (filter,): the factor by which it passes white noise."""
        cols = self.domain_shape[1]
        weights = torch.full((self.responses.shape[-1],), 2.0, dtype=torch.float64)
        weights[0] = 1.0
        if cols % 2 == 0:
            weights[-1] = 1.0
        pixels = self.domain_shape[0] * cols
        return ((self.responses**2 * weights).sum(dim=(1, 2)) / pixels).sqrt()

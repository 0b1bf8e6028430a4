"""The cone-adapted discrete shearlet system as a Parseval frame of band-limited filters.

The system of Definition 3.4 in Kutyniok (2023): translates of φ, of ψ(S_k A_{2^j} ·) and of ψ̃(S_kᵀ Ã_{2^j} ·) for
j >= 0 and |k| <= ⌈2^{j/2}⌉. In frequency, A_{2^j} dilates by 2^j along one axis and 2^{j/2} along the other and S_k
shears, so that the element (j, k) of the horizontal cone lives around the slope ξ_y/ξ_x = k/⌈2^{j/2}⌉:

    |ψ̂_{j,k}(ξ)|² = W_j(max(|ξ_x|, |ξ_y|))² g(⌈2^{j/2}⌉ ξ_y/ξ_x - k)²

with Meyer's windows. The element k = ±⌈2^{j/2}⌉ sits on the seam of the two cones and is glued from both, as in Guo and
Labate (2013) and Häuser and Steidl (2012). The squares add up to one at every frequency of the pixel grid, which is
the Parseval identity. Directions are those of square pixels whatever the image's shape.
"""

import math
from collections.abc import Sequence

from microlocal.core.checks import at_least, shape_of
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.frames.base import FilterIndex
from microlocal.frames.spectra import Element
from microlocal.frames.spectral import SpectralFrame
from microlocal.frames.system import System


def default_scales(shape: tuple[int, ...]) -> int:
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


def shearlet_elements(records: Sequence[FilterIndex], shears: Sequence[int]) -> tuple[Element, ...]:
    """Return the responses of the records as formulas: rings between low-pass filters, directions as lattice points."""
    scales = len(shears)
    elements = []
    for record in records:
        inner = 2.0 ** (record.scale - scales - 1)
        outer = None if record.scale == scales - 1 else 2.0 * inner
        if record.cone == "low":
            elements.append(Element(None, record.band[1]))
        else:
            elements.append(Element(inner, outer, _node(record, shears[record.scale]), shears[record.scale]))
    return tuple(elements)


def _node(record: FilterIndex, shear_max: int) -> tuple[int, int]:
    """Return the direction as a point (row, col) on the square of half width K; rows point down."""
    if record.cone == "vertical":
        return -shear_max, record.shear
    return -record.shear, shear_max


def checked_shears(
    shears: Sequence[int], scales: int | None, who: str, *, name: str = "shears", least: int = 1
) -> tuple[int, ...]:
    """Return the shears, a whole number of at least ``least`` for each scale; raises InputError for other counts."""
    at_least(len(shears), 1, f"number of {name}", who)
    if scales is not None and scales != len(shears):
        do = f"Leave out scales, which is the number of {name}."
        raise InputError(who, expected=f"{name} for {scales} scales", got=f"{name} = {tuple(shears)}", do=do)
    return tuple(at_least(k, least, name, who) for k in shears)


def shearlet_system(shape: tuple[int, ...], scales: int | None, shears: Sequence[int] | None, who: str) -> System:
    """Return the shears, the records and the responses of a system, with the defaults filled in."""
    size = shape_of(shape, ["row, col"], who)
    count = default_scales(size) if scales is None else at_least(scales, 1, "scales", who)
    chosen = definition_shears(count) if shears is None else checked_shears(shears, scales, who)
    records = shearlet_index(chosen)
    return chosen, records, shearlet_elements(records, chosen)


def _samples() -> list["ShearletFrame"]:
    return [ShearletFrame((16, 16)), ShearletFrame((15, 22), scales=2), ShearletFrame((17, 13), shears=(1, 3))]


@register("frame", "shearlet", samples=_samples, reference="guo2013")
class ShearletFrame(SpectralFrame):
    """Cone-adapted shearlets, a Parseval frame: (*batch, row, col) -> (*batch, filter, row, col).

    Parameters: ``shape`` of the image, any rows and columns; ``scales``, how many (default by size, at most 5);
    ``shears``, the largest |k| of each scale, ⌈2^{j/2}⌉ unless given. Five scales give 49 filters.

    Guarantees: synthesis inverts analysis exactly, |W x| = |x|; the adjoint is the synthesis; the backward pass of
    autograd is one adjoint and keeps nothing.

    >>> import torch
    >>> frame = ShearletFrame((32, 20))
    >>> x = torch.rand(32, 20, dtype=torch.float64)
    >>> bool(torch.allclose(frame.adjoint(frame(x)), x, atol=1e-14))
    True
    """

    filters: tuple[FilterIndex, ...]

    def _system(self, shape: tuple[int, ...], scales: int | None, shears: Sequence[int] | None) -> System:
        return shearlet_system(shape, scales, shears, "ShearletFrame")

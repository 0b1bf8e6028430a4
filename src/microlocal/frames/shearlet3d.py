"""Pyramid-adapted shearlets of volumes, a Parseval frame of band-limited filters.

The frequencies are cut into three pyramids, by their largest component. In the pyramid of x, the element with the
shears (k, l) at scale j lives around the direction (1, k/K, l/K), K = ⌈2^{j/2}⌉ unless given:

    |ψ̂_{j,k,l}(ξ)|² = W_j(|ξ_x|)² g(K ξ_y/ξ_x - k)² g(K ξ_z/ξ_x - l)²

and likewise for y and z. Elements with |k| = K or |l| = K sit on a seam of two pyramids, or on a corner of three, and
are glued from all of them, as in Guo and Labate (2013). A scale has 12 K² + 1 filters: 13, 49, 109 for K = 1, 2, 3.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from microlocal.core.checks import at_least, shape_of
from microlocal.core.registry import register
from microlocal.frames.shearlet import checked_shears, definition_shears
from microlocal.frames.spectra import Element
from microlocal.frames.spectral import SpectralFrame
from microlocal.frames.system import System


@dataclass(frozen=True)
class FilterIndex3D:
    """What one filter of volumes looks at.

    ``scale`` counts from coarse (0) to fine, -1 is the low-pass; ``pyramid`` names the pyramids of frequencies it lives
    in: "x", "y" or "z", two of them on a seam, "xyz" on a corner, or "low"; ``shears`` are the two shears along the
    axes other than the first of these; ``normal`` is the unit normal (x right, y up, z along the slices) of the
    surfaces it answers to, up to sign; ``band`` the lowest and highest max(|ξ_x|, |ξ_y|, |ξ_z|), in cycles per voxel.
    """

    scale: int
    pyramid: str
    shears: tuple[int, int]
    normal: tuple[float, ...]
    band: tuple[float, float]

    @property
    def key(self) -> tuple[object, ...]:
        """What no two filters share."""
        return self.scale, self.pyramid, self.shears


def cube_directions(shears: int) -> list[tuple[int, int, int]]:
    """Return the lattice points (x, y, z) on the surface of [-K, K]³, one of each pair ±n: 12 K² + 1 of them."""
    values = range(-shears, shears + 1)
    surface = [(x, y, z) for x, y, z in itertools.product(values, repeat=3) if max(abs(x), abs(y), abs(z)) == shears]
    return sorted((n for n in surface if _leading(n, shears) > 0), key=lambda n: (_pyramid(n, shears), n))


def _leading(n: Sequence[int], shears: int) -> int:
    """Return the first component with |n_p| = K."""
    return next(component for component in n if abs(component) == shears)


def _pyramid(n: Sequence[int], shears: int) -> str:
    return "".join(name for name, component in zip("xyz", n, strict=True) if abs(component) == shears)


def shearlet3d_index(shears: Sequence[int]) -> tuple[tuple[FilterIndex3D, ...], tuple[Element, ...]]:
    """Return the records and the responses of all filters: the low-pass, then scale by scale, pyramid by pyramid."""
    scales = len(shears)
    cutoff = 2.0 ** -(scales + 1)
    records = [FilterIndex3D(-1, "low", (0, 0), (1.0, 0.0, 0.0), (0.0, cutoff))]
    elements = [Element(None, cutoff)]
    for scale, shear_max in enumerate(shears):
        inner = 2.0 ** (scale - scales - 1)
        outer = None if scale == scales - 1 else 2 * inner
        for n in cube_directions(shear_max):
            pyramid, length = _pyramid(n, shear_max), math.hypot(*n)
            first, second = (component for name, component in zip("xyz", n, strict=True) if name != pyramid[0])
            normal = tuple(component / length for component in n)
            records.append(FilterIndex3D(scale, pyramid, (first, second), normal, (inner / 2, outer or 0.5)))
            elements.append(Element(inner, outer, (n[2], -n[1], n[0]), shear_max))
    return tuple(records), tuple(elements)


def default_scales3d(shape: tuple[int, ...]) -> int:
    """Return how many scales suit a volume: as for images, at most 3."""
    return max(1, min(3, int(math.log2(max(min(shape), 2))) - 3))


def shearlet3d_system(shape: tuple[int, ...], scales: int | None, shears: Sequence[int] | None, who: str) -> System:
    """Return the shears, the records and the responses of a system, with the defaults filled in."""
    size = shape_of(shape, ["slice, row, col"], who)
    count = default_scales3d(size) if scales is None else at_least(scales, 1, "scales", who)
    chosen = definition_shears(count) if shears is None else checked_shears(shears, scales, who)
    return chosen, *shearlet3d_index(chosen)


def _samples() -> list["ShearletFrame3D"]:
    return [ShearletFrame3D((12, 12, 12)), ShearletFrame3D((9, 10, 13), shears=(1,))]


@register("frame", "shearlet-3d", samples=_samples, reference="guo2013")
class ShearletFrame3D(SpectralFrame):
    """Pyramid-adapted shearlets, a Parseval frame: (*batch, slice, row, col) -> (*batch, filter, slice, row, col).

    Parameters: ``shape`` of the volume, any slices, rows and columns; ``scales``, how many (default by size, at most
    3); ``shears``, the largest |k| of each scale, ⌈2^{j/2}⌉ unless given: (2, 2) gives the 99 filters of ShearLab 3D,
    three scales 112 filters. ``filters`` are :class:`FilterIndex3D` records.

    Guarantees: synthesis inverts analysis exactly, |W x| = |x|; the adjoint is the synthesis; the backward pass of
    autograd is one adjoint and keeps nothing. Coefficients that exceed the memory are written to a temporary file, with
    a warning; ``map_filters`` never holds them all.

    >>> import torch
    >>> frame = ShearletFrame3D((12, 9, 10))
    >>> x = torch.rand(12, 9, 10, dtype=torch.float64)
    >>> bool(torch.allclose(frame.map_filters(x, lambda band, k: band), x, atol=1e-14))
    True
    """

    domain_axes = "slice, row, col"
    codomain_axes = "filter, slice, row, col"
    filters: tuple[FilterIndex3D, ...]

    def _system(self, shape: tuple[int, ...], scales: int | None, shears: Sequence[int] | None) -> System:
        return shearlet3d_system(shape, scales, shears, "ShearletFrame3D")

"""Complex shearlets: a wavelet across an edge and its Hilbert transform, a Gaussian along it.

    ψ̂_{j,k}(ξ) = 2π w(a_j ξ_1) exp(-ℓ_j² (ξ_2 - s_k ξ_1)² / 2)   where ξ_1 > 0,  else 0;      w(ω) = ω² exp(-ω²/2)

in the horizontal cone, with ξ_1 and ξ_2 exchanged in the vertical one; x right and y up, ξ in radians per pixel. Being
one-sided, ψ is an even (Mexican hat) and an odd shearlet in one, with c = even - i odd. The factor makes them
measure heights: on a step of height h that rises along the normal (1, s_k), odd = h and even = 0 at every scale.

    j-th scale     a_j = finest 2^(j/per octave),       ℓ_j = elongation finest (a_j/finest)^α
    k-th shear     s_k = k/K, k = -K-1 ... K+1          one beyond the diagonals, so that |k| <= K have both neighbours

Reference: King et al., Proc. SPIE 9597, 2015; Reisenhofer, Kiefer, King, Exp. Fluids 57, 2016.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import at_least, positive, shape_of
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShearletSystem:
    """The scales and shears of complex shearlets, whatever the size of the image.

    Parameters: ``scales`` J; ``per_octave``, scales an octave; ``shears`` K; ``finest``, the scale a_0 in pixels (the
    wavelet's zeros lie at ±a); ``elongation`` ℓ_0/a_0; ``alpha`` in (0, 1], 1/2 for parabolic scaling, 1 for isotropic.
    """

    scales: int = 3
    per_octave: float = 1.0
    shears: int = 4
    finest: float = 1.5
    elongation: float = 1.75
    alpha: float = 0.5

    def __post_init__(self) -> None:
        at_least(self.scales, 1, "scales", "ShearletSystem")
        at_least(self.shears, 1, "shears", "ShearletSystem")
        for name in ("per_octave", "finest", "elongation", "alpha"):
            positive(getattr(self, name), name, "ShearletSystem")

    @property
    def widths(self) -> Array:
        """The scales a_j, (scale,), pixels, from fine to coarse."""
        return self.finest * 2 ** (np.arange(self.scales) / self.per_octave)

    @property
    def lengths(self) -> Array:
        """The standard deviations ℓ_j of the Gaussians along the edge, (scale,), pixels."""
        return self.elongation * self.finest * (self.widths / self.finest) ** self.alpha

    @property
    def directions(self) -> list[tuple[bool, int]]:
        """The directions (is it in the vertical cone?, k), cone by cone."""
        return [(vertical, k) for vertical in (False, True) for k in range(-self.shears - 1, self.shears + 2)]

    def direction_rad(self, vertical: bool, k: float | Array) -> Array:
        """Return the normal direction, radians, of shear k (fractions allowed): arctan s or π/2 - arctan s."""
        angle = np.arctan(np.asarray(k) / self.shears)
        return np.pi / 2 - angle if vertical else angle

    def responses(
        self, shape: tuple[int, int], vertical: bool, k: int, dtype: torch.dtype = torch.float64
    ) -> Float[Tensor, "scale row col"]:
        """Return ψ̂ of all scales of one direction on the FFT's frequencies; zero at Nyquist frequencies."""
        along, across = (xi.to(dtype) for xi in _frequencies(shape, vertical))
        a, length = (torch.from_numpy(v).to(dtype)[:, None, None] for v in (self.widths, self.lengths))
        wave = 2 * math.pi * (a * along) ** 2 * torch.exp(-((a * along) ** 2) / 2) * (along > 0)
        strip = across - k / self.shears * along
        return wave.nan_to_num() * torch.exp(strip.square().nan_to_num(torch.inf) * (-(length**2) / 2))


@lru_cache(8)
def _frequencies(shape: tuple[int, int], vertical: bool) -> tuple[Tensor, Tensor]:
    """Return (ξ_1, ξ_2), broadcastable to (row, col), radians per pixel; NaN at Nyquist."""
    axes = []
    for n, sign in zip(shape, (-1.0, 1.0), strict=True):
        xi = sign * torch.fft.fftfreq(n, dtype=torch.float64) * 2 * math.pi
        axes.append(torch.where(xi.abs() > (1 - 1e-9) * math.pi, torch.nan, xi))
    up, right = axes[0][:, None], axes[1][None, :]
    return (up, right) if vertical else (right, up)


def _samples() -> list["ComplexShearlets"]:
    small = ShearletSystem(scales=2, shears=1)
    return [ComplexShearlets((12, 15), small), ComplexShearlets((9, 8), ShearletSystem(scales=1, shears=2, alpha=0.5))]


@register("operator", "complex-shearlets", samples=_samples, reference="reisenhofer2016")
class ComplexShearlets(LinearOperator):
    """Even and odd shearlet coefficients: (*batch, row, col) -> (*batch, scale, direction, 2, row, col), periodic.

    Parameters: ``shape`` of the image; ``system``, its scales and shears. The axis of two holds (even, odd). There is
    no low-pass: constants are in the null space.

    Guarantee: |A|² = max over ξ of Σ (|ψ̂(ξ)|² + |ψ̂(-ξ)|²) / 2, exact. Reference: reisenhofer2016.

    >>> step = (torch.arange(64) >= 32).float().expand(64, 64)
    >>> system = ShearletSystem()
    >>> coefficients = ComplexShearlets((64, 64), system)(step)
    >>> flat = system.directions.index((False, 0))
    >>> [round(float(v), 1) for v in coefficients[0, flat, 1, 20, 31:33]]
    [0.9, 0.9]
    """

    codomain_axes = "scale, direction, even or odd, row, col"

    def __init__(self, shape: tuple[int, int], system: ShearletSystem | None = None) -> None:
        self.system = ShearletSystem() if system is None else system
        count = len(self.system.directions)
        size = shape_of(shape, [self.domain_axes], "ComplexShearlets")
        super().__init__(size, (self.system.scales, count, 2, *size))

    def _banks(self, like: Tensor) -> Iterator[Tensor]:
        for vertical, k in self.system.directions:
            rows, cols = self.domain_shape
            yield self.system.responses((rows, cols), vertical, k).to(like)

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(x)[..., None, :, :]
        planes = [torch.fft.ifft2(spectrum * bank) for bank in self._banks(x)]
        both = torch.stack(planes, dim=-3)
        return torch.stack((both.real, -both.imag), dim=-3)

    def _adjoint(self, y: Tensor) -> Tensor:
        both = torch.complex(y[..., 0, :, :], -y[..., 1, :, :])
        banks = enumerate(self._banks(y))
        total = sum((torch.fft.fft2(both[..., n, :, :]) * bank).sum(dim=-3) for n, bank in banks)
        return torch.fft.ifft2(torch.as_tensor(total)).real

    def norm_bound(self) -> float:
        total = torch.zeros(self.domain_shape, dtype=torch.float64)
        for bank in self._banks(total):
            total += bank.square().sum(dim=0)
        mirrored = total.flip(0, 1).roll((1, 1), (0, 1))
        return math.sqrt(float((total + mirrored).max()) / 2)

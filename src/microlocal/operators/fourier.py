"""Magnetic resonance on a Cartesian grid: the Fourier transform at some frequencies, seen by several coils.

y_j = M F (s_j f),    j = 1 ... coils        (SENSE)
"""

import math

import torch
from jaxtyping import Bool, Complex, Float, Inexact
from torch import Tensor

from microlocal.core.checks import at_least, finite, is_finite, positive, real, shape_of, tensor
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator

_AXES = (-2, -1)


def _masks() -> list["FourierSampling"]:
    return [FourierSampling(cartesian_mask((4, 5), 2.0)), FourierSampling(torch.arange(9.0).reshape(3, 3) / 4 - 1)]


@register("operator", "fourier-sampling", samples=_masks, reference="lustig2007")
class FourierSampling(LinearOperator):
    """The orthonormal Fourier transform at the frequencies of a mask: complex (*batch, row, col) -> the same shape.

        (A f)[k] = m[k] / √N Σ_n f[n] exp(-2πi (k - k0)·(n - n0) / shape),    n0 = k0 = shape // 2

    Parameters: ``mask``, (row, col), Boolean or weights, with frequency zero in the middle, at shape // 2; all ones
    is the full transform. Frequencies that are not measured are zero in the result. Raises InputError for weights that
    are complex or not finite, ShapeError for a mask of one axis.

    Guarantee: |A| = max |m|; with a mask of ones, A* A = I.

    >>> FourierSampling(torch.ones(2, 2))(torch.ones(2, 2, dtype=torch.complex64)).real.tolist()
    [[0.0, 0.0], [0.0, 2.0]]
    """

    codomain_axes = "row frequency, col frequency"
    domain_complex = True
    codomain_complex = True
    mask: Tensor

    def __init__(self, mask: Bool[Tensor, "row col"] | Float[Tensor, "row col"]) -> None:
        finite(real(mask, "FourierSampling"), "FourierSampling", "Set the weights of frequencies to leave out to zero.")
        if mask.ndim < 2:
            got, do = str(tuple(mask.shape)), "Give the mask of an image, mask[None] for a single line."
            raise ShapeError("FourierSampling", expected="a mask (row, col)", got=got, do=do)
        super().__init__(tuple(mask.shape), tuple(mask.shape))
        self.register_buffer("mask", mask.detach().clone(), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(torch.fft.ifftshift(x, dim=_AXES), norm="ortho")
        return torch.fft.fftshift(spectrum, dim=_AXES) * self.mask.to(x.real.dtype)

    def _adjoint(self, y: Tensor) -> Tensor:
        spectrum = torch.fft.ifftshift(y * self.mask.to(y.real.dtype), dim=_AXES)
        return torch.fft.fftshift(torch.fft.ifft2(spectrum, norm="ortho"), dim=_AXES)

    def norm_bound(self) -> float:
        return float(self.mask.double().abs().max()) * (1 + 1e-12)


@register(
    "operator",
    "coil-sensitivities",
    samples=lambda: [CoilSensitivities(birdcage_maps(2, (3, 4))), CoilSensitivities(birdcage_maps(3, (4, 3)))],
    reference="pruessmann1999",
)
class CoilSensitivities(LinearOperator):
    """What each receiver coil sees of an image: complex (*batch, row, col) -> (*batch, coil, row, col).

        (S f)_j = s_j f,    S* y = Σ_j conj(s_j) y_j,    |S|² = max Σ_j |s_j|²

    Parameters: ``maps`` s, (coil, row, col), complex. ``FourierSampling(mask) @ CoilSensitivities(maps)`` is the
    SENSE operator, ``NonUniformFourier(...) @ CoilSensitivities(maps)`` its non-Cartesian form. Raises ShapeError for
    maps of other axes, of several sets of maps make one operator each; InputError for maps that are not finite.

    >>> maps = birdcage_maps(4, (8, 8))
    >>> sense = FourierSampling(cartesian_mask((8, 8), 2.0)) @ CoilSensitivities(maps)
    >>> sense.codomain_shape, sense.norm_bound() < 1.001
    ((4, 8, 8), True)
    """

    codomain_axes = "coil, row, col"
    domain_complex = True
    codomain_complex = True
    maps: Tensor

    def __init__(self, maps: Complex[Tensor, "coil row col"]) -> None:
        if tensor(maps, "CoilSensitivities").ndim != 3:
            do = "Give one map a coil, maps[None] for a single one; several slices or sets take an operator each."
            got = str(tuple(maps.shape))
            raise ShapeError("CoilSensitivities", expected="maps (coil, row, col)", got=got, do=do)
        finite(maps, "CoilSensitivities", "Set the maps to zero where no coil sees anything.")
        super().__init__(tuple(maps.shape[-2:]), tuple(maps.shape))
        self.register_buffer("maps", maps.detach().clone(), persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        return self.maps.to(x.dtype) * x.unsqueeze(-3)

    def _adjoint(self, y: Tensor) -> Tensor:
        return (self.maps.conj().to(y.dtype) * y).sum(dim=-3)

    def norm_bound(self) -> float:
        energy: Inexact[Tensor, "row col"] = self.maps.to(torch.complex128).abs().square().sum(dim=-3)
        return math.sqrt(float(energy.max())) * (1 + 1e-12)


def birdcage_maps(coils: int, shape: tuple[int, int], radius: float = 1.5) -> Complex[Tensor, "coil row col"]:
    """Return simulated sensitivities of coils around the image, normalised to Σ |s_j|² = 1 in every pixel.

    Coil j stands at ``radius`` half-widths from the middle in direction 2πj/coils; its sensitivity falls with the
    distance, and its phase is the direction in which it sees the pixel. Raises ShapeError and InputError for numbers
    that no coils have.

    >>> birdcage_maps(4, (6, 6)).abs().square().sum(dim=0).allclose(torch.ones(6, 6, dtype=torch.float64))
    True
    """
    sizes, who = shape_of(shape, ["row, col"], "birdcage_maps"), "birdcage_maps"
    coils, radius = at_least(coils, 1, "coils", who), positive(radius, "radius", who)
    rows, cols = ((torch.arange(n, dtype=torch.float64) - n // 2) / (max(n, 2) / 2) for n in sizes)
    turn = 2 * math.pi * torch.arange(coils, dtype=torch.float64)[:, None, None] / coils
    x, y = cols[None, None, :] - radius * turn.cos(), -rows[None, :, None] - radius * turn.sin()
    # A pixel where a coil stands is seen by that coil alone.
    maps = torch.polar(1 / torch.hypot(x, y).clamp_min(1e-9), torch.atan2(x, -y))
    return maps / maps.abs().square().sum(dim=0).sqrt()


def cartesian_mask(
    shape: tuple[int, int], acceleration: float, center_fraction: float = 0.08, seed: int = 0
) -> Bool[Tensor, "row col"]:
    """Return a mask of whole columns: the middle ones, and others at random, cols / ``acceleration`` in all.

    ``center_fraction`` of the columns, at least one, are those in the middle. Raises InputError unless
    ``acceleration`` >= 1 and 0 <= ``center_fraction`` <= 1.

    >>> mask = cartesian_mask((4, 32), acceleration=4.0)
    >>> int(mask[0].sum()), bool(mask[:, 16].all())
    (8, True)
    """
    who, do = "cartesian_mask", "An acceleration of 4 keeps every fourth column."
    rows, cols = shape_of(shape, ["row, col"], who)
    for name, value, low, high in (("acceleration", acceleration, 1, math.inf), ("center", center_fraction, 0, 1)):
        if not (is_finite(value) and low <= value <= high):
            raise InputError(who, expected=f"{name} from {low} to {high}", got=f"{name} = {value}", do=do)
    kept = max(1, round(cols / float(acceleration)))
    middle = min(kept, max(1, round(cols * float(center_fraction))))
    first = cols // 2 - middle // 2
    order = torch.randperm(cols - middle, generator=generator(seed))[: kept - middle]
    others = torch.cat((torch.arange(first), torch.arange(first + middle, cols)))[order]
    columns = torch.zeros(cols, dtype=torch.bool)
    columns[first : first + middle] = True
    columns[others] = True
    return columns.expand(rows, cols).clone()

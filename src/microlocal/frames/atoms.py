"""Learned atoms as operators: the sum of convolutions that sparse coding inverts, and the tight frame they complete to.

    synthesis   D c = Σ_k d_k * c_k,    |D|² = max_ω Σ_k |d̂_k(ω)|²
    frame       ψ̂_k = d̂_k / |D|,    ψ̂_0 = (1 - Σ_k |ψ̂_k|²)^½

The one filter ψ_0 takes whatever the atoms leave, mostly the low frequencies, so that Σ|ψ̂|² = 1 at every frequency: any
method that takes a frame takes learned atoms. Convolutions are circular; an atom's middle pixel is its centre.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microlocal.core.checks import finite, real, shape_of
from microlocal.core.errors import ShapeError
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.fourier import FourierFrame
from microlocal.operators.base import LinearOperator, linear_pair


@dataclass(frozen=True)
class AtomIndex:
    """The number of an atom, or -1 for the filter that completes the frame (of scale -1, like a low-pass)."""

    number: int

    @property
    def scale(self) -> int:
        return min(self.number, 0)

    @property
    def band(self) -> tuple[float, float]:
        """All frequencies: nothing is known about a learned atom."""
        return 0.0, 0.5

    @property
    def normal(self) -> tuple[float, ...]:
        """A learned atom states no direction."""
        return 1.0, 0.0

    @property
    def key(self) -> tuple[object, ...]:
        return (self.number,)


def atom_spectra(atoms: Float[Tensor, "atom row col"], shape: tuple[int, int]) -> Complex[Tensor, "atom row half"]:
    """Return d̂ of atoms centred at (row // 2, col // 2) on the half spectrum of ``shape``, complex128.

    Raises ShapeError where the atoms are no stack of patches within the image, InputError for complex ones or NaN.
    """
    rows, cols = shape_of(shape, ["row, col"], "atoms")
    if real(atoms, "atoms").ndim != 3 or len(atoms) == 0 or atoms.shape[1] > rows or atoms.shape[2] > cols:
        expected, got = f"(atom, row, col) of at most {shape} pixels", str(tuple(atoms.shape))
        raise ShapeError("atoms", expected=expected, got=got, do="Take a larger image or smaller atoms.")
    finite(atoms, "atoms", "Learn them again from finite images.")
    laid = atoms.new_zeros((len(atoms), *shape), dtype=torch.float64)
    laid[:, : atoms.shape[1], : atoms.shape[2]] = atoms.detach()
    return torch.fft.rfft2(laid.roll((-(atoms.shape[1] // 2), -(atoms.shape[2] // 2)), (1, 2)))


def _some_atoms() -> Tensor:
    return torch.randn(3, 3, 4, dtype=torch.float64, generator=generator(0))


def _synthesis_samples() -> list["ConvolutionalSynthesis"]:
    return [ConvolutionalSynthesis(_some_atoms(), (5, 6)), ConvolutionalSynthesis(_some_atoms(), (3, 7))]


@register("operator", "convolutional-synthesis", samples=_synthesis_samples, reference="wohlberg2016")
class ConvolutionalSynthesis(LinearOperator):
    """The sum of activation maps convolved with their atoms: (*batch, atom, row, col) -> (*batch, row, col).

    Parameters: ``atoms`` (atom, row, col); ``shape`` of the image. The adjoint correlates an image with every atom.

    Guarantee: ``norm_bound`` is the norm to rounding.

    >>> spot = ConvolutionalSynthesis(torch.ones(1, 1, 3), (1, 5))
    >>> spot(torch.tensor([[[0.0, 0.0, 2.0, 0.0, 0.0]]])).round(decimals=4).abs().tolist()
    [[0.0, 2.0, 2.0, 2.0, 0.0]]
    """

    domain_axes = "atom, row, col"
    spectra: Tensor

    def __init__(self, atoms: Float[Tensor, "atom row col"], shape: tuple[int, int]) -> None:
        spectra = atom_spectra(atoms, shape)
        super().__init__((len(atoms), *shape), shape)
        self.register_buffer("spectra", spectra, persistent=False)

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._sum, self._correlate)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._correlate, self._sum)

    def _sum(self, maps: Tensor) -> Tensor:
        spectra = self.spectra.to(maps.dtype.to_complex())
        return torch.fft.irfft2((torch.fft.rfft2(maps) * spectra).sum(dim=-3), s=self.codomain_shape)

    def _correlate(self, image: Tensor) -> Tensor:
        spectra = self.spectra.to(image.dtype.to_complex())
        return torch.fft.irfft2(torch.fft.rfft2(image).unsqueeze(-3) * spectra.conj(), s=self.codomain_shape)

    def norm_bound(self) -> float:
        return float(self.spectra.abs().square().sum(dim=0).max().sqrt()) * (1 + 1e-9)


@register(
    "frame",
    "atoms",
    samples=lambda: [AtomFrame((8, 9), _some_atoms()), AtomFrame((7, 6), _some_atoms()[:1])],
    reference="wohlberg2016",
)
class AtomFrame(FourierFrame):
    """A Parseval frame from atoms: (*batch, row, col) -> (*batch, 1 + atom, row, col), the completing filter first.

    Parameters: ``shape`` of the image; ``atoms`` (atom, row, col), of any scale, as :func:`learn_atoms` gives them.

    >>> frame = AtomFrame((8, 8), torch.ones(1, 2, 2) / 2)
    >>> x = torch.rand(8, 8, dtype=torch.float64)
    >>> bool(torch.allclose(frame.adjoint(frame(x)), x))
    True
    """

    directional = False

    def __init__(self, shape: tuple[int, int], atoms: Float[Tensor, "atom row col"]) -> None:
        self._spectra = atom_spectra(atoms, shape)
        super().__init__(shape, [AtomIndex(number) for number in range(-1, len(atoms))])

    def _responses(self) -> Tensor:
        energy = self._spectra.abs().square().sum(dim=0)
        largest = energy.max().clamp_min(1e-300)
        rest = (1 - energy / largest).clamp_min(0).sqrt().to(self._spectra.dtype)
        return torch.cat((rest.unsqueeze(0), self._spectra / largest.sqrt()))

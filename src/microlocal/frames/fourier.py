"""Frames of translates: one circular convolution a filter, computed on the real half spectrum, and their dual.

    (W x)_k = F⁻¹(ψ̂_k x̂),    W* y = F⁻¹(Σ_k conj(ψ̂_k) ŷ_k),    W⁺ y = F⁻¹(Σ_k conj(ψ̂_k) ŷ_k / Σ_k |ψ̂_k|²)

Nothing is decimated, so the frame operator W*W is a convolution too: its symbol Σ|ψ̂|² gives the exact frame bounds,
and dividing by it the canonical dual frame.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from microlocal.frames.base import Frame, Record
from microlocal.kernels.threads import fft_threads_for, torch_held_at_one
from microlocal.operators.base import linear_pair


class FourierFrame(Frame):
    """Base: (*batch, *shape) -> (*batch, filter, *shape) for filters given by their Fourier transforms.

    A final class writes ``_responses``; any size, and signals and volumes as well as images.
    """

    responses: Tensor
    _energy: Tensor

    def __init__(self, shape: tuple[int, ...], filters: Sequence[Record]) -> None:
        super().__init__(shape, filters)
        responses = self._responses()
        self.register_buffer("responses", responses, persistent=False)
        self.register_buffer("_energy", _energy(responses), persistent=False)
        self._cast: dict[torch.dtype, Tensor] = {}

    @abstractmethod
    def _responses(self) -> Inexact[Tensor, "filter ..."]:
        """Return ψ̂ of every filter at the frequencies of rfftn, (filter, *half spectrum), float64 or complex128."""

    def _filters(self, like: Tensor) -> Tensor:
        """Return the responses in the precision of ``like``, converted once."""
        cast = self._cast.get(like.dtype)
        if cast is None or cast.device != like.device:
            kind = like.dtype.to_complex() if self.responses.is_complex() else like.dtype
            cast = self._cast[like.dtype] = self.responses.to(like.device, kind)
        return cast

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.domain_shape), 0))

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._analysis, self._synthesis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._synthesis, self._analysis)

    def _inverse(self, y: Tensor) -> Tensor:
        symbol = (1 / self._energy).to(y.device, y.dtype)
        return linear_pair(y, lambda c: self._synthesis(c, symbol), lambda x: self._analysis(x, symbol))

    def _analysis(self, x: Tensor, symbol: Tensor | None = None) -> Tensor:
        axes = self._axes
        coefficients = x.new_empty((*x.shape[: axes[0]], *self.codomain_shape))
        images = coefficients.unbind(axes[0] - 1)
        with fft_threads_for(x.numel()):
            spectrum = torch.fft.rfftn(x, dim=axes)
            spectrum = spectrum if symbol is None else spectrum * symbol
            for image, response in zip(images, self._filters(x), strict=True):  # one filter at a time stays in cache
                image.copy_(torch.fft.irfftn(spectrum * response, s=self.domain_shape, dim=axes))
        return coefficients

    def _synthesis(self, y: Tensor, symbol: Tensor | None = None) -> Tensor:
        axes, responses = self._axes, self._filters(y)
        images = y.unbind(axes[0] - 1)
        with fft_threads_for(images[0].numel()):
            spectrum = torch.fft.rfftn(images[0], dim=axes) * responses[0].conj()
            for image, response in zip(images[1:], responses[1:], strict=True):
                spectrum += torch.fft.rfftn(image, dim=axes) * response.conj()
            spectrum = spectrum if symbol is None else spectrum * symbol
            return torch.fft.irfftn(spectrum, s=self.domain_shape, dim=axes)

    def bounds(self) -> tuple[float, float]:
        """Return (A, B), the least and largest of Σ|ψ̂|² over all frequencies: exact for circular filters."""
        return float(self._energy.min()), float(self._energy.max())

    def filter_norms(self) -> Float[Tensor, " filter"]:
        """Return the l2 norm of every filter, (filter,): the factor by which it passes white noise."""
        last = self.domain_shape[-1]
        weights = torch.full((self.responses.shape[-1],), 2.0, dtype=torch.float64, device=self.responses.device)
        weights[0] = 1.0
        if last % 2 == 0:
            weights[-1] = 1.0
        squares = self.responses.abs().square() * weights
        return (squares.flatten(start_dim=1).sum(dim=1) / torch.Size(self.domain_shape).numel()).sqrt()


def _energy(responses: Tensor) -> Tensor:
    """Return Σ|ψ̂|², filter by filter: what is added to stays in the cache."""
    total = torch.zeros_like(responses[0].real)
    with torch_held_at_one():
        for response in responses:
            total += response.abs().square() if response.is_complex() else response.square()
    return total

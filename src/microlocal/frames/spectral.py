"""Frames of filters that live in boxes of frequencies: analysis and synthesis by pruned real FFTs.

    W_k x = F^{-1}(ψ̂_k F x),        W* c = F^{-1}(Σ_k ψ̂_k F c_k)

F is the real FFT. Behind each filter the inverse FFT over all axes but the last runs on the columns of its box alone,
and filters are taken in lanes, so that both maps cost less than one product and one whole FFT a filter.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, floating, target_like, tensor, trailing_shape
from microlocal.core.errors import InputError
from microlocal.frames.base import Frame
from microlocal.frames.lanes import Run, lanes
from microlocal.frames.responses import Response, energies, half_responses
from microlocal.frames.storage import empty
from microlocal.frames.system import System
from microlocal.operators.base import linear_pair

_COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
_IN_CACHE = 1 << 17  # pixels of the images that one lane works on at a time
_GROUPS = 8  # partial sums of the synthesis, always as many, so that rounding does not depend on the lanes

Change = Callable[[Tensor, int], Tensor]
Visit = Callable[[Tensor, int, int], None]
Step = Callable[[int, Tensor], None]


class SpectralFrame(Frame):
    """Base of the undecimated band-limited frames, in two and three dimensions.

    Parameters: ``shape`` of the image, ``scales`` and ``shears`` of the system. A final class writes ``_system``, the
    records of the filters and their responses as formulas; the responses are stored compactly, in the precisions that
    are used. The backward pass of autograd is one application of the other map and keeps nothing.
    """

    def __init__(self, shape: tuple[int, ...], scales: int | None = None, shears: Sequence[int] | None = None) -> None:
        self.shears, records, self.elements = self._system(shape, scales, shears)
        super().__init__(shape, records)

    @abstractmethod
    def _system(self, shape: tuple[int, ...], scales: int | None, shears: Sequence[int] | None) -> System:
        """Return the shears, the records and the responses, with the defaults filled in."""

    def bounds(self) -> tuple[float, float]:
        """Return (A, B), the least and largest of Σ|ψ̂|² over all frequencies: exact for circular filters."""
        lower, upper, _ = energies(self.elements, self.domain_shape)
        return lower, upper

    def filter_norms(self) -> Float[Tensor, " filter"]:
        """Return the l2 norm of every filter, (filter,), float64: the factor by which it passes white noise."""
        return torch.tensor(energies(self.elements, self.domain_shape)[2], dtype=torch.float64)

    def analysis_into(self, x: Float[Tensor, "..."], out: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Write the coefficients of ``x`` into ``out``, (*batch, *codomain), contiguous, and return it; no autograd.

        ``out`` may be mapped to a file, so that coefficients larger than the memory can be kept. Raises ShapeError for
        other shapes, InputError for an ``out`` of another precision or device, or one that is not contiguous.
        """
        who = f"{type(self).__name__}.analysis_into"
        trailing_shape(x, self.domain_shape, self.domain_axes, who, self.advice)
        batch = floating(x, who).shape[: x.ndim - len(self.domain_shape)]
        target_like(out, x, (*batch, *self.codomain_shape), who)
        responses, images = self._filters(x), x.detach().reshape(-1, *self.domain_shape)
        target, chunks = out.view(-1, *self.codomain_shape), self._chunks(len(images))
        if not chunks:
            return out
        with lanes(images) as run:
            spectra = torch.fft.rfftn(images, dim=self._axes)

            def work(queue: Iterator[int]) -> None:
                scratch = torch.zeros_like(spectra[chunks[0]])
                for item in queue:
                    chunk, k = chunks[item // len(responses)], item % len(responses)
                    self._filtered(spectra[chunk], responses[k], scratch, target[chunk, k])

            run(work, len(chunks) * len(responses), target.numel())
        return out

    def map_filters(self, x: Float[Tensor, "..."], change: Change) -> Float[Tensor, "..."]:
        """Return Σ_k W_k* change(W_k x, k), filter by filter: the coefficients are never held all at once.

        ``change`` takes the coefficients (chunk, *domain) of filter k, and k, and returns as many; it may be called
        from several threads at a time. Not differentiable: raises InputError for a tensor that requires a gradient, and
        where ``change`` is no function; ShapeError for other shapes.
        """
        who = f"{type(self).__name__}.map_filters"
        if tensor(x, who).requires_grad and torch.is_grad_enabled():
            raise InputError(who, expected="no gradient", got="requires_grad", do="Use forward and adjoint, or detach.")
        trailing_shape(x, self.domain_shape, self.domain_axes, who, self.advice)
        floating(x, who)
        if not callable(change):
            do = "Give change(coefficients, k)."
            raise InputError(who, expected="a function", got=type(change).__name__, do=do)
        images, responses = x.reshape(-1, *self.domain_shape), self._filters(x)
        result = torch.empty_like(images)
        with lanes(images) as run:
            for chunk in self._chunks(len(images)):
                spectra = torch.fft.rfftn(images[chunk], dim=self._axes)
                result[chunk] = self._summed(spectra, partial(self._mapper, spectra, responses, change), run)
        return result.reshape(x.shape)

    def visit_filters(self, x: Float[Tensor, "..."], visit: Visit, lots: int = 4) -> None:
        """Call visit(W_k x, k, lot) for every filter k of one image (*domain); the coefficients are never held at once.

        The filters of a lot come one after the other, those of several at a time from several threads: where each lot
        keeps its own sums, rounding does not depend on the threads. The coefficients are overwritten by the next ones.
        Not differentiable. Raises ShapeError for other shapes, InputError for what is no function.
        """
        who = f"{type(self).__name__}.visit_filters"
        trailing_shape(x, self.domain_shape, self.domain_axes, who, self.advice)
        if floating(x, who).ndim != len(self.domain_shape) or not callable(visit):
            got = f"{tuple(x.shape)} and a {type(visit).__name__}"
            raise InputError(who, expected="one image and a function", got=got, do="Visit the images one by one.")
        images, responses = x.detach()[None], self._filters(x)
        with lanes(images) as run:
            spectrum = torch.fft.rfftn(images, dim=self._axes)

            def work(queue: Iterator[int]) -> None:
                scratch, band = torch.zeros_like(spectrum), torch.empty_like(images)
                for lot in queue:
                    for k in range(lot, len(responses), lots):
                        self._filtered(spectrum, responses[k], scratch, band)
                        visit(band[0], k, lot)

            run(work, at_least(lots, 1, "lots", who), len(responses) * images.numel())

    def _mapper(self, spectra: Tensor, responses: tuple[Response, ...], change: Change) -> Step:
        scratch, half = torch.zeros_like(spectra), torch.empty_like(spectra)

        def step(k: int, total: Tensor) -> None:
            band = torch.empty(len(spectra), *self.domain_shape, dtype=spectra.real.dtype, device=spectra.device)
            self._filtered(spectra, responses[k], scratch, band)
            self._gathered(change(band, k), responses[k], half, total)

        return step

    def _filters(self, like: Tensor) -> tuple[Response, ...]:
        """Return the responses in the precision and on the device of ``like``."""
        return half_responses(self.elements, self.domain_shape, like.dtype, like.device)

    def _forward(self, x: Tensor) -> Tensor:
        return linear_pair(x, self._analysis, self._synthesis)

    def _adjoint(self, y: Tensor) -> Tensor:
        return linear_pair(y, self._synthesis, self._analysis)

    def _analysis(self, x: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.domain_shape)]
        return self.analysis_into(x, empty((*batch, *self.codomain_shape), x))

    def _synthesis(self, y: Tensor) -> Tensor:
        source, responses = y.reshape(-1, *self.codomain_shape), self._filters(y)
        result = y.new_empty((len(source), *self.domain_shape))
        with lanes(source) as run:
            for chunk in self._chunks(len(source)):
                some = source[chunk]
                like = self._half_spectrum(some)
                result[chunk] = self._summed(like, partial(self._gatherer, some, responses, like), run)
        return result.reshape(*y.shape[: y.ndim - len(self.codomain_shape)], *self.domain_shape)

    def _gatherer(self, coefficients: Tensor, responses: tuple[Response, ...], like: Tensor) -> Step:
        half = torch.empty_like(like)
        return lambda k, total: self._gathered(coefficients[:, k], responses[k], half, total)

    def _filtered(self, spectrum: Tensor, response: Response, scratch: Tensor, out: Tensor) -> None:
        """Write W_k x into ``out``; ``scratch`` is zero before and after."""
        if not response.blocks:
            out.zero_()
            return
        half = scratch[: len(spectrum)]
        columns = half[..., response.columns]
        response.multiply(spectrum, half)
        columns.copy_(torch.fft.ifftn(columns, dim=self._axes[:-1]))
        torch.fft.irfft(half, n=self.domain_shape[-1], dim=-1, out=out)
        columns.zero_()

    def _gathered(self, coefficients: Tensor, response: Response, half: Tensor, total: Tensor) -> None:
        """Add ψ̂_k F c_k to ``total``."""
        if not response.blocks:
            return
        torch.fft.rfft(coefficients, dim=-1, out=half)
        response.accumulate(torch.fft.fftn(half[..., response.columns], dim=self._axes[:-1]), total)

    def _summed(self, like: Tensor, start: Callable[[], Step], run: Run) -> Tensor:
        """Return the images whose spectra are what the steps of all filters add up, each lane with its own step."""
        count = len(self.filters)
        sums = empty((min(_GROUPS, count), *like.shape), like).zero_()

        def work(queue: Iterator[int]) -> None:
            step = start()
            for group in queue:
                for k in range(group, count, len(sums)):
                    step(k, sums[group])

        run(work, len(sums), count * like.numel())
        return torch.fft.irfftn(sums.sum(dim=0), s=self.domain_shape, dim=self._axes)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.domain_shape), 0))

    def _half_spectrum(self, coefficients: Tensor) -> Tensor:
        """Return an uninitialised half spectrum for every image of (chunk, *codomain)."""
        shape = (len(coefficients), *self.domain_shape[:-1], self.domain_shape[-1] // 2 + 1)
        return torch.empty(shape, dtype=_COMPLEX[coefficients.dtype], device=coefficients.device)

    def _chunks(self, count: int) -> list[slice]:
        """Return slices of the batch that fit into a core's cache, at least one image each."""
        step = max(1, _IN_CACHE // math.prod(self.domain_shape))
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

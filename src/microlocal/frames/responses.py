"""Filters on the half spectrum of the real FFT, stored as the blocks of frequencies where they live."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from microlocal.frames.spectra import Array, Element, Interval, folded_response, half_boxes, pieces
from microlocal.kernels.pool import at_once

_CHUNK = slice(None)  # spectra have one leading axis


@dataclass(frozen=True)
class Response:
    """ψ̂ of one filter on the half spectrum: blocks (place, values), and the columns they span."""

    blocks: tuple[tuple[tuple[slice, ...], Tensor], ...]
    columns: slice

    def multiply(self, spectrum: Complex[Tensor, "chunk ..."], out: Complex[Tensor, "chunk ..."]) -> None:
        """Write ψ̂ x̂ into the blocks of ``out``; the rest is left as it is."""
        for place, values in self.blocks:
            torch.mul(spectrum[(_CHUNK, *place)], values, out=out[(_CHUNK, *place)])

    def accumulate(self, spectrum: Complex[Tensor, "chunk ..."], out: Complex[Tensor, "chunk ..."]) -> None:
        """Add ψ̂ ĉ to ``out``; ``spectrum`` holds the response's columns alone."""
        for place, values in self.blocks:
            columns = slice(place[-1].start - self.columns.start, place[-1].stop - self.columns.start)
            out[(_CHUNK, *place)].addcmul_(spectrum[(_CHUNK, *place[:-1], columns)], values)

    def to(self, like: Float[Tensor, "..."]) -> "Response":
        """Return the response in the precision and on the device of ``like``."""
        blocks = tuple((place, values.to(like.device, like.dtype)) for place, values in self.blocks)
        return Response(blocks, self.columns)


def half_response(element: Element, shape: tuple[int, ...]) -> Response:
    """Return ψ̂ of an element on the half spectrum (*shape[:-1], shape[-1] // 2 + 1), in float64."""
    boxes = [box for box in half_boxes(element, shape) if all(first <= last for first, last in box)]
    if not boxes:  # a filter between the frequencies of a small image
        return Response((), slice(0, 0))
    blocks = tuple(
        block for box in boxes for block in _blocks(np.sqrt(folded_response(element, shape, box)), box, shape)
    )
    return Response(blocks, slice(boxes[0][-1][0], boxes[-1][-1][1] + 1))


def _blocks(values: Array, box: list[Interval], shape: tuple[int, ...]) -> list[tuple[tuple[slice, ...], Tensor]]:
    """Cut a box where its numbers pass from negative to positive, into contiguous blocks."""
    cuts = [pieces(interval, n) for interval, n in zip(box, shape, strict=True)]
    return [
        (
            tuple(there for there, _ in cut),
            torch.from_numpy(np.ascontiguousarray(values[tuple(here for _, here in cut)])),
        )
        for cut in itertools.product(*cuts)
    ]


def _in_turn(elements: Sequence[Element], shape: tuple[int, ...]) -> Iterator[Response]:
    """Yield the responses in float64 in their order, as many at a time as torch has threads."""
    step = torch.get_num_threads()
    for first in range(0, len(elements), step):
        some = elements[first : first + step]
        yield from at_once([functools.partial(half_response, element, shape) for element in some])


@functools.lru_cache(maxsize=8)
def half_responses(
    elements: tuple[Element, ...], shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Response, ...]:
    """Return the responses of all elements in one precision, the last few systems kept."""
    like = torch.empty(0, dtype=dtype, device=device)
    return tuple(response.to(like) for response in _in_turn(elements, shape))


@functools.lru_cache(maxsize=32)
def energies(elements: tuple[Element, ...], shape: tuple[int, ...]) -> tuple[float, float, tuple[float, ...]]:
    """Return the least and the largest Σ|ψ̂|² over the frequencies, and the l2 norm of every filter; one at a time."""
    total = torch.zeros(*shape[:-1], shape[-1] // 2 + 1, dtype=torch.float64)
    twice = torch.full((shape[-1] // 2 + 1,), 2.0, dtype=torch.float64)  # a column and its mirror image
    twice[0] = 1.0
    if shape[-1] % 2 == 0:
        twice[-1] = 1.0
    norms = []
    for response in _in_turn(elements, shape):
        energy = 0.0
        for place, values in response.blocks:
            total[place] += values.square()
            energy += float((values.square() * twice[place[-1]]).sum())
        norms.append(math.sqrt(energy / math.prod(shape)))
    return float(total.min()), float(total.max()), tuple(norms)

"""The laws of frames, beside those of operators."""

import math

import torch
from torch import Tensor

from microlocal.core.seeding import generator
from microlocal.frames.base import FilterIndex, Frame
from microlocal.testing.violation import expect


def frame_bounds_hold(frame: Frame) -> None:
    """A |x|² <= |W x|² <= B |x|² for noise, single pixels and constants."""
    lower, upper = frame.bounds()
    shape = frame.domain_shape
    noise = torch.randn(4, *shape, dtype=torch.float64, generator=generator(1))
    pixel = torch.zeros(1, *shape, dtype=torch.float64)
    pixel[(0, *(n // 2 for n in shape[:-1]), shape[-1] // 3)] = 1.0
    flat = torch.ones(1, *shape, dtype=torch.float64)
    for x in torch.cat((noise, pixel, flat)):
        ratio = float(frame(x).square().sum() / x.square().sum())
        expect(
            lower - 1e-12 <= ratio <= upper + 1e-12, f"energy ratio {ratio:.15g} outside [{lower:.15g}, {upper:.15g}]"
        )


def parseval_frames_reconstruct(frame: Frame) -> None:
    """Where A = B = 1 to rounding, synthesis inverts analysis: to 1e-12 in float64, to 1e-5 in float32."""
    lower, upper = frame.bounds()
    if max(abs(lower - 1), abs(upper - 1)) > 1e-12:
        return
    for dtype, allowed in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = torch.randn(frame.domain_shape, dtype=dtype, generator=generator(2))
        gap = float((frame.adjoint(frame(x)) - x).norm() / x.norm())
        expect(gap <= allowed, f"{type(frame).__name__} {dtype}: |x - W* W x| = {gap:.3g} |x|")


def inverse_undoes_analysis(frame: Frame) -> None:
    """The synthesis by the dual frame inverts the analysis, tight or not, and autograd goes through it."""
    lower, upper = frame.bounds()
    for dtype, allowed in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        x = torch.randn(2, *frame.domain_shape, dtype=dtype, generator=generator(2))
        gap = float((frame.inverse(frame(x)) - x).norm() / x.norm())
        limit = allowed * max(10.0, upper / lower)
        expect(gap <= limit, f"{type(frame).__name__} {dtype}: |x - W⁺ W x| = {gap:.3g} |x|, allowed {limit:.3g}")
    y = torch.randn(frame.codomain_shape, dtype=torch.float64, generator=generator(3)).requires_grad_()
    z = torch.randn(frame.domain_shape, dtype=torch.float64, generator=generator(4))
    product = (frame.inverse(y) * z).sum()
    (pulled,) = torch.autograd.grad(product, y)
    left, right = float((pulled * y.detach()).sum()), float(product.detach())
    size = float(pulled.norm() * y.detach().norm())
    expect(abs(left - right) <= 1e-10 * size, f"{type(frame).__name__}: the inverse's gradient is off")


def index_has_one_record_a_filter(frame: Frame) -> None:
    """As many records as filters, no two alike, directions in [0, π), normals of length one."""
    bands = frame.bands(torch.zeros(frame.codomain_shape))
    expect(len(frame.filters) == len(bands), "the index and the filters differ in number")
    expect(sum(band.numel() for band in bands) == math.prod(frame.codomain_shape), "a coefficient has no filter")
    keys = {f.key for f in frame.filters}
    expect(len(keys) == len(frame.filters), "two filters share scale, cone and shear")
    flat = [f for f in frame.filters if isinstance(f, FilterIndex)]
    expect(all(0 <= f.direction_rad < math.pi for f in flat), "a direction lies outside of [0, π)")
    lengths = [math.hypot(*f.normal) for f in frame.filters]
    expect(all(abs(length - 1) <= 1e-12 for length in lengths), "a normal is not of length one")


def directions_of_a_scale_tile_the_half_circle(frame: Frame) -> None:
    """The ranges of directions of each scale add up to π, in frames of images whose filters have a direction."""
    flat = [f for f in frame.filters if isinstance(f, FilterIndex) and frame.directional]
    for scale in {f.scale for f in flat if f.scale >= 0}:
        total = sum(2 * f.half_width_rad for f in flat if f.scale == scale)
        expect(abs(total - math.pi) <= 1e-9, f"scale {scale}: the ranges add up to {total:.6g}, not π")


def filters_answer_to_their_direction(frame: Frame) -> None:
    """A wave with a filter's direction and band has more energy in it than in any other filter of its scale."""
    if not frame.directional:
        return
    finest = max(f.scale for f in frame.filters)
    numbers = [k for k, f in enumerate(frame.filters) if f.scale == finest]
    for k in numbers:
        bands = frame.bands(frame(_wave(frame.domain_shape, frame.filters[k].normal)))
        best = max(numbers, key=lambda number: float(bands[number].square().sum()))
        expect(best == k, f"filter {frame.filters[k]} answers less than {frame.filters[best]} to its own direction")


def _wave(shape: tuple[int, ...], normal: tuple[float, ...]) -> Tensor:
    """Return a windowed wave along ``normal`` (x right, y up, z along the slices), of a frequency in the last band."""
    axes = (normal[2], -normal[1], normal[0]) if len(shape) == 3 else (-normal[1], normal[0])
    frequency = 0.36 / max(map(abs, axes))
    phase, window = torch.zeros(shape, dtype=torch.float64), torch.ones(shape, dtype=torch.float64)
    for k, (count, component) in enumerate(zip(shape, axes, strict=True)):
        along = [-1 if axis == k else 1 for axis in range(len(shape))]
        phase += (2 * math.pi * frequency * component * torch.arange(count, dtype=torch.float64)).reshape(along)
        window *= torch.hann_window(count, dtype=torch.float64).reshape(along)
    return window * torch.cos(phase)


def norms_are_those_of_the_atoms(frame: Frame) -> None:
    """The atom in the middle of every filter's coefficients has the declared norm, to the few per cent that borders and
    Nyquist frequencies make between the atoms of one filter."""
    for k, norm in enumerate(frame.filter_norms().tolist()):
        unit = torch.zeros(frame.codomain_shape, dtype=torch.float64)
        band = frame.bands(unit)[k]
        band[tuple(n // 2 for n in band.shape)] = 1.0
        size = float(frame.adjoint(unit).norm())
        expect(abs(size - norm) <= 0.15 * size, f"{frame.filters[k]}: an atom has norm {size:.6g}, declared {norm:.6g}")


def weights_reach_their_filters(frame: Frame) -> None:
    """One value a filter, spread over the coefficients, is found in that filter's band."""
    values = torch.arange(1.0, len(frame.filters) + 1, dtype=torch.float64)
    bands = frame.bands(frame.spread(values).expand(frame.codomain_shape))
    wrong = [k for k, (band, value) in enumerate(zip(bands, values, strict=True)) if not bool((band == value).all())]
    expect(not wrong, f"{type(frame).__name__}: the weights of the filters {wrong} went elsewhere")


LAWS = (
    frame_bounds_hold,
    parseval_frames_reconstruct,
    inverse_undoes_analysis,
    index_has_one_record_a_filter,
    directions_of_a_scale_tile_the_half_circle,
    filters_answer_to_their_direction,
    norms_are_those_of_the_atoms,
    weights_reach_their_filters,
)

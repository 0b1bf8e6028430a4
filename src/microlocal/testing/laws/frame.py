"""The laws of frames, beside those of operators."""

import math

import torch

from microlocal.core.seeding import generator
from microlocal.frames.base import Frame
from microlocal.testing.violation import expect


def frame_bounds_hold(frame: Frame) -> None:
    """A |x|² <= |W x|² <= B |x|² for noise, single pixels and constants."""
    lower, upper = frame.bounds()
    rows, cols = frame.domain_shape
    noise = torch.randn(4, rows, cols, dtype=torch.float64, generator=generator(1))
    pixel = torch.zeros(1, rows, cols, dtype=torch.float64)
    pixel[0, rows // 2, cols // 3] = 1.0
    flat = torch.ones(1, rows, cols, dtype=torch.float64)
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


def index_has_one_record_a_filter(frame: Frame) -> None:
    """As many records as filters, no two alike, directions in [0, π)."""
    expect(len(frame.filters) == frame.codomain_shape[0], "the index and the filters differ in number")
    keys = {(f.scale, f.cone, f.shear) for f in frame.filters}
    expect(len(keys) == len(frame.filters), "two filters share scale, cone and shear")
    expect(all(0 <= f.direction_rad < math.pi for f in frame.filters), "a direction lies outside of [0, π)")


def directions_of_a_scale_tile_the_half_circle(frame: Frame) -> None:
    """The ranges of directions of each scale add up to π."""
    for scale in {f.scale for f in frame.filters if f.scale >= 0}:
        total = sum(2 * f.half_width_rad for f in frame.filters if f.scale == scale)
        expect(abs(total - math.pi) <= 1e-9, f"scale {scale}: the ranges add up to {total:.6g}, not π")


def filters_answer_to_their_direction(frame: Frame) -> None:
    """A wave with a filter's direction and band has more energy in it than in any other filter of its scale."""
    rows, cols = frame.domain_shape
    y, x = -torch.arange(rows, dtype=torch.float64)[:, None], torch.arange(cols, dtype=torch.float64)[None, :]
    finest = max(f.scale for f in frame.filters)
    numbers = [k for k, f in enumerate(frame.filters) if f.scale == finest]
    window = torch.hann_window(rows, dtype=torch.float64)[:, None] * torch.hann_window(cols, dtype=torch.float64)[None]
    for k in numbers:
        turn = frame.filters[k].direction_rad
        frequency = 0.36 / max(abs(math.cos(turn)), abs(math.sin(turn)))
        phase = 2 * math.pi * frequency * (x * math.cos(turn) + y * math.sin(turn))
        energies = frame(window * torch.cos(phase))[numbers].square().sum(dim=(-2, -1))
        best = numbers[int(energies.argmax())]
        expect(best == k, f"filter {frame.filters[k]} answers less than {frame.filters[best]} to its own direction")


LAWS = (
    frame_bounds_hold,
    parseval_frames_reconstruct,
    index_has_one_record_a_filter,
    directions_of_a_scale_tile_the_half_circle,
    filters_answer_to_their_direction,
)

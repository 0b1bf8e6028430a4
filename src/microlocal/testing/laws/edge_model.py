"""The laws of edge models; a sample is (name, model), a function of an image and of whether ridges are wanted."""

import math

import numpy as np
import torch
from torch import Tensor

from microlocal.testing.violation import expect
from microlocal.wavefront.models import Model
from microlocal.wavefront.singularities import Singularities, collected

Sample = tuple[str, Model]
# An even square, so that turns and shifts meet the grid; an ellipse away from the middle.
SIZE, CENTER, AXES = 64, (34.0, 27.0), (17.0, 11.0)
NEAR = 0.05  # pixels and radians: rounding of the transforms, where equal strengths may fall either way


def _ellipse(shift: int = 0, noise: float = 0.02) -> Tensor:
    """Return an anti-aliased ellipse with a little noise, moved right by whole pixels (periodically)."""
    place = torch.arange(SIZE, dtype=torch.float64)
    right, down = (place[None, :] - CENTER[0]) / AXES[0], (place[:, None] - CENTER[1]) / AXES[1]
    distance = (1 - torch.hypot(right, down)) * min(AXES)
    random = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ((distance + 0.5).clamp(0, 1) + noise * random).roll(shift, 1)


def _found(sample: Sample, image: Tensor) -> Singularities:
    return collected(*sample[1](image, False))


def _shares(one: Singularities, row: np.ndarray, col: np.ndarray, normal: np.ndarray) -> float:
    """Return the share of the given points that ``one`` has too, at the same place and with the same normal."""
    gap = np.hypot(row[:, None] - one.row, col[:, None] - one.col)
    turn = np.abs(np.sin(normal[:, None] - one.direction_rad))
    hits: np.ndarray = ((gap < NEAR) & (turn < NEAR)).any(axis=1)
    return float(hits.mean()) if hits.size and len(one) else 0.0


def finds_an_ellipse(sample: Sample) -> None:
    """An ellipse in noise: the outline all around, median errors of the place below half a pixel, of the normal 2°."""
    found = _found(sample, _ellipse())
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    col, row = CENTER[0] + AXES[0] * np.cos(angle), CENTER[1] - AXES[1] * np.sin(angle)
    normal = np.arctan2(np.sin(angle) / AXES[1], np.cos(angle) / AXES[0])
    gap = np.hypot(found.row[:, None] - row, found.col[:, None] - col)
    expect(gap.size > 0 and gap.min(axis=0).max() < 3, f"{sample[0]}: a part of the outline is missing")
    nearest = gap.argmin(axis=1)
    error = np.degrees(np.abs(np.arcsin(np.sin(found.direction_rad - normal[nearest]))))
    told = f"{sample[0]}: median errors {np.median(gap.min(axis=1)):.2f} pixels, {np.median(error):.2f}°"
    expect(float(np.median(gap.min(axis=1))) < 0.5 and float(np.median(error)) < 2, told)


def a_quarter_turn_turns_the_edges(sample: Sample) -> None:
    """The edges of the image turned by 90° are the edges turned by 90°."""
    plain, turned = _found(sample, _ellipse()), _found(sample, torch.rot90(_ellipse()))
    share = _shares(turned, SIZE - 1 - plain.col, plain.row, plain.direction_rad + math.pi / 2)
    expect(share > 0.9, f"{sample[0]}: a quarter turn of the image moves {1 - share:.0%} of the edges elsewhere")


def a_shift_shifts_the_edges(sample: Sample) -> None:
    """The edges of the image moved by 5 pixels, away from its border, are the edges moved by 5 pixels."""
    plain, moved = _found(sample, _ellipse()), _found(sample, _ellipse(5))
    share = _shares(moved, plain.row, plain.col + 5, plain.direction_rad)
    expect(share > 0.9, f"{sample[0]}: a shift of the image moves {1 - share:.0%} of the edges otherwise")


def grey_values_may_be_scaled(sample: Sample) -> None:
    """Another unit of the grey values, and another black, leave positions and directions."""
    plain, scaled = _found(sample, _ellipse()), _found(sample, 300 * _ellipse() + 50)
    share = _shares(scaled, plain.row, plain.col, plain.direction_rad)
    same = share > 0.99 and len(plain) == len(scaled)
    expect(same, f"{sample[0]}: other grey values change {1 - share:.0%} of {len(plain)} edges ({len(scaled)})")


def nothing_has_no_edges(sample: Sample) -> None:
    """A constant image has no edges."""
    for value in (0.0, 3.7):
        count = len(_found(sample, torch.full((33, 40), value)))
        expect(count == 0, f"{sample[0]}: {count} edges in an image that is {value} everywhere")


def the_image_is_left_alone(sample: Sample) -> None:
    """The model does not write into the image, and says the same again."""
    image = _ellipse()
    kept = image.clone()
    first, second = _found(sample, image), _found(sample, image)
    expect(bool((image == kept).all()), f"{sample[0]} changed its image")
    same = len(first) == len(second) and bool((first.direction_rad == second.direction_rad).all())
    expect(same, f"{sample[0]} found other edges the second time")


LAWS = (
    finds_an_ellipse,
    a_quarter_turn_turns_the_edges,
    a_shift_shifts_the_edges,
    grey_values_may_be_scaled,
    nothing_has_no_edges,
    the_image_is_left_alone,
)

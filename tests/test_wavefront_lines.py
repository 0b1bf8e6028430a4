"""The fit of a line through its points, and the directions of all lines that pass a place."""

import math

import numpy as np
import pytest

from microlocal.core import InputError
from microlocal.wavefront import EDGE, Singularities, directions_at
from microlocal.wavefront.fields import Field
from microlocal.wavefront.lines import fitted

PLACES, NORMALS = 0.15, math.radians(2.0)  # standard deviations of the noise


def circle(radius: float, draw: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points a pixel apart, their normals inwards; with noise along the normals and of these."""
    phi = np.arange(0, 2 * math.pi, 1 / radius)
    away = radius + (0.0 if draw is None else PLACES * draw.normal(size=phi.size))
    turned = phi + math.pi + (0.0 if draw is None else NORMALS * draw.normal(size=phi.size))
    return away * np.cos(phi), away * np.sin(phi), turned % (2 * math.pi)


def straight(length: int, degrees: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points a pixel apart from the origin on, and their normals."""
    s, phi = np.arange(length, dtype=float), math.radians(degrees)
    return -s * math.sin(phi), s * math.cos(phi), np.full(length, phi % (2 * math.pi))


def points(right: np.ndarray, up: np.ndarray, normal: np.ndarray) -> Singularities:
    """Return points around the middle of an image of 129 pixels, with what the fit knows of them."""
    line, empty = fitted(right, up, normal), np.zeros((129, 129))
    field = Field(empty, empty, empty > 0, empty, empty, 1.0)
    many = np.ones(right.size)
    kind = np.full(right.size, EDGE, dtype=np.uint8)
    at = 64 - (up + line.shift * np.sin(normal)), 64 + right + line.shift * np.cos(normal)
    return Singularities(*at, normal + line.turn, kind, many, line.curvature, many, 0 * kind, field)


@pytest.mark.parametrize("radius", [8.0, 20.0, 60.0])
def test_a_circle_is_a_circle(radius):
    line = fitted(*circle(radius))
    assert np.abs(line.shift).max() < 0.02
    assert np.abs(line.turn).max() < 0.01
    assert line.curvature == pytest.approx(np.full(line.curvature.shape, 1 / radius), rel=0.05)


@pytest.mark.parametrize("radius", [20.0, 60.0])
def test_noise_is_more_than_halved_in_places_and_normals(radius):
    right, up, normal = circle(radius, np.random.default_rng(1))
    line = fitted(right, up, normal)
    away = np.hypot(right + line.shift * np.cos(normal), up + line.shift * np.sin(normal)) - radius
    turned = np.arcsin(np.sin(normal + line.turn - np.arctan2(up, right)))
    assert away.std() < 0.5 * PLACES
    assert turned.std() < 0.5 * NORMALS
    assert np.median(line.curvature) == pytest.approx(1 / radius, rel=0.15)


def test_the_better_measured_of_places_and_normals_leads():
    """Normals that are 8 degrees off are put right by exact places, and places by exact normals."""
    draw, (right, up, normal) = np.random.default_rng(2), straight(60, 30.0)
    off = math.radians(8.0) * draw.normal(size=normal.size)
    by_places = fitted(right, up, normal + off)
    assert np.abs(off + by_places.turn)[5:-5].std() < 0.1 * off.std()
    away = 0.4 * draw.normal(size=normal.size)
    by_normals = fitted(right + away * np.cos(normal), up + away * np.sin(normal), normal)
    assert np.abs(by_normals.turn)[5:-5].max() < math.radians(1.5)


def test_lines_keep_their_normals_up_to_a_corner():
    """Normals within three pixels of the corner, turned half-way by a filter, are those of the sides again."""
    first, second = straight(40, 0.0), straight(40, 100.0)
    turned = [side[2] + sign * math.radians(12.0) * (np.arange(40) < 3) for side, sign in ((first, 1), (second, -1))]
    right, up = (np.concatenate([first[k], second[k]]) for k in (0, 1))
    normal, truth = np.concatenate(turned), np.concatenate([first[2], second[2]])
    beside = np.tile((np.arange(40) > 0) & (np.arange(40) < 8), 2)
    error = np.degrees(np.abs(normal + fitted(right, up, normal).turn - truth))[beside]
    assert np.median(error) < 2.5
    assert error.max() < 8.0


def test_a_point_alone_and_none_stay_as_they_are():
    none, one = np.zeros(0), np.array([1.0])
    assert all(part.size == 0 for part in fitted(none, none, none))
    assert all(part.tolist() == [0.0] for part in fitted(one, one, one))


@pytest.mark.parametrize("s", [0.0, 0.3, 0.5])
def test_between_the_points_of_a_circle_the_normal_turns_on(s):
    found = points(*circle(12.0))
    angle = s / 12.0
    (normals,) = directions_at(found, np.array([64 - 12 * math.sin(angle)]), np.array([64 + 12 * math.cos(angle)]))
    assert np.degrees(normals) % 180 == pytest.approx([math.degrees(angle)], abs=0.3)


def test_where_lines_cross_both_pass_even_if_none_has_points_there():
    lines = [straight(31, degrees) for degrees in (20.0, 75.0)]
    parts = [(right - right[15], up - up[15], normal) for right, up, normal in lines]
    right, up, normal = (np.concatenate([part[k] for part in parts]) for k in range(3))
    kept = np.hypot(right, up) > 3.5
    found = points(right[kept], up[kept], normal[kept])
    crossing, beside, away = directions_at(found, np.array([64.0, 73.0, 94.0]), np.full(3, 64.0))
    assert np.sort(np.degrees(crossing)) == pytest.approx([20.0, 75.0], abs=0.5)
    assert beside.size == away.size == 0
    (on,) = directions_at(found, np.array([64 - up[2]]), np.array([64 + right[2]]))
    assert np.degrees(on) == pytest.approx([20.0], abs=0.5)


def test_places_are_rows_with_columns():
    with pytest.raises(InputError, match="directions_at"):
        directions_at(points(*circle(12.0)), np.zeros(2), np.zeros(3))
    with pytest.raises(InputError, match="finite rows and columns"):
        directions_at(points(*circle(12.0)), np.array([np.nan]), np.zeros(1))

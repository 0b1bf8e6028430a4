"""Phantoms for measuring what finds edges: their stated wavefront sets against finite differences and fine sampling,
and the measures of the benchmark against answers that are known to be right or wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from benchmarks import directions
from benchmarks.directions import KINDS, OURS, PAPERS, Kind, errors, family, phantom
from microlocal.core.grid import Grid
from microlocal.data.objects import Object, random_object
from microlocal.data.outlines import _periodic, parallelogram, placed, spline
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon
from microlocal.wavefront.fields import Field
from microlocal.wavefront.singularities import EDGE, Singularities

GRID = Grid((256, 256), 1.0)
APART = ("parallelograms", "splines")
SMALL = Kind("small", family("overlapping"), 256)


def made(name, seed=3):
    return random_object(name, np.random.default_rng(seed), GRID)


def density(thing, x, y):
    return sum(shape.density(x, y) for shape in thing.shapes)


@pytest.mark.parametrize("seed", range(4))
def test_normals_of_a_spline_are_the_gradient_of_its_level_set(seed):
    """F(x, y) = |p| - r(angle of p), with r through every third vertex and no use of the stated normals."""
    points, normals = placed(spline(np.random.default_rng(seed)), 30.0, 0.0, (0.0, 0.0))
    angle = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    order = np.argsort(angle)[::3]
    radius = np.hypot(*points[order].T)
    known = np.append(angle[order], angle[order[0]] + 2 * np.pi)
    through = CubicSpline(known, np.append(radius, radius[0]), bc_type="periodic")

    def level(x, y):
        return np.hypot(x, y) - through(np.arctan2(y, x))

    x, y, h = *points.T, 1e-3
    gradient = np.stack([level(x + h, y) - level(x - h, y), level(x, y + h) - level(x, y - h)], axis=1)
    gradient /= np.hypot(*gradient.T)[:, None]
    assert np.abs(level(x, y)).max() < 1e-4
    assert np.degrees(np.abs(gradient - normals).max()) < 0.05
    assert np.hypot(*points.T).max() == pytest.approx(30.0)


def test_the_periodic_spline_is_scipys():
    draw = np.random.default_rng(0)
    at = np.append(np.arange(7) + draw.uniform(-0.3, 0.3, 7), 0.0)
    at[-1] = at[0] + 7
    values, t = draw.uniform(0.7, 1.0, 7), np.linspace(-9, 9, 500)
    through = CubicSpline(at, np.append(values, values[0]), bc_type="periodic")
    for found, wanted in zip(_periodic(at, values, t), (through(t), through(t, 1)), strict=True):
        assert np.abs(found - wanted).max() < 1e-12


@pytest.mark.parametrize("name", [*APART, "overlapping"])
def test_the_density_jumps_across_the_stated_points_and_not_along_them(name):
    thing = made(name)
    edge, h = thing.singularities(300), 0.02
    normal = np.stack([np.cos(edge.normal_rad), np.sin(edge.normal_rad)])
    inner, outer = (density(thing, edge.x + s * h * normal[0], edge.y + s * h * normal[1]) for s in (-1, 1))
    within, up = edge.x - 2 * h * normal[0], edge.y - 2 * h * normal[1]
    beside = [density(thing, within - s * h * normal[1], up + s * h * normal[0]) for s in (-1, 1)]
    stated = np.empty(len(edge.x))
    for number, shape in enumerate(thing.shapes):
        own = edge.shape == number
        flat = isinstance(shape, Ellipse)
        stated[own] = shape.value if flat else shape.profile(edge.x[own], edge.y[own])
    close = np.abs(inner - outer - stated) < 0.01
    assert close.mean() > (0.97 if name == "overlapping" else 0.9999)  # where outlines cross another step is near
    assert np.mean(np.abs(beside[0] - beside[1]) < 0.01) > 0.97
    assert np.abs(stated).min() > (0.02 if name == "overlapping" else 0.24)


@pytest.mark.parametrize("name", APART)
def test_steps_vary_along_one_outline(name):
    for shape in made(name).shapes:
        steps = shape.profile(*shape.boundary(200)[0].T)
        assert steps.max() > 1.1 * steps.min()


@pytest.mark.parametrize("name", [*APART, "overlapping"])
def test_pixels_are_means_of_the_density(name):
    thing, fine = made(name), 10
    places = thing.singularities(40)
    grid = Grid((20, 24), 1.0, center=(float(places.x[3]), float(places.y[3])))  # on an outline
    inner = (np.arange(fine) + 0.5) / fine - 0.5
    x, y = grid.coordinates()
    points = density(thing, (x[:, None] + inner).ravel()[None, :], (y[:, None] - inner).ravel()[:, None])
    expected = points.reshape(20, fine, 24, fine).mean((1, 3))
    found = thing.image(grid, 8)
    assert expected.max() - expected.min() > 0.2
    # A pixel on an outline takes the density at its middle, which varies by up to 0.04 a pixel.
    assert np.abs(found - expected).max() < 0.035 + 0.5 / fine**1.5


@pytest.mark.parametrize("name", APART)
def test_outlines_keep_apart(name):
    thing = made(name)
    assert len(thing.shapes) > 3
    edge = thing.singularities(200)
    points = np.stack([edge.x, edge.y], axis=1)
    for number in range(len(thing.shapes)):
        own = edge.shape == number
        assert cKDTree(points[own]).query(points[~own])[0].min() > 10
    assert np.abs(points).max() < 128 - 10


def test_every_direction_is_singular_at_a_corner():
    """A line that moves over a corner of sides a, b has an integral that bends by v det(a, b)/(n·a n·b), whatever n."""
    shape = Polygon(0.7, placed(parallelogram(np.random.default_rng(5)), 30.0, 0.4, (3.0, -2.0))[0])
    assert np.array_equal(shape.corners, shape.vertices)
    h = 1e-4
    for phi in np.linspace(0.05, np.pi, 23):
        normal = np.array([np.cos(phi), np.sin(phi)])
        for k, corner in enumerate(shape.corners):
            sides = [shape.corners[(k + step) % 4] - corner for step in (1, -1)]
            a, b = (side / np.hypot(*side) for side in sides)
            s = corner @ normal + h * np.arange(-1, 2)
            bend = shape.line_integral(np.full(3, phi), s) @ [1, -2, 1] / h
            expected = 0.7 * (a[0] * b[1] - a[1] * b[0]) / ((normal @ a) * (normal @ b))
            if abs((normal @ a) * (normal @ b)) > 0.02:
                assert bend == pytest.approx(expected, rel=1e-3)
                assert abs(bend) > 0.3


def test_a_smooth_curve_has_no_corners():
    thing = made("splines")
    assert thing.corners.shape == (0, 2)
    assert len(made("parallelograms").corners) == 4 * len(made("parallelograms").shapes)
    assert Object((Ellipse(1.0, (2.0, 1.0)),)).corners.shape == (0, 2)


def told(x, y, normal, pixels, curvature=0.0):
    """Return points as a model would."""
    nothing = np.zeros((pixels, pixels))
    field = Field(nothing, nothing, nothing > 0, nothing, nothing, 0.0)
    one, middle = np.ones(len(x)), (pixels - 1) / 2
    codes = np.full(len(x), EDGE, dtype=np.uint8)
    return Singularities(middle - y, middle + x, normal, codes, one, curvature * one, one, codes, field)


def truly(of, turned_deg=0.0):
    edge = of.truth
    dx, dy, turn = (np.roll(part, -1) - part for part in (edge.x, edge.y, edge.normal_rad))
    along = dy * np.cos(edge.normal_rad) - dx * np.sin(edge.normal_rad)
    bend = -np.arcsin(np.sin(turn)) / np.where(along == 0, 1.0, along)
    curvature = np.where(np.hypot(dx, dy) < 1, bend, 0.0)
    return told(edge.x, edge.y, edge.normal_rad + math.radians(turned_deg), of.plane.shape[0], curvature)


@pytest.mark.parametrize("kind", KINDS[:3], ids=lambda k: k.where)
def test_errors_are_what_was_put_in(kind):
    of = phantom(kind, 1)
    gap, turn, found = errors(of, truly(of))
    assert gap.max() < 1e-9
    assert turn.max() < 1e-5
    assert found == 1.0
    assert np.allclose(errors(of, truly(of, 7.0))[1], 7.0, atol=1e-5)
    some = truly(of)
    left = replace(some, **{n: getattr(some, n)[some.col < 128] for n in ("row", "col", "direction_rad")})
    assert errors(of, left)[2] < 0.9


def test_where_outlines_cross_either_direction_is_right():
    """Of two crossing lines both normals are there; a third direction is as wrong as it is far from the nearer."""
    one, other = (Ellipse(1.0, (40.0, 20.0), (0.0, 0.0), turn) for turn in (0.0, math.pi / 2))
    of = phantom(Kind("cross", lambda _, grid: Object((one, other)), 128), 0)
    place = 40 * 20 / math.hypot(40, 20)
    slopes = np.degrees(np.arctan2([place / 400, place / 1600], [place / 1600, place / 400]))
    at = np.full(3, place)
    turn = errors(of, told(at, at, np.radians([*slopes, 45.0]), 128))[1]
    assert turn[:2].max() < 0.5
    assert turn[2] == pytest.approx(abs(slopes[0] - 45), abs=0.6)


@pytest.mark.parametrize("question", [OURS, PAPERS], ids=["ours", "paper's"])
def test_who_knows_the_wavefront_set_answers_rightly_and_who_guesses_does_not(question, monkeypatch):
    of, draw = phantom(SMALL, 1), np.random.default_rng(0)
    answers = {
        "right": truly(of),
        "nothing": told(np.zeros(0), np.zeros(0), np.zeros(0), 256),
        "seven degrees off": truly(of, 7.0),
        "at random": replace(truly(of), direction_rad=draw.uniform(0, np.pi, len(of.truth.x))),
    }
    monkeypatch.setattr(directions, "QUESTIONS", 400)
    monkeypatch.setattr(directions, "answered", lambda model, *_: answers[model])
    share = {name: directions._answers(name, SMALL, question, 1) for name in answers}
    assert share["right"] > 0.96  # of false questions a few are within the tolerance of a true one
    assert share["nothing"] == 0.5
    assert share["seven degrees off"] < (0.8 if question.heard else 0.6)
    # Of random lines through points of an edge, those that pass a place of it too run along the edge.
    assert 0.4 < share["at random"] < (0.6 if question.heard else 0.65)


def test_a_tent_keeps_grey_values_and_smooths():
    plane = np.zeros((64, 64))
    plane[:, 32:] = 1.0
    seen = directions.tent(plane)
    assert seen[:, 0].max() == pytest.approx(0)
    assert seen[:, -1].min() == pytest.approx(1)
    assert np.diff(seen[30]).max() == pytest.approx(0.1)


def test_every_member_has_its_own_noise_and_no_training_its_seed():
    """Trainings draw seeds from that of their recipe on, and those of their validation from 2^40 on."""
    assert not set(directions.SEEDS) & set(range(1000))
    assert all(seed < 100000 for seed in directions.SEEDS)
    one, two = (directions.answered("canny", SMALL, 1, noise).edge.strength for noise in (0.0, 0.05))
    assert torch.is_tensor(torch.from_numpy(one))
    assert np.abs(one - two).max() > 0.005

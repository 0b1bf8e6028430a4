"""Random objects: their exact integrals, images and outlines against brute force."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from microlocal.core.errors import InputError, ShapeError, UnknownNameError
from microlocal.core.geometry import Detector, FanBeam, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import registered
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import Object, random_object
from microlocal.data.objects.holes import _dense
from microlocal.data.outlines import OUTLINES, placed
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon

GRID = Grid((64, 64), 1.2, center=(1.0, -2.0))
FAMILIES = tuple(registered("objects"))
ANGLES = tuple(math.radians(a) for a in (0.0, 17.0, 90.0, 133.0, 260.0))
PARALLEL = ParallelBeam(ANGLES, Detector(23, 0.17, offset=0.1))
FAN = FanBeam(ANGLES, Detector(23, 0.4, offset=0.1, reversed=True), source_axis=5.0, source_detector=11.0)
WAVES = np.array([[3.0, 1.0, 0.4, 0.5], [0.0, 5.0, 1.0, 0.3]])


def quadrature(density, geometry, reach, points=6000):
    """Midpoint sums along each line."""
    phi, s = geometry.lines()
    t = ((np.arange(points) + 0.5) / points - 0.5) * 2 * reach
    x = (s * np.cos(phi))[..., None] - np.sin(phi)[..., None] * t
    y = (s * np.sin(phi))[..., None] + np.cos(phi)[..., None] * t
    return density(x, y).sum(-1) * 2 * reach / points


def polygon(outline, seed=1, **density):
    points, normals = placed(outline(np.random.default_rng(seed)), 1.3, 0.7, (0.3, -0.2), 0.8)
    return Polygon(1.5, points, normals=normals, **density)


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda o: o.__name__)
@pytest.mark.parametrize("geometry", [PARALLEL, FAN], ids=["parallel", "fan"])
def test_line_integrals_are_sums_of_the_density(outline, geometry):
    shape = polygon(outline, slope=(0.4, -0.7), waves=WAVES)
    exact = shape.line_integral(*geometry.lines())
    expected = quadrature(shape.density, geometry, 3.0, 3000)
    assert np.abs(exact).max() > 0.02
    assert np.abs(exact - expected).max() < 0.02


def test_a_clockwise_square_is_the_same():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    diagonal = (np.array(math.pi / 4), np.array(math.sqrt(0.5)))
    for points in (square, square[::-1]):
        assert Polygon(2.0, points).line_integral(*diagonal).item() == pytest.approx(2 * math.sqrt(2))


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda o: o.__name__)
def test_pixels_hold_the_share_that_is_covered(outline):
    shape, grid = polygon(outline), Grid((17, 20), 0.15, center=(0.2, 0.1))  # the shape reaches beyond the grid
    inner = ((np.arange(40) + 0.5) / 40 - 0.5) * grid.pixel
    x, y = grid.coordinates()
    fine = shape.density((x[:, None] + inner).ravel()[None, :], (y[:, None] - inner).ravel()[:, None])
    expected = fine.reshape(17, 40, 20, 40).mean((1, 3))
    assert np.abs(Object((shape,)).image(grid) - expected).max() < 0.05 * 1.5


def test_the_image_of_a_polygon_has_its_area():
    shape = Polygon(1.0, np.array([[-3.3, -2.1], [4.2, -1.7], [0.4, 3.9]]))
    area = 0.5 * abs((4.2 + 3.3) * (3.9 + 2.1) - (0.4 + 3.3) * (-1.7 + 2.1))
    assert Object((shape,)).image(Grid((10, 10), 1.0)).sum() == pytest.approx(area, rel=1e-12)


@pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
def test_only_rims_of_ellipses_need_many_points(power):
    shape, grid = Ellipse(1.0, (7.0, 3.0), (0.5, 1.0), 0.4, power), Grid((24, 24), 1.0)
    inner = ((np.arange(8) + 0.5) / 8 - 0.5)[:, None, None, None]
    x, y = grid.coordinates()
    fine = shape.density(x[None, :] + inner, y[:, None] + inner.swapaxes(0, 1)).mean((0, 1))
    assert np.abs(Object((shape,)).image(grid, 8) - fine).max() < (1e-12 if power == 0 else 0.02)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_repeat_fit_and_are_about_zero_to_one(name):
    for seed in range(3):
        thing, again = (random_object(name, np.random.default_rng(seed), GRID) for _ in range(2))
        image = thing.image(GRID)
        assert np.array_equal(image, again.image(GRID))
        assert not np.array_equal(image, random_object(name, np.random.default_rng(seed + 9), GRID).image(GRID))
        assert image.min() > -0.4
        assert 0.5 < image.max() < 1.7
        assert max(image[0].max(), image[-1].max(), image[:, 0].max(), image[:, -1].max()) < 1e-9


@pytest.mark.parametrize("name", FAMILIES)
def test_sinograms_carry_the_mass_of_the_image(name):
    """The integral of every view is that of the image."""
    thing = random_object(name, np.random.default_rng(4), GRID)
    views = thing.sinogram(ParallelBeam(ANGLES, Detector(400, 0.3)), subrays=2).sum(1) * 0.3
    assert views == pytest.approx(thing.image(GRID, 8).sum() * GRID.pixel**2, rel=0.02)


@pytest.mark.parametrize("outline", OUTLINES, ids=lambda o: o.__name__)
def test_normals_point_from_inside_to_outside(outline):
    shape = polygon(outline)
    edge = Object((shape,)).singularities(90)
    step = 0.004 * np.stack((np.cos(edge.normal_rad), np.sin(edge.normal_rad)))
    assert np.mean(shape.density(edge.x + step[0], edge.y + step[1]) == 0) > 0.97
    assert np.mean(shape.density(edge.x - step[0], edge.y - step[1]) > 0) > 0.97


def test_lines_along_an_outline_are_singular_in_the_sinogram():
    """The tangent at an outline's point, s = n·p, splits lines that hit a convex shape from those that miss it."""
    thing = Object((Ellipse(1.0, (3.0, 1.5), (0.5, -1.0), 0.6),))
    edge = thing.singularities(25)
    s = edge.x * np.cos(edge.normal_rad) + edge.y * np.sin(edge.normal_rad)
    assert np.all(thing.shapes[0].line_integral(edge.normal_rad, s - 1e-6) > 0)
    assert np.all(thing.shapes[0].line_integral(edge.normal_rad, s + 1e-6) == 0)


def test_holes_keep_their_distance_and_lie_in_the_disc():
    for seed in range(4):
        thing = random_object("disc-with-holes", np.random.default_rng(seed), Grid((256, 256), 76 / 256))
        image = thing.image(Grid((512, 512), 76 / 512))
        assert image.min() > -1e-9  # holes that overlapped would fall below zero
        assert len(thing.shapes) >= 2


def test_holes_are_a_millimetre_apart_and_away_from_the_rim():
    for seed in range(6):
        thing = random_object("disc-with-holes", np.random.default_rng(seed), Grid((256, 256), 76 / 256))
        disc, *holes = [_dense(shape, 0.1) for shape in thing.shapes]  # mm: the field is 76 wide
        assert len(holes) >= 1
        for k, hole in enumerate(holes):
            assert all(cdist(hole, other).min() >= 1 for other in (disc, *holes[:k]))


def test_where_an_outline_overlaps_itself_density_image_and_integrals_agree():
    t = 4 * np.pi * np.arange(40) / 40  # twice around, and a bow tie whose second half runs backwards
    twice = np.stack((np.cos(t), np.sin(t)), axis=1) * np.linspace(1, 2, 40)[:, None]
    tie = np.array([[-2.0, -1.0], [2.0, 1.5], [2.0, -1.5], [-2.0, 1.0]])
    for points in (twice, tie):
        shape = Polygon(1.0, points, slope=(0.2, 0.1))
        exact = shape.line_integral(*PARALLEL.lines())
        assert np.abs(exact - quadrature(shape.density, PARALLEL, 3.5)).max() < 0.01
        views = Object((shape,)).sinogram(ParallelBeam(ANGLES, Detector(400, 0.015))).sum(1) * 0.015
        mass = Object((shape,)).image(Grid((200, 200), 0.03)).sum() * 0.03**2
        assert views == pytest.approx(mass, rel=5e-3, abs=5e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_densities_are_not_below_zero_on_fine_pixels(name):
    grid = Grid((512, 512), 1.0)
    for seed in range(4, 12):
        assert random_object(name, np.random.default_rng(seed), grid).image(grid).min() > -1e-8


DISC = Object((Ellipse(1.0, (3.0, 3.0)),))
SCANNER = ParallelBeam(tuple(np.linspace(0, 3, 40)), Detector(64, 0.15))


@pytest.mark.parametrize("poisson", [0.0, 1.0])
def test_noise_has_the_level_asked_for(poisson):
    clean = DISC.sinogram(SCANNER, 3)
    made = simulate(DISC, SCANNER, np.random.default_rng(2), Measurement(noise=(0.05, 0.05), poisson=poisson))
    assert np.linalg.norm(made.data - clean) / np.linalg.norm(clean) == pytest.approx(0.05, rel=0.06)


def test_air_hardening_centre_and_start_do_what_they_say():
    clean, draw = DISC.sinogram(SCANNER, 3), np.random.default_rng(0)
    made = simulate(DISC, SCANNER, draw, Measurement(air=(0.02, 0.02), hardening=(0.1, 0.1)))
    assert made.data[0, 0] == pytest.approx(0.02 * clean.max())
    assert made.data.max() == pytest.approx((1 - 0.1 + 0.02) * clean.max())
    moved = simulate(DISC, SCANNER, draw, Measurement(center=(2.0, 2.0), start_deg=(30.0, 30.0)))
    assert np.allclose(moved.data[:, :-2], clean[:, 2:])
    assert moved.geometry.angles[0] == pytest.approx(math.radians(30))
    assert moved.geometry.detector == SCANNER.detector
    assert moved.record["center"] == 2.0


def test_the_gain_drifts_slowly_and_as_much_as_asked_for():
    clean = DISC.sinogram(SCANNER, 3)
    gains = []
    for seed in range(200):
        made = simulate(DISC, SCANNER, np.random.default_rng(seed), Measurement(drift=(0.01, 0.01)))
        gains.append(made.data[:, 24:40] / clean[:, 24:40] - 1)
    field = np.stack(gains)
    assert field.std() == pytest.approx(0.01, rel=0.1)
    assert np.abs(np.diff(field, axis=1)).std() < 0.1 * 0.01
    assert np.all(made.data[clean == 0] == 0)


def test_rings_are_the_same_in_all_views():
    made = simulate(DISC, SCANNER, np.random.default_rng(0), Measurement(rings=(0.02, 0.02)))
    clean = DISC.sinogram(SCANNER, 3)
    ring = made.data - clean
    assert np.allclose(ring, ring[:1])
    assert ring[0].std() == pytest.approx(0.02 * clean.max(), rel=0.3)


def test_scans_without_drift_and_rings_are_drawn_as_before():
    without = simulate(DISC, SCANNER, np.random.default_rng(5), Measurement(noise=(0.01, 0.02)))
    # Before these were there: five numbers and the choice of the noise were drawn, then the noise.
    draw = np.random.default_rng(5)
    level, *_ = [draw.uniform(*span) for span in ((0.01, 0.02), (0, 0), (0, 0), (0, 0), (0, 0))]
    draw.random()
    clean = DISC.sinogram(SCANNER, 3)
    noise = level * np.linalg.norm(clean) / math.sqrt(clean.size) * draw.standard_normal(clean.shape)
    assert np.array_equal(without.data, clean + noise)


def test_refusals():
    with pytest.raises(UnknownNameError, match="disc-with-holes"):
        random_object("disc", np.random.default_rng(0), GRID)
    with pytest.raises(ShapeError, match="Polygon"):
        Polygon(1.0, np.zeros((2, 2)))
    with pytest.raises(InputError, match="noise"):
        Measurement(noise=(0.2, 0.1))

"""Which surfaces a scan of a volume measures, against closed forms, the planar rule and brute force."""

import math

import numpy as np
import pytest
import torch

import microlocal as ml
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.provenance import Provenance
from microlocal.data.phantoms3d import Ellipsoid, volume
from microlocal.wavefront import is_measured, label_surfaces, surface_fraction, surface_measured
from microlocal.wavefront.surfaces import RASTER_ERROR_RAD, _surfaces, half_sphere, path_of

WIDE = ml.FlatPanel(400, 400, (2.0, 2.0))


def turn(first, last, step):
    return tuple(np.radians(np.arange(first, last, step)))


FULL = turn(0, 360, 2.0)


def cone(angles=FULL, panel=WIDE):
    return ml.ConeBeam(angles, panel, source_axis=100.0, source_detector=200.0)


def unit(*shape, seed=0):
    n = np.random.default_rng(seed).normal(size=(*shape, 3))
    return n / np.linalg.norm(n, axis=-1, keepdims=True)


@pytest.mark.parametrize("height", [0.0, 5.0, 20.0, 40.0])
def test_on_the_axis_of_a_circle_of_sources_the_share_is_that_of_tuy(height):
    """A plane through (0, 0, z) meets the circle of radius R unless its normal is within atan(|z|/R) of z."""
    share = float(surface_fraction(cone(), ml.VolumeGrid((1, 1, 1), 1.0, (0.0, 0.0, height)), 20000))
    assert share == pytest.approx(100 / math.hypot(100, height), abs=5e-4)


def test_planes_that_meet_the_circle_are_those_of_the_closed_form():
    """n·x = n·s(t) has a solution iff |n·x| <= R |(n_x, n_y)|."""
    points, normals = 30 * unit(400), unit(400, seed=1)
    level, reach = (points * normals).sum(axis=1), 100 * np.hypot(normals[:, 0], normals[:, 1])
    clear = np.abs(np.abs(level) - reach) > 0.1  # the path is a polygon
    found = surface_measured(cone(), points, normals)
    assert (found == (np.abs(level) <= reach))[clear].all()
    assert 0 < found.mean() < 1


def test_laminography_misses_the_cone_around_the_axis():
    tilted = ml.ParallelBeam3D(turn(0, 360, 2.0), WIDE, tilt_rad=math.radians(30))
    normals = unit(500)
    expected = np.abs(normals[:, 2]) <= math.cos(math.radians(30))
    clear = np.abs(np.abs(normals[:, 2]) - math.cos(math.radians(30))) > 1e-3
    assert (surface_measured(tilted, np.zeros(3), normals) == expected)[clear].all()


@pytest.mark.parametrize("angles", [turn(-59.5, 60, 1.0), turn(0, 90, 2.0), (*turn(0, 40, 1.0), *turn(90, 130, 1.0))])
def test_upright_parallel_beams_measure_what_the_planar_rule_says(angles):
    beam = ml.ParallelBeam3D(angles, WIDE)
    normals = unit(500, seed=2)
    expected = is_measured(beam.midplane(), 0.0, 0.0, np.arctan2(normals[:, 1], normals[:, 0]) % np.pi)
    assert (surface_measured(beam, np.zeros(3), normals) == expected).mean() > 0.995


@pytest.mark.parametrize("arc", [90.0, 200.0])
def test_in_the_middle_plane_upright_surfaces_follow_the_planar_rule(arc):
    beam, rng = cone(turn(0.5, arc, 1.0)), np.random.default_rng(3)
    x, y, phi = rng.uniform(-30, 30, 500), rng.uniform(-30, 30, 500), rng.uniform(0, np.pi, 500)
    points = np.stack([x, y, np.zeros(500)], axis=1)
    normals = np.stack([np.cos(phi), np.sin(phi), np.zeros(500)], axis=1)
    assert (surface_measured(beam, points, normals) == is_measured(beam.midplane(), x, y, phi)).mean() > 0.99


def test_a_view_counts_only_where_its_panel_sees_the_point():
    """Beside brute force: pairs of views that both see the point, projected ray by ray."""
    beam = cone(turn(0, 360, 10.0), ml.FlatPanel(12, 20, (2.0, 2.0), offset=(3.0, 9.0)))
    points, normals = 18 * unit(200, seed=4), unit(200, seed=5)
    path, follows = path_of(beam)
    s, c, u, v = np.split(path.table, 4, axis=1)
    found = np.zeros(200, dtype=bool)
    for k, (x, n) in enumerate(zip(points, normals, strict=True)):
        plane = np.cross(u, v)
        reach = ((c - s) * plane).sum(axis=1) / ((x - s) * plane).sum(axis=1)
        hit = s + reach[:, None] * (x - s) - c
        seen = (reach > 0) & (np.abs((hit * u).sum(axis=1) / (u * u).sum(axis=1)) <= 10)
        seen &= np.abs((hit * v).sum(axis=1) / (v * v).sum(axis=1)) <= 6
        side = (x - s) @ n
        found[k] = any(follows[i] and seen[i - 1] and seen[i] and side[i] * side[i - 1] <= 0 for i in range(1, len(s)))
    assert np.array_equal(surface_measured(beam, points, normals), found)
    assert 0.2 < found.mean() < 0.8


def test_a_table_of_views_measures_what_its_geometry_does():
    points, normals = 30 * unit(300, seed=6), unit(300, seed=7)
    for beam in (cone(), ml.ParallelBeam3D(turn(0, 180, 2.0), WIDE), ml.ParallelBeam3D(turn(0, 360, 2.0), WIDE)):
        own, table = (surface_measured(g, points, normals) for g in (beam, beam.to_vectors()))
        assert (own == table).mean() > 0.99


def test_views_in_any_order_make_the_same_path_and_gaps_stay_open():
    golden = tuple((k * 137.50776405 % 360) * np.pi / 180 for k in range(144))
    points, normals = 30 * unit(300, seed=8), unit(300, seed=9)
    assert (surface_measured(cone(golden), points, normals) == surface_measured(cone(), points, normals)).mean() > 0.98
    halves = cone((*turn(0, 60, 1.0), *turn(180, 240, 1.0)))
    _, follows = path_of(halves)
    assert int((~follows).sum()) == 2
    assert int((~path_of(halves.to_vectors())[1]).sum()) >= 2


@pytest.mark.parametrize("diverging", [True, False])
@pytest.mark.parametrize("order", ["leaps", "turns", "from the middle"])
def test_gaps_of_a_table_stay_open_in_any_order_of_its_views(diverging, order):
    """Two sources in turns, or views that were shuffled, do not pass through what lies between their arcs."""
    first = turn(0, 40, 1.0)
    angles = (*first, *(t + np.pi for t in first)) if diverging else (*first, *(t + np.pi / 2 for t in first))
    own = cone(angles) if diverging else ml.ParallelBeam3D(angles, WIDE)
    table = own.to_vectors().table
    if order == "leaps":
        table = table[np.random.default_rng(0).permutation(len(table))]
    else:
        table = table.reshape(2, -1, 12).swapaxes(0, 1).reshape(-1, 12)
        table = np.roll(table, 39, axis=0) if order == "from the middle" else table
    points, normals = 12 * unit(600, seed=10), unit(600, seed=11)
    expected = surface_measured(own, points, normals)
    found = surface_measured(ml.ViewVectors(table, 400, 400, diverging=diverging), points, normals)
    assert not (found & ~expected).any()
    assert (found == expected).mean() > 0.97  # arcs of angles reach half a step farther
    assert 0.1 < expected.mean() < 0.6


def test_a_helix_is_followed_in_its_order():
    """Turns that lie closer than the views of a turn do not tear the path: brute force over its steps."""
    rows = []
    for k, t in enumerate(turn(0, 1440, 6.0)):
        row = cone((t,)).to_vectors().table[0].reshape(4, 3).copy()
        row[:2, 2] += k / 12 - 10
        rows.append(row.ravel())
    helix = ml.ViewVectors(np.array(rows), 400, 400, diverging=True)
    points, normals = 12 * unit(300, seed=12), unit(300, seed=13)
    side = np.einsum("pi,pvi->pv", normals, points[:, None] - helix.table[None, :, :3])
    expected = (side[:, 1:] * side[:, :-1] <= 0).any(axis=1)
    assert np.array_equal(surface_measured(helix, points, normals), expected)


def test_normals_of_rasterised_balls_are_known_to_what_is_stated():
    grid = ml.VolumeGrid((48, 48, 48), 1.0)
    for radius in (6.0, 12.0, 20.0):
        ball = volume([Ellipsoid(1.0, (radius,) * 3)], grid, oversampling=1)
        place, normal, _ = _surfaces(ball, 1.5)
        z, y, x = (axis[i] for axis, i in zip(grid.coordinates()[::-1], place, strict=True))
        truth = np.stack([z, -y, x]) / np.sqrt(x**2 + y**2 + z**2)
        off = np.arcsin(np.linalg.norm(np.cross(truth.T, normal.T), axis=1).clip(max=1))
        assert 2 * np.sqrt((off**2).mean()) < RASTER_ERROR_RAD
        assert np.abs(np.sqrt(x**2 + y**2 + z**2) - radius).mean() < 0.7


def test_the_surface_of_a_ball_is_labelled_by_its_normals():
    """Tilts within ±60 degrees about z: the normals (n_x, n_y) of the other 60 degrees are not measured."""
    grid = ml.VolumeGrid((48, 48, 48), 1.0)
    ball = torch.from_numpy(volume([Ellipsoid(1.0, (16.0,) * 3)], grid, oversampling=3))
    beam = ml.ParallelBeam3D(turn(-59.5, 60, 1.0), WIDE)
    labels = label_surfaces(ball, beam, grid).numpy()
    z, y, x = (axis[i] for axis, i in zip(grid.coordinates()[::-1], np.nonzero(labels), strict=True))
    angle = np.abs((np.degrees(np.arctan2(y, x)) + 90) % 180 - 90)
    found, steep = labels[labels > 0], np.abs(z) < 12
    assert (found[steep & (angle < 54)] == int(Provenance.MEASURED)).mean() > 0.99
    assert (found[steep & (angle > 62)] == int(Provenance.UNDETERMINED)).all()
    assert len(found) > 2000
    both = label_surfaces(torch.stack([ball, 0 * ball]), beam, grid)
    assert np.array_equal(both[0].numpy(), labels)
    assert not bool(both[1].any())


def test_what_cannot_be_asked_is_refused():
    grid = ml.VolumeGrid((4, 5, 6), 1.0)
    with pytest.raises(ShapeError, match="points and normals"):
        surface_measured(cone(), np.zeros((3, 3)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="points and normals"):
        surface_measured(cone(), np.zeros(2), np.zeros(2))
    with pytest.raises(ShapeError, match="label_surfaces"):
        label_surfaces(torch.zeros(4, 5, 5), cone(), grid)
    with pytest.raises(InputError, match="label_surfaces"):
        label_surfaces(torch.full((4, 5, 6), torch.nan), cone(), grid)
    with pytest.raises(InputError, match="normals"):
        half_sphere(0)
    other = ml.VolumeGrid((4, 5, 6), 1000.0, unit="um")
    for ask in (lambda g: surface_fraction(cone(), g), lambda g: label_surfaces(torch.zeros(4, 5, 6), cone(), g)):
        with pytest.raises(InputError, match="in the unit of the geometry"):
            ask(other)
    with pytest.raises(InputError, match="geometry of volumes"):
        surface_fraction(cone().midplane(), grid)
    with pytest.raises(InputError, match="real"):
        label_surfaces(torch.zeros(4, 5, 6, dtype=torch.complex64), cone(), grid)
    assert label_surfaces(torch.zeros(0, 4, 5, 6), cone(), grid).shape == (0, 4, 5, 6)
    for point, normal in ((np.zeros(3), np.zeros(3)), (np.full(3, np.nan), np.ones(3)), (np.zeros(3), [np.inf, 0, 0])):
        with pytest.raises(InputError, match="surface_measured"):
            surface_measured(cone(), point, normal)
    one = ml.VolumeGrid((1, 1, 1), 1.0, (0.0, 0.0, 500.0))
    assert float(surface_fraction(cone(), one)) == 0.0  # no panel sees it

"""What a scan says of itself: air, outline, attenuation and hardening, against known objects."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from microlocal.calibration import air_around, air_level, find_outline, upper_envelope
from microlocal.calibration.outline import Outline
from microlocal.core import Detector, FanBeam, Grid, ParallelBeam, Scan
from microlocal.data import phantoms
from microlocal.operators import RayTransform

VIEWS = tuple(np.radians(np.arange(0, 60, 1.0)))
PARALLEL = ParallelBeam(VIEWS, Detector(160, 0.5))
FAN = FanBeam(VIEWS, Detector(160, 0.7), source_axis=200.0, source_detector=280.0)
DISC = phantoms.Ellipse(0.04, (28.0, 28.0), (2.0, -3.0), 0.0)


def _detected(shapes, geometry, parts=4):
    """A detector pixel averages over its width."""
    detector = geometry.detector
    fine = replace(detector, count=detector.count * parts, pitch=detector.pitch / parts)
    data = phantoms.sinogram(shapes, replace(geometry, detector=fine))
    return data.reshape(data.shape[0], -1, parts).mean(axis=-1)


def _noisy(shapes, geometry, sigma=0.004, offset=0.0):
    rng = np.random.default_rng(0)
    return _detected(shapes, geometry) + offset + sigma * rng.normal(size=geometry.shape)


@pytest.mark.parametrize("geometry", [PARALLEL, FAN])
def test_air_level_and_its_noise(geometry):
    air = air_level(_noisy([DISC], geometry, offset=0.013))
    assert air.found
    assert air.level == pytest.approx(0.013, abs=0.001)
    assert air.sigma == pytest.approx(0.004, rel=0.25)


def test_no_air_in_view_is_noticed():
    narrow = ParallelBeam(VIEWS, Detector(60, 0.5))
    assert not air_level(_noisy([DISC], narrow)).found


@pytest.mark.parametrize("geometry", [PARALLEL, FAN])
def test_a_disc_is_found_to_a_fraction_of_a_ray(geometry):
    outline = find_outline(_noisy([DISC], geometry), geometry, 0.02)
    assert outline.disc == pytest.approx((2.0, -3.0, 28.0), abs=0.3)
    mask = outline.mask(Grid((128, 128), 0.5))
    assert mask.sum() * 0.25 == pytest.approx(math.pi * 28**2, rel=0.02)


@pytest.mark.parametrize("geometry", [PARALLEL, FAN])
def test_hull_of_another_shape_contains_it(geometry):
    ellipse = phantoms.Ellipse(0.04, (28.0, 15.0), (2.0, -3.0), 0.5)
    outline = find_outline(_noisy([ellipse], geometry), geometry, 0.02)
    assert outline.disc is None
    grid = Grid((128, 128), 0.5)
    inside = phantoms.image([ellipse], grid) > 0.02
    assert (outline.mask(grid)[inside] > 0).mean() > 0.999


def test_an_object_wider_than_the_detector_has_no_outline():
    narrow = ParallelBeam(VIEWS, Detector(60, 0.5))
    assert find_outline(_noisy([DISC], narrow), narrow, 0.02) is None


def test_attenuation_and_hardening_are_read_off_the_envelope():
    holes = [phantoms.Ellipse(-0.04, (4.0, 9.0), (x, y), 0.3 * x) for x, y in ((-10, 5), (8, 8), (3, -15), (-9, -12))]
    grid = Grid((160, 160), 0.4)
    lengths = RayTransform(PARALLEL, grid)(torch.from_numpy(phantoms.image([DISC], grid) / 0.04)).numpy()
    path = _detected([DISC, *holes], PARALLEL) / 0.04
    kappa = 0.004
    rng = np.random.default_rng(1)
    readings = 0.04 * path * (1 - kappa * path) + 0.002 * rng.normal(size=path.shape)
    found = upper_envelope(lengths, readings)
    assert found.mu == pytest.approx(0.04, rel=0.03)
    long = np.linspace(15.0, 55.0, 9)
    curve = found.mu * long * (1 - found.kappa * long)
    assert curve == pytest.approx(0.04 * long * (1 - kappa * long), rel=0.025)
    restored = found.path_length(torch.from_numpy(curve))
    assert restored.numpy() == pytest.approx(long, rel=1e-9)


def test_an_unhardened_beam_gets_no_hardening():
    grid = Grid((160, 160), 0.4)
    lengths = RayTransform(PARALLEL, grid)(torch.from_numpy(phantoms.image([DISC], grid) / 0.04)).numpy()
    found = upper_envelope(lengths, _noisy([DISC], PARALLEL, sigma=0.002))
    assert found.kappa * 56 < 0.05


def test_pixels_that_a_hull_touches_are_those_of_its_mask():
    normals = np.array([[1.0, 0.0], [-0.6, 0.8], [0.0, -1.0], [-0.28, -0.96], [0.0, 1.0]])
    outline = Outline(normals, np.array([3.3, 2.9, 4.0, 3.1, 5.2]), None, 0.0)
    grid = Grid((23, 31), 0.7, center=(0.4, -0.3))
    touched = outline.touched(grid)
    assert np.array_equal(touched, outline.hull_mask(grid) > 0)
    assert 0 < touched.mean() < 1


def test_air_is_what_lies_outside_of_the_object_of_each_slice_and_unknown_where_that_leaves_the_view():
    geometry, grid = ParallelBeam(tuple(np.radians(np.arange(0, 180, 3.0))), Detector(128, 1.0)), Grid((128, 128), 1.0)
    discs = [phantoms.Ellipse(0.04, (r, r)) for r in (20.0, 40.0, 70.0)]
    data = torch.from_numpy(np.stack([_noisy([disc], geometry) for disc in discs]))
    small, large, wide = air_around(Scan(data, geometry, grid), grid).numpy()
    x, y = grid.coordinates()
    distance = np.hypot(x, y[:, None])
    for air, radius in ((small, 20.0), (large, 40.0)):
        assert not air[distance < radius + 2].any()
        assert air[distance > radius + 6].all()
    assert not wide.any()

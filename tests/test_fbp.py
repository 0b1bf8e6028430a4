"""Filtered backprojection: the right scale on every arc, in both geometries."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from microlocal.core import Detector, FanBeam, Grid, ParallelBeam, Scan
from microlocal.data import phantoms
from microlocal.reconstruction import reconstruct
from microlocal.reconstruction.fbp import filtered_backprojection, ramp_filter
from microlocal.reconstruction.redundancy import redundancy, view_steps

SHAPES = [
    phantoms.Ellipse(1.0, (30.0, 20.0), (10.0, 5.0), 0.3, power=2),
    phantoms.Ellipse(0.5, (8.0, 15.0), (-20.0, -5.0), 0.1, power=2),
]
GRID = Grid((100, 110), 1.0, (3.0, -2.0))


def _views(degrees, count, start=0.3):
    return tuple(start + np.linspace(0, math.radians(degrees), count, endpoint=False))


def _parallel(degrees, **detector):
    return ParallelBeam(_views(degrees, 300), Detector(226, 0.8, **detector))


def _fan(degrees, count=200, shape="flat", **detector):
    return FanBeam(_views(degrees, 400), Detector(count, 1.0, **detector), "mm", 300.0, 400.0, shape)


def _golden(turn, count):
    """Views that each lie a golden section of ``turn`` further: gaps of up to three lengths."""
    return tuple(float(a) for a in np.arange(count) * turn * (math.sqrt(5) - 1) / 2 % turn)


def _jittered(count):
    jitter = np.random.default_rng(0).uniform(-0.4, 0.4, count)
    return tuple(float(a) for a in (np.arange(count) + jitter) * math.pi / count)


COMPLETE = {
    "parallel 180": _parallel(180),
    "parallel 360, offset and reversed": _parallel(360, offset=3.0, reversed=True),
    "parallel 250": _parallel(250),
    "fan 360": _fan(360),
    "fan 360, offset and reversed": _fan(360, offset=5.0, reversed=True),
    "fan short scan": _fan(215),
    "fan 300": _fan(300),
    "arc 360": _fan(360, shape="arc"),
    "arc short scan, reversed": _fan(215, shape="arc", reversed=True),
    "parallel 360, offset detector": ParallelBeam(_views(360, 600), Detector(150, 0.8, offset=38.0)),
    "fan offset detector": _fan(360, 150, offset=30.0),
    "fan offset detector, reversed": _fan(360, 150, offset=-30.0, reversed=True),
    "arc offset detector": _fan(360, 150, "arc", offset=30.0),
    "parallel golden angles": ParallelBeam(_golden(math.pi, 300), Detector(226, 0.8)),
    "fan golden angles": FanBeam(_golden(2 * math.pi, 450), Detector(200, 1.0), "mm", 300.0, 400.0),
    "parallel jittered": ParallelBeam(_jittered(400), Detector(226, 0.8)),
}
REGULAR = {name: geometry for name, geometry in COMPLETE.items() if "golden" not in name}


@pytest.mark.parametrize("geometry", COMPLETE.values(), ids=COMPLETE)
def test_complete_scans_are_inverted(geometry):
    image = filtered_backprojection(torch.from_numpy(phantoms.sinogram(SHAPES, geometry)), geometry, GRID).numpy()
    truth = phantoms.image(SHAPES, GRID)
    assert np.linalg.norm(image - truth) / np.linalg.norm(truth) < 0.015
    assert (image * truth).sum() / (truth * truth).sum() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("geometry", REGULAR.values(), ids=REGULAR)
def test_every_line_counts_once(geometry):
    phi, s = geometry.lines()
    opposite, u = geometry.locate(phi + math.pi, -s)
    share = redundancy(geometry)
    order = np.argsort(geometry.detector.positions())
    first = geometry.angles[0]
    look_up = RegularGridInterpolator(
        (geometry.angles, geometry.detector.positions()[order]), share[:, order], bounds_error=False, fill_value=np.nan
    )
    partner = look_up(np.stack(((opposite - first) % (2 * math.pi) + first, u), axis=-1))
    twice = np.isfinite(partner)
    assert np.abs(share + partner - 1)[twice].max(initial=0.0) < 0.03
    low, high = geometry.detector.edges
    assert (share[~((u >= low) & (u <= high))] == 1).all()


@pytest.mark.parametrize("name", ["fan short scan", "fan 300", "parallel 360, offset detector", "arc offset detector"])
def test_shares_do_not_jump(name):
    share = redundancy(COMPLETE[name])
    assert share.min() < 0.05
    assert share.max() == 1.0
    # A jump would be of the order of one; a fade over 10 degrees or a quarter of the detector stays far below.
    assert np.abs(np.diff(share, axis=0)).max() < 0.25
    assert np.abs(np.diff(share, axis=1)).max() < 0.25


def test_values_inside_ellipses_are_right_to_a_percent():
    shapes = [phantoms.Ellipse(1.0, (35.0, 28.0), (3.0, 5.0), 0.3), phantoms.Ellipse(0.5, (9.0, 15.0), (-12.0, -5.0))]
    for name, geometry in COMPLETE.items():
        image = filtered_backprojection(torch.from_numpy(phantoms.sinogram(shapes, geometry)), geometry, GRID).numpy()
        x, y = GRID.coordinates()
        inner = (np.hypot(x + 12.0, y[:, None] + 5.0) < 6.0, np.hypot(x - 20.0, y[:, None] - 8.0) < 8.0)
        means = [float(image[part].mean()) for part in inner]
        assert means == pytest.approx([1.5, 1.0], rel=0.01), name


def test_refined_filter_gives_the_same_samples_in_between():
    data = torch.randn(3, 37, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain, fine = ramp_filter(data, 0.7), ramp_filter(data, 0.7, refine=2)
    assert fine.shape == (3, 74)
    assert float((fine[:, ::2] - plain).abs().max()) < 1e-3 * float(plain.abs().max())


def test_ramp_filter_is_the_convolution_it_says():
    data = torch.randn(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    n = np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    kernel = np.where(n == 0, 1 / 4, np.where(n % 2 == 1, -1 / (np.pi * np.maximum(n, 1)) ** 2, 0.0)) / 0.7**2
    np.testing.assert_allclose(ramp_filter(data, 0.7).numpy(), data.numpy() @ kernel * 0.7, atol=1e-12)
    curved = kernel * np.where(n == 0, 1.0, (n * 0.05 / np.sin(np.maximum(n, 1) * 0.05)) ** 2)
    np.testing.assert_allclose(ramp_filter(data, 0.7, 0.05).numpy(), data.numpy() @ curved * 0.7, atol=1e-12)


def test_parts_of_an_arc_add_up_to_the_whole():
    whole = _parallel(180)
    data = torch.from_numpy(phantoms.sinogram(SHAPES, whole))
    full = filtered_backprojection(data, whole, GRID)
    parts = sum(
        filtered_backprojection(data[part], whole.select(range(300)[part]), GRID)
        for part in (slice(0, 100), slice(100, 300))
    )
    assert float((parts - full).norm() / full.norm()) < 1e-6


def test_repeated_views_share_their_step():
    twice = ParallelBeam((0.0, 0.1, 0.1, 0.2), Detector(3, 1.0))
    steps = view_steps(twice)
    assert steps[1] == pytest.approx(steps[2])
    assert steps.sum() == pytest.approx(0.3)


def test_a_short_arc_is_said_aloud():
    geometry = _parallel(120)
    scan = Scan(torch.from_numpy(phantoms.sinogram(SHAPES, geometry)).float(), geometry, GRID)
    assert "60 of 180 degrees" in reconstruct(scan, "fbp").notes[0]
    full = _parallel(180)
    scan = Scan(torch.from_numpy(phantoms.sinogram(SHAPES, full)).float(), full, GRID)
    assert reconstruct(scan, "fbp").notes == ()

"""Filtered backprojection: the right scale on every arc, in both geometries."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from microlocal.core import Detector, FanBeam, Grid, ParallelBeam, Scan
from microlocal.data import phantoms
from microlocal.reconstruction import reconstruct
from microlocal.reconstruction.fbp import filtered_backprojection, redundancy, view_steps

SHAPES = [
    phantoms.Ellipse(1.0, (30.0, 20.0), (10.0, 5.0), 0.3, power=2),
    phantoms.Ellipse(0.5, (8.0, 15.0), (-20.0, -5.0), 0.1, power=2),
]
GRID = Grid((100, 110), 1.0, (3.0, -2.0))


def _views(degrees, count, start=0.3):
    return tuple(start + np.linspace(0, math.radians(degrees), count, endpoint=False))


def _parallel(degrees, **detector):
    return ParallelBeam(_views(degrees, 300), Detector(226, 0.8, **detector))


def _fan(degrees, **detector):
    return FanBeam(_views(degrees, 400), Detector(200, 1.0, **detector), source_axis=300.0, source_detector=400.0)


COMPLETE = {
    "parallel 180": _parallel(180),
    "parallel 360, offset and reversed": _parallel(360, offset=3.0, reversed=True),
    "parallel 250": _parallel(250),
    "fan 360": _fan(360),
    "fan 360, offset and reversed": _fan(360, offset=5.0, reversed=True),
    "fan short scan": _fan(215),
    "fan 300": _fan(300),
}


@pytest.mark.parametrize("geometry", COMPLETE.values(), ids=COMPLETE)
def test_complete_scans_are_inverted(geometry):
    image = filtered_backprojection(torch.from_numpy(phantoms.sinogram(SHAPES, geometry)), geometry, GRID).numpy()
    truth = phantoms.image(SHAPES, GRID)
    assert np.linalg.norm(image - truth) / np.linalg.norm(truth) < 0.015
    assert (image * truth).sum() / (truth * truth).sum() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("geometry", COMPLETE.values(), ids=COMPLETE)
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

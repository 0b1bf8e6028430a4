"""directional-tv: better than total variation on a short arc of one material, and careful with anything else."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import microlocal as ml
from microlocal.core import Detector, FanBeam, Grid, ParallelBeam, Scan
from microlocal.core.progress import Silent
from microlocal.data import phantoms
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import random_object
from microlocal.reconstruction.directional_tv import best_seen_normal
from microlocal.reconstruction.pyramid import level, resample

GRID = Grid((128, 128), 0.5)
DISC = [
    phantoms.Ellipse(0.04, (28.0, 28.0), (1.0, -2.0), 0.0),
    *(phantoms.Ellipse(-0.04, (4.0, 8.0), (x, y), 0.2 * x) for x, y in ((-10, 5), (9, 7), (3, -15), (-9, -12))),
]


def _detected(shapes, geometry, parts=4):
    """A detector pixel averages over its width."""
    detector = geometry.detector
    fine = replace(detector, count=detector.count * parts, pitch=detector.pitch / parts)
    data = phantoms.sinogram(shapes, replace(geometry, detector=fine))
    return data.reshape(data.shape[0], -1, parts).mean(axis=-1)


def _scan(shapes, scale=1.0, arc=60):
    views = tuple(np.radians(np.arange(20.0, 20.0 + arc, 1.0)))
    geometry = FanBeam(views, Detector(160, 0.7), source_axis=200.0, source_detector=280.0)
    rng = np.random.default_rng(0)
    data = _detected(shapes, geometry) + 0.012 + 0.004 * rng.normal(size=geometry.shape)
    return Scan(torch.from_numpy(scale * data).float(), geometry, GRID)


def _error(result, shapes, scale=1.0):
    truth = phantoms.image(shapes, GRID) * scale
    return float(np.linalg.norm(result.image.numpy() - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def disc():
    return ml.reconstruct(_scan(DISC), "directional-tv")


def test_beats_total_variation_on_a_short_arc(disc):
    plain = ml.reconstruct(_scan(DISC), "tv")
    assert _error(disc, DISC) < 0.6 * _error(plain, DISC)


def test_says_what_it_found(disc):
    assert disc.config["bounded"] is True
    assert disc.config["attenuation"] == pytest.approx(0.04, rel=0.05)
    assert any("disc of radius 28" in note or "disc of radius 27.9" in note for note in disc.notes)
    assert float(disc.image.max()) <= disc.config["attenuation"] * (1 + 1e-5)


def test_two_materials_get_no_bound():
    dense = [*DISC, phantoms.Ellipse(0.08, (6.0, 6.0), (5.0, -5.0), 0.0)]
    result = ml.reconstruct(_scan(dense), "directional-tv", iterations=60)
    assert result.config["bounded"] is False
    assert any("no upper bound" in note for note in result.notes)


def test_a_disc_with_many_small_holes_and_hardening_keeps_its_bound():
    grid, draw = Grid((128, 128), 0.6), np.random.default_rng(1)
    pierced = random_object("disc-with-holes", draw, grid)
    assert len(pierced.shapes) > 12
    views = tuple(np.radians(np.arange(-15, 15, 0.5)))
    geometry = FanBeam(views, Detector(140, 0.8), source_axis=410.0, source_detector=554.0)
    made = simulate(pierced, geometry, draw, Measurement(noise=(0.005, 0.005), hardening=(0.12, 0.12)))
    scan = Scan(torch.from_numpy(made.data).float(), geometry, grid)
    result = ml.reconstruct(scan, "directional-tv", iterations=60)
    assert result.config["bounded"] is True
    assert any("those of a disc" in note for note in result.notes)


def test_units_do_not_matter(disc):
    scaled = ml.reconstruct(_scan(DISC, scale=1000.0), "directional-tv")
    gap = float((scaled.image / 1000.0 - disc.image).norm() / disc.image.norm())
    assert gap < 0.01


def test_interrupted_on_a_coarse_level_still_gives_an_image_of_full_size():
    class Impatient(Silent):
        def advance(self, task, steps=1):
            if "coarser" in task:
                raise KeyboardInterrupt

    finer = Grid((384, 384), 1 / 6)
    result = ml.reconstruct(_scan(DISC), "directional-tv", grid=finer, progress=Impatient())
    assert result.image.shape == finer.shape
    assert result.config["status"] == "interrupted"


def test_a_stack_is_done_slice_by_slice(disc):
    scan = _scan(DISC)
    stack = ml.reconstruct(Scan(torch.stack((scan.data, scan.data)), scan.geometry, GRID), "directional-tv")
    assert torch.allclose(stack.image[1], disc.image, atol=1e-6)
    assert set(stack.config) >= {"slice 0", "slice 1"}


@pytest.mark.parametrize(("arc", "sharpness"), [(90, 2 / math.pi), (180, 0.0), (30, 3 / math.pi)])
def test_best_seen_normal_is_the_middle_of_the_arc(arc, sharpness):
    views = tuple(np.radians(np.linspace(10, 10 + arc, 400, endpoint=False)))
    angle, sharp = best_seen_normal(ParallelBeam(views, Detector(3, 1.0)))
    assert sharp == pytest.approx(sharpness, abs=0.01)
    if sharpness:
        assert math.degrees(angle) == pytest.approx(10 + arc / 2, abs=0.2)


def test_levels_keep_the_line_integrals():
    geometry = ParallelBeam((0.2,), Detector(64, 0.5, offset=1.0))
    data = torch.from_numpy(phantoms.sinogram([phantoms.Ellipse(1.0, (9.0, 7.0), (1.0, 0.0), 0.2, power=2)], geometry))
    coarse = level(geometry, Grid((63, 50), 0.5), 4)
    assert coarse.grid.shape == (16, 13)
    exact = phantoms.sinogram([phantoms.Ellipse(1.0, (9.0, 7.0), (1.0, 0.0), 0.2, power=2)], coarse.geometry)
    assert np.abs(coarse.binned(data).numpy() - exact).max() < 0.02 * exact.max()


def test_resampling_keeps_a_linear_image():
    fine, coarse = Grid((20, 30), 0.5, (1.0, 2.0)), Grid((10, 15), 1.0, (1.0, 2.0))

    def plane(grid):
        x, y = grid.coordinates()
        return torch.from_numpy(2 * x[None, :] - 3 * y[:, None])

    moved = resample(plane(coarse), coarse, fine)
    assert torch.allclose(moved[1:-1, 1:-1], plane(fine)[1:-1, 1:-1])

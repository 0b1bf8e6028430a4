"""The footprints that benchmarks.footprints compares: by hand, by conservation of mass, and beside our projector."""

import math

import numpy as np
import pytest
import torch

from benchmarks import footprints
from benchmarks.footprint_matrices import finer, matrices
from benchmarks.footprints import JOSEPH, SEVERAL, Contestant
from microlocal.core import Detector, FanBeam, Grid, ParallelBeam
from microlocal.operators import RayTransform

ANGLES = tuple(np.radians([0.0, 20.0, 45.0, 90.0, 123.0, 200.0]))
GRID = Grid((9, 7), 0.8, center=(0.3, -0.2))
BEAMS = {
    "parallel": ParallelBeam(ANGLES, Detector(13, 0.9, offset=0.2, reversed=True)),
    "fan": FanBeam(ANGLES, Detector(13, 1.6, offset=0.2), source_axis=10.0, source_detector=18.0),
}


def projected(name, geometry, grid, image):
    return np.array([view @ np.ravel(image) for view in matrices(name, geometry, grid)])


@pytest.fixture
def image():
    return np.random.default_rng(0).uniform(0.5, 1.5, GRID.shape)


@pytest.mark.parametrize("pitch", [0.3, 0.8, 2.1])
@pytest.mark.parametrize("values", ["constant", "any"])
def test_distance_driven_keeps_the_mass_in_every_parallel_view(image, pitch, values):
    shown = np.ones(GRID.shape) if values == "constant" else image
    beam = ParallelBeam(ANGLES, Detector(math.ceil(14 / pitch), pitch))
    mass = projected("distance-driven", beam, GRID, shown).sum(axis=1) * pitch
    np.testing.assert_allclose(mass, shown.sum() * GRID.pixel**2, rtol=1e-12)


def test_distance_driven_by_hand():
    row = Grid((1, 4), 1.0)
    straight = ParallelBeam((0.0,), Detector(2, 2.0))
    np.testing.assert_allclose(projected("distance-driven", straight, row, [1, 2, 3, 4]), [[1.5, 3.5]])
    moved = ParallelBeam((0.0,), Detector(2, 2.0, offset=0.5))  # bins from -1.5 to 0.5 to 2.5; the image ends at 2
    np.testing.assert_allclose(projected("distance-driven", moved, row, [1, 2, 3, 4]), [[2.0, 2.75]])
    oblique = ParallelBeam((math.pi / 4,), Detector(1, math.sqrt(0.5)))  # as wide as the pixel, along its row
    np.testing.assert_allclose(projected("distance-driven", oblique, Grid((1, 1), 1.0), [1]), [[math.sqrt(2)]])


@pytest.mark.parametrize(("pitch", "share"), [(1.0, 1.0), (2.0, 1.0), (4.0, 0.5)])
def test_distance_driven_by_hand_in_a_fan(pitch, share):
    fan = FanBeam((0.0,), Detector(1, pitch), source_axis=2.0, source_detector=4.0)  # a pixel at the axis is 2 wide
    np.testing.assert_allclose(projected("distance-driven", fan, Grid((1, 1), 1.0), [1]), [[share]])


def test_line_lengths_are_the_chord_of_the_image():
    square, beam = Grid((2, 2), 1.0), ParallelBeam((math.pi / 4, 0.3), Detector(1, 1.0))
    first, second = matrices("line lengths", beam, square)
    np.testing.assert_allclose(first.toarray(), [[math.sqrt(2), 0, 0, math.sqrt(2)]], atol=1e-8)
    assert second.sum() == pytest.approx(2 / math.cos(0.3))


@pytest.mark.parametrize("beam", BEAMS)
def test_josephs_matrix_is_our_projector(image, beam):
    ours = RayTransform(BEAMS[beam], GRID, method="rays")(torch.from_numpy(image))
    np.testing.assert_allclose(projected("joseph", BEAMS[beam], GRID, image), ours, atol=1e-12)


@pytest.mark.parametrize("beam", BEAMS)
def test_several_rays_a_bin_are_ours_on_a_finer_detector_averaged(image, beam):
    geometry, (two, _) = BEAMS[beam], SEVERAL
    fine = RayTransform(finer(geometry, 2), GRID, method="rays")(torch.from_numpy(image))
    expected = fine.reshape(*geometry.shape, 2).mean(dim=-1)
    made = two.project(image.reshape(-1, 1), geometry, GRID)[..., 0]
    np.testing.assert_allclose(made, expected, atol=1e-12)


@pytest.mark.parametrize("beam", BEAMS)
@pytest.mark.parametrize(("name", "limit"), [("joseph", 3e-3), ("distance-driven", 5e-3), ("line lengths", 3e-2)])
def test_footprints_agree_on_what_is_smooth(name, limit, beam):
    """A bump that is wide for pixels and bins; steps that follow the pixels' sides are of first order."""
    grid = Grid((64, 64), 0.125)
    x, y = grid.coordinates()
    bump = np.exp(-((x[None, :] - 0.3) ** 2 + (y[:, None] + 0.4) ** 2))
    geometry = finer(BEAMS[beam], 8)
    (phi, s), middle = geometry.lines(), (0.3, -0.4)
    exact = math.sqrt(math.pi) * np.exp(-((s - middle[0] * np.cos(phi) - middle[1] * np.sin(phi)) ** 2))
    made = projected(name, geometry, grid, bump)
    assert np.linalg.norm(made - exact) < limit * np.linalg.norm(exact)


def test_the_operator_is_the_projector_of_all_views_and_solves(monkeypatch):
    monkeypatch.setattr(footprints, "SMALL", 16)
    geometry, grid = footprints.beam_of("fan", 16, 0.5), Grid((16, 16), footprints.WIDTH / 16)
    images = footprints.images(grid)
    for one in (JOSEPH, SEVERAL[0], Contestant("distance-driven", "distance-driven")):
        operator = one.operator(geometry, 16)
        columns = torch.from_numpy(images.T.copy()).reshape(-1, 16, 16)
        data = one.project(images, geometry, grid)
        np.testing.assert_allclose(operator(columns).numpy(), np.moveaxis(data, -1, 0), atol=1e-12)
        assert footprints.errors(footprints.solved(operator, data, 60), images).max() < 0.05

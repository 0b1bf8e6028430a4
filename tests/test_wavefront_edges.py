"""Edges: found where they are, with their direction, and labelled by what the scan measures."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, InputError, ParallelBeam, ShapeError
from microlocal.core.provenance import Provenance
from microlocal.wavefront import find_edges, is_measured, label_edges
from microlocal.wavefront.thresholds import gradient_noise, otsu

SIZE = 96
GRID = Grid((SIZE, SIZE), 0.5)
CENTER = (1.3, -2.1)


def views(first: float, last: float) -> tuple[float, ...]:
    return tuple(np.radians(np.arange(first + 0.5, last)))


def disc(radius: float, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    x, y = GRID.coordinates()
    inside = np.hypot(x - CENTER[0], y[:, None] - CENTER[1]) < radius
    return torch.from_numpy(inside + noise * np.random.default_rng(seed).normal(size=inside.shape))


def polar(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance from the disc's centre (in pixels) and the direction of the chosen pixels."""
    rows, cols = np.nonzero(mask)
    x, y = GRID.coordinates()
    right, up = x[cols] - CENTER[0], y[rows] - CENTER[1]
    return np.hypot(right, up) / GRID.pixel, np.arctan2(up, right)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("radius", [6.0, 12.0, 18.0])
def test_disc_has_one_closed_edge_with_radial_normals(radius: float, noise: float) -> None:
    edges = find_edges(disc(radius, noise))
    distance, direction = polar(edges.mask)
    assert np.abs(distance - radius / GRID.pixel).max() < 2.5
    bins = np.histogram(direction, bins=36, range=(-np.pi, np.pi))[0]
    assert bins.min() > 0
    error = np.abs(np.sin(edges.normal_rad[edges.mask] - direction))
    assert np.sqrt((error**2).mean()) < 0.02 + noise * 0.3
    assert (error < np.sin(edges.error_rad[edges.mask])).mean() > 0.95


def test_error_of_the_normal_grows_with_the_noise() -> None:
    medians = [np.median((e := find_edges(disc(12.0, n))).error_rad[e.mask]) for n in (0.0, 0.1, 0.4)]
    assert medians[0] == pytest.approx(math.radians(3), abs=1e-6)
    assert medians[0] < medians[1] < medians[2]


def test_noise_and_constants_have_hardly_any_edge() -> None:
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(200, 200)))
    assert find_edges(noise).mask.mean() < 2e-3
    for constant in (torch.zeros(20, 20), torch.full((20, 20), 3.3)):
        assert not find_edges(constant).mask.any()


def test_weak_crack_beside_a_strong_outline_is_found() -> None:
    image = disc(18.0)
    image[40:60, 47:49] -= 0.25
    image += 0.01 * torch.from_numpy(np.random.default_rng(2).normal(size=image.shape))
    edges = find_edges(image)
    crack = edges.mask[43:57, 44:52]
    assert crack.any(axis=1).mean() > 0.9
    # Both flanks carry the same direction: across the crack, that is along x.
    assert np.abs(np.sin(edges.normal_rad[43:57, 44:52][crack])).max() < 0.15


def test_wedge_labels_the_disc_by_direction_with_a_cautious_border() -> None:
    scan = ParallelBeam(views(0, 60), Detector(201, 0.5))
    labels = label_edges(disc(15.0), scan, GRID).numpy()
    for code in (Provenance.MEASURED, Provenance.UNDETERMINED):
        assert (labels == code).sum() > 30
    _, seen = polar(labels == Provenance.MEASURED)
    _, unseen = polar(labels == Provenance.UNDETERMINED)
    seen, unseen = np.degrees(seen) % 180, np.degrees(unseen) % 180
    assert ((seen > 0) & (seen < 60)).all()
    assert not ((unseen > 8) & (unseen < 52)).any()
    # The border itself, inside the wedge by less than the tolerance, counts as undetermined.
    assert ((unseen > 57) & (unseen < 60)).any()


def test_closed_scans_label_every_edge_measured_and_blind_ones_none() -> None:
    image = disc(15.0)
    turn = FanBeam(views(0, 360), Detector(401, 0.5), source_axis=90.0, source_detector=140.0)
    edges = find_edges(image).mask
    labels = label_edges(image, turn, GRID).numpy()
    assert (labels[edges] == Provenance.MEASURED).all()
    assert (labels[~edges] == Provenance.NONE).all()
    blind = ParallelBeam(views(0, 180), Detector(3, 0.1, offset=80.0))
    assert (label_edges(image, blind, GRID).numpy()[edges] == Provenance.UNDETERMINED).all()


def test_fan_labels_depend_on_the_position() -> None:
    scan = FanBeam(views(0, 50), Detector(401, 0.5), source_axis=40.0, source_detector=70.0)
    labels = label_edges(disc(15.0), scan, GRID).numpy()
    rows, cols = np.nonzero(labels == Provenance.MEASURED)
    x, y = GRID.coordinates()
    _, direction = polar(labels == Provenance.MEASURED)
    assert is_measured(scan, x[cols], y[rows], direction).all()
    parallel = label_edges(disc(15.0), ParallelBeam(views(0, 50), Detector(401, 0.5)), GRID).numpy()
    assert (labels != parallel).sum() > 5


def test_batches_are_labelled_image_by_image() -> None:
    scan = ParallelBeam(views(0, 60), Detector(201, 0.5))
    batch = torch.stack([disc(15.0), disc(8.0, 0.1)])[None]
    labels = label_edges(batch, scan, GRID)
    assert labels.shape == batch.shape
    assert labels.dtype == torch.uint8
    for k in range(2):
        assert torch.equal(labels[0, k], label_edges(batch[0, k], scan, GRID))


def test_scale_of_the_grey_values_does_not_matter() -> None:
    image = disc(12.0, 0.1)
    assert (find_edges(image).mask == find_edges(image * 1e-7).mask).all()


def test_otsu_separates_two_classes() -> None:
    generator = np.random.default_rng(4)
    values = np.concatenate([generator.normal(0, 1, 5000), generator.normal(10, 1, 3000)])
    assert 3.5 < otsu(values) < 6.5
    assert otsu(np.full(5, 2.0)) == pytest.approx(2.0, abs=1e-2)
    assert gradient_noise(np.hypot(*generator.normal(0, 0.3, size=(2, 20000)))) == pytest.approx(0.3, rel=0.05)


def test_bad_input_is_refused() -> None:
    scan = ParallelBeam(views(0, 60), Detector(201, 0.5))
    with pytest.raises(ShapeError, match=r"label_edges: expected .*96, 96"):
        label_edges(torch.zeros(96, 95), scan, GRID)
    with pytest.raises(InputError, match="sigma > 0"):
        find_edges(torch.zeros(8, 8), sigma=0.0)
    with pytest.raises(InputError, match="finite"):
        find_edges(torch.full((8, 8), math.nan))

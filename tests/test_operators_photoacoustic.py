"""Photoacoustics against the exact wave of a Gaussian spot, a spectral solution, and the arcs of a disc."""

import math

import numpy as np
import pytest
import torch
from scipy.special import j0

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.grid import Grid
from microlocal.operators import CircularMeans, Photoacoustic, circular_detectors, line_detectors, norm_estimate
from microlocal.operators.photoacoustic import abel_matrix

SPEED, SPOT, WIDTH = 1.5, (5.3, -7.1), 3.0


def gaussian_wave(distance, times):
    """p(r, t) = ∫ a² exp(-a²k²/2) cos(ckt) J0(kr) k dk, the wave of exp(-r²/2a²) in the plane."""
    k = np.linspace(0, 9 / WIDTH, 4001)
    spectrum = k * WIDTH**2 * np.exp(-((WIDTH * k) ** 2) / 2) * j0(k * distance)
    return np.trapezoid(spectrum * np.cos(SPEED * np.outer(times, k)), k, axis=-1)


def spot(grid):
    x, y = grid.coordinates()
    return torch.from_numpy(np.exp(-((x[None] - SPOT[0]) ** 2 + (y[:, None] - SPOT[1]) ** 2) / 2 / WIDTH**2))


@pytest.mark.parametrize(
    "detectors", [circular_detectors(7, 40.0, arc_rad=4.0), line_detectors(5, 60.0, distance=36.0)]
)
def test_pressure_of_a_spot_is_the_exact_wave(detectors):
    errors = []
    for size in (64, 128):
        grid = Grid((size, size), 64 / size)
        times = torch.arange(0, 48, grid.pixel / SPEED / 2, dtype=torch.float64)
        found = Photoacoustic(grid, detectors, times, speed=SPEED)(spot(grid)).numpy()
        distances = np.hypot(*(detectors.numpy() - SPOT).T)
        exact = np.stack([gaussian_wave(r, times.numpy()) for r in distances])
        errors.append(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    assert errors[0] < 0.045
    assert errors[1] < 0.012


def test_pressure_agrees_with_the_spectral_solution_on_a_large_torus():
    size, pixel = 512, 0.5
    k = 2 * np.pi * np.fft.fftfreq(size, pixel)
    grid = Grid((80, 60), pixel, center=(3.0, -2.0))
    rows, cols = np.meshgrid(np.arange(80) - 39.5, np.arange(60) - 29.5, indexing="ij")
    image = np.exp(-(rows**2 / 90 + cols**2 / 40)) * (1 + 0.5 * np.sin(rows / 4 + cols / 6))
    field = np.zeros((size, size))
    field[200:280, 220:280] = image
    detector = (20, 400)  # row and column on the torus
    x, y = grid.coordinates()
    place = torch.tensor([[x[0] + (detector[1] - 220) * pixel, y[0] - (detector[0] - 200) * pixel]])
    times = torch.arange(20.0, 90.0, 0.4, dtype=torch.float64)
    spectrum, wave = np.fft.fft2(field), np.hypot(k[:, None], k[None, :])
    shift = np.exp(1j * pixel * (detector[0] * k[:, None] + detector[1] * k[None, :]))
    exact = [(spectrum * np.cos(SPEED * t * wave) * shift).sum().real / size**2 for t in times.tolist()]
    found = Photoacoustic(grid, place, times, speed=SPEED)(torch.from_numpy(image))[0].numpy()
    assert np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.02


def test_circular_integrals_of_a_disc_are_arc_lengths():
    grid, radius, distance = Grid((128, 128), 0.25), 9.0, 25.0
    x, y = grid.coordinates()
    disc = torch.from_numpy(((x[None] ** 2 + y[:, None] ** 2) <= radius**2).astype(float))
    rings = 150
    means = CircularMeans(grid, torch.tensor([[distance, 0.0]]), rings=rings, width=0.25)(disc)[0].numpy()
    r = 0.25 * np.arange(1, rings)
    cosine = (distance**2 + r**2 - radius**2) / (2 * distance * r)
    arcs = np.where(np.abs(cosine) < 1, 2 * r * np.arccos(np.clip(cosine, -1, 1)), 0.0)
    assert np.linalg.norm(means[1:] - arcs) / np.linalg.norm(arcs) < 0.02
    assert means.sum() * 0.25 == pytest.approx(float(disc.sum()) * 0.25**2, rel=1e-12)


def test_a_constant_stays_constant_for_ever():
    """∂²p/∂t² = 0 for constants: the rows of the matrix give 1 for circles' circumferences."""
    times = torch.arange(0.0, 20.0, 0.3, dtype=torch.float64)
    matrix = abel_matrix(times, SPEED, 80, 0.4)
    pressure = matrix @ (2 * math.pi * 0.4 * torch.arange(80, dtype=torch.float64))
    assert float((pressure - 1).abs().max()) < 1e-12


def test_norm_bounds_hold_and_are_not_far():
    times = torch.arange(0, 40, 0.5, dtype=torch.float64)
    for detectors in (circular_detectors(20, 24.0), line_detectors(20, 40.0, distance=20.0)):
        operator = Photoacoustic(Grid((32, 32), 1.0), detectors, times, speed=SPEED)
        reached = norm_estimate(operator, 60)
        assert reached <= operator.norm_bound() <= 6 * reached
        means = operator.means
        assert norm_estimate(means) <= means.norm_bound() <= 1.05 * norm_estimate(means)


def test_what_cannot_be_measured_is_refused():
    grid, around = Grid((4, 4), 1.0), circular_detectors(3, 5.0)
    with pytest.raises(InputError, match=r"equally spaced times >= 0.*steps from 1 to 2"):
        Photoacoustic(grid, around, torch.tensor([0.0, 1.0, 3.0]), speed=1.5)
    for times in ([2.0, 2.0, 2.0], [2.0, 1.0, 0.0], [0.0, math.nan, 2.0], [0.0, 1.0, math.inf]):
        with pytest.raises(InputError, match="times >= 0 that grow"):
            Photoacoustic(grid, around, torch.tensor(times), speed=1.5)
    with pytest.raises(InputError, match="a torch tensor, got ndarray"):
        Photoacoustic(grid, around, np.arange(9.0), speed=1.5)
    with pytest.raises(InputError, match="a torch tensor, got ndarray"):
        Photoacoustic(grid, around.numpy(), torch.arange(9.0), speed=1.5)
    with pytest.raises(InputError, match="the first at -1"):
        Photoacoustic(grid, around, torch.tensor([-1.0, 0.0, 1.0]), speed=1.5)
    with pytest.raises(InputError, match="at least two times"):
        Photoacoustic(grid, around, torch.tensor([1.0]), speed=1.5)
    with pytest.raises(InputError, match=r"at least two times \(time,\), got shape \(3, 3\)"):
        Photoacoustic(grid, around, torch.zeros(3, 3), speed=1.5)
    for count in (0, 2.5):
        with pytest.raises(InputError, match="count"):
            circular_detectors(count, 5.0)
        with pytest.raises(InputError, match="count"):
            line_detectors(count, 5.0, distance=1.0)
    with pytest.raises(InputError, match="speed > 0"):
        Photoacoustic(grid, around, torch.tensor([0.0, 1.0]), speed=0.0)
    with pytest.raises(ShapeError, match=r"\(detector, 2\), got \(2, 3\)"):
        CircularMeans(grid, around.mT, rings=3, width=1.0)

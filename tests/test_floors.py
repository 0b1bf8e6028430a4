"""The floors of the benchmarks: what they count is what counting one by one finds."""

import math

import numpy as np
import pytest
import torch

from benchmarks import floors
from microlocal.core import ConeBeam, Detector, FanBeam, FlatPanel, Grid, ParallelBeam, VolumeGrid
from microlocal.frames import WaveletFrame
from microlocal.kernels.periodic_filters import split
from microlocal.operators import RayTransform, RayTransform3D
from microlocal.operators.fourier_slice import FourierSlice
from microlocal.reconstruction.fbp import _accumulated, _index_table

ANGLES = tuple(math.radians(a) for a in (0.0, 17.0, 45.0, 81.0, 90.0, 133.0, 180.0, 251.0))
BEAMS = [
    (ParallelBeam(ANGLES, Detector(9, 1.0)), Grid((8, 8), 1.0)),
    (ParallelBeam(ANGLES, Detector(6, 1.3, 0.4)), Grid((7, 10), 0.8, center=(0.3, -0.2))),
    (FanBeam(ANGLES, Detector(12, 1.6), source_axis=20.0, source_detector=31.0), Grid((9, 6), 1.0)),
]


def _not_zero(values: torch.Tensor) -> int:
    return int((values.abs() > 1e-10 * values.abs().max()).sum())


@pytest.mark.parametrize(("geometry", "grid"), BEAMS)
def test_rays_count_the_entries_of_the_matrix(geometry, grid):
    units = torch.eye(math.prod(grid.shape), dtype=torch.float64).reshape(-1, *grid.shape)
    work = floors.rays(geometry, grid)
    assert work.multiply_adds == _not_zero(RayTransform(geometry, grid, "rays")(units))
    assert work.bytes == 4 * (math.prod(grid.shape) + math.prod(geometry.shape))


@pytest.mark.parametrize(("geometry", "grid"), BEAMS)
def test_backprojection_counts_the_entries_of_the_matrix(geometry, grid):
    units = torch.eye(math.prod(geometry.shape), dtype=torch.float64).reshape(-1, *geometry.shape)
    table, steps = _index_table(geometry, grid), np.ones(geometry.shape[0])
    work = floors.backprojection(geometry, grid)
    power = 2 if isinstance(geometry, FanBeam) else 0
    assert work.multiply_adds == _not_zero(_accumulated(units, table, steps, power, grid.shape))
    spectrum, filtered = (call() for call in work.transforms)
    assert filtered.shape[0] == spectrum.shape[0] == geometry.shape[0]
    assert filtered.shape[1] >= 2 * geometry.shape[1] - 1  # no wrapping


def test_wavelets_count_the_taps_of_every_output():
    frame, total = WaveletFrame((16, 24), "db2", levels=2), 0
    for level in range(2):
        rows, cols = (n >> level for n in (16, 24))
        for length, lines in ((rows, cols), (cols, rows)):
            total += lines * sum(_not_zero(part) for part in split(torch.eye(length), frame.wavelet.analysis, 0))
    assert floors.wavelet(frame).multiply_adds == total


def test_fourier_counts_the_neighbours_of_every_point():
    geometry, grid = BEAMS[0]
    slices, total = FourierSlice(geometry, grid), 0
    points = np.random.default_rng(0).uniform(-2, 2, (2, slices.response.size)).astype(np.float32)
    for point in points.T:
        spread, plan = np.zeros((32, 32), np.complex64), slices.sums._interpolation((32, 32), "complex64")
        plan.setpts(point[:1], point[1:])
        plan.execute_adjoint(np.ones(1, np.complex64), out=spread)
        total += 2 * np.count_nonzero(spread) + 2 * np.count_nonzero(spread.any(axis=0))
    forward, back = (floors.fourier(geometry, grid, way) for way in (False, True))
    assert forward.multiply_adds == back.multiply_adds == total
    fine, views = slices.sums._setup("complex64").fine, len(ANGLES)
    half = slices.length // 2 + 1
    assert [call().shape for call in forward.transforms] == [
        (8, fine[1] // 2 + 1),
        (fine[0], fine[1] // 2 + 1),
        (views, slices.length),
    ]
    assert [call().shape for call in back.transforms] == [(8, fine[1]), (fine[0], fine[1] // 2 + 1), (views, half)]


def test_columns_count_slices_and_rows_at_every_crossing():
    geometry = ConeBeam(ANGLES, FlatPanel(5, 7, (1.9, 1.7)), source_axis=20.0, source_detector=33.0)
    grid = VolumeGrid((4, 6, 5), 1.0)
    views, total = RayTransform3D(geometry, grid).views.numpy(), 0
    for source, corner, along, down in views:
        for u in range(7):
            column = [corner + u * along + v * down for v in range(5)]
            main, other = (1, 2) if abs((column[0] - source)[1]) >= abs((column[0] - source)[2]) else (2, 1)
            for k in range(grid.shape[main]):
                points = [p + (k - p[main]) / (p - source)[main] * (p - source) for p in column]
                if -1 < points[0][other] < grid.shape[other]:
                    total += grid.shape[0] + sum(-1 <= p[0] <= grid.shape[0] for p in points)
    assert floors.columns(geometry, grid).multiply_adds == 2 * total


def test_a_floor_is_its_longest_part():
    assert floors.Floor(adding=1.0, moving=2.5, transforming=1.0).seconds == 2.5
    assert floors.Floor(adding=1.0, moving=1.5, transforming=1.0).seconds == 2.0
    measured = floors.floor(floors.Work(1 << 20, 1 << 20, (lambda: torch.fft.rfft(torch.ones(64)),)))
    assert min(measured.adding, measured.moving, measured.transforming) > 0
    assert floors.moving(1 << 24) > floors.moving(1 << 12)

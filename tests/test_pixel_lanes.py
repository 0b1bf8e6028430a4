"""Pixel-driven backprojection on registers: the sums of the plain kernel, and a sound test of where it may be used."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, Grid, ParallelBeam
from microlocal.kernels import lanes, pixel_driven, pixel_lanes
from microlocal.reconstruction.fbp import _index_table
from microlocal.reconstruction.redundancy import view_steps

VIEWS = tuple(0.1 + np.arange(20) * 2 * math.pi / 20)
SHIFTED = Detector(50, 1.0, offset=0.3)
BEAMS = {
    "parallel": (ParallelBeam(VIEWS, SHIFTED), Grid((41, 67), 0.9, (3.0, -2.0))),
    "parallel, far aside": (ParallelBeam(VIEWS, Detector(9, 1.0, offset=-20.0)), Grid((17, 64), 1.5, (30.0, 4.0))),
    "fan": (
        FanBeam(VIEWS, Detector(50, 2.0, offset=-0.7, reversed=True), source_axis=80.0, source_detector=170.0),
        Grid((41, 67), 0.6, (3.0, -2.0)),
    ),
}
FOUR_REGISTERS = {
    "rather fine detector": (ParallelBeam(VIEWS, Detector(120, 0.4, offset=1.7)), Grid((20, 45), 1.0, (1.0, 0.4))),
    "rather near the source": (
        FanBeam(VIEWS, Detector(90, 1.0, -2.0), source_axis=60.0, source_detector=120.0), Grid((30, 33), 0.9)
    ),
}  # fmt: skip
FAR_APART = {
    "fine detector": (ParallelBeam(VIEWS, Detector(300, 0.21, offset=1.7)), Grid((20, 45), 1.0, (1.0, 0.4))),
    "near the source": (
        FanBeam(VIEWS, Detector(50, 1.0), source_axis=20.0, source_detector=40.0), Grid((20, 20), 1.0)
    ),
    "near, off the axis, backwards": (
        FanBeam(VIEWS, Detector(70, 0.7, -3.0, reversed=True), source_axis=60.0, source_detector=200.0),
        Grid((41, 67), 0.9, (3.0, -2.0)),
    ),
}  # fmt: skip
needs_registers = pytest.mark.skipif(not lanes.AVAILABLE, reason="the processor has no AVX-512")


@needs_registers
@pytest.mark.parametrize(("dtype", "allowed"), [(np.float64, 1e-12), (np.float32, 3e-4)])
@pytest.mark.parametrize(
    ("name", "geometry", "grid"), [(n, *case) for n, case in (BEAMS | FOUR_REGISTERS | FAR_APART).items()]
)
def test_sums_are_those_of_the_plain_kernel(name, geometry, grid, dtype, allowed):
    table, power = _index_table(geometry, grid), 2 if isinstance(geometry, FanBeam) else 0
    assert pixel_lanes.applies(table, grid.shape)
    assert pixel_lanes.registers_for(table, grid.shape) == (2 if name in BEAMS else 4 if name in FOUR_REGISTERS else 0)
    data = np.random.default_rng(0).normal(size=(2, *geometry.shape)).astype(dtype)
    plain, fast = (
        kernel.accumulate(data, table, view_steps(geometry), power, grid.shape)
        for kernel in (pixel_driven, pixel_lanes)
    )
    assert np.abs(plain).max() > 0.5
    np.testing.assert_allclose(fast, plain, atol=allowed)


def test_pixels_behind_the_source_are_left_to_the_plain_kernel():
    geometry = FanBeam(VIEWS, Detector(50, 9.0), source_axis=20.0, source_detector=40.0)
    grid = Grid((40, 40), 1.0)
    assert not pixel_lanes.applies(_index_table(geometry, grid), grid.shape)


@needs_registers
def test_steps_are_bounded_wherever_windows_are_used():
    draw = np.random.default_rng(1)
    used: list[int] = []
    for _ in range(90):
        source, pitch, pixel = draw.uniform(25, 80), draw.uniform(0.8, 3.0), draw.uniform(0.4, 1.5)
        geometry = FanBeam(VIEWS, Detector(40, pitch), source_axis=source, source_detector=1.7 * source)
        grid = Grid((24, 32), pixel)
        table = _index_table(geometry, grid)
        r, c = np.arange(24)[:, None], np.arange(32)
        n, d = (t[..., None, None] for t in (table[:, :3], table[:, 3:]))
        places = (n[:, 0] + n[:, 1] * r + n[:, 2] * c) / (d[:, 0] + d[:, 1] * r + d[:, 2] * c)
        longest = np.abs(np.diff(places, axis=2)).max()
        registers = pixel_lanes.registers_for(table, grid.shape)
        used.append(registers)
        assert longest <= {2: 1.8, 4: 3.8, 0: math.inf}[registers]
        assert longest > {2: 0.0, 4: 1.3, 0: 2.5}[registers]
    assert all(used.count(registers) >= 5 for registers in (0, 2, 4))


@needs_registers
def test_result_does_not_depend_on_the_number_of_threads():
    geometry, grid = ParallelBeam(tuple(np.arange(200) * math.pi / 200), Detector(128, 1.0)), Grid((128, 128), 1.0)
    data, table = np.random.default_rng(0).normal(size=(1, *geometry.shape)), _index_table(geometry, grid)
    before = torch.get_num_threads()
    try:
        images = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            images.append(pixel_lanes.accumulate(data, table, view_steps(geometry), 0, grid.shape))
    finally:
        torch.set_num_threads(before)
    assert (images[0] == images[1]).all()

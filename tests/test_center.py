"""The axis of rotation: known offsets of exact sinograms, and a measured tooth."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from microlocal.calibration.center import center_of, find_axis, offset_of, with_center
from microlocal.core.errors import InputError
from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.data import phantoms
from microlocal.io import read_scan

SHAPES = {
    "disc": phantoms.moved(phantoms.disc_with_holes(30.0), (2.0, 6.0)),
    "head": phantoms.moved(phantoms.shepp_logan(30.0), (4.0, -3.0)),
}
DETECTOR = Detector(200, 0.5)


def views(last: float, count: int) -> tuple[float, ...]:
    return tuple(math.radians(last * i / count) for i in range(count))


def scan_of(shapes: tuple[phantoms.Ellipse, ...], truth: Geometry, noise: float = 0.0) -> Scan:
    """An exact scan whose geometry does not know the offset."""
    data = phantoms.sinogram(shapes, truth)
    data += noise * data.max() * np.random.default_rng(1).standard_normal(data.shape)
    return Scan(torch.from_numpy(data), truth.with_offset(0.0), truth.default_grid())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("center", [100.0, 103.3, 88.2])
@pytest.mark.parametrize(
    ("last", "count", "noise", "method", "tolerance"),
    [
        (180.0, 180, 0.0, "double wedge", 0.05),
        (180.0, 90, 0.02, "double wedge", 0.2),
        (360.0, 180, 0.02, "opposite rays", 0.1),
        (90.0, 90, 0.0, "centre of mass", 0.1),
        (60.0, 61, 0.0, "centre of mass", 0.4),
    ],
)
def test_parallel_axis(
    name: str, center: float, last: float, count: int, noise: float, method: str, tolerance: float
) -> None:
    truth = ParallelBeam(views(last, count), replace(DETECTOR, offset=offset_of(DETECTOR, center)))
    estimate = find_axis(scan_of(SHAPES[name], truth, noise))
    assert estimate.method == method
    assert estimate.center_pixels == pytest.approx(center, abs=tolerance)
    assert estimate.offset == pytest.approx(truth.detector.offset, abs=tolerance * DETECTOR.pitch)


@pytest.mark.parametrize("mirrored", [False, True])
def test_full_fan_beam_axis_by_opposite_rays(mirrored: bool) -> None:
    wide = replace(DETECTOR, pitch=0.9, reversed=mirrored)
    wide = replace(wide, offset=offset_of(wide, 96.4))
    truth = FanBeam(views(360.0, 240), wide, source_axis=100.0, source_detector=180.0)
    estimate = find_axis(scan_of(SHAPES["disc"], truth))
    assert estimate.method == "opposite rays"
    assert estimate.center_pixels == pytest.approx(96.4, abs=0.1)
    assert estimate.offset == pytest.approx(wide.offset, abs=0.1)


def test_short_fan_beam_keeps_the_offset_of_the_file() -> None:
    truth = FanBeam(views(60.0, 61), replace(DETECTOR, pitch=0.9), source_axis=100.0, source_detector=180.0)
    scan = scan_of(SHAPES["disc"], truth)
    scan = replace(scan, geometry=scan.geometry.with_offset(1.25))
    estimate = find_axis(scan)
    assert (estimate.offset, estimate.method) == (1.25, "as in the file")
    assert "kept" in estimate.note


@pytest.mark.parametrize("flipped", [False, True])
def test_with_center_puts_u_zero_there(flipped: bool) -> None:
    truth = ParallelBeam(views(180.0, 60), replace(DETECTOR, reversed=flipped))
    moved = with_center(scan_of(SHAPES["disc"], truth), 37.0)
    assert moved.geometry.detector.positions()[37] == pytest.approx(0.0, abs=1e-12)
    assert center_of(moved.geometry.detector) == pytest.approx(37.0)
    with pytest.raises(InputError, match=r"a pixel near 0\.\.199"):
        with_center(moved, float("nan"))


def test_the_default_grid_follows_the_axis_and_ones_own_stays() -> None:
    scan = scan_of(SHAPES["disc"], ParallelBeam(views(360.0, 90), DETECTOR))
    assert with_center(scan, 30.0).grid.shape == (339, 339)
    own = replace(scan, grid=Grid((64, 64), 1.0))
    assert with_center(own, 30.0).grid == own.grid


@pytest.mark.shared
@pytest.mark.parametrize("row", [0, 1, None])
def test_tooth_axis(shared: Path, row: int | None) -> None:
    """The known axis of this scan is 296.0."""
    scan = read_scan(shared / "data" / "tooth" / "tooth.h5")
    estimate = find_axis(scan if row is None else scan.slices(row))
    assert estimate.center_pixels == pytest.approx(296.0, abs=0.5)
    assert estimate.spread < 1.0
    assert find_axis(scan.arc(0, 90)).center_pixels == pytest.approx(296.0, abs=0.5)


@pytest.mark.shared
def test_helsinki_axis_is_where_the_file_says(shared: Path) -> None:
    scan = read_scan(shared / "data" / "htc2022" / "ta_full.mat")
    assert find_axis(scan).center_pixels == pytest.approx(279.5, abs=0.3)

"""Volumes from projections in files: slab by slab by formula, or by iteration, with what is said of them."""

import math
from dataclasses import replace
from pathlib import Path

import cone_files as cones
import numpy as np
import pytest
import torch

from microlocal.core import ConeBeam, FlatPanel, ParallelBeam3D, VolumeGrid, VolumeScan
from microlocal.core.errors import GeometryError, InputError, UnknownNameError
from microlocal.data.phantoms3d import projections
from microlocal.io import open_projections, write_scan
from microlocal.io.projections import Projections
from microlocal.reconstruction.fdk import fbp_volume, fdk
from microlocal.reconstruction.slabs import formula_slab, levelled, rows_of, upright
from microlocal.reconstruction.volume_request import VolumeRequest, check_memory, needed_bytes, slabs

TURN = tuple(np.radians(np.arange(0.0, 360.0, 6.0)))
CONE = ConeBeam(TURN, FlatPanel(40, 48, (0.9, 0.9), (1.5, 1.0)), source_axis=60.0, source_detector=150.0)
GRID = VolumeGrid((20, 24, 26), 0.7, (0.1, -0.2, 0.3))


def held(folder: Path, geometry: object, grid: VolumeGrid = GRID) -> Projections:
    """Return exact projections of the pear, written and opened."""
    data = torch.from_numpy(projections(cones.SHAPES, geometry)).float()
    return open_projections(write_scan(VolumeScan(data, geometry, grid), folder / "scan.h5"))


def distance(found: object, exact: object) -> float:
    a, b = np.asarray(found), np.asarray(exact)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("tilt", [0.0, 0.2])
def test_slabs_are_what_they_are_in_the_whole_volume(tmp_path: Path, tilt: float) -> None:
    scan = held(tmp_path, replace(CONE, tilt_rad=tilt))
    whole = fdk(scan.load().data, scan.geometry, GRID)
    steps: list[int] = []
    parts = [formula_slab(scan, GRID.slab(part), steps.append) for part in (range(7), range(7, 8), range(8, 20))]
    assert sum(steps) == 3 * len(TURN)
    assert float((torch.cat(parts) - whole).abs().max()) < 1e-5 * float(whole.abs().max())


def test_a_parallel_beam_is_inverted_too(tmp_path: Path) -> None:
    beam = ParallelBeam3D(TURN, FlatPanel(24, 30, (0.6, 0.6)), roll_rad=0.0)
    scan = held(tmp_path, beam)
    found = formula_slab(scan, GRID.slab(range(3, 9)), lambda _: None)
    assert distance(found, fbp_volume(scan.load().data, beam, GRID)[3:9]) < 1e-5
    with pytest.raises(GeometryError, match="cgls"):
        levelled(beam.to_vectors())


def test_only_the_rows_that_a_slab_is_seen_in_are_read() -> None:
    rows = rows_of(CONE, GRID.slab(range(6, 9)))
    points = CONE.to_vectors().rays()[0]
    z = GRID.slab(range(6, 9)).coordinates()[2]
    corners = [(x, y, level) for x in (-8.5, 8.7) for y in (-8.1, 7.7) for level in (z[0], z[-1])]
    landed = []
    for view in range(len(TURN)):
        source = CONE.to_vectors().table[view, :3]
        plane = np.stack([points[view, 0, 1] - points[view, 0, 0], points[view, 1, 0] - points[view, 0, 0]], axis=1)
        for corner in corners:
            ray = np.array(corner) - source
            landed.append(np.linalg.solve(np.column_stack([plane, -ray]), source - points[view, 0, 0])[1])
    assert rows.start <= min(landed) - 1
    assert rows.stop >= max(landed) + 1
    assert len(rows) < 20


@pytest.mark.parametrize("roll", [0.02, -0.3])
def test_pictures_of_a_rolled_panel_are_turned_upright(tmp_path: Path, roll: float) -> None:
    wide = replace(CONE, detector=FlatPanel(60, 70, (0.6, 0.6), (1.0, -2.0)), roll_rad=roll)
    scan = held(tmp_path, wide)
    level = levelled(wide)
    turned = upright(scan.frames(range(2)), wide, level)
    exact = projections(cones.SHAPES, level.select([0, 1]))
    assert distance(turned, exact) < 0.02  # the edges of the object, between pixels
    wrong = upright(scan.frames(range(2)), replace(wide, roll_rad=-roll), level)
    assert distance(wrong, exact) > 2 * distance(turned, exact)
    found = formula_slab(scan, GRID.slab(range(4, 12)), lambda _: None)
    expected = fdk(torch.from_numpy(projections(cones.SHAPES, level)).float(), level, GRID)[4:12]
    assert distance(found, expected) < 0.05


def test_a_request_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="fdk"):
        VolumeRequest(method="fbk")
    with pytest.raises(UnknownNameError, match="zarr"):
        VolumeRequest(form="zar")
    with pytest.raises(InputError, match="rays of a slab"):
        VolumeRequest(method="tv", slices=(1, 2))
    with pytest.raises(InputError, match=r"slices within 0\.\.19"):
        VolumeRequest(slices=(4, 30)).numbers(GRID)


def test_the_memory_is_asked_before_the_start_and_a_binning_that_fits_is_named(tmp_path: Path) -> None:
    scan = held(tmp_path, CONE, CONE.default_grid())
    needed = needed_bytes("tv", scan.grid, scan)
    check_memory("tv", scan.grid, scan, there=needed)
    with pytest.raises(InputError, match=r"--binning 2 would fit \(20 x 24 x 24 voxels\); or take fdk"):
        check_memory("tv", scan.grid, scan, there=needed - 1)
    fits = needed_bytes("tv", VolumeGrid((20, 24, 24), 1.0), scan.binned(2))
    assert fits < needed
    with pytest.raises(InputError, match="Free some memory"):
        check_memory("fdk", scan.grid, scan, there=1)
    assert [len(part) for part in slabs(range(3, 20), GRID, there=4 * 4 * 24 * 26 * 5)] == [5, 5, 5, 2]
    assert math.isclose(GRID.slab(range(20)).center[2], GRID.center[2])

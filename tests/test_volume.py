"""Volumes from projections in files: slab by slab by formula, or by iteration, with what is said of them."""

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cone_files as cones
import numpy as np
import pytest
import tifffile
import torch

from microlocal.calibration.axis_of_volumes import with_axis
from microlocal.core import ConeBeam, FlatPanel, ParallelBeam3D, VolumeGrid, VolumeScan
from microlocal.core.errors import GeometryError, InputError, OutputError, UnknownNameError
from microlocal.data.phantoms3d import projections
from microlocal.io import open_projections, write_scan
from microlocal.io.images import write_tiff
from microlocal.io.projections import Projections
from microlocal.io.readings import sample_of
from microlocal.io.volumes import volume_at
from microlocal.members import load_all
from microlocal.operators.ray_transform3d import RayTransform3D
from microlocal.reconstruction import Observation, VolumeResult, reconstruct, reconstruct_volume
from microlocal.reconstruction.fdk import fbp_volume, fdk
from microlocal.reconstruction.slabs import formula_slab, levelled, rows_of, upright
from microlocal.reconstruction.volume_job import PART
from microlocal.reconstruction.volume_overview import Overview
from microlocal.reconstruction.volume_request import VolumeRequest, check_memory, needed_bytes, slabs
from microlocal.testing.laws.certificate import LAWS

load_all()  # the page is written by a room above

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
    with pytest.raises(InputError, match="smaller --size"):
        check_memory("tv", GRID, scan, there=1 << 20)
    fits = needed_bytes("tv", VolumeGrid((20, 24, 24), 1.0), scan.binned(2))
    assert fits < needed
    with pytest.raises(InputError, match="larger voxels, free some memory"):
        check_memory("fdk", scan.grid, scan, there=1)
    assert [len(part) for part in slabs(range(3, 20), GRID, there=4 * 4 * 24 * 26 * 5)] == [5, 5, 5, 2]
    assert math.isclose(GRID.slab(range(20)).center[2], GRID.center[2])


def run(folder: Path, scan: Projections, **asked: object) -> VolumeResult:
    return reconstruct_volume(scan, folder, VolumeRequest(**asked))


def slices_in(folder: Path) -> np.ndarray:
    return np.stack([tifffile.imread(path) for path in sorted((folder / "slices").iterdir())])


def test_a_volume_is_written_with_what_can_be_told_of_it(tmp_path: Path) -> None:
    scan = open_projections(cones.nikon(tmp_path / "scan"))
    result = run(tmp_path / "out", scan)
    exact = cones.truth(result.grid)
    assert result.grid == scan.geometry.default_grid()
    assert distance(slices_in(tmp_path / "out"), exact) < 0.2
    assert distance(slices_in(tmp_path / "out"), fdk(scan.load().data, scan.geometry, result.grid)) < 1e-5
    fields = json.loads((tmp_path / "out" / "result.json").read_text())
    assert fields["method"] == "fdk"
    assert fields["data_sha256"] == scan.fingerprint()
    assert fields["grid"] == result.grid.to_dict()
    assert fields["config"]["seed"] == 0
    assert fields["certificates"][0]["holds"] is True
    assert fields["metrics"]["relative residual"] == fields["certificates"][0]["value"] < 0.06
    assert fields["versions"]["microlocal"]
    assert 0.9 < fields["surfaces"]["measured"] < 1.0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<img") == 12
    assert "98." in page
    assert "Upright, row 28" in page
    assert "<script" not in page


def test_the_certificate_is_of_what_the_files_hold(tmp_path: Path) -> None:
    scan = held(tmp_path, CONE, CONE.default_grid())
    result = run(tmp_path / "out", scan)
    (certificate,) = result.certificates
    for law in LAWS:
        law(certificate)
    assert certificate.falsify(1) == pytest.approx(certificate.value, rel=1e-4)
    chosen = scan.select(list(sample_of(len(TURN))))
    ray = RayTransform3D(chosen.geometry, result.grid)
    whole = torch.from_numpy(slices_in(tmp_path / "out"))
    assert certificate.value == pytest.approx(distance(ray(whole), chosen.load().data), rel=1e-4)
    for path in (tmp_path / "out" / "slices").iterdir():
        write_tiff(np.zeros(result.grid.shape[1:], np.float32), path, 1.0, "mm")
    assert certificate.falsify(0) == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["cgls", "tv", "shearlet"])
def test_methods_that_iterate_give_what_they_give_in_python(tmp_path: Path, method: str) -> None:
    grid = VolumeGrid((10, 12, 12), 1.5)
    scan = held(tmp_path, replace(CONE, detector=FlatPanel(20, 24, (1.8, 1.8))), grid).select(range(0, 60, 6))
    result = run(tmp_path / "out", scan, method=method, iterations=6)
    observation = Observation(scan.load().data, RayTransform3D(scan.geometry, grid), bounds=(0.0, math.inf))
    expected = reconstruct(observation, method, iterations=6)
    assert distance(slices_in(tmp_path / "out"), expected.image) < 1e-6
    assert [c.claim for c in result.certificates] == [c.claim for c in expected.certificates]
    assert result.config["iterations"] == expected.config["iterations"]
    assert result.metrics["relative residual"] < 0.3


@pytest.mark.parametrize("form", ["bigtiff", "zarr"])
def test_other_forms_hold_the_same_slices(tmp_path: Path, form: str) -> None:
    scan = held(tmp_path, CONE)
    run(tmp_path / "a", scan, slices=(4, 7))
    run(tmp_path / "b", scan, slices=(4, 7), form=form)
    place = volume_at(tmp_path / "b", form, (3, 24, 26), 4, 0.7, "mm")
    assert [path.name for path in sorted((tmp_path / "a" / "slices").iterdir())] == [
        f"slice_0000{k}.tif" for k in (4, 5, 6)
    ]
    assert np.array_equal(slices_in(tmp_path / "a"), np.stack([place.read(k) for k in range(3)]))
    assert json.loads((tmp_path / "b" / "result.json").read_text())["notes"] == [PART]
    if form == "bigtiff":
        with tifffile.TiffFile(tmp_path / "b" / "volume.tif") as file:
            tags = file.pages[0].tags
            assert tags["ResolutionUnit"].value == tifffile.RESUNIT.NONE  # pixels a mm, not an inch
            assert tags["XResolution"].value == (10, 7)


@pytest.mark.parametrize("fresh", [False, True])
def test_projections_in_the_place_of_the_volume_are_spared(tmp_path: Path, *, fresh: bool) -> None:
    pictures = tmp_path / "slices"
    pictures.mkdir()
    for view, picture in enumerate(projections(cones.SHAPES, CONE)):
        write_tiff(picture, pictures / f"p{view:02d}.tif", 1.0, "mm")
    (pictures / "geometry.json").write_text(json.dumps(CONE.to_dict()))
    with pytest.raises(OutputError, match="apart from the projections"):
        reconstruct_volume(open_projections(pictures), tmp_path, VolumeRequest(), fresh=fresh)
    assert len(list(pictures.iterdir())) == len(TURN) + 1


def test_the_page_names_slices_as_their_files_do(tmp_path: Path) -> None:
    run(tmp_path, held(tmp_path, CONE), slices=(4, 7))
    assert "Level, slice 5<" in (tmp_path / "report.html").read_text()


def test_a_disk_that_cannot_hold_the_volume_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 4 * 20 * 24 * 26
    for free, fits in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if fits:
            run(tmp_path / "deep" / "out", held(tmp_path, CONE))
        else:
            with pytest.raises(OutputError, match="GiB of free space"):
                run(tmp_path / "deep" / "out", held(tmp_path, CONE))
    assert slices_in(tmp_path / "deep" / "out").shape == (20, 24, 26)


def test_slices_of_two_runs_do_not_mix(tmp_path: Path) -> None:
    scan = held(tmp_path, CONE)
    run(tmp_path / "out", scan, slices=(0, 4))
    with pytest.raises(OutputError, match="--fresh"):
        run(tmp_path / "out", scan, slices=(8, 9))
    reconstruct_volume(scan, tmp_path / "out", VolumeRequest(slices=(8, 9), form="bigtiff"), fresh=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "result.json", "volume.tif"]


class Interrupting:
    """A progress that presses Ctrl-C after some steps."""

    def __init__(self, after: int) -> None:
        self.left = after

    def start(self, task: str, total: int) -> None:
        del task, total

    def advance(self, task: str, steps: int = 1) -> None:
        del task
        self.left -= steps
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGINT)
            self.left = 1 << 30

    def finish(self, task: str) -> None:
        del task


def test_ctrl_c_keeps_the_slabs_that_are_complete(tmp_path: Path) -> None:
    tall = VolumeGrid((80, 10, 10), 0.2)
    scan = held(tmp_path, CONE, tall)
    result = reconstruct_volume(scan, tmp_path / "out", VolumeRequest(), progress=Interrupting(70))
    assert result.interrupted
    assert result.done == len(list((tmp_path / "out" / "slices").iterdir())) == 27
    whole = fdk(scan.load().data, scan.geometry, tall)[:27]
    assert distance(slices_in(tmp_path / "out"), whole) < 1e-5
    fields = json.loads((tmp_path / "out" / "result.json").read_text())
    assert fields["config"]["status"] == "interrupted"
    assert fields["notes"] == ["Interrupted: slices 0 to 26 are complete, the others are missing."]
    assert fields["certificates"] == []
    assert "interrupted" in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(KeyboardInterrupt):
        reconstruct_volume(scan, tmp_path / "none", VolumeRequest(), progress=Interrupting(3))
    assert not (tmp_path / "none").exists()


def test_ctrl_c_keeps_the_best_iterate(tmp_path: Path) -> None:
    scan = held(tmp_path, CONE, VolumeGrid((8, 10, 10), 1.5)).select(range(0, 60, 6))
    request = VolumeRequest(method="cgls", iterations=30)
    result = reconstruct_volume(scan, tmp_path / "out", request, progress=Interrupting(3))
    assert result.interrupted
    assert len(list((tmp_path / "out" / "slices").iterdir())) == 8
    reconstruct_volume(scan, tmp_path / "out", replace(request, iterations=27), resume=True)
    run(tmp_path / "whole", scan, method="cgls", iterations=30)
    assert np.array_equal(slices_in(tmp_path / "out"), slices_in(tmp_path / "whole"))
    assert told(tmp_path / "out") == told(tmp_path / "whole")


def told(folder: Path) -> dict[str, object]:
    """Return what result.json says of a run, without what differs from one to the next."""
    fields = json.loads((folder / "result.json").read_text())
    residual = round(fields["metrics"]["relative residual"], 6)  # summed slab by slab, whose borders may differ
    names = ("config", "notes", "slices", "surfaces", "references")
    return {name: fields[name] for name in names} | {"residual": residual, "claims": len(fields["certificates"])}


TALL = VolumeGrid((80, 10, 10), 0.2)


@pytest.mark.parametrize("form", ["tiff", "bigtiff", "zarr"])
def test_what_ctrl_c_ended_is_gone_on_with(tmp_path: Path, form: str) -> None:
    scan, out = held(tmp_path, CONE, TALL), tmp_path / "out"
    request = VolumeRequest(form=form)
    assert reconstruct_volume(scan, out, request, progress=Interrupting(70)).done == 27
    with pytest.raises(OutputError, match="--resume"):
        reconstruct_volume(scan, out, request)
    again = Interrupting(70)
    assert reconstruct_volume(scan, out, request, resume=True, progress=again).done == 54
    result = reconstruct_volume(scan, out, request, resume=True)
    assert (result.done, result.interrupted) == (80, False)
    reconstruct_volume(scan, tmp_path / "whole", request)
    one, other = (volume_at(folder, form, TALL.shape, 0, 0.2, "mm") for folder in (out, tmp_path / "whole"))
    assert all(np.array_equal(one.read(k), other.read(k)) for k in range(80))
    assert all(one.read(k).any() for k in (10, 40, 70))
    assert told(out) == told(tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())
    with pytest.raises(OutputError, match="a folder without a volume"):
        reconstruct_volume(scan, out, request, resume=True)


def test_damaged_slices_are_made_again(tmp_path: Path) -> None:
    scan, out = held(tmp_path, CONE, TALL), tmp_path / "out"
    reconstruct_volume(scan, out, progress=Interrupting(130))
    whole = fdk(scan.load().data, scan.geometry, TALL)
    (out / "slices" / "slice_00030.tif").write_bytes(b"damaged")
    (out / "slices" / "slice_00040.tif").unlink()
    counted = Interrupting(1 << 20)
    reconstruct_volume(scan, out, resume=True, progress=counted)
    assert distance(slices_in(out), whole) < 1e-5
    assert (1 << 20) - counted.left == 2 * len(TURN)  # two slabs, of the slices from 30 on


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    scan, out = held(tmp_path, CONE, TALL), tmp_path / "out"
    reconstruct_volume(scan, out, progress=Interrupting(70))
    with pytest.raises(OutputError, match="slices"):
        reconstruct_volume(scan, out, VolumeRequest(slices=(0, 40)), resume=True)
    with pytest.raises(OutputError, match="data"):
        reconstruct_volume(scan.select(range(0, 60, 2)), out, resume=True)
    (out / "run.json").write_text("{")
    with pytest.raises(OutputError, match="--fresh"):
        reconstruct_volume(scan, out, resume=True)
    assert reconstruct_volume(scan, out, fresh=True).done == 80


def test_views_of_any_kind_iterate_on_a_grid_that_is_named(tmp_path: Path) -> None:
    table = CONE.select(range(0, 60, 5)).to_vectors()
    grid = VolumeGrid((8, 10, 10), 1.5)
    scan = held(tmp_path, table, grid)
    assert run(tmp_path / "out", scan, method="cgls", iterations=3).grid == grid
    with pytest.raises(GeometryError, match="Iterate"):
        run(tmp_path / "none", scan)
    with pytest.raises(InputError, match="--size"):
        _ = replace(scan, own_grid=None).grid


def test_the_small_copy_of_a_large_volume_stands_where_its_blocks_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlocal.reconstruction.volume_overview.SIDE", 7)
    grid = VolumeGrid((9, 20, 22), 0.5, (1.0, 2.0, 3.0))
    overview = Overview(grid)
    assert overview.small.shape == (2, 5, 5)
    z, y, x = np.meshgrid(*grid.coordinates()[::-1], indexing="ij")
    for values, axis in ((x, 0), (y, 1), (z, 2)):
        one = Overview(grid)
        for k in range(9):
            one.add(k, values[k])
        expected = np.meshgrid(*one.small.coordinates()[::-1], indexing="ij")[2 - axis]
        assert np.allclose(one.copy, expected, atol=1e-5)
    assert overview.planes(CONE)[0].labels is None


def test_the_axis_is_found_in_the_middle_row(tmp_path: Path) -> None:
    moved = replace(CONE, detector=FlatPanel(40, 64, (0.9, 0.9), (0.0, 2.2)))
    scan = held(tmp_path, moved)
    lost = replace(scan, geometry=replace(moved, detector=FlatPanel(40, 64, (0.9, 0.9))))
    found = with_axis(lost)
    assert found.geometry.detector.offset[1] == pytest.approx(2.2, abs=0.1 * 0.9)
    assert "axis of rotation was found" in found.warnings[-1]
    told = with_axis(lost, 31.5 - 2.2 / 0.9)
    assert told.geometry.detector.offset[1] == pytest.approx(2.2)
    with pytest.raises(InputError, match="near 0"):
        with_axis(lost, 1e4)
    with pytest.raises(InputError, match="one that leans"):
        with_axis(held(tmp_path, replace(CONE, tilt_rad=0.1)))

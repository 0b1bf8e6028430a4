"""Projections of volumes from files: the geometry that a scanner's keys say, proved on a lopsided object."""

import json
import math
from dataclasses import replace
from pathlib import Path

import cone_files as cones
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from test_fuzz_readers import mutated, mutations

from microlocal.core import ConeBeam, FlatPanel, ParallelBeam3D, ViewVectors, VolumeGrid, VolumeScan
from microlocal.core.errors import GeometryError, InputError, ScanFileError
from microlocal.core.registry import registered
from microlocal.core.volume_scan import cropped
from microlocal.data.phantoms3d import projections
from microlocal.io import Description, ProjectionReader, holds_projections, open_projections, read_scan, write_scan
from microlocal.reconstruction.fdk import fdk

GRID = VolumeGrid((30, 40, 40), 0.45)


def error(scan: VolumeScan, geometry: ConeBeam | None = None) -> float:
    """Return the error of Feldkamp's volume against the object."""
    found = fdk(scan.data, geometry or scan.geometry, GRID).numpy()
    exact = cones.truth(GRID)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def turned_about(scan: VolumeScan) -> ConeBeam:
    """Return the geometry with the other direction of rotation."""
    return replace(scan.geometry, angles_rad=tuple(-a for a in scan.geometry.angles_rad))


def with_offset(geometry: ConeBeam, v: float, u: float) -> ConeBeam:
    return replace(geometry, detector=replace(geometry.detector, offset=(v, u)))


def test_a_nikon_scan_gives_the_exact_line_integrals_of_its_geometry(tmp_path: Path) -> None:
    scan = open_projections(cones.nikon(tmp_path)).load()
    assert scan.data.shape == (90, 44, 56)
    assert scan.geometry.source_axis == 60.0
    assert scan.geometry.source_detector == 150.0
    assert scan.geometry.detector == FlatPanel(44, 56, (0.8, 0.8))
    assert np.degrees(scan.geometry.angles[:2]) == pytest.approx([-155.0, -151.0])
    exact = projections(cones.SHAPES, scan.geometry)
    assert np.abs(scan.data.numpy() - exact).max() < 2e-5  # 16 bits
    assert scan.source.metadata["MaskRadius"] == "8.0"
    assert len(scan.source.sha256) == 64
    assert scan.warnings == ()


MOVED = {
    "the panel": ({"DetectorOffsetX": 4.0, "DetectorOffsetY": -3.0}, 1e-9),
    "the axis leans along the beam": ({"ObjectTilt": 3.0}, 1e-9),
    "the axis rolls": ({"ObjectRoll": 2.0}, 1e-9),
    "it does both": ({"ObjectRoll": 2.0, "ObjectTilt": -3.0}, 1e-9),
    "a region of larger rows": ({"DetectorPixelSizeY": 1.1, "InitialAngle": -90.0, "AngularStep": -4.0}, 1e-9),
    # An axis beside the beam: the panel is taken as square to source and axis, and the whole is turned a little.
    "the axis": ({"ObjectOffsetX": 0.3}, 2e-3),
}


@pytest.mark.parametrize(("changes", "tolerance"), MOVED.values(), ids=MOVED)
def test_every_key_moves_what_it_says(tmp_path: Path, changes: dict[str, float], tolerance: float) -> None:
    told = cones.keys(**changes)
    geometry = open_projections(cones.nikon(tmp_path, Projections=7, **changes)).geometry
    measured = cones.line_integrals(told | {"Projections": 7})[:, ::-1, ::-1]
    exact = projections(cones.SHAPES, geometry)
    if any(name.startswith("Object") for name in changes):
        # Where view 0 stands on the circle around another axis is a matter of taste: compare the best turn.
        exact = _best_turn(geometry, measured)
    assert np.linalg.norm(measured - exact) / np.linalg.norm(measured) < max(tolerance, 1e-6)


def _best_turn(geometry: ConeBeam, measured: np.ndarray) -> np.ndarray:
    def turned(by: float) -> np.ndarray:
        angles = tuple(a + by for a in geometry.angles_rad)
        return projections(cones.SHAPES, replace(geometry, angles_rad=angles))

    low, high = -0.02, 0.02
    for _ in range(60):  # the least of a convex function by thirds
        third = (high - low) / 3
        costs = [np.linalg.norm(turned(by) - measured) for by in (low + third, high - third)]
        low, high = (low, high - third) if costs[0] < costs[1] else (low + third, high)
    return turned((low + high) / 2)


def test_the_volume_comes_out_right_and_every_other_sign_is_far_off(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path, ObjectOffsetX=0.5, DetectorOffsetY=2.0)
    scan = open_projections(path).load()
    right = error(scan)
    v, u = scan.geometry.detector.offset
    assert (v, u) == pytest.approx((2.0, 0.5 * 150 / 60))
    wrong = {
        "direction of rotation": error(scan, turned_about(scan)),
        "axis": error(scan, with_offset(scan.geometry, v, -u)),
        "height": error(scan, with_offset(scan.geometry, -v, u)),
        "columns": error(replace(scan, data=scan.data.flip(-1)), with_offset(scan.geometry, v, -u)),
        "rows": error(replace(scan, data=scan.data.flip(-2)), with_offset(scan.geometry, -v, u)),
    }
    assert right < 0.1
    assert min(wrong.values()) > 5 * right, (right, wrong)


def test_older_files_say_where_the_axis_meets_the_panel(tmp_path: Path) -> None:
    told = {"CentreOfRotationTop": 0.9, "CentreOfRotationBottom": 0.5}
    geometry = open_projections(cones.nikon(tmp_path, Projections=3, **told)).geometry
    height = 44 * 0.8
    assert geometry.detector.offset[1] == pytest.approx(0.7)
    assert geometry.roll_rad == pytest.approx(-math.atan2(0.4, height))
    # The axis at the panel's upper end lies at x = -CentreOfRotationTop.
    axis_up = np.array([math.sin(geometry.roll_rad), math.cos(geometry.roll_rad)]) * height / 2
    assert -0.7 + axis_up[0] == pytest.approx(-0.9, abs=1e-3)


def test_pictures_may_lie_in_a_folder_and_the_folder_may_be_named(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path / "scan", inner="raw", Projections=4)
    tifffile.imwrite(path.parent / "raw" / "Centre_Slice.tif", np.ones((3, 3), np.float32))
    assert open_projections(path.parent).load().data.shape == (4, 44, 56)
    assert holds_projections(path)
    assert holds_projections(path.parent)


def test_lists_of_angles_are_compared_and_serve_where_there_is_no_step(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path, Projections=5)
    rows = [f"{k + 1}\t{a:.4f}\t{k}.5" for k, a in enumerate([0.0, 4.0, 8.0, 12.0, 16.0])]
    table = tmp_path / "_ctdata.txt"
    table.write_text("\n".join(["Projs\tFrames\tExposure(ms)", "5\t1\t500", "Projection\tAngle(deg)\tTime(s)", *rows]))
    assert open_projections(path).warnings == ()
    table.write_text(table.read_text().replace("12.0000", "15.0000"))
    assert "up to 3° off" in open_projections(path).warnings[0]
    path.write_text(path.read_text().replace("AngularStep=4.0", "AngularStep="))
    geometry = open_projections(path).geometry
    assert np.degrees(geometry.angles) == pytest.approx(np.array([0.0, 4.0, 8.0, 15.0, 16.0]) + 25 - 180)
    (tmp_path / "pear.ang").write_text("Proj Angle(deg)\n" + "".join(f"{k}:\t{2 * k}\n" for k in range(1, 6)))
    assert np.degrees(open_projections(path).geometry.angles) == pytest.approx(np.arange(2, 12, 2) + 25.0 - 180)


def test_an_axis_far_beside_the_beam_is_said(tmp_path: Path) -> None:
    said = open_projections(cones.nikon(tmp_path, Projections=3, ObjectOffsetX=1.5, DetectorOffsetX=1.0)).warnings
    assert any("columns and upwards" in sentence for sentence in said)
    assert any("square to the line from source to axis" in sentence for sentence in said)


BAD = {
    "no distance": ({"SrcToObject": None}, "SrcToObject = a number"),
    "a word for a number": ({"DetectorPixelSizeX": "wide"}, "DetectorPixelSizeX = a number"),
    "a panel before the axis": ({"SrcToDetector": 30.0}, "source_axis < source_detector"),
    "no white": ({"WhiteLevel": "0"}, "WhiteLevel = a number above 0"),
    "another unit": ({"Units": "furlong"}, "length unit"),
    "no step": ({"AngularStep": "0"}, "AngularStep other than 0"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_keys_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = cones.nikon(tmp_path, Projections=2)
    told = cones.keys(Projections=2, **changes)
    path.write_text("[XTekCT]\n" + "\n".join(f"{k}={v}" for k, v in told.items()))
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        open_projections(path)


def test_a_picture_too_few_or_of_another_size_is_refused(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path, Projections=3)
    (tmp_path / "pear_0002.tif").unlink()
    with pytest.raises(ScanFileError, match=r"3 projections .* got 2"):
        open_projections(path)
    tifffile.imwrite(tmp_path / "pear_0002.tif", np.ones((4, 5), np.uint16))
    with pytest.raises(ScanFileError, match="pages of shape"):
        open_projections(path).load()
    path = cones.nikon(tmp_path, Projections=3)
    path.write_text(path.read_text().replace("DetectorPixelsX=56", "DetectorPixelsX=57"))
    with pytest.raises(ScanFileError, match="57"):
        open_projections(path)


CONE = ConeBeam(
    (0.1, 1.7, 4.4), FlatPanel(6, 9, (1.0, 1.2), (0.3, -0.7)), "um", 0.1, 0.2, source_axis=30.0, source_detector=70.0
)
GEOMETRIES = {
    "cone": CONE,
    "parallel": ParallelBeam3D((1 / 3, 2 / 7), FlatPanel(6, 9, (1.0, 1.2)), tilt_rad=1 / 7),
    "vectors": replace(CONE.to_vectors(), table=CONE.to_vectors().table * (1 + 1 / 3)),
}


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_own_files_come_back_bit_by_bit(tmp_path: Path, geometry: object, suffix: str) -> None:
    data = torch.rand(geometry.shape, generator=torch.Generator().manual_seed(0))
    grid = VolumeGrid((3, 4, 5), 1 / 3, (0.1, 0.2, 0.3), geometry.unit)
    path = write_scan(VolumeScan(data, geometry, grid, warnings=("Said.",)), tmp_path / f"scan{suffix}")
    back = open_projections(path).load()
    assert torch.equal(back.data, data)
    assert back.grid == grid
    assert back.warnings == ("Said.",)
    assert back.source.path == str(path)
    if isinstance(geometry, ViewVectors):
        assert np.array_equal(back.geometry.table, geometry.table)
    else:
        assert replace(back.geometry, tilt_rad=geometry.tilt_rad, roll_rad=geometry.roll_rad) == geometry
    with pytest.raises(ScanFileError, match="microlocal volume"):
        read_scan(path)


def test_projections_of_slices_are_sent_to_the_other_door(tmp_path: Path) -> None:
    import scan_files as files

    with pytest.raises(ScanFileError, match="microlocal reconstruct and stack"):
        open_projections(files.own_npz(tmp_path))
    with pytest.raises(ScanFileError, match="nothing there"):
        open_projections(tmp_path / "none")
    with pytest.raises(ScanFileError, match="microlocal volume"):
        read_scan(cones.nikon(tmp_path / "nikon", Projections=2))
    assert not holds_projections(files.tiff(tmp_path))


def _pictures(folder: Path) -> tuple[Path, np.ndarray, dict[str, object]]:
    """Write counts (angle, v, u) with flats and darks, rows from the top; return line integrals and the JSON fields."""
    exact = projections(cones.SHAPES, REST)
    flat = 1000.0 + 50.0 * np.arange(REST.shape[2])
    counts = 100.0 + flat * np.exp(-exact)
    folder.mkdir()
    for view, picture in enumerate(counts[:, ::-1]):
        tifffile.imwrite(folder / f"p{view}.tif", picture.astype(np.float32), photometric="minisblack")
    frame = np.broadcast_to(flat + 100.0, REST.shape[1:])
    tifffile.imwrite(folder / "open.tif", np.stack([frame - 1, frame + 1]).astype(np.float32), photometric="minisblack")
    tifffile.imwrite(folder / "dark.tif", np.full(REST.shape[1:], 100.0, np.float32), photometric="minisblack")
    return folder, exact, {"quantity": "counts", "flats": "open.tif", "darks": "dark.tif"}


REST = ConeBeam(
    tuple(np.radians(np.arange(0.0, 360.0, 30.0))),
    FlatPanel(20, 24, (2.0, 2.0)),
    source_axis=60.0,
    source_detector=150.0,
)


def test_a_folder_of_pictures_is_described_by_a_json_or_by_an_object(tmp_path: Path) -> None:
    folder, exact, fields = _pictures(tmp_path / "pictures")
    (folder / "geometry.json").write_text(json.dumps(REST.to_dict() | fields))
    assert holds_projections(folder)
    scan = open_projections(folder).load()
    assert np.abs(scan.data.numpy() - exact).max() < 1e-5
    with pytest.raises(ScanFileError, match="microlocal volume"):
        read_scan(folder)
    (folder / "geometry.json").unlink()
    with pytest.raises(ScanFileError, match="--source-axis"):
        open_projections(folder)
    told = Description(None, REST, quantity="counts", flats=folder / "open.tif", darks=folder / "dark.tif", flip="none")
    assert np.abs(open_projections(folder, description=told).load().data.flip(1).numpy() - exact).max() < 1e-5
    with pytest.raises(ScanFileError, match="open beam"):
        open_projections(folder, description=replace(told, flats=None))


def test_pictures_with_colours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "geometry.json").write_text(json.dumps(REST.to_dict()))
    for view in range(REST.shape[0]):
        tifffile.imwrite(tmp_path / f"p{view}.tif", np.zeros((*REST.shape[1:], 3), np.uint8), photometric="rgb")
    with pytest.raises(ScanFileError, match="expected grey pictures"):
        open_projections(tmp_path)


def test_an_array_is_taken_as_it_stands(tmp_path: Path) -> None:
    exact = projections(cones.SHAPES, REST).astype(np.float32)
    fields = REST.to_dict() | {"axes": "v, angle, u", "grid": {"shape": [3, 4, 5], "voxel": 2.0}}
    for name in ("array.npy", "array.npz"):
        save = np.save if name.endswith("y") else np.savez
        save(tmp_path / name, **({"arr": exact.swapaxes(0, 1)} if save is np.save else {"data": exact.swapaxes(0, 1)}))
        (tmp_path / "array.json").write_text(json.dumps(fields))
        opened = open_projections(tmp_path / name)
        assert np.array_equal(opened.load().data.numpy(), exact)
        assert opened.grid == VolumeGrid((3, 4, 5), 2.0, unit="mm")
        assert opened.binned(2).grid == VolumeGrid((1, 2, 2), 4.0, unit="mm")


def test_a_json_that_is_wrong_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", projections(cones.SHAPES, REST))
    for change, message in (
        ({"detector": {"rows": 0, "cols": 4, "pitch": [1.0, 1.0]}}, "rows"),
        ({"angles_deg": "all"}, "angles"),
        ({"source_axis": 500.0}, "source_axis"),
        ({"flip": "sideways"}, "flip"),
        ({"axes": "a, b"}, "axes"),
        ({"quantity": "counts", "flats": "none.tif"}, "flats"),
        ({"white": -1}, "white"),
        ({"colour": "red"}, "colour"),
        ({"grid": {"shape": [1, 2]}}, "grid"),
        ({"angles_deg": {"first": 0, "step": 1, "count": 5}}, "5"),
        ({"angles_deg": {"first": 0, "step": 1, "count": 10**12}}, "whole number"),
        ({"kind": "Cone"}, "kind: one of"),
    ):
        (tmp_path / "a.json").write_text(json.dumps(REST.to_dict() | change))
        with pytest.raises(InputError, match=message):
            open_projections(tmp_path / "a.npy")


def test_a_json_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", projections(cones.SHAPES, REST))
    (tmp_path / "a.json").write_text(json.dumps(REST.to_dict())[:-5])
    with pytest.raises(ScanFileError, match="Mend the JSON"):
        open_projections(tmp_path / "a.npy")
    (tmp_path / "a.json").write_text(json.dumps({"quantity": "counts", "white": 5.0}))
    with pytest.raises(ScanFileError, match=r"a\.json without kind"):
        open_projections(tmp_path / "a.npy")
    (tmp_path / "a.json").write_text("{}")  # of something else
    with pytest.raises(ScanFileError, match="got none"):
        open_projections(tmp_path / "a.npy")


def test_binning_joins_counts_and_a_band_is_the_same_rows(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path, Projections=6, DetectorOffsetX=1.0, DetectorPixelsX=57)
    whole = open_projections(path)
    halved = whole.binned(2)
    assert halved.geometry.detector == FlatPanel(22, 28, (1.6, 1.6), (0.0, -1.0 - 0.4))
    counts = 60000.0 * torch.exp(-whole.load().data.double())[:, :, :56]
    joined = counts.reshape(6, 22, 2, 28, 2).mean(dim=(2, 4))
    assert float((halved.load().data + torch.log(joined / 60000.0)).abs().max()) < 1e-4
    band = halved.band(range(5, 9))
    assert torch.equal(band.load().data, halved.load().data[:, 5:9])
    v, _ = band.geometry.detector.positions()
    assert v == pytest.approx(halved.geometry.detector.positions()[0][5:9])
    chosen = band.binned(2).select([4, 1])
    assert chosen.numbers == (4, 1)
    assert chosen.load().data.shape == (2, 2, 14)
    assert chosen.geometry.angles == pytest.approx(whole.geometry.angles[[4, 1]])


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_blocks_of_pixels_stand_in_the_middle_of_their_pixels(geometry: object) -> None:
    points = geometry.to_vectors().rays()[0]
    part = cropped(geometry, range(1, 6), range(2, 9), 2).to_vectors()
    assert part.shape[1:] == (2, 3)
    blocks = points[:, 1:5, 2:8].reshape(len(points), 2, 2, 3, 2, 3).mean(axis=(2, 4))
    assert np.allclose(part.rays()[0], blocks)


def test_what_holds_nothing_is_refused_and_what_is_repaired_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(REST.shape))
    (tmp_path / "a.json").write_text(json.dumps(REST.to_dict()))
    with pytest.raises(ScanFileError, match="one value"):
        open_projections(tmp_path / "a.npy")
    data = projections(cones.SHAPES, REST)
    np.save(tmp_path / "a.npy", np.round(40000 * np.exp(-data)))
    assert "if these are counts" in "".join(open_projections(tmp_path / "a.npy").warnings)
    np.save(tmp_path / "a.npy", data)
    assert not open_projections(tmp_path / "a.npy").warnings
    data[0, 3, 4] = np.nan
    np.save(tmp_path / "a.npy", data)
    with pytest.raises(ScanFileError, match=r"NaN.* in view 0 \(from 0\)"):
        open_projections(tmp_path / "a.npy").load()
    (tmp_path / "a.json").write_text(json.dumps(REST.to_dict() | {"quantity": "transmission"}))
    np.save(tmp_path / "a.npy", np.where(np.isnan(data), np.nan, np.exp(-np.nan_to_num(data))))
    opened = open_projections(tmp_path / "a.npy")
    assert opened.frames(range(1))[0, 3, 4] == pytest.approx(float((data[0, 3, 3] + data[0, 3, 5]) / 2), abs=1e-6)


def test_every_reader_of_projections_is_one() -> None:
    entries = registered("projection-reader")
    assert list(entries) == ["nikon", "microlocal", "tiff", "array"]
    assert all(isinstance(entry.member, ProjectionReader) and entry.summary for entry in entries.values())


def test_a_scan_of_another_shape_is_refused() -> None:
    with pytest.raises(GeometryError, match="3 angles, 6 rows, 9 columns"):
        VolumeScan(torch.ones(3, 9, 6), CONE, CONE.default_grid())
    scan = VolumeScan(torch.ones(3, 6, 9), CONE, CONE.default_grid())
    assert scan.views([2]).geometry.angles_rad == (4.4,)
    with pytest.raises(InputError, match="at least one view"):
        scan.views([])


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(changes=mutations)
@pytest.mark.parametrize("kind", ["nikon", "own", "json"])
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list) -> None:
    folder = tmp_path_factory.getbasetemp() / f"damaged-{kind}"
    if not folder.exists():
        folder.mkdir()
        MAKE[kind](folder)
    path, subject = WHERE[kind]
    whole = folder / f"whole-{subject}"
    if not whole.exists():
        whole.write_bytes((folder / subject).read_bytes())
    (folder / subject).write_bytes(mutated(whole.read_bytes(), changes))
    try:
        assert isinstance(open_projections(folder / path).load(), VolumeScan)
    except InputError:
        return


def _own(folder: Path) -> None:
    write_scan(VolumeScan(torch.rand(REST.shape), REST, REST.default_grid()), folder / "scan.npz")


def _json(folder: Path) -> None:
    np.save(folder / "a.npy", projections(cones.SHAPES, REST))
    (folder / "a.json").write_text(json.dumps(REST.to_dict() | {"axes": "angle, v, u", "flip": "rows"}))


MAKE = {"nikon": lambda folder: cones.nikon(folder, Projections=2), "own": _own, "json": _json}
WHERE = {"nikon": ("pear.xtekct", "pear.xtekct"), "own": ("scan.npz", "scan.npz"), "json": ("a.npy", "a.json")}

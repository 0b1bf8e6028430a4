"""``microlocal volume``, and what ``info`` and ``visible`` say of projections of a volume."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cone_files as cones
import matplotlib.image
import numpy as np
import pytest
import tifffile
import torch
from cli_help import answer, interrupted, run, said, scan_file

from microlocal.core import ConeBeam, FlatPanel, ParallelBeam3D, VolumeGrid, VolumeScan
from microlocal.data.phantoms3d import projections
from microlocal.io import write_scan

TURN = tuple(np.radians(np.arange(0.0, 360.0, 10.0)))
CONE = ConeBeam(TURN, FlatPanel(24, 28, (1.6, 1.6), (0.0, 1.1)), source_axis=60.0, source_detector=150.0)


CONE_OPTIONS = ("--source-axis", 60, "--source-detector", 150, "--pixel", 1.6)


def own(folder: Path, geometry: object = CONE, name: str = "scan.h5") -> Path:
    data = torch.from_numpy(projections(cones.SHAPES, geometry)).float()
    grid = VolumeGrid((12, 14, 14), 1.2, unit=geometry.unit)
    return write_scan(VolumeScan(data, geometry, grid), folder / name)


def pictures(folder: Path) -> Path:
    """Counts as TIFF pictures, upper row first, with the open beam beside them."""
    folder.mkdir()
    counts = 5000.0 * np.exp(-projections(cones.SHAPES, CONE))
    for view, picture in enumerate(counts[:, ::-1]):
        tifffile.imwrite(folder / f"p{view:03d}.tif", picture.astype(np.float32), photometric="minisblack")
    tifffile.imwrite(folder / "open.tif", np.full((24, 28), 5000.0, np.float32), photometric="minisblack")
    return folder


def table(folder: Path) -> Path:
    """Views by a table, which propose no volume, as an array with a JSON."""
    np.save(folder / "table.npy", projections(cones.SHAPES, CONE))
    (folder / "table.json").write_text(json.dumps(CONE.to_vectors().to_dict()))
    return folder / "table.npy"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def by_options(folder: Path) -> tuple[object, ...]:
    return (pictures(folder / "p"), *CONE_OPTIONS)


def slices_in(folder: Path) -> np.ndarray:
    return np.stack([tifffile.imread(path) for path in sorted((folder / "slices").iterdir())])


def test_a_scanners_files_become_a_volume(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path / "scan", Projections=60, AngularStep=6.0)
    result = run("volume", path, "--binning", 2, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    found = answer(result)
    assert found["grid"]["shape"] == [22, 28, 28]
    assert found["grid"]["voxel"] == pytest.approx(0.64)
    assert found["config"]["binning"] == 2
    assert [Path(name).name for name in found["files"]] == ["slices", "result.json", "report.html"]
    exact = cones.truth(VolumeGrid((22, 28, 28), 0.64))
    volume = slices_in(tmp_path / "out")
    assert np.linalg.norm(volume - exact) / np.linalg.norm(exact) < 0.25
    with tifffile.TiffFile(tmp_path / "out" / "slices" / "slice_00000.tif") as file:
        assert file.pages[0].tags["XResolution"].value[0] / file.pages[0].tags["XResolution"].value[1] == pytest.approx(
            1 / 0.64, rel=1e-4
        )


def test_what_people_are_told(tmp_path: Path) -> None:
    shown = said(run("volume", own(tmp_path), "--out", tmp_path / "out"))
    assert "fdk done. 12 x 14 x 14 voxels of 1.2 mm from 36 views of 24 x 28 pixels." in shown
    assert "Relative residual" in shown
    assert "over 7 of 36 views" in shown or "over 8 of 36 views" in shown
    assert "report.html in a browser" in shown


def test_ctrl_c_keeps_the_best_volume_and_resume_goes_on(tmp_path: Path) -> None:
    scan, out = own(tmp_path), tmp_path / "out"
    arguments = ["volume", str(scan), "--method", "cgls", "--out", str(out)]
    code, screen = interrupted([*arguments, "--iterations", "10000000"], r"[1-9]\d*/10000000")
    assert code == 3, screen
    assert "the same command with --resume" in re.sub(r"\s+", " ", screen)
    assert len(slices_in(out)) == 12
    done = json.loads((out / "result.json").read_text())["config"]["iterations"]
    refused = run(*arguments, "--iterations", 5)
    assert refused.exit_code != 0
    assert "It can be gone on with: --resume." in said(refused)
    found = answer(run(*arguments, "--iterations", 5, "--resume", "--json"))
    assert (found["config"]["iterations"], found["interrupted"]) == (done + 5, False)
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "result.json", "slices"]
    told = said(run(*arguments, "--iterations", 5, "--resume", "--fresh"))
    assert f"There is nothing to go on with in {out}: it begins anew." in told


def test_pictures_with_a_geometry_by_options_are_the_same_scan(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    told = ["--source-axis", 60, "--source-detector", 150, "--pixel", 1.6, "--offset", "0,1.1"]
    told += ["--flats", folder / "open.tif"]
    size = ["--size", "12x14x14", "--voxel", 1.2]
    assert run("volume", folder, *told, *size, "--out", tmp_path / "a").exit_code == 0
    run("volume", own(tmp_path), "--out", tmp_path / "b")
    expected = slices_in(tmp_path / "b")
    assert np.abs(slices_in(tmp_path / "a") - expected).max() < 1e-4 * expected.max()
    # The other direction, as pictures seen from behind: turned and flipped at once nothing changes but a mirror.
    wrong = run("volume", folder, *told, *size, "--turn", -360, "--out", tmp_path / "c")
    assert wrong.exit_code == 0
    assert np.linalg.norm(slices_in(tmp_path / "c") - expected) > 0.3 * np.linalg.norm(expected)
    angles = tmp_path / "angles.txt"
    angles.write_text("\n".join(f"{10 * k}" for k in range(36)))
    assert run("volume", folder, *told, *size, "--angle-file", angles, "--out", tmp_path / "d").exit_code == 0
    assert np.array_equal(slices_in(tmp_path / "d"), slices_in(tmp_path / "a"))


def test_options_may_complete_a_json(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures")
    (tmp_path / "scanner.json").write_text(json.dumps(CONE.to_dict()))
    (folder / "open.tif").unlink()
    told = ["--geometry", tmp_path / "scanner.json", "--white", 5000, "--out", tmp_path / "a"]
    found = answer(
        run("volume", folder, *told, "--method", "cgls", "--iterations", 3, "--out", tmp_path / "a", "--json")
    )
    assert found["config"]["iterations"] == 3
    assert found["metrics"]["relative residual"] < 0.2


def test_views_of_any_kind_iterate_on_the_volume_that_options_name(tmp_path: Path) -> None:
    options = ("--method", "cgls", "--size", "12x14x14", "--voxel", 1.2, "--out", tmp_path / "out")
    result = run("volume", table(tmp_path), *options)
    assert result.exit_code == 0, result.output
    exact = cones.truth(VolumeGrid((12, 14, 14), 1.2))
    assert np.linalg.norm(slices_in(tmp_path / "out") - exact) / np.linalg.norm(exact) < 0.3


def test_what_the_formula_has_no_use_for_is_said(tmp_path: Path) -> None:
    result = run("volume", own(tmp_path), "--weight", 0.1, "--iterations", 5, "--slice", 3, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "The given weight was not used" in said(result)
    assert "The given iterations was not used" in said(result)


def test_a_lost_picture_is_made_from_its_neighbours_and_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p")
    options = (*CONE_OPTIONS, "--offset", "0,1.1", "--flats", folder / "open.tif")
    whole = answer(run("volume", folder, *options, "--out", tmp_path / "whole", "--json"))
    exact = slices_in(tmp_path / "whole")
    for view in (11, 12):  # the second is one of those that are looked at before anything is read
        tifffile.imwrite(folder / f"p{view:03d}.tif", np.zeros((24, 28), np.float32), photometric="minisblack")
        result = run("volume", folder, *options, "--out", tmp_path / f"out{view}", "--json")
        assert result.exit_code == 0, result.output
        found = answer(result)
        assert any(f"in {view - 10} of 36 views: 11" in sentence for sentence in found["warnings"]), found["warnings"]
        volume = slices_in(tmp_path / f"out{view}")
        assert np.linalg.norm(volume - exact) < 0.05 * np.linalg.norm(exact)
    assert not any("of 36 views" in sentence for sentence in whole["warnings"])


def test_a_list_of_angles_turns_a_scanners_volume_by_nothing(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path / "scan", Projections=60, AngularStep=6.0)
    angles = written(tmp_path / "angles.txt", "\n".join(str(6.0 * view) for view in range(60)))
    for name, options in (("even", ()), ("listed", ("--angle-file", angles))):
        run("volume", path, *options, "--binning", 4, "--out", tmp_path / name)
    even, listed = (slices_in(tmp_path / name) for name in ("even", "listed"))
    assert np.linalg.norm(listed - even) < 1e-4 * np.linalg.norm(even)


def test_views_rows_and_axis_can_be_chosen(tmp_path: Path) -> None:
    path = own(tmp_path)
    found = answer(
        run("volume", path, "--angles", "0:175", "--every", 3, "--slice", 4, "--out", tmp_path / "a", "--json")
    )
    assert found["config"]["views"] == 6
    assert found["slices"] == {"first": 4, "last": 4, "written": 1}
    moved = answer(run("volume", path, "--center", 14, "--slice", "4:6", "--out", tmp_path / "b", "--json"))
    assert moved["geometry"]["detector"]["offset"][1] == pytest.approx(-0.5 * 1.6)
    auto = answer(run("volume", path, "--center", "auto", "--slice", 4, "--out", tmp_path / "c", "--json"))
    assert auto["geometry"]["detector"]["offset"][1] == pytest.approx(1.1, abs=0.3)


def _angles(folder: Path) -> Path:
    path = folder / "angles.txt"
    path.write_text("1\n2\n3\n")
    return path


WRONG = {
    "a scan of slices": (lambda folder: [scan_file(folder)], "microlocal reconstruct and stack"),
    "half a geometry": (lambda folder: [pictures(folder / "p"), "--pixel", 2], "without --source-axis"),
    "a turn of a file that has its angles": (
        lambda folder: [own(folder), "--turn", -360],
        "with --offset, --turn, --unit",
    ),
    "a white of a file of line integrals": (
        lambda folder: [own(folder), "--white", 9, "--flip", "rows"],
        "none of --white, --flip for scan.h5",
    ),
    "no geometry": (lambda folder: [pictures(folder / "p")], "--source-axis, --source-detector and --pixel"),
    "too few angles": (lambda folder: [own(folder), "--angle-file", _angles(folder)], "36 angles"),
    "an unknown method": (lambda folder: [own(folder), "--method", "fdq"], "Did you mean 'fdk'"),
    "a slab by iteration": (lambda folder: [own(folder), "--method", "tv", "--slice", "1:2"], "rays of a slab"),
    "an arc that is not there": (lambda folder: [own(folder), "--angles", "400:500"], "angles within 0.00..350.00"),
    "a binning too large": (lambda folder: [own(folder), "--binning", 40], "Bin less"),
    "nothing": (lambda folder: [folder / "none"], "nothing there"),
    "a size that is none": (lambda folder: [own(folder), "--size", "3x4"], "SLICESxROWSxCOLS"),
    "an offset that is none": (lambda folder: [own(folder), "--offset", "3"], "V,U"),
    "a flip that is none": (
        lambda folder: [*by_options(folder), "--flip", "row"],
        "Did you mean 'rows'",
    ),
    "a turn that is none": (
        lambda folder: [*by_options(folder), "--turn", 0],
        "degrees other than 0",
    ),
    "darks of what are no counts": (
        lambda folder: [*by_options(folder), "--darks", folder / "p" / "open.tif"],
        "darks for line integrals",
    ),
    "two geometries": (
        lambda folder: [table(folder), *CONE_OPTIONS],
        "or a JSON beside it for table.npy, got both",
    ),
    "two geometries by options": (
        lambda folder: [*by_options(folder), "--geometry", written(folder / "g.json", "{}")],
        "or --geometry for p, got both",
    ),
    "two open beams": (
        lambda folder: [*by_options(folder), "--flats", folder / "p" / "open.tif", "--white", 5000],
        "expected flats or white",
    ),
    "a formula for views of any kind": (
        lambda folder: [table(folder), "--size", 8, "--voxel", 2],
        "Iterate: --method cgls",
    ),
    "a text": (lambda folder: [written(folder / "a.txt", "hello")], "Nikon .xtekct (cone beam)"),
    "a quantity that is none": (lambda folder: [own(folder), "--quantity", "dark"], "transmission"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_with_a_way_out(tmp_path: Path, make: object, message: str) -> None:
    result = run("volume", *make(tmp_path), "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert message in said(result)
    assert not (tmp_path / "out").exists()


def test_slice_verbs_say_where_volumes_go(tmp_path: Path) -> None:
    for verb in ("reconstruct", "stack"):
        nikon = cones.nikon(tmp_path / verb, Projections=2)
        for path in (nikon, nikon.parent, own(tmp_path), own(tmp_path, name="scan.npz")):
            result = run(verb, path, "--out", tmp_path / "out")
            assert result.exit_code == 2
            assert "microlocal volume" in said(result)


def test_memory_is_refused_with_the_binning_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microlocal.reconstruction.volume_request.available_bytes", lambda: (200 << 20) + 400_000)
    result = run("volume", cones.nikon(tmp_path, Projections=4), "--method", "tv", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "would fit" in said(result)
    assert "--binning" in said(result)


def test_info_tells_the_scanner(tmp_path: Path) -> None:
    path = cones.nikon(tmp_path, Projections=5, ObjectTilt=2.0)
    shown = said(run("info", path))
    for part in ("cone beam, tilted by 2°", "5 views from", "44 x 56 pixels of 0.8 mm", "column 27.5", "2.5"):
        assert part in shown
    found = answer(run("info", path, "--json"))
    assert found["data"]["shape"] == [5, 44, 56]
    assert found["grid"]["voxel"] == pytest.approx(0.32)
    assert found["geometry"]["kind"] == "cone"
    table = own(tmp_path, replace(CONE.to_vectors()))
    assert "views of any kind, from a point" in said(run("info", table))


@pytest.mark.parametrize("kind", ["cone", "tilts"])
def test_visible_tells_the_share_of_surfaces(tmp_path: Path, kind: str) -> None:
    tilts = ParallelBeam3D(tuple(np.radians(np.arange(-59.0, 60.0, 2.0))), FlatPanel(24, 28, (1.6, 1.6)))
    path = own(tmp_path, CONE if kind == "cone" else tilts)
    found = answer(run("visible", path, "--out", tmp_path / "out", "--json"))
    middle = found["measured_share"]["on the axis, middle"]
    assert middle == pytest.approx(1.0 if kind == "cone" else 2 / 3, abs=0.02)
    assert found["measured_share"]["on the axis, lowest"] <= middle
    assert matplotlib.image.imread(tmp_path / "out" / "visibility.png").shape[2] == 4
    shown = said(run("visible", path, "--out", tmp_path / "out"))
    assert ("nearly level" in shown) == (kind == "cone")
    assert run("visible", path, "--grid", 30, "--out", tmp_path / "out").exit_code == 2

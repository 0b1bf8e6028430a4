"""The verbs that look: info, visible, methods, doctor."""

import math

import matplotlib.image
import pytest
import torch
from cli_help import SIZE, answer, run, said, scan_file

from microlocal.core import Detector, FanBeam, Grid, ParallelBeam, Scan
from microlocal.io import write_scan


def test_info_tells_what_is_in_the_file(tmp_path):
    found = answer(run("info", scan_file(tmp_path, slices=2), "--json"))
    assert found["data"]["shape"] == [2, 40, SIZE]
    assert found["data"]["axes"] == ["slice", "angle", "detector"]
    assert found["geometry"]["kind"] == "parallel"
    assert found["missing_wedge_deg"] == pytest.approx(60)
    assert found["grid"]["pixel"] == 1.0
    assert len(found["source"]["sha256"]) == 64


def test_info_for_people_gives_geometry_and_units(tmp_path):
    shown = said(run("info", scan_file(tmp_path)))
    for part in ("40 views from 0° to 117°", "usual step 3°", "detector pixel 23.5", "60° of 180°"):
        assert part in shown
    assert f"{SIZE} pixels of 1 mm" in shown


def test_info_keeps_the_digits_that_one_would_copy(tmp_path):
    """The axis of a wide detector lies on half a pixel, and a step may be less than a tenth of a degree."""
    angles = tuple(math.radians(0.04 * k) for k in range(5))
    geometry = FanBeam(angles, Detector(2048, 0.2), source_axis=410.66, source_detector=553.74)
    data = torch.rand(geometry.shape, generator=torch.Generator().manual_seed(0))
    shown = said(run("info", write_scan(Scan(data, geometry, geometry.default_grid()), tmp_path / "scan.npz")))
    for part in ("detector pixel 1023.5", "usual step 0.04°", "410.66 mm", "553.74 mm"):
        assert part in shown


def test_info_reads_the_challenge_files(shared):
    found = answer(run("info", shared / "data" / "htc2022" / "ta_30_v73.mat", "--json"))
    assert found["geometry"]["kind"] == "fan"
    assert found["grid"]["shape"] == [512, 512]


def test_info_says_what_a_file_without_lengths_leaves_open(shared):
    """No "640 pixels of 1 pixel", and no Python brackets around metadata."""
    shown = said(run("info", shared / "data" / "tooth" / "tooth.h5"))
    assert "640 pixels, size unknown" in shown
    assert "640 x 640 of 1 detector pixel" in shown
    shown = said(run("info", shared / "data" / "htc2022" / "ta_full.mat"))
    assert "560 pixels of 0.2 mm" in shown
    assert "[[" not in shown


def test_visible_gives_numbers_and_a_picture(tmp_path):
    result = run("visible", scan_file(tmp_path), "--out", tmp_path / "out", "--json")
    found = answer(result)
    assert result.exit_code == 0
    assert found["missing_wedge_deg"] == pytest.approx(60)
    [[low, high]] = found["measured_directions_deg"]["middle"]
    assert (high - low) % 180 == pytest.approx(120)
    assert found["measured_share"]["greatest"] == pytest.approx(2 / 3)
    picture = matplotlib.image.imread(found["files"][0])
    assert picture.shape[0] > 400
    assert picture[..., :3].std() > 0.1


def test_visible_follows_the_chosen_views(tmp_path):
    result = run("visible", scan_file(tmp_path), "--angles", "0:57", "--out", tmp_path, "--json")
    assert answer(result)["views"] == 20
    assert answer(result)["missing_wedge_deg"] == pytest.approx(120)


def test_visible_for_people_names_what_is_not_measured(tmp_path):
    shown = said(run("visible", scan_file(tmp_path), "--out", tmp_path))
    assert "missing wedge is 60° of 180°" in shown
    assert "Not measured in the middle: edge normals 118.5° to 178.5°" in shown
    assert "visibility.png" in shown


def test_visible_of_a_full_scan_misses_nothing(shared, tmp_path):
    result = run("visible", shared / "data" / "htc2022" / "ta_full.mat", "--out", tmp_path, "--grid", 64)
    assert result.exit_code == 0
    assert "missing wedge is 0° of 180°" in said(result)


@pytest.mark.parametrize(
    ("views", "told"),
    [
        (8, ("In the middle all edge normals are measured.", "up to 22.5° apart")),
        (1, ("One view at 0° measures",)),
    ],
)
def test_visible_of_few_views_says_what_that_means(tmp_path, views, told):
    angles = tuple(math.pi * k / 8 for k in range(views))
    scan = Scan(torch.zeros(views, SIZE), ParallelBeam(angles, Detector(SIZE, 1.0)), Grid((SIZE, SIZE), 1.0))
    write_scan(scan, tmp_path / "few.npz")
    shown = said(run("visible", tmp_path / "few.npz", "--out", tmp_path))
    for part in told:
        assert part in shown
    assert "normals none" not in shown


def test_an_arc_that_the_scan_has_not_is_refused(tmp_path):
    result = run("visible", scan_file(tmp_path), "--angles", "200:210", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "0.00..117.00 degrees" in said(result)


def test_methods_lists_every_registered_method():
    from microlocal.core.registry import registered

    listed = answer(run("methods", "--json"))["methods"]
    assert [m["name"] for m in listed] == list(registered("method"))
    assert {"fbp", "tv", "shearlet"} <= {m["name"] for m in listed}
    assert all(m["summary"] for m in listed)
    assert "shearlet" in said(run("methods"))


def test_the_doctor_finds_this_installation_sound():
    result = run("doctor", "--json")
    found = answer(result)
    assert result.exit_code == 0
    assert {"python", "packages", "threads", "GPU", "memory"} <= set(found["state"])
    assert all(check["passed"] for check in found["checks"])
    assert "adjoint exact" in said(run("doctor"))


def test_the_doctor_ends_with_1_where_an_adjoint_is_wrong(monkeypatch):
    from microlocal.operators import RayTransform

    right = RayTransform._adjoint
    monkeypatch.setattr(RayTransform, "_adjoint", lambda self, y: 1.01 * right(self, y))
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert {c["name"]: c["passed"] for c in answer(result)["checks"]}["shearlets"]
    assert not all(c["passed"] for c in answer(result)["checks"])


def test_the_doctor_tells_a_check_that_raises(monkeypatch):
    from microlocal.operators import RayTransform

    def broken(self, x):
        raise RuntimeError("the compiler is broken")

    monkeypatch.setattr(RayTransform, "_forward", broken)
    result = run("doctor")
    assert result.exit_code == 1
    assert "the compiler is broken" in said(result)

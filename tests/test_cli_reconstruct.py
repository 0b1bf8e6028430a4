"""The verbs that compute: reconstruct and demo, from a file to the files they promise."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from cli_help import SIZE, answer, interrupted, run, said, scan_file, small_scan

from microlocal.cli.recipe import Recipe
from microlocal.core import InputError
from microlocal.io import read_scan, write_scan
from microlocal.reconstruction import read_result

PROMISED = {"image.tif", "result.npz", "result.json", "report.html"}


@pytest.fixture(scope="module")
def tv(tmp_path_factory):
    """Reconstruct the small scan once, with everything that can be asked for."""
    folder = tmp_path_factory.mktemp("tv")
    arguments = ("--method", "tv", "--iterations", 20, "--hold-out", 4, "--compare", "fbp", "--compare", "cgls")
    result = run("reconstruct", scan_file(folder), *arguments, "--out", folder / "out", "--json")
    assert result.exit_code == 0, result.output
    return folder / "out", answer(result)


def test_the_promised_files_are_there_and_nothing_else(tv):
    folder, found = tv
    names = {path.name for path in folder.iterdir()}
    assert names >= PROMISED
    assert names == {Path(file).name for file in found["files"]}


def test_a_comparison_that_fails_costs_no_result(tmp_path, monkeypatch):
    """An unknown name is refused before anything is computed; a method that fails later finds the result written."""
    given = ("reconstruct", scan_file(tmp_path), "-m", "fbp", "--out", tmp_path / "out", "--compare")
    result = run(*given, "nope")
    assert result.exit_code == 2
    assert "nope" in said(result)
    assert not (tmp_path / "out").exists()
    run_one = Recipe.run
    for error, code in ((InputError("tv", expected="this", got="that", do="Try."), 2), (KeyboardInterrupt(), 3)):

        def failing(recipe, method, checkpoint=None, error=error):
            if method == "tv":
                raise error
            return run_one(recipe, method, checkpoint)

        monkeypatch.setattr(Recipe, "run", failing)
        result = run(*given, "tv")
        assert result.exit_code == code
        assert {path.name for path in (tmp_path / "out").iterdir()} >= PROMISED
        assert str(tmp_path / "out") in said(result)


@pytest.fixture
def refuted(monkeypatch):
    """Let the first claim of every result fail."""
    run_one = Recipe.run

    def run_it(*given):
        result = run_one(*given)
        first, *rest = result.certificates
        return replace(result, certificates=(replace(first, value=2 * first.bound), *rest))

    monkeypatch.setattr(Recipe, "run", run_it)


@pytest.mark.usefixtures("refuted")
@pytest.mark.parametrize("compare", [(), ("--compare", "cgls")])
def test_a_claim_that_fails_ends_with_1_after_everything_is_written(tmp_path, compare):
    given = ("-m", "fbp", *compare, "--out", tmp_path / "out")
    result = run("reconstruct", scan_file(tmp_path), *given)
    assert result.exit_code == 1
    assert "✗" in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} >= PROMISED
    assert not read_result(tmp_path / "out").certificates[0].holds


def test_a_claim_of_what_is_only_compared_does_not_count(tmp_path, monkeypatch):
    run_one = Recipe.run

    def run_it(recipe, method, checkpoint=None):
        result = run_one(recipe, method, checkpoint)
        bad = tuple(replace(c, value=2 * c.bound) for c in result.certificates)
        return replace(result, certificates=bad) if method == "cgls" else result

    monkeypatch.setattr(Recipe, "run", run_it)
    given = ("-m", "fbp", "--compare", "cgls", "--out", tmp_path / "out")
    assert run("reconstruct", scan_file(tmp_path), *given).exit_code == 0


@pytest.mark.usefixtures("refuted")
def test_the_demo_ends_with_1_likewise(tmp_path):
    assert run("demo", "--size", 32, "--out", tmp_path).exit_code == 1
    assert {path.name for path in tmp_path.iterdir()} >= PROMISED


def test_the_image_is_32_bit_with_its_pixel_size(tv):
    folder, _ = tv
    with tifffile.TiffFile(folder / "image.tif") as file:
        page = file.pages[0]
        assert page.dtype == np.float32
        assert page.shape == (SIZE, SIZE)
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == pytest.approx(1.0, rel=1e-5)


def test_the_answer_holds_numbers_certificates_and_choices(tv):
    _, found = tv
    assert found["method"] == "tv"
    assert set(found["compared"]) == {"fbp", "cgls"}
    assert 0 < found["metrics"]["hold-out error"] < 0.2
    assert found["metrics"]["hold-out error"] < found["compared"]["fbp"]["hold-out error"]
    assert found["missing_wedge_deg"] == pytest.approx(60)
    assert found["certificates"]
    assert all({"claim", "kind", "value", "bound", "holds"} <= set(c) for c in found["certificates"])
    assert sum(found["edges"].values()) == pytest.approx(1)


def test_the_report_shows_every_compared_method(tv):
    page = (tv[0] / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("tv", "fbp", "cgls"))


def test_the_result_reads_back(tv):
    folder, found = tv
    result = read_result(folder)
    assert result.method == "tv"
    assert result.metrics["hold-out error"] == pytest.approx(found["metrics"]["hold-out error"])
    assert float(result.image.max()) > 0


def test_seeded_runs_repeat(tv, tmp_path):
    arguments = ("--method", "tv", "--iterations", 20, "--hold-out", 4, "--out", tmp_path / "again", "--quiet")
    assert run("reconstruct", scan_file(tmp_path), *arguments).exit_code == 0
    first, again = read_result(tv[0]), read_result(tmp_path / "again")
    assert torch.equal(first.image, again.image)


def test_people_are_told_what_was_found_and_which_files_hold_it(tmp_path):
    result = run("reconstruct", scan_file(tmp_path), "--method", "fbp", "--out", tmp_path / "out")
    assert result.exit_code == 0
    shown = said(result)
    for part in ("fbp done", f"{SIZE} x {SIZE} pixels of 1 mm", "40 views from 0° to 117°", "60° of 180° missing"):
        assert part in shown
    for part in ("Certificates", "✓", "report.html", "image.tif"):
        assert part in shown


def test_slices_views_and_grid_follow_the_options(tmp_path):
    file = scan_file(tmp_path, slices=3)
    out = ("--out", tmp_path / "out", "--json", "--method", "fbp")
    assert answer(run("reconstruct", file, "--slice", 1, *out))["image_shape"] == [SIZE, SIZE]
    assert answer(run("reconstruct", file, "--slice", "0:2", *out))["image_shape"] == [2, SIZE, SIZE]
    found = answer(run("reconstruct", file, "--slice", 0, "--angles", "0:57", "--grid", "24x30", "--pixel", 2, *out))
    assert found["image_shape"] == [24, 30]
    assert found["pixel"] == 2
    assert found["missing_wedge_deg"] == pytest.approx(120)


@pytest.mark.parametrize(("chosen", "told"), [("1", "slice 1"), ("1:3", "slices 1 to 2")])
def test_the_report_and_the_record_name_the_slice(tmp_path, chosen, told):
    file = scan_file(tmp_path, slices=3)
    assert run("reconstruct", file, "--slice", chosen, "--method", "fbp", "--out", tmp_path / "out").exit_code == 0
    assert f'<h1 id="title">{file.name}, {told}</h1>' in (tmp_path / "out" / "report.html").read_text()
    source = json.loads((tmp_path / "out" / "result.json").read_text())["source"]
    assert source["metadata"]["slice of the stack"] == told.split(maxsplit=1)[1]


def test_a_slice_that_is_not_there_is_refused(tmp_path):
    result = run("reconstruct", scan_file(tmp_path, slices=3), "--slice", 3, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "0..2" in said(result)
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_names_the_nearest(tmp_path):
    result = run("reconstruct", scan_file(tmp_path), "--method", "shearlets", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "Did you mean 'shearlet'?" in said(result)


@pytest.mark.parametrize(("center", "told"), [("auto", "axis of rotation was found"), ("23.5", None)])
def test_the_axis_is_found_or_taken_as_given(tmp_path, center, told):
    scan = read_scan(scan_file(tmp_path))
    file = write_scan(type(scan)(scan.data, scan.geometry.with_offset(3.0), scan.grid), tmp_path / "moved.npz")
    arguments = ("--method", "fbp", "--center", center, "--out", tmp_path / "out", "--json")
    found = answer(run("reconstruct", file, *arguments))
    offset = read_result(tmp_path / "out").scan.geometry.detector.offset
    assert offset == pytest.approx(0.0, abs=0.5)
    assert told is None or any(told in sentence for sentence in found["warnings"])


def test_constant_data_are_refused(tmp_path):
    scan = small_scan()
    file = write_scan(type(scan)(torch.ones_like(scan.data), scan.geometry, scan.grid), tmp_path / "flat.npz")
    result = run("reconstruct", file, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_the_best_image_and_resume_goes_on(tmp_path):
    out = tmp_path / "out"
    arguments = ["reconstruct", str(scan_file(tmp_path)), "--method", "tv", "--weight", "1", "--out", str(out)]
    arguments += ["--grid", "192"]  # so that it would go on for seconds: on a busy machine Ctrl-C may come late
    code, screen = interrupted([*arguments, "--iterations", "10000000"], r"[1-9]\d*/10000000")
    assert code == 3, screen
    assert "the same command with --resume" in re.sub(r"\s+", " ", screen)
    facts = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert facts["config"]["status"] == "interrupted"
    assert {path.name for path in out.iterdir()} >= PROMISED
    assert float(read_result(out).image.max()) > 0
    done = facts["config"]["iterations"]
    found = answer(run(*arguments, "--iterations", "5", "--resume", "--json"))
    assert found["config"]["iterations"] > done
    assert found["interrupted"] is False
    assert not list(out.glob("checkpoint*"))


def test_without_resume_an_old_checkpoint_is_not_used(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "checkpoint-tv.safetensors").write_bytes(b"another run's")
    arguments = ("--method", "tv", "--weight", "0.1", "--iterations", "5", "--out", out, "--json")
    assert answer(run("reconstruct", scan_file(tmp_path), *arguments))["config"]["iterations"] == 5
    assert not list(out.glob("checkpoint*"))


def test_resume_without_a_checkpoint_says_that_it_begins_anew(tmp_path):
    out = tmp_path / "out"
    arguments = (
        "reconstruct",
        scan_file(tmp_path),
        "--method",
        "tv",
        "--weight",
        "0.1",
        "--iterations",
        "5",
        "--out",
        out,
    )
    assert "There is no checkpoint" not in said(run(*arguments))
    result = run(*arguments, "--resume")
    assert result.exit_code == 0
    assert f"There is no checkpoint of tv in {out}: it begins anew." in said(result)
    assert answer(run(*arguments, "--resume", "--json"))["config"]["iterations"] == 5


def test_the_demo_reconstructs_by_three_methods_and_says_what_was_found(tmp_path):
    result = run("demo", "--size", 64, "--out", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    shown = said(result)
    for part in ("of all edge directions", "shearlet", "tv", "fbp", "kept out", "in a browser"):
        assert part in shown
    assert {path.name for path in (tmp_path / "demo").iterdir()} >= PROMISED

"""Stacks: every slice as if it were alone, constant memory, and nothing lost by kills, deaths, full disks or parts."""

import json
import math
import os
import re
import signal
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import stack_files as files
import tifffile
import torch
import zarr
from cli_help import answer, run, said

from microlocal.core import registry
from microlocal.core.errors import GeometryError, InputError, OutputError
from microlocal.io import open_stack, read_scan, volumes
from microlocal.io.images import write_tiff
from microlocal.members import load_all
from microlocal.reconstruction import StackRequest, Workers, fbp, reconstruct_stack, stack_state
from microlocal.reconstruction.journal import Journal, Row
from microlocal.reconstruction.method import Settings
from microlocal.reconstruction.stack_job import interrupted

load_all()

SLICES = 24
FBP = StackRequest(method="fbp", block=4)


@pytest.fixture(autouse=True)
def _methods(monkeypatch):
    """The methods of ``stack_files`` are registered for a test and forgotten after it."""
    members = {kind: dict(entries) for kind, entries in registry._ENTRIES.items()}
    monkeypatch.setattr(registry, "_ENTRIES", members)
    files.register_methods()


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return files.data_exchange(tmp_path_factory.mktemp("data") / "stack.h5", SLICES)


@pytest.fixture(scope="module")
def whole(counts, tmp_path_factory):
    """The stack reconstructed in one go."""
    return reconstruct_stack(counts, tmp_path_factory.mktemp("whole"), FBP)


def images(folder: Path) -> np.ndarray:
    return np.stack([tifffile.imread(path) for path in sorted((folder / "slices").iterdir())])


def kinder(request: StackRequest = FBP, **changes: object) -> StackRequest:
    return StackRequest(**{**vars(request), **changes})


def test_every_slice_is_what_the_method_makes_of_it_alone(counts, whole):
    scan = open_stack(counts).block(range(SLICES)).scan
    center = whole.plan["choices"]["center_pixels"]
    assert center == pytest.approx(15.5, abs=0.2)
    found = images(whole.folder)
    moved = scan.geometry.with_offset((15.5 - center) * scan.geometry.detector.pitch)
    for k in (0, 7, SLICES - 1):
        one = type(scan)(scan.data[k], moved, scan.grid)
        alone = fbp(one, scan.grid, Settings()).image.numpy()
        assert np.abs(found[k] - alone).max() < 1e-5 * np.abs(alone).max()


@pytest.mark.parametrize("form", ["bigtiff", "zarr"])
@pytest.mark.parametrize("count", [1, 2])
def test_the_pixels_depend_neither_on_form_nor_on_workers(counts, whole, tmp_path, form, count):
    state = reconstruct_stack(counts, tmp_path, kinder(form=form), where=Workers(count))
    assert state.complete
    assert state.checksum() == whole.checksum()
    volume = volumes.volume_at(tmp_path, form, (SLICES, 32, 32), 0, 1.0, "pixel")
    assert all(np.array_equal(volume.read(k), image) for k, image in enumerate(images(whole.folder)))


def test_the_block_makes_no_difference_to_a_linear_method(counts, whole, tmp_path):
    state = reconstruct_stack(counts, tmp_path, kinder(block=7))
    assert np.abs(images(state.folder) - images(whole.folder)).max() < 1e-6


def test_the_zarr_volume_says_what_it_is(counts, tmp_path):
    state = reconstruct_stack(counts, tmp_path, kinder(form="zarr", slices=(2, 9)))
    attributes = dict(zarr.open_group(str(tmp_path / "volume.zarr"), mode="r").attrs)
    assert attributes["complete"] is True
    assert attributes["image_sha256"] == state.checksum()
    assert attributes["config"]["method"] == "fbp"
    assert attributes["grid"]["shape"] == [32, 32]
    assert attributes["geometry"]["kind"] == "parallel"
    assert {"version", "choices", "source", "axes"} <= set(attributes)


def test_grid_views_axis_and_slices_are_as_asked(counts, tmp_path):
    grid = open_stack(counts).grid
    smaller = type(grid)((12, 20), 1.5, unit=grid.unit)
    request = kinder(grid=smaller, arc=(0.0, 90.0), center=14.5, slices=(3, 6))
    state = reconstruct_stack(counts, tmp_path, request)
    assert images(tmp_path).shape == (3, 12, 20)
    assert sorted(state.rows) == [3, 4, 5]
    assert state.plan["choices"]["center_pixels"] == 14.5
    assert next(p.name for p in sorted((tmp_path / "slices").iterdir())) == "slice_00003.tif"


def test_the_grid_follows_an_axis_near_the_detectors_edge(tmp_path):
    path = files.npy(tmp_path / "s.npy", 2)
    fields = json.loads(path.with_suffix(".json").read_text())
    turn = np.linspace(0.0, 360.0, len(fields["angles_deg"]), endpoint=False).tolist()
    path.with_suffix(".json").write_text(json.dumps(fields | {"angles_deg": turn}))
    reconstruct_stack(path, tmp_path / "out", kinder(center=4.0))
    assert images(tmp_path / "out").shape == (2, 55, 55)


def test_the_weight_is_chosen_once_for_all(tmp_path):
    path = files.npy(tmp_path / "s.npy", 4)
    request = StackRequest(method="tv", iterations=10, block=2)
    state = reconstruct_stack(path, tmp_path / "out", request)
    weight = state.plan["choices"]["weight"]
    assert weight > 0
    assert "discrepancy" in state.plan["choices"]["notes"][-1]
    given = reconstruct_stack(path, tmp_path / "again", kinder(request, weight=weight))
    assert given.checksum() == state.checksum()
    # A given weight is not tuned any more, so the sparse image is not the linear one.
    assert state.checksum() != reconstruct_stack(path, tmp_path / "fbp", FBP).checksum()


def test_the_summary_has_a_row_for_every_slice(whole):
    fields = json.loads((whole.folder / "summary.json").read_text())
    assert fields["complete"] is True
    assert [row["slice"] for row in fields["rows"]] == list(range(SLICES))
    assert all(0 < row["residual"] < 0.2 and row["seconds"] > 0 for row in fields["rows"])
    assert fields["image_sha256"] == whole.checksum()
    page = (whole.folder / "summary.html").read_text()
    assert f"<h1>{whole.folder.name}</h1>" in page
    assert page.count("<svg") == 2
    assert "24 of 24" in page


def test_a_killed_run_goes_on_where_it_was(counts, whole, tmp_path):
    request = StackRequest(method="slow", block=2)
    process = files.started(reconstruct_stack, counts, tmp_path, request)
    files.wait_for(tmp_path, 3)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert 6 <= len(stack_state(tmp_path).rows) < SLICES
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "job" / "done").glob("[0-9]*")}
    assert reconstruct_stack(counts, tmp_path, request).complete
    assert np.array_equal(images(tmp_path), images(whole.folder))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), "what was done was done again"


@pytest.mark.parametrize("form", ["tiff", "bigtiff", "zarr"])
@pytest.mark.parametrize("fresh", [False, True])
def test_what_a_killed_writer_left_beside_its_place_goes_when_all_is_done(counts, tmp_path, form, fresh):
    request = kinder(form=form, slices=(0, 8))
    reconstruct_stack(counts, tmp_path, request, part=(0, 2) if form != "bigtiff" else (0, 1))
    volume = {"tiff": "slices", "bigtiff": ".", "zarr": "volume.zarr/image/c/7"}[form]
    named = {"tiff": ".slice_00007.tif.01ab.tmp", "bigtiff": ".volume.tif.01ab.tmp", "zarr": "0.01ab.partial"}
    left = [tmp_path / "job" / "done" / ".000004-000008.json.01ab.tmp", tmp_path / volume / named[form]]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half of a sl")
    assert reconstruct_stack(counts, tmp_path, request, fresh=fresh).complete
    assert not any(path.exists() for path in left)


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(counts, tmp_path):
    out, shown = tmp_path / "out", tmp_path / "shown.txt"
    arguments = ("stack", counts, "-m", "slow", "--block", 2, "--out", out)
    process = files.started(files.command_line, shown, *arguments)
    files.wait_for(out, 2)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 3
    words = " ".join(shown.read_text().split())
    assert re.search(r"interrupted\. \d+ of 24 slices", words)
    assert "The same command goes on" in words
    assert 4 <= len(stack_state(out).rows) < SLICES


class Hook:
    """Calls a function at the first progress of the slices."""

    def __init__(self, function):
        self.function = function

    def start(self, task, total):
        pass

    def advance(self, task, steps=1):
        if task == "slices" and steps and self.function:
            function, self.function = self.function, None
            function()

    def finish(self, task):
        pass


def test_ctrl_c_ends_the_workers(counts, tmp_path):
    def press():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reconstruct_stack(
            counts, tmp_path, StackRequest(method="slow", block=2), where=Workers(2), progress=Hook(press)
        )
    assert not active_children()
    assert 2 <= len(stack_state(tmp_path).rows) < SLICES


def test_workers_leave_ctrl_c_to_the_one_who_gives_the_work(counts, tmp_path):
    workers = []

    def press():
        workers.extend(active_children())
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)

    request = StackRequest(method="slow", block=2)
    assert reconstruct_stack(counts, tmp_path, request, where=Workers(2), progress=Hook(press)).complete
    assert len(workers) == 2
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_other_settings_are_refused_by_name(counts, tmp_path):
    reconstruct_stack(counts, tmp_path, kinder(slices=(0, 4)))
    with pytest.raises(InputError, match=r"expected method = fbp.* got method = cgls"):
        reconstruct_stack(counts, tmp_path, kinder(slices=(0, 4), method="cgls"))
    with pytest.raises(InputError, match=r"slices = \[0, 4\]"):
        reconstruct_stack(counts, tmp_path, kinder(slices=(0, 5)))
    with pytest.raises(InputError, match="seed = 0"):
        reconstruct_stack(counts, tmp_path, kinder(slices=(0, 4), seed=1))


def test_other_data_are_refused(counts, tmp_path):
    reconstruct_stack(counts, tmp_path / "out", FBP)
    other = files.npy(tmp_path / "s.npy", SLICES)
    with pytest.raises(InputError, match="expected data = "):
        reconstruct_stack(other, tmp_path / "out", FBP)


def test_fresh_begins_anew_and_touches_nothing_else(counts, tmp_path):
    for form in ("tiff", "bigtiff", "zarr"):
        reconstruct_stack(counts, tmp_path, kinder(form=form, slices=(0, 4)), fresh=True)
        (tmp_path / "mine.txt").write_text("kept")
    state = reconstruct_stack(counts, tmp_path, kinder(slices=(0, 2)), fresh=True)
    assert state.complete
    assert (tmp_path / "mine.txt").read_text() == "kept"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", "job", "slices", "summary.json", "summary.html"}


def test_damaged_slices_and_records_are_done_again(counts, whole, tmp_path):
    reconstruct_stack(counts, tmp_path, FBP)
    page = tmp_path / "slices" / "slice_00005.tif"
    page.write_bytes(page.read_bytes()[:100])
    record = tmp_path / "job" / "done" / "000012-000016.json"
    record.write_bytes(record.read_bytes()[:50])
    (tmp_path / "slices" / "slice_00020.tif").unlink()
    assert reconstruct_stack(counts, tmp_path, FBP).complete
    assert np.array_equal(images(tmp_path), images(whole.folder))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_slice_that_fails_costs_nothing_but_itself(tmp_path, workers):
    path = files.npy(tmp_path / "s.npy", 12, cruel=(5,))
    request = StackRequest(method="raising", block=4)
    state = reconstruct_stack(path, tmp_path / "out", request, where=Workers(workers))
    assert state.missing == (5,)
    assert state.failed == {5: "ArithmeticError: a cruel slice"}
    assert "a cruel slice" in (tmp_path / "out" / "summary.html").read_text()


def test_a_slice_that_kills_its_worker_costs_nothing_but_itself(tmp_path):
    path = files.npy(tmp_path / "s.npy", 12, cruel=(5,))
    state = reconstruct_stack(path, tmp_path / "out", StackRequest(method="deadly", block=4), where=Workers(2))
    assert state.missing == (5,)
    assert state.failed == {5: "the worker died (signal 9)"}


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    path, mark = files.npy(tmp_path / "s.npy", 12, cruel=(5,)), tmp_path / "mark"
    registry.register("method", "once-deadly")(partial(files.deadly_once, mark))
    state = reconstruct_stack(path, tmp_path / "out", StackRequest(method="once-deadly", block=4), where=Workers(2))
    assert mark.exists()
    assert state.complete
    assert state.checksum() == reconstruct_stack(path, tmp_path / "again", FBP).checksum()


def test_unusable_data_are_reported_with_their_slice(tmp_path):
    path = files.npy(tmp_path / "s.npy", 8)
    data = np.load(path)
    data[5, 3, 4] = np.nan
    np.save(path, data)
    state = reconstruct_stack(path, tmp_path / "out", FBP)
    assert state.missing == (5,)
    assert "1 NaN or infinite" in state.failed[5]
    result = run("stack", path, "-m", "fbp", "--block", 4, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "slice 5: expected finite data" in said(result)


def test_parts_one_after_the_other(counts, whole, tmp_path):
    for part in (2, 0, 1):
        state = reconstruct_stack(counts, tmp_path, kinder(form="zarr"), part=(part, 3))
        assert not state.failed
        assert state.complete == (part == 1)
    assert state.checksum() == whole.checksum()
    assert len(state.share) == SLICES // 3


def test_parts_at_the_same_time(counts, whole, tmp_path):
    arguments = ("stack", counts, "-m", "fbp", "--block", 4, "--out", tmp_path / "out", "--num-parts", 2, "--part-id")
    parts = [files.started(files.command_line, tmp_path / f"{k}.txt", *arguments, k) for k in range(2)]
    for part in parts:
        part.join()
    assert [part.exitcode for part in parts] == [0, 0]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["complete"] is True
    assert np.array_equal(images(tmp_path / "out"), images(whole.folder))


def test_a_form_that_one_machine_writes_is_refused_for_parts(counts, tmp_path):
    with pytest.raises(InputError, match="tiff or zarr"):
        reconstruct_stack(counts, tmp_path / "out", kinder(form="bigtiff"), part=(0, 2))
    assert not (tmp_path / "out").exists()


def test_workers_beside_a_cluster_are_refused(counts, tmp_path):
    result = run("stack", counts, "--scheduler", "tcp://127.0.0.1:1", "--workers", 2, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "leave out --workers" in said(result)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_does_not_exist_is_refused(counts, tmp_path, part):
    with pytest.raises(InputError, match="Number the parts from 0"):
        reconstruct_stack(counts, tmp_path, FBP, part=part)


def test_a_full_disk_loses_nothing(counts, whole, tmp_path, monkeypatch):
    written = []

    def filling(*arguments: object) -> Path:
        if len(written) == 10:
            raise OutputError("disk", expected="space", got="No space left on device", do="Make room.")
        written.append(write_tiff(*arguments))
        return written[-1]

    monkeypatch.setattr(volumes, "write_tiff", filling)
    with pytest.raises(OutputError, match="8 of 24 slices are done and stay"):
        reconstruct_stack(counts, tmp_path, FBP)
    monkeypatch.undo()
    assert reconstruct_stack(counts, tmp_path, FBP).checksum() == whole.checksum()


def test_a_full_disk_is_told_by_workers_too(counts, tmp_path):
    reconstruct_stack(counts, tmp_path, kinder(slices=(0, 8)))
    (tmp_path / "slices" / "slice_00003.tif").unlink()
    (tmp_path / "slices" / "slice_00003.tif").mkdir()
    with pytest.raises(OutputError, match=r"slice_00003.tif.*4 of 8|slice_00003.tif.*8 of 8"):
        reconstruct_stack(counts, tmp_path, kinder(slices=(0, 8)), where=Workers(2))


def test_slices_that_are_not_there_are_refused(counts, tmp_path):
    with pytest.raises(InputError, match=r"slices within 0\.\.23"):
        reconstruct_stack(counts, tmp_path, kinder(slices=(20, 25)))


def test_no_slices_are_not_one_slice(counts, tmp_path):
    result = run("stack", counts, "-m", "fbp", "--slice", "3:0", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "3:0" in said(result)


def test_mistakes_show_before_anything_is_written(counts, tmp_path):
    for request in (kinder(method="fpb"), kinder(form="tif"), kinder(arc=(200.0, 210.0))):
        with pytest.raises((InputError, GeometryError)):
            reconstruct_stack(counts, tmp_path / "out", request)
        assert not (tmp_path / "out").exists(), "the right command would be refused for the wrong one's plan"


def test_the_state_of_an_interrupted_method_is_found_at_any_depth():
    assert interrupted({"status": "interrupted"})
    assert interrupted({"slice 0": {"status": "budget"}, "slice 1": {"status": "interrupted"}})
    assert not interrupted({"status": "budget", "slice 0": {"status": "converged"}})


def test_the_command_tells_people_and_programs(counts, whole, tmp_path):
    result = run("stack", counts, "-m", "fbp", "--block", 4, "--out", tmp_path, "--slice", "0:8")
    assert result.exit_code == 0
    shown = said(result)
    for part in ("fbp done. 8 of 8 slices", "axis of rotation was found", "slices", "summary.html"):
        assert part in shown
    found = answer(run("stack", counts, "--out", tmp_path, "--status", "--json"))
    assert found["complete"] is True
    assert found["done"] == 8
    assert "rows" not in found


def test_the_status_of_what_is_incomplete(counts, tmp_path):
    run("stack", counts, "-m", "fbp", "--block", 4, "--out", tmp_path, "--num-parts", 2, "--part-id", 1)
    result = run("stack", counts, "--out", tmp_path, "--status")
    assert result.exit_code == 3
    assert "12 of 24 slices" in said(result)
    assert "Missing: 0–3, 8–11 and 16–19" in said(result)
    (tmp_path / "summary.json").unlink()
    (tmp_path / "summary.json").mkdir()  # in the way, as a folder is that may only be read
    assert answer(run("stack", counts, "--out", tmp_path, "--status", "--json"))["done"] == 12
    nothing = run("stack", counts, "--out", tmp_path / "nowhere", "--status")
    assert nothing.exit_code == 2
    assert not (tmp_path / "nowhere").exists()


def test_memory_does_not_grow_with_the_number_of_slices(tmp_path):
    grown = {}
    for count in (40, 160):
        (tmp_path / str(count)).mkdir()
        path = files.data_exchange(tmp_path / f"{count}.h5", count, finer=8)
        files.started(files.growth, path, tmp_path / str(count)).join()
        grown[count] = int((tmp_path / str(count) / "grown").read_text())
    images_more = 120 * 4 * (8 * files.SIZE) ** 2  # bytes: what keeping the images alone would take
    assert grown[160] - grown[40] < 0.3 * images_more, grown


def test_the_stack_on_disk_is_the_one_that_read_scan_sees(counts):
    assert torch.equal(read_scan(counts).data, open_stack(counts).block(range(SLICES)).scan.data)


@pytest.mark.parametrize("asked", [{"weight": -1.0}, {"weight": math.nan}, {"iterations": 0}, {"block": 0}])
def test_numbers_that_make_no_sense_are_refused_before_a_slice_is_read(asked):
    with pytest.raises(InputError, match=f"stack: expected {next(iter(asked))}"):
        StackRequest(**asked)


@pytest.mark.parametrize("last", ["alone", "block"])
def test_of_a_slice_that_was_done_twice_the_last_row_counts(tmp_path, last):
    journal = Journal(tmp_path)
    for age, turn in enumerate(("block", "alone") if last == "alone" else ("alone", "block")):
        blocks = [range(2)] if turn == "block" else [range(1), range(1, 2)]
        for numbers in blocks:
            journal.write(numbers, [Row(number, sha256=turn) for number in numbers])
            path = tmp_path / f"{numbers.start:06d}-{numbers.stop:06d}.json"
            os.utime(path, (1000.0 + age, 1000.0 + age))
    assert {number: row.sha256 for number, row in journal.rows().items()} == {0: last, 1: last}
    journal.write(range(2, 3), [Row(2, sha256="done")])
    journal.write(range(2, 4), [Row(2, error="failed"), Row(3)])
    assert journal.rows()[2].sha256 == "done"

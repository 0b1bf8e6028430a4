"""What a stack says of its slices: for each of them what ``reconstruct`` says of it alone, whatever is beside it."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import stack_files as files
import tifffile
import torch
import zarr
from cli_help import answer, run, said, small_scan
from tiny_weights import tiny_weights

import microlocal as ml
from microlocal.core import registry
from microlocal.core.errors import InputError
from microlocal.core.provenance import COLOURS, NAMED
from microlocal.core.seeding import generator
from microlocal.io import open_stack, volumes, write_scan
from microlocal.members import load_all
from microlocal.reconstruction import Estimate, StackRequest, Workers, fbp, reconstruct_stack, stack_state
from microlocal.reconstruction.verdict import Verdict, of_slice

load_all()
SLICES, NOISE = 5, 2  # slice 2 is nothing but noise
SETTINGS = {"weight": 1.0, "iterations": 20}
CODED = {"tiff": "slices", "bigtiff": "volume.tif", "zarr": "volume.zarr"}


@pytest.fixture(autouse=True)
def _methods(monkeypatch):
    """The methods of these tests are registered for a test and forgotten after it."""
    members = {kind: dict(entries) for kind, entries in registry._ENTRIES.items()}
    monkeypatch.setattr(registry, "_ENTRIES", members)
    files.register_methods()


def quiet(path: Path, **changes: object) -> Path:
    """Weights of a network that knows no noise above 10 %."""
    made = tiny_weights(path, **changes)
    card = json.loads(made.with_suffix(".json").read_text())
    card["trained on"]["ranges"]["noise"] = [0.0, 10.0]
    made.with_suffix(".json").write_text(json.dumps(card))
    return made


@pytest.fixture(scope="module")
def scan():
    found = small_scan(SLICES)
    found.data[:] *= torch.linspace(1.0, 2.0, SLICES)[:, None, None]
    found.data[NOISE] = found.data[0].std() * torch.randn(found.data[0].shape, generator=generator(3))
    return found


@pytest.fixture(scope="module")
def place(scan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    write_scan(scan, folder / "stack.h5")
    quiet(folder / "quiet")
    return folder


@pytest.fixture(scope="module")
def request_(place):
    return StackRequest("learn-the-invisible", **SETTINGS, block=1, network=str(place / "quiet"))


@pytest.fixture(scope="module")
def whole(place, request_):
    return reconstruct_stack(place / "stack.h5", place / "whole", request_)


@pytest.fixture(scope="module")
def alone(scan, place):
    """Every slice by ``reconstruct``."""
    file = place / "quiet"
    return [ml.reconstruct(scan.slices(k), "learn-the-invisible", **SETTINGS, network=file) for k in range(SLICES)]


def read(folder: Path, form: str = "tiff", coded: bool = False) -> np.ndarray:
    volume = volumes.volume_at(folder, form, (SLICES, 48, 48), 0, 1.0, "mm", coded=coded)
    return np.stack([volume.read(k) for k in range(SLICES)])


def test_of_every_slice_the_same_is_said_as_of_it_alone(whole, alone):
    says_the_same(whole, alone)


def test_every_slice_is_brought_to_a_residual_as_if_alone(scan, place, request_, whole):
    """Slices of which the method leaves more are changed, the others are not; each has a certificate of its own."""
    left = sorted(row.residual for row in whole.rows.values())
    residual = (left[1] + left[2]) / 2
    state = reconstruct_stack(place / "stack.h5", place / "nearer", replace(request_, residual=residual))
    options = {**SETTINGS, "network": place / "quiet", "residual": residual}
    says_the_same(state, [ml.reconstruct(scan.slices(k), "learn-the-invisible", **options) for k in range(SLICES)])
    changed = [not np.array_equal(*pair) for pair in zip(read(state.folder), read(whole.folder), strict=True)]
    assert changed == [whole.rows[k].residual > residual for k in range(SLICES)]
    reached = [state.rows[k].residual <= 1.001 * residual for k in range(SLICES)]
    assert reached == [k != NOISE for k in range(SLICES)]  # no image explains noise
    assert list(state.broken) == [NOISE]
    for k, row in state.rows.items():
        assert row.growth == whole.rows[k].growth  # of what the network added to the method's own image
        assert len([claim for claim in row.certificates if "No image much nearer" in claim["claim"]]) == 1
    with pytest.raises(InputError, match="residual = None"):
        reconstruct_stack(place / "stack.h5", place / "nearer", request_)
    with pytest.raises(InputError, match="between 0 and 1"):
        StackRequest(residual=2.0)
    asked = ["stack", place / "stack.h5", "-m", "cgls", "--residual", "0.02", "--out", place / "told", "--slice", "0:2"]
    assert answer(run(*asked, "--json"))["request"]["residual"] == 0.02


def says_the_same(whole, alone):
    images, added = read(whole.folder), read(whole.folder / "learned")
    codes = read(whole.folder / "provenance", coded=True)
    shared = whole.plan["choices"]["certificates"]
    for k, result in enumerate(alone):
        row = whole.rows[k]
        assert np.array_equal(images[k], result.image.numpy())
        assert np.array_equal(codes[k], result.provenance.numpy())
        assert np.array_equal(added[k], 0 * images[k] if result.learned is None else result.learned.numpy())
        assert row.why == result.config["network because"]
        assert row.network == result.config["network"]
        assert row.residual == pytest.approx(result.metrics["relative residual"], rel=1e-6)
        stated = {certificate.claim: certificate for certificate in result.certificates}
        assert {claim["claim"] for claim in (*row.certificates, *shared)} == set(stated)
        for claim in (*row.certificates, *shared):
            own = stated[claim["claim"]]
            assert float(claim["value"]) == pytest.approx(own.value, rel=1e-5, abs=1e-6)
            assert (claim["bound"], claim["kind"], claim["holds"]) == (own.bound, own.kind, own.holds)
        assert row.provenance == pytest.approx(
            {name: float((codes[k] == code).mean()) for code, (name, _) in NAMED.items()}, abs=1e-6
        )


def test_the_network_leaves_the_slice_that_it_does_not_suit_and_says_so(whole, alone):
    assert list(whole.left) == [NOISE]
    assert "quiet: noise" in whole.left[NOISE]
    assert alone[NOISE].learned is None
    assert whole.rows[NOISE].growth is None
    for k in set(range(SLICES)) - {NOISE}:
        assert whole.rows[k].network == "quiet"
        assert whole.rows[k].provenance["learned"] > 0
        (consistent,) = [c for c in whole.rows[k].certificates if "contradict" in c["claim"]]
        assert whole.rows[k].growth == pytest.approx(consistent["value"], abs=1e-5)
    fields = json.loads((whole.folder / "summary.json").read_text())
    assert fields["left without the network"] == {str(NOISE): whole.left[NOISE]}
    assert fields["rows"][NOISE]["network"] == "none"


@pytest.mark.parametrize("form", CODED)
def test_a_left_slice_changes_nothing_for_its_neighbours_in_a_block(place, request_, form):
    """Blocks of all slices by one process, of two by two workers: f* depends on the block, the rest on f* alone."""
    out = place / f"five-{form}"
    blocks = replace(request_, block=SLICES, form=form)
    state = reconstruct_stack(place / "stack.h5", out, blocks)
    scan = open_stack(place / "stack.h5").block(range(SLICES)).scan
    together = ml.reconstruct(scan, "learn-the-invisible", **SETTINGS, network=place / "quiet")
    assert np.array_equal(read(out, form), together.image.numpy())
    assert np.array_equal(read(out / "learned", form), together.learned.numpy())
    assert np.array_equal(read(out / "provenance", form, coded=True), together.provenance.numpy())
    assert list(state.left) == [NOISE]
    assert [row.why for row in state.rows.values()] == [of_slice(together.config, k)[WHY] for k in range(SLICES)]


WHY = "network because"


def test_workers_parts_and_a_later_run_change_nothing(place, whole, request_):
    out = place / "later"
    reconstruct_stack(place / "stack.h5", out, request_, part=(1, 3))
    state = reconstruct_stack(place / "stack.h5", out, request_, where=Workers(2))
    assert state.complete
    assert state.checksum() == whole.checksum()
    for k, row in whole.rows.items():
        assert replace(state.rows[k], seconds=0.0) == replace(row, seconds=0.0)
    for name in ("learned", "provenance"):
        coded = name == "provenance"
        assert np.array_equal(read(out / name, coded=coded), read(whole.folder / name, coded=coded))


@pytest.mark.parametrize("name", ["learned", "provenance"])
def test_what_was_damaged_beside_the_image_is_done_again(place, whole, request_, name):
    out = place / f"damaged-{name}"
    reconstruct_stack(place / "stack.h5", out, request_)
    page = out / name / "slices" / "slice_00003.tif"
    before = page.read_bytes()
    page.write_bytes(before[:-40])
    assert reconstruct_stack(place / "stack.h5", out, request_).complete
    assert np.array_equal(tifffile.imread(page), tifffile.imread(whole.folder / name / "slices" / page.name))


def test_a_forced_network_is_used_in_every_slice_and_says_so(place, request_):
    state = reconstruct_stack(place / "stack.h5", place / "forced", replace(request_, force=True))
    assert not state.left
    assert state.rows[NOISE].why.startswith("The network quiet was forced on a scan unlike those it knows: noise")
    assert state.rows[NOISE].growth is not None
    assert state.rows[0].why.startswith("The network quiet completed the image")
    assert float(np.abs(read(state.folder / "learned")[NOISE]).max()) > 0


def test_without_a_network_the_slices_are_the_images_that_it_would_complete(place, tmp_path):
    """A scan that sees more than the network knows: f* is by the card's method, for which the weight was chosen."""
    quiet(tmp_path / "wide", wedge=(70.0, 100.0), base="tv")
    request = StackRequest("learn-the-invisible", **SETTINGS, block=1, network=str(tmp_path / "wide"), slices=(0, 2))
    state = reconstruct_stack(place / "stack.h5", tmp_path / "out", request)
    assert state.plan["choices"]["network"] == "none"
    scan = open_stack(place / "stack.h5").block(range(2)).scan
    by_tv = ml.reconstruct(scan.slices(1), "tv", **SETTINGS).image.numpy()
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "slices" / "slice_00001.tif"), by_tv)
    assert not state.left


def test_the_codes_have_names_and_colours_in_every_form(place, request_, whole):
    page = whole.folder / "provenance" / "slices" / "slice_00000.tif"
    reconstruct_stack(place / "stack.h5", place / "big", replace(request_, form="bigtiff", network="none"))
    for path in (page, place / "big" / "provenance" / "volume.tif"):
        with tifffile.TiffFile(path) as file:
            first = file.pages[0]
            assert (first.dtype, first.photometric) == (np.dtype("uint8"), tifffile.PHOTOMETRIC.PALETTE)
            shown = ["#" + "".join(f"{v // 257:02x}" for v in first.colormap[:, code]) for code in (1, 2, 3)]
            assert shown == list(COLOURS.values())
            assert json.loads(first.description)["codes"] == {str(code): name for code, (name, _) in NAMED.items()}
    reconstruct_stack(place / "stack.h5", place / "zarr", replace(request_, form="zarr", network="none"))
    group = zarr.open_group(str(place / "zarr" / "provenance" / "volume.zarr"), mode="r")
    assert group["image"].dtype == np.uint8
    assert group.attrs["codes"]["3"] == "undetermined"
    assert group.attrs["complete"] is True


def test_quick_methods_are_examined_when_asked_only(place, tmp_path):
    plain = reconstruct_stack(place / "stack.h5", tmp_path / "plain", StackRequest("fbp"))
    assert not (tmp_path / "plain" / "provenance").exists()
    assert not any(row.certificates or row.provenance for row in plain.rows.values())
    asked = reconstruct_stack(place / "stack.h5", tmp_path / "asked", StackRequest("fbp", checks=True))
    assert asked.checksum() == plain.checksum()
    scan = open_stack(place / "stack.h5").block(range(SLICES)).scan
    result = ml.reconstruct(scan.slices(1), "fbp")
    assert np.array_equal(read(tmp_path / "asked" / "provenance", coded=True)[1], result.provenance.numpy())
    assert asked.rows[1].certificates[0]["value"] == pytest.approx(result.certificates[0].value, rel=1e-5)
    with pytest.raises(InputError, match="checks = True, as the run that began here"):
        reconstruct_stack(place / "stack.h5", tmp_path / "asked", StackRequest("fbp"))
    without = reconstruct_stack(place / "stack.h5", tmp_path / "no", StackRequest("cgls", iterations=2, checks=False))
    assert without.plan["choices"]["certificates"] == []
    assert not (tmp_path / "no" / "provenance").exists()


def test_a_killed_run_has_the_same_provenance_as_one_without(tmp_path):
    counts = files.data_exchange(tmp_path / "s.h5", 12)
    request = StackRequest("slow", block=2, checks=True)
    process = files.started(reconstruct_stack, counts, tmp_path / "killed", request)
    files.wait_for(tmp_path / "killed", 2)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(stack_state(tmp_path / "killed").rows) < 12
    state = reconstruct_stack(counts, tmp_path / "killed", request)
    once = reconstruct_stack(counts, tmp_path / "once", request)
    assert state.complete
    for k, row in once.rows.items():
        assert replace(state.rows[k], seconds=0.0) == replace(row, seconds=0.0)


def contrary(scan, grid, settings):
    """Filtered backprojection, but of the slices that are nearly empty the negative."""
    found = fbp(scan, grid, settings)
    empty = scan.data.abs().amax(dim=(-2, -1)) < 0.5
    return Estimate(torch.where(empty[..., None, None], -found.image, found.image))


def test_a_slice_whose_claim_fails_is_told_by_row_page_exit_code_and_status(tmp_path):
    registry.register("method", "contrary")(contrary)
    path = files.npy(tmp_path / "s.npy", 6)
    data = np.load(path)
    data[4] *= 0.4 / data[4].max()
    np.save(path, data)
    options = ("stack", path, "-m", "contrary", "--block", 3, "--out", tmp_path / "out")
    result = run(*options)
    assert result.exit_code == 1
    told = "slice 4: The image explains the measured data"
    assert "Claims that do not hold: 1 slice" in said(result)
    assert told in said(result)
    status = run("stack", path, "--out", tmp_path / "out", "--status")
    assert status.exit_code == 1
    assert told in said(status)
    fields = answer(run("stack", path, "--out", tmp_path / "out", "--status", "--json"))
    assert fields["complete"] is True
    assert list(fields["claims that do not hold"]) == ["4"]
    page = (tmp_path / "out" / "summary.html").read_text(encoding="utf-8")
    assert page.count('class="fill-bad"') == 1
    assert page.count('class="fill-good"') == 2  # slices 0 to 3, and 5
    assert "4: The image explains the measured data" in page
    others = run(*options, "--fresh", "--num-parts", 2, "--part-id", 0)
    assert others.exit_code == 0  # slice 4 is not this part's


def test_the_page_and_the_screen_name_what_the_network_left(place, whole):
    page = (whole.folder / "summary.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    assert page.count('class="fill-nothing"') == 1
    assert "The network does not suit 1 slice" in page
    assert "form a Parseval frame" in page
    shown = said(run("stack", place / "stack.h5", "--out", whole.folder, "--status"))
    assert "Left without the network: 1 slice" in shown
    assert "quiet: noise" in shown
    assert run("stack", place / "stack.h5", "--out", whole.folder, "--status").exit_code == 0


def test_the_sentences_of_a_verdict_are_those_of_its_slices():
    verdict = Verdict("mine", ((), ("noise 9 %",), (), ("noise 8 %", "filled pixels 0 %")))
    assert verdict.left == (1, 3)
    assert verdict.completed == (0, 2)
    config = verdict.record({"weight": 2.0, "slice 1": {"status": "budget"}})
    assert config["network"] == "mine"
    assert config[WHY].startswith("The network mine completed 2 of 4 slices")
    assert of_slice(config, 1) == {
        "weight": 2.0,
        "status": "budget",
        "network": "none",
        WHY: "No network was used, for this scan is unlike those that were trained on (mine: noise 9 %).",
    }
    assert of_slice(config, 2)["network"] == "mine"
    nothing = Verdict("mine", (("noise 9 %",),) * 2)
    assert nothing.record({}) == {"network": "none", WHY: nothing.of_slice(0)}
    assert Verdict("mine", ((), ())).record({}) == {"network": "mine", WHY: nothing_said(())}
    assert Verdict("mine", (("noise 9 %",), ()), forced=True).left == ()


def nothing_said(found: tuple[str, ...]) -> str:
    return Verdict("mine", (found,)).of_slice(0)

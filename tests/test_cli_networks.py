"""Learned methods from the command line: weights found, told, refused or forced; stacks with one network for all."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from cli_help import answer, run, said, scan_file, small_scan
from PIL import Image
from tiny_weights import tiny_weights

import microlocal as ml
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.io import open_stack, write_scan
from microlocal.networks import weights as weights_room
from microlocal.networks.catalogue import described, find_weights
from microlocal.reconstruction import StackRequest, reconstruct_stack
from microlocal.reconstruction.learned import load_learned

LTI = ("--method", "learn-the-invisible", "--weight", 1, "--iterations", 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scan with 60 degrees missing, a network that knows such scans, and one that does not."""
    place = tmp_path_factory.mktemp("networks")
    scan_file(place)
    tiny_weights(place / "fits")
    tiny_weights(place / "narrow", (20.0, 30.0))
    return place


@pytest.fixture
def shipped(folder, monkeypatch):
    monkeypatch.setattr(weights_room, "SHIPPED", folder)
    return folder


def reconstructed(folder, out, *options):
    result = run("reconstruct", folder / "scan.npz", *LTI, *options, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    return answer(result)


def test_what_a_network_adds_is_written_and_told(folder, tmp_path):
    found = reconstructed(folder, tmp_path, "--network", folder / "fits.safetensors")
    assert found["network"].startswith("The network fits completed the image")
    assert found["edges"]["learned"] > 0
    assert sum(found["edges"].values()) == pytest.approx(1)
    names = {Path(file).name for file in found["files"]}
    assert {"learned.tif", "provenance.tif", "edges.tif", "image.tif", "report.html"} <= names
    back = ml.read_result(tmp_path)
    assert back.config["SHA-256 of the network"] == json.loads((folder / "fits.json").read_text())["sha256"]
    assert torch.equal(back.learned, torch.from_numpy(tifffile.imread(tmp_path / "learned.tif")))
    assert float(back.learned.norm()) > 0.01 * float(back.image.norm())
    assert next(c for c in back.certificates if "contradict" in c.claim).holds
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="blend"' in page
    assert "The learned part does not contradict the measurement." in page


def test_people_read_what_was_learned_and_why_and_once(folder, tmp_path):
    result = run("reconstruct", folder / "scan.npz", *LTI, "--network", folder / "fits", "--out", tmp_path)
    shown = said(result)
    assert shown.count("The network fits completed the image") == 1
    assert "are learned" in shown
    assert "learned.tif" in shown


def test_weights_of_a_training_are_told_apart_by_its_folder(tmp_path):
    scan, mine = small_scan(), [tiny_weights(tmp_path / run / "weights", draw_seed=len(run)) for run in ("a", "bb")]
    found = [ml.reconstruct(scan, "learn-the-invisible", weight=1.0, iterations=5, network=path) for path in mine]
    assert [result.config["network"] for result in found] == ["a/weights", "bb/weights"]
    assert "The network a/weights completed" in found[0].config["network because"]
    assert len({result.config["SHA-256 of the network"] for result in found}) == 2


def test_edges_of_a_learned_image_are_called_so_in_words_files_and_colours(folder, tmp_path):
    told = reconstructed(folder, tmp_path, "--network", folder / "fits")["edges"]
    shown = run("edges", tmp_path, "--model", "canny", "--out", tmp_path / "out", "--json")
    counts = answer(shown)["provenance"]
    share = counts["learned"] / sum(counts.values())
    assert share == pytest.approx(told["learned"], abs=0.1)
    with (tmp_path / "out" / "edges.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sum(row["provenance"] == "2" for row in rows) == counts["learned"] > 0
    with (tmp_path / "out" / "edges_visible.csv").open() as stream:
        assert {row["provenance"] for row in csv.DictReader(stream)} == {"1", "3"}
    drawn = np.asarray(Image.open(tmp_path / "out" / "edges.png").convert("RGB")).reshape(-1, 3)
    assert (drawn == (0x9A, 0x4D, 0xFF)).all(axis=1).any()
    plain = said(run("edges", tmp_path, "--model", "canny", "--out", tmp_path / "out"))
    assert f"{counts['learned']} are learned and {counts['undetermined']} are undetermined" in plain
    run("edges", tmp_path / "image.tif", "--model", "canny", "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "edges_visible.csv").exists()  # it was of the run before


@pytest.mark.parametrize("option", [("--no-network",), ("--network", "none")])
def test_without_the_network_the_rest_is_undetermined(shipped, tmp_path, option):
    found = reconstructed(shipped, tmp_path, *option)
    assert found["network"].startswith("No network was used, as was asked")
    assert found["edges"]["learned"] == 0
    assert found["edges"]["undetermined"] > 0
    assert not (tmp_path / "learned.tif").exists()
    plain = run("reconstruct", shipped / "scan.npz", *LTI[2:], "--out", tmp_path / "plain", "--json")
    assert plain.exit_code == 0
    assert torch.equal(ml.read_result(tmp_path).image, ml.read_result(tmp_path / "plain").image)


def test_a_network_for_other_scans_is_refused_in_a_sentence_and_can_be_forced(folder, tmp_path):
    found = reconstructed(folder, tmp_path / "a", "--network", folder / "narrow")
    assert "missing wedge 60° (trained: 20 to 30)" in found["network"]
    assert found["edges"]["learned"] == 0
    forced = reconstructed(folder, tmp_path / "b", "--network", folder / "narrow", "--force-network")
    assert "was forced on a scan unlike those it knows" in forced["network"]
    assert forced["edges"]["learned"] > 0


def test_shipped_weights_that_suit_are_found_by_themselves_or_by_name(shipped, tmp_path):
    own = reconstructed(shipped, tmp_path / "a")
    named = reconstructed(shipped, tmp_path / "b", "--network", "fits")
    assert own["config"]["network"] == named["config"]["network"] == "fits"
    assert torch.equal(ml.read_result(tmp_path / "a").image, ml.read_result(tmp_path / "b").image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--no-network", "--network", "fits"), "expected one of --network and --no-network, got both"),
        (("--no-network", "--force-network"), "expected a network with --force-network, got none"),
        (("--network", "fitz"), "Did you mean 'fits'?"),
        (("--network", "there/is/none.safetensors"), "a file of weights"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(shipped, tmp_path, options, words):
    result = run("reconstruct", shipped / "scan.npz", *LTI, *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert words in said(result)
    assert not (tmp_path / "out").exists()


def test_a_method_without_networks_says_that_it_has_no_use_for_one(folder, tmp_path):
    arguments = ("--method", "fbp", "--network", folder / "fits", "--out", tmp_path)
    assert "The given network was not used" in said(run("reconstruct", folder / "scan.npz", *arguments))


def test_the_table_of_weights(shipped):
    listed = answer(run("weights", "--json"))["weights"]
    assert [one["name"] for one in listed] == ["fits", "narrow"]
    assert listed[1]["ranges"]["missing wedge"] == [20.0, 30.0]
    assert all(one["shipped"] for one in listed)
    shown = said(run("weights"))
    for part in ("narrow", "parallel beam", "missing wedge 20 to 30°", "noise 0 to 100 %", "12"):
        assert part in shown


def test_everything_about_one_file_of_weights(folder):
    found = answer(run("weights", folder / "fits.safetensors", "--json"))
    assert (found["seed"], found["minutes"], found["metrics"]["psnr"]) == (7, 12.5, 24.25)
    assert found["card"]["sha256"]
    shown = said(run("weights", folder / "fits"))
    for part in ("100 steps in 12 minutes", "CPU, 2 threads", "seed 7", "20 to 100°", "ellipses 75%", "24.25"):
        assert part in shown, part
    lines = [line.strip() for line in run("weights", folder / "fits").output.splitlines()]
    assert str(folder / "fits.safetensors") in lines  # whole, to be copied


def test_a_blur_that_was_drawn_is_told_in_words(tmp_path):
    drawn, said_so = ({"low": 0.0, "high": 1.5}, "blur 0 to 1.5 pixels"), ("gaussian:1.5", "blur gaussian:1.5")
    for k, (blur, told) in enumerate((drawn, said_so)):
        path = tiny_weights(tmp_path / str(k), **{"trained on": {"beam": "", "data": {"blur": blur}}})
        assert described(path).trained_on() == told
        assert told in said(run("weights", path))


def test_several_trainings_become_one_file_of_weights_whose_network_is_their_mean(folder, tmp_path):
    paths = [folder / "fits", tiny_weights(tmp_path / "other", draw_seed=5, seed=8, minutes=2.5)]
    joined = tmp_path / "both.safetensors"
    shown = said(run("weights", *paths, "--join", joined))
    for part in ("member 1", "member 2", "seed 8", "24.25"):
        assert part in shown, part
    found = answer(run("weights", joined, "--json"))
    assert found["minutes"] == 15.0
    assert found["card"]["command"].startswith("microlocal")
    results = [
        answer(run("reconstruct", folder / "scan.npz", *LTI, "--network", path, "--out", tmp_path / str(k), "--json"))
        for k, path in enumerate((*paths, joined))
    ]
    assert all(result["certificates"][0]["holds"] for result in results)


def test_names_without_a_file_to_join_them_in_are_refused(folder):
    assert "expected one name, or --join FILE, got 2 names" in said(run("weights", folder / "fits", folder / "narrow"))


def test_no_weights_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(weights_room, "SHIPPED", tmp_path)
    assert "No weights ship with this version" in said(run("weights"))
    assert answer(run("weights", "--json")) == {"weights": []}
    with pytest.raises(InputError, match="no file nothing"):
        find_weights("nothing")


def test_finding_weights(shipped, tmp_path):
    assert find_weights("fits") == shipped / "fits.safetensors"
    assert find_weights(shipped / "narrow.json") == shipped / "narrow.safetensors"
    assert described("fits").shipped
    with pytest.raises(UnknownNameError, match="fits, narrow"):
        find_weights("wide")
    (tmp_path / "lone.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=r"a card lone\.json"):
        find_weights(tmp_path / "lone")


def test_methods_info_and_the_doctor_know_the_shipped_weights(shipped):
    assert [w["name"] for w in answer(run("methods", "--json"))["weights"]] == ["fits", "narrow"]
    suits = answer(run("info", shipped / "scan.npz", "--json"))["networks"]
    assert suits == {"fits": [], "narrow": ["missing wedge 60° (trained: 20 to 30)"]}
    shown = said(run("info", shipped / "scan.npz"))
    assert "fits suits this scan" in shown
    assert "not for this scan: missing wedge 60°" in shown
    check = next(c for c in answer(run("doctor", "--json"))["checks"] if c["name"] == "shipped weights")
    assert check["passed"]
    assert "fits (parallel beam" in check["found"]


def test_the_doctor_finds_damaged_weights(tmp_path, monkeypatch):
    path = tiny_weights(tmp_path / "hurt")
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"sha256": "0" * 64}))
    monkeypatch.setattr(weights_room, "SHIPPED", tmp_path)
    result = run("doctor", "--json")
    assert result.exit_code == 1
    assert not next(c for c in answer(result)["checks"] if c["name"] == "shipped weights")["passed"]


STACK = StackRequest(method="learn-the-invisible", weight=1.0, iterations=20, block=2)


def stacked(folder: Path) -> Path:
    return write_scan(small_scan(4), folder / "stack.h5")


def test_a_stack_takes_one_network_and_keeps_what_it_added(shipped, tmp_path):
    out = tmp_path / "out"
    options = ("--method", STACK.method, "--weight", 1, "--iterations", 20, "--block", 2)
    result = run("stack", stacked(tmp_path), *options, "--out", out)
    assert result.exit_code == 0, result.output
    begins = "Each slice is looked at by itself; of the heaviest of the sample: The network fits completed"
    assert begins in said(result)
    images, added = (
        np.stack([tifffile.imread(f) for f in sorted((place / "slices").iterdir())]) for place in (out, out / "learned")
    )
    scan = open_stack(tmp_path / "stack.h5").block(range(2)).scan
    alone = ml.reconstruct(scan, STACK.method, weight=1.0, iterations=20, network=shipped / "fits", force=True)
    assert np.allclose(images[:2], alone.image.numpy(), atol=1e-6 * np.abs(images).max())
    assert np.allclose(added[:2], alone.learned.numpy(), atol=1e-6 * np.abs(images).max())
    assert np.abs(added).max() > 0
    growths = [row["growth"] for row in json.loads((out / "summary.json").read_text())["rows"]]
    (certificate,) = [c for c in alone.certificates if "contradict" in c.claim]
    assert max(growths[:2]) == pytest.approx(certificate.value, abs=1e-4)  # of the worst of these slices
    assert max(growths) <= 0.05
    refused = run("stack", tmp_path / "stack.h5", *options, "--out", out, "--no-network")
    assert refused.exit_code == 2
    assert "network = auto, as the run that began here" in said(refused)


def test_a_stack_goes_on_with_the_network_it_began_with(shipped, tmp_path):
    file = stacked(tmp_path)
    whole = reconstruct_stack(file, tmp_path / "whole", STACK)
    part = reconstruct_stack(file, tmp_path / "parts", STACK, part=(0, 2))
    assert part.missing == (2, 3)
    rest = reconstruct_stack(file, tmp_path / "parts", STACK)
    assert rest.complete
    assert rest.checksum() == whole.checksum()
    held = rest.plan["choices"]
    assert (held["network"], held["network_sha256"]) == ("fits", described("fits").card["sha256"])
    pages = [sorted((tmp_path / name / "learned" / "slices").iterdir()) for name in ("whole", "parts")]
    assert [len(found) for found in pages] == [4, 4]
    assert all(np.array_equal(tifffile.imread(a), tifffile.imread(b)) for a, b in zip(*pages, strict=True))


def test_a_stack_without_a_network_has_no_learned_part(shipped, tmp_path):
    request = StackRequest(**{**vars(STACK), "network": "none"})
    state = reconstruct_stack(stacked(tmp_path), tmp_path / "out", request)
    assert state.complete
    assert state.plan["choices"]["network"] == "none"
    assert not (tmp_path / "out" / "learned").exists()


def test_a_stack_is_refused_other_weights_than_it_began_with(folder, tmp_path):
    file = stacked(tmp_path)
    mine = tiny_weights(tmp_path / "mine")
    request = StackRequest(**{**vars(STACK), "network": str(mine), "slices": (0, 2)})
    reconstruct_stack(file, tmp_path / "out", request)
    tiny_weights(tmp_path / "mine", (20.0, 90.0))
    assert reconstruct_stack(file, tmp_path / "out", request).complete  # the same tensors, whatever the card says
    (tmp_path / "mine.json").write_bytes((folder / "fits.json").read_bytes().replace(b'"sha256": "', b'"sha256": "0'))
    with pytest.raises(InputError, match="SHA-256"):
        reconstruct_stack(file, tmp_path / "out", request)


NETWORK = {"channels": [8, 8, 5], "widths": [4, 4, 4], "pairs": 1}


@pytest.mark.parametrize(
    "architecture",
    [
        {"scales": 3},
        {"network": NETWORK},
        {"scales": 2, "network": NETWORK},
        {"scales": 3, "network": {"chan": 1}},
        {"scales": 3, "network": NETWORK | {"channels": "many"}},
        {"scales": 3, "network": NETWORK, "members": 0},
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused_by_name(tmp_path, architecture):
    mine = tiny_weights(tmp_path / "mine", architecture=architecture)
    with pytest.raises(InputError, match="weights mine: expected an architecture on its card that can be built"):
        load_learned(mine)


def test_python_takes_shipped_weights_by_name_too(shipped):
    scan = small_scan()
    settings = {"weight": 1.0, "iterations": 5}
    named, own = (ml.reconstruct(scan, "learn-the-invisible", network=name, **settings) for name in ("fits", "auto"))
    assert named.config == own.config
    with pytest.raises(UnknownNameError, match="fit"):
        ml.reconstruct(scan, "learn-the-invisible", network="fit", **settings)

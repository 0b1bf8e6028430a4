"""Networks that were trained apart, joined into one file of weights: their mean."""

import json

import pytest
import torch
from tiny_weights import tiny_denoiser, tiny_weights

from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.frames import DyadicShearletFrame
from microlocal.networks.weights import load_weights
from microlocal.reconstruction.joining import join_weights
from microlocal.reconstruction.learned import load_learned


@pytest.fixture
def paths(tmp_path):
    wedges = ((20.0, 100.0), (30.0, 120.0), (10.0, 90.0))
    return [tiny_weights(tmp_path / f"w{k}", wedge, draw_seed=k, seed=k, minutes=1.5) for k, wedge in enumerate(wedges)]


def test_the_image_is_the_mean_of_the_members_images(paths, tmp_path):
    joined = load_learned(join_weights(paths, tmp_path / "all"))
    frame = DyadicShearletFrame((64, 64), 3)
    image = torch.rand(1, 64, 64, generator=generator(0))
    share = torch.rand(1, sum(frame.channels), 1, 1, generator=generator(1))
    with torch.no_grad():
        found = joined.network.complete(image, share, frame)
        apart = [load_learned(path).network.complete(image, share, frame) for path in paths]
    assert float((apart[0] - apart[1]).abs().max()) > 0.1
    torch.testing.assert_close(found, torch.stack(apart).mean(dim=0), atol=1e-4, rtol=1e-4)


def test_the_card_keeps_every_training_and_the_ranges_of_all(paths, tmp_path):
    _, card = load_weights(join_weights(paths, tmp_path / "all", "microlocal weights"))
    assert card["trained on"]["ranges"]["missing wedge"] == [10.0, 120.0]
    assert [member["seed"] for member in card["members"]] == [0, 1, 2]
    assert [member["sha256"] for member in card["members"]] == [load_weights(path)[1]["sha256"] for path in paths]
    assert (card["architecture"]["members"], card["minutes"], card["command"]) == (3, 4.5, "microlocal weights")
    assert "metrics" not in card  # nobody has measured the mean on a validation set


def test_what_is_known_of_some_members_only_is_not_known_of_the_whole(paths, tmp_path):
    card_path = paths[1].with_suffix(".json")
    card = json.loads(card_path.read_text())
    del card["trained on"]["ranges"]["noise"]
    card_path.write_text(json.dumps(card))
    _, joined = load_weights(join_weights(paths, tmp_path / "all"))
    assert "noise" not in joined["trained on"]["ranges"]


def test_members_that_differ_are_refused_by_name(paths, tmp_path):
    out = tmp_path / "all"
    with pytest.raises(InputError, match="two files of weights or more, got 1"):
        join_weights(paths[:1], out)
    with pytest.raises(InputError, match="weights other: expected the base of w0"):
        join_weights([paths[0], tiny_weights(tmp_path / "other", base="tv")], out)
    with pytest.raises(InputError, match="weights quiet: expected one network of the task"):
        join_weights([paths[0], tiny_denoiser(tmp_path / "quiet")], out)
    with pytest.raises(InputError, match="weights bare: expected the ranges it was trained on"):
        join_weights([paths[0], tiny_weights(tmp_path / "bare", **{"trained on": {"beam": "parallel"}})], out)
    with pytest.raises(InputError, match="weights w1: expected another network than w1, got the same tensors"):
        join_weights([*paths, paths[1]], out)
    with pytest.raises(InputError, match="a new file"):
        join_weights(paths, paths[1].with_suffix(""))
    assert load_weights(paths[1])[1]["seed"] == 1
    whole = join_weights(paths, out)
    with pytest.raises(InputError, match=r"weights all: .*one that has members already"):
        join_weights([whole, paths[0]], tmp_path / "more")


def test_only_what_was_joined_of_the_same_members_is_written_over(paths, tmp_path):
    out = join_weights(paths[:2], tmp_path / "all")
    assert join_weights(paths[1::-1], out) == out  # the order does not matter
    before = out.read_bytes()
    with pytest.raises(InputError, match="a new file, or one joined of the same members"):
        join_weights(paths, out)
    assert out.read_bytes() == before
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(InputError, match="weights notes"):
        join_weights(paths, tmp_path / "notes")


def test_a_joined_file_keeps_the_dots_of_its_name(paths, tmp_path):
    assert join_weights(paths, tmp_path / "all.v1") == tmp_path / "all.v1.safetensors"


def test_weights_that_trainings_call_alike_are_told_apart_by_their_folders(tmp_path):
    apart = [tiny_weights(tmp_path / run / "weights", draw_seed=7) for run in ("a", "b")]
    with pytest.raises(InputError, match="weights b/weights: expected another network than a/weights"):
        join_weights(apart, tmp_path / "all")

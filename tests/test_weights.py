"""Weights on disk: what goes in comes out, what is damaged or mixed up is refused by name."""

import json

import pytest
import torch
from torch import nn

from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.networks import weights
from microlocal.networks.catalogue import described, find_weights
from microlocal.networks.weights import fill, load_weights, save_weights, shipped_weights
from microlocal.wavefront.network import load_directions


@pytest.fixture
def state():
    draw = generator(0)
    return {"a.weight": torch.randn(5, 3, generator=draw), "b": torch.randn(4, generator=draw), "n": torch.tensor(7)}


def test_round_trip(tmp_path, state):
    path = save_weights(tmp_path / "w", state, {"task": "t", "noise": (0.0, 0.1)})
    for name in (path, tmp_path / "w", tmp_path / "w.json"):
        read, card = load_weights(name)
        assert read.keys() == state.keys()
        assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in state.items())
    assert card["noise"] == [0.0, 0.1]
    assert (card["parameters"], card["stored"]) == (20, "as trained")


def test_a_dot_in_a_name_is_no_suffix(tmp_path, state):
    first = save_weights(tmp_path / "net", state, {"task": "first"})
    second = save_weights(tmp_path / "net.v1", state, {"task": "second"})
    assert (first.name, second.name) == ("net.safetensors", "net.v1.safetensors")
    for name in ("net.v1", "net.v1.json", "net.v1.safetensors"):
        assert load_weights(tmp_path / name)[1]["task"] == described(tmp_path / name).task == "second"
    assert described(tmp_path / "net.v1").name == "net.v1"
    with pytest.raises(InputError, match=r"weights net\.v2: expected a file of weights"):
        find_weights(tmp_path / "net.v2")
    with pytest.raises(InputError, match=r"weights net\.v2: expected a card"):
        load_directions(tmp_path / "net.v2")


def test_half_takes_half_the_space_and_comes_back_in_32_bits(tmp_path):
    big = {"w": torch.randn(10_000, generator=generator(1))}
    sizes = [save_weights(tmp_path / str(half), big, {}, half).stat().st_size for half in (False, True)]
    assert sizes[1] < 0.55 * sizes[0]
    read, card = load_weights(tmp_path / "True")
    assert card["stored"] == "float16"
    torch.testing.assert_close(read["w"], big["w"], atol=0, rtol=2**-11)
    with pytest.raises(InputError, match=r"16 bits.*1e\+06 in w"):
        save_weights(tmp_path / "c", {"w": torch.tensor([1e6])}, {}, half=True)


def test_one_flipped_bit_is_found(tmp_path, state):
    path = save_weights(tmp_path / "w", state, {})
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"weights w: .*SHA-256"):
        load_weights(path)


def test_tensors_of_other_weights_are_found(tmp_path, state):
    one = save_weights(tmp_path / "one", state, {})
    two = save_weights(tmp_path / "two", {"b": state["b"]}, {})
    one.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match="weights one: expected the tensors of the card"):
        load_weights(one)


@pytest.mark.parametrize("card", ["{", "[1]", '{"format": 99, "sha256": ""}', "{}"])
def test_a_card_that_cannot_be_used_is_refused(tmp_path, state, card):
    path = save_weights(tmp_path / "w", state, {})
    path.with_suffix(".json").write_text(card)
    with pytest.raises(InputError, match="weights w: expected a card"):
        load_weights(path)


DAMAGED = [
    ({"architecture": None}, r"\[architecture\] on its card: .*, got None"),
    ({"trained on": [1]}, r"\[trained on\] on its card"),
    ({"trained on": {"ranges": {"noise": 3}}}, r"\[trained on\] \[ranges\] \[noise\] on its card: .*, got 3"),
    ({"trained on": {"ranges": {"noise": ["a", "b"]}}}, r"\[trained on\] \[ranges\] \[noise\] \[0\] .*, got 'a'"),
    ({"trained on": {"data": {"objects": {"ellipses": "many"}}}}, r"\[trained on\] \[data\] \[objects\] \[ellipses\] "),
    ({"working pixels": 0}, r"\[working pixels\] on its card: greater than or equal to 1, got 0"),
    ({"metrics": {"loss": None}}, r"\[metrics\] \[loss\]"),
    ({"members": [{"seed": 1}]}, r"\[members\] \[0\] \[sha256\] on its card, got none"),
    ({"began from": "another"}, r"\[began from\] on its card"),
]


@pytest.mark.parametrize(("entries", "words"), DAMAGED)
def test_an_entry_that_no_card_has_so_is_refused_by_name(tmp_path, state, entries, words):
    path = save_weights(tmp_path / "w", state, entries)
    with pytest.raises(InputError, match="weights w: expected " + words):
        described(path)


def test_scores_that_are_no_numbers_are_read(tmp_path, state):
    path = save_weights(tmp_path / "w", state, {"metrics": {"psnr": float("inf")}})
    assert described(path).metrics == {"psnr": float("inf")}


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_half_is_named(tmp_path, state, suffix):
    path = save_weights(tmp_path / "w", state, {})
    path.with_suffix(suffix).unlink()
    with pytest.raises(InputError, match=f"w{suffix}"):
        load_weights(path)


def test_a_network_of_another_shape_says_which_tensors(tmp_path):
    network = nn.Linear(3, 2)
    good = {name: torch.ones_like(value) for name, value in network.state_dict().items()}
    fill(network, good, "w")
    assert float(network.weight.detach().sum()) == 6
    with pytest.raises(InputError, match="without bias"):
        fill(network, {"weight": good["weight"]}, "w")
    with pytest.raises(InputError, match="with more, which the network lacks"):
        fill(network, good | {"more": good["bias"]}, "w")
    with pytest.raises(InputError, match=r"weight of shape \(1,\), not \(2, 3\)"):
        fill(network, good | {"weight": torch.ones(1)}, "w")


def test_a_pickle_is_refused(tmp_path, state):
    path = save_weights(tmp_path / "w", state, {})
    torch.save(state, path)
    with pytest.raises(InputError, match="a whole safetensors file"):
        load_weights(path)


def test_shipped_weights_are_listed_by_name_and_load(tmp_path, monkeypatch, state):
    for path in shipped_weights().values():
        assert load_weights(path)[1]["sha256"]
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    save_weights(tmp_path / "mine", state, {"task": "t"})
    assert json.loads((tmp_path / "mine.json").read_text())["task"] == "t"
    assert shipped_weights() == {"mine": tmp_path / "mine.safetensors"}

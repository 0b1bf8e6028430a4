"""DiffNet against closed forms and attacks, before and after training, and the problem that it learns."""

import math
from pathlib import Path

import pytest
import torch

from microlocal.certificates import certify_map
from microlocal.certificates.attack import Search, gain, overshoot, worst
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.seeding import generator
from microlocal.dictionary import diffuse, nonlinearity
from microlocal.networks import DiffNet
from microlocal.networks.certify import examine
from microlocal.networks.denoisers import load_denoiser
from microlocal.networks.diffusion_maps import diffusion_map
from microlocal.networks.neighbours import NEIGHBOURS, differences, exchanged
from microlocal.training import read_recipe, recipe_from, train
from microlocal.training.batches import stacked
from microlocal.training.diffusion_problem import DiffusionProblem

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
BOTH = [(direction, neighbours) for direction in ("forward", "inverse") for neighbours in (4, 8)]


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    monkeypatch.setattr("microlocal.training.log.find_spec", lambda name: None)


def _noise(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def _shaken(direction, neighbours=4, layers=3, size=2.0):
    """A network in float64 whose filters are large and irregular."""
    network = DiffNet(direction, layers, width=4, neighbours=neighbours).double()
    for seed, value in enumerate(network.parameters()):
        value.data = size * _noise(*value.shape, seed=seed)
    return network


def _saturated(direction, neighbours=4, layers=1, sign=-1.0):
    """A network all of whose weights are as large as they may be, of one sign."""
    network = DiffNet(direction, layers, width=2, neighbours=neighbours).double()
    network.raw_size.data.fill_(40.0)
    for net in network.nets:
        net[-1].bias.data.fill_(sign * 40.0)
    return network


# Pairs of neighbours


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (5, 6)])
def test_equal_parts_are_the_graph_laplacian(shape):
    size = shape[0] * shape[1]
    laplacian = torch.zeros(size, size, dtype=torch.float64)
    for row in range(shape[0]):
        for col in range(shape[1]):
            for down, right in NEIGHBOURS:
                i, r, c = row * shape[1] + col, row + down, col + right
                if r < shape[0] and 0 <= c < shape[1]:
                    j = r * shape[1] + c
                    laplacian[[i, j], [i, j]] += 1
                    laplacian[[i, j], [j, i]] -= 1
    u, parts = _noise(2, 1, *shape), torch.full((2, 4, *shape), 0.1, dtype=torch.float64)
    expected = u.flatten(1) - 0.1 * u.flatten(1) @ laplacian
    torch.testing.assert_close(exchanged(u, parts, parts).flatten(1), expected)
    squares = differences(u).square().flatten(1).sum(dim=1)
    torch.testing.assert_close(squares, (u.flatten(1) @ laplacian * u.flatten(1)).sum(dim=1))


def test_parts_of_one_pixel_do_not_move_the_other():
    u, first, none = _noise(1, 1, 4, 5), _noise(1, 2, 4, 5, seed=1), torch.zeros(1, 2, 4, 5, dtype=torch.float64)
    found = exchanged(u, first, none, NEIGHBOURS[:2]) - u
    right, below = torch.zeros_like(u), torch.zeros_like(u)
    right[..., :-1], below[..., :-1, :] = u.diff(dim=-1), u.diff(dim=-2)
    torch.testing.assert_close(found, first[:, :1] * right + first[:, 1:] * below)


# The network


@pytest.mark.parametrize(("direction", "neighbours"), BOTH)
def test_constants_pass_and_grey_values_do_not_matter(direction, neighbours):
    network = _shaken(direction, neighbours)
    flat = torch.full((1, 1, 6, 7), 0.3, dtype=torch.float64)
    assert torch.equal(network(flat), flat)
    u = _noise(2, 1, 6, 7)
    torch.testing.assert_close(network(u + 5), network(u) + 5)


def test_an_untrained_network_is_linear_diffusion_or_the_identity():
    u = _noise(1, 1, 12, 9)
    plain = diffuse(u[0, 0], nonlinearity("whittaker-tikhonov"), 0.5, 5)
    torch.testing.assert_close(DiffNet("forward", width=2).double()(u)[0, 0], plain, rtol=0, atol=1e-6)
    assert torch.equal(DiffNet("inverse", width=2).double()(u), u)


@pytest.mark.parametrize("neighbours", [4, 8])
def test_forward_rows_are_means_and_columns_are_bounded(neighbours):
    """A(u) as a matrix: the parts are frozen at u, and the step applied to a basis."""
    network, (rows, cols) = _shaken("forward", neighbours, layers=1), (4, 5)
    seen = network.nets[0](differences(_noise(1, 1, rows, cols), network.pairs))
    parts = (network.sizes()[0] * torch.sigmoid(seen)).expand(rows * cols, -1, -1, -1).chunk(2, dim=1)
    basis = torch.eye(rows * cols, dtype=torch.float64).reshape(-1, 1, rows, cols)
    matrix = exchanged(basis, *parts, network.pairs).flatten(1).T.detach()
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(rows * cols, dtype=torch.float64))
    assert float(matrix.min()) >= -1e-15
    assert 1.01 < float(matrix.sum(dim=0).max()) <= network.guarantee().gain ** 2
    assert float(torch.linalg.matrix_norm(matrix, 2)) <= network.guarantee().gain


@pytest.mark.parametrize("neighbours", [4, 8])
def test_the_maximum_principle_holds_to_the_last_bit_of_the_step(neighbours):
    network = _saturated("forward", neighbours, sign=1.0)
    assert worst(network, (1, 7, 7), overshoot, Search(4, 40))[0] <= 1e-12
    spike = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    spike[..., 2, 2] = 1.0
    assert abs(float(network(spike)[0, 0, 2, 2].detach())) < 1e-12  # the mean of its neighbours: no longer step


@pytest.mark.parametrize(("direction", "neighbours"), BOTH)
def test_attacks_on_irregular_filters_stay_below_the_bounds(direction, neighbours):
    network = _shaken(direction, neighbours)
    certificates = certify_map(network, (1, 8, 9), Search(4, 40))
    assert len(certificates) == (2 if direction == "forward" else 1)
    assert all(certificate.holds for certificate in certificates)
    u = 3 * _noise(64, 1, 8, 9, seed=3)
    grown = network(u).detach().flatten(1).abs().amax(dim=1) / u.flatten(1).abs().amax(dim=1)
    assert float(grown.max()) <= network.sup_gain()


def test_the_bounds_of_the_inverse_are_reached():
    """A checkerboard grows by 1 + 8 s per layer, in both norms, but for the border."""
    network, n = _saturated("inverse", layers=2), 48
    sign = 1.0 - 2.0 * (torch.arange(n)[:, None] + torch.arange(n)).remainder(2).double()[None, None]
    found = network(sign).detach()
    assert network.sup_gain() == pytest.approx(25.0)
    assert network.guarantee().gain == pytest.approx(25.0)
    assert float(found.abs().max()) == pytest.approx(25.0)
    assert 0.95 * 25 < float(found.norm() / sign.norm()) < 25
    assert worst(network, (1, 12, 12), gain, Search(4, 40))[0] > 0.8 * 25
    eight = _saturated("inverse", neighbours=8)
    assert eight.guarantee().gain == pytest.approx(1 + 0.25 * math.sqrt(192))
    assert eight.sup_gain() == pytest.approx(5.0)
    assert worst(eight, (1, 16, 16), gain, Search(4, 60))[0] > 0.7 * eight.guarantee().gain


def test_nothing_more_is_stated_of_the_inverse():
    proved = _shaken("inverse").guarantee()
    assert (proved.lipschitz, proved.averaged) == (math.inf, math.inf)
    assert not any((proved.range, proved.mean, proved.signs))
    assert worst(_saturated("inverse"), (1, 8, 8), overshoot, Search(2, 10))[0] > 1.0
    assert _shaken("forward").guarantee().lipschitz == math.inf


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_weights_beyond_their_bound_are_seen(monkeypatch, direction):
    network = _shaken(direction)
    assert all(hypothesis.holds for hypothesis in network.hypotheses())
    monkeypatch.setattr(DiffNet, "_shares", lambda self, net, u: 2 * net(differences(u, self.pairs)))
    assert [hypothesis.holds for hypothesis in network.hypotheses()] == [False, True, True]
    monkeypatch.setattr(DiffNet, "forward", lambda self, u: 1.1 * u)
    assert not network.hypotheses()[2].holds


def test_bad_arguments_are_refused():
    with pytest.raises(UnknownNameError, match="DiffNet: expected one of forward, inverse, got 'inverted'"):
        DiffNet("inverted")
    with pytest.raises(InputError, match="4 or 8 neighbours, got 6"):
        DiffNet(neighbours=6)
    for name in ("layers", "width", "depth"):
        with pytest.raises(InputError, match=f"{name} >= 1, got {name} = 0"):
            DiffNet(**{name: 0})
    with pytest.raises(UnknownNameError, match="diffusion network: expected one of diffnet, unet"):
        diffusion_map({"kind": "dncnn"})


# The problem


def test_examples_are_the_diffusion_of_the_package():
    for direction in ("forward", "inverse"):
        task = DiffusionProblem({"pixels": 20, "direction": direction}, {})
        found = task.augment(task.example(3), generator(0))
        before, after = (found[k] for k in (("given", "wanted") if direction == "forward" else ("wanted", "given")))
        assert torch.equal(before, found["image"])
        row = nonlinearity("perona-malik-rational", 0.2)
        torch.testing.assert_close(after, diffuse(before, row, 0.4, 4, coupled=True))
        assert float(after.min()) >= float(before.min())
        assert float(after.max()) <= float(before.max())


def test_noise_is_added_to_what_is_given_alone():
    clean, noisy = (DiffusionProblem({"pixels": 64, "direction": "inverse", "noise": x}, {}) for x in (0.0, 0.1))
    one, two = (task.augment(task.example(3), generator(0)) for task in (clean, noisy))
    assert torch.equal(one["wanted"], two["wanted"])
    assert float((two["given"] - one["given"]).std()) == pytest.approx(0.1, rel=0.05)


def test_problems_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match=r"steps or more of explicit until T = 2"):
        DiffusionProblem({"time": 2.0}, {})
    with pytest.raises(InputError, match=r"\[data\] direction"):
        DiffusionProblem({"direction": "sideways"}, {})
    with pytest.raises(InputError, match=r"\[network\] neighbours"):
        DiffusionProblem({}, {"neighbours": 5})


def _recipe(out, direction, **network):
    data = {"direction": direction, "pixels": 24, "noise": 0.01 if direction == "inverse" else 0.0}
    run = {"steps": 40, "batch": 4, "learning_rate": 5e-3, "pool": 24, "validation": 8, "validate_every": 40,
           "ema": 0.9, "precision": "float32", "out": str(out)}  # fmt: skip
    return recipe_from({"task": "diffusion-problem", "data": data, "network": network, "run": run})


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_what_is_proved_holds_after_training_and_is_read_back(tmp_path, direction):
    done = train(_recipe(tmp_path, direction, layers=3, width=6, depth=2))
    assert done.metrics["relative error"] < done.metrics["relative error of the data"]
    found = examine(done.weights, shape=(12, 12))
    assert (found.kind, found.holds, len(found.parts)) == ("diffnet", True, 3)
    assert found.proved.range == (direction == "forward")
    assert found.half_gap < 0.1
    claims = [certificate.claim for certificate in found.certificates]
    assert any("Maximum-minimum" in claim for claim in claims) == (direction == "forward")
    with pytest.raises(InputError, match="the task denoising, got 'diffusion-problem'"):
        load_denoiser(done.weights)


def test_nothing_is_proved_of_the_u_net(tmp_path):
    done = train(_recipe(tmp_path, "inverse", kind="unet", widths=[4, 6]).with_run({"steps": 2}))
    found = examine(done.weights, shape=(12, 12))
    assert not found.certificates
    assert found.kind == "unet"


def test_the_data_are_the_result_of_a_network_that_has_learned_nothing():
    for network in ({"layers": 2, "width": 3}, {"kind": "unet", "widths": [2, 3]}):
        task = DiffusionProblem({"pixels": 20, "direction": "inverse"}, network)
        with torch.no_grad():
            found = task.metrics(task.network(), stacked([task.example(seed) for seed in range(3)]))
        assert found["psnr"] == pytest.approx(found["psnr of the data"])


def test_the_recipes_compare_networks_of_one_size_on_the_same_examples():
    for direction in ("forward", "inverse"):
        ours, other = (read_recipe(RECIPES / f"diffnet-{direction}{end}.toml") for end in ("", "-unet"))
        assert ours.data == other.data
        assert ours.data["direction"] == direction
        assert ours.run.model_copy(update={"out": other.run.out}) == other.run
        sizes = [sum(p.numel() for p in r.build().network().parameters()) for r in (ours, other)]
        assert sizes[0] == pytest.approx(sizes[1], rel=0.05)

"""The learned edge model: exact scenes and their maps, the network, its weights, photographs with drawn boundaries."""

import math

import numpy as np
import pytest
import torch
from cli_help import answer, run
from PIL import Image
from scipy.io import savemat
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter
from torch import nn

import microlocal as ml
from microlocal.core import InputError
from microlocal.core.seeding import generator
from microlocal.data.phantoms import Ellipse, image
from microlocal.networks.directions import DirectionNetwork, decoded, shared
from microlocal.networks.weights import load_weights, save_weights
from microlocal.testing.laws import edge_model
from microlocal.training import Directions, recipe_from, train
from microlocal.training.directions import _turned
from microlocal.training.edge_targets import SPREAD, from_drawings, from_scene
from microlocal.training.photographs import HELD_OUT, split
from microlocal.training.scenes import Scene, _leaves, scene
from microlocal.training.variation import noise_of_reconstructions
from microlocal.wavefront import network as network_model
from microlocal.wavefront.network import network_field, said

TINY = {"scales": 2, "widths": [3, 4], "classes": 12}
KINDS = ["leaves", "ellipses", "general", "needle"]


def circle(radius=14.0, pixels=48, center=(22.3, 25.1)):
    """Return the scene of a disc: points (row, col) of its outline."""
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    x, y = center[1] - (pixels - 1) / 2, (pixels - 1) / 2 - center[0]
    plane = image([Ellipse(1.0, (radius, radius), (x, y))], ml.Grid((pixels, pixels), 1.0))
    row, col = center[0] - radius * np.sin(t), center[1] + radius * np.cos(t)
    return Scene(plane, row, col, t % np.pi, np.ones(400))


def random_network(seed=0, **changes):
    """Return a tiny network with random weights that says something everywhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DirectionNetwork(**(TINY | changes))
        nn.init.normal_(network.unet.out[0].weight, std=2.0)
        nn.init.zeros_(network.unet.out[0].bias)
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_changes_where_and_across_the_points_of_a_scene(kind):
    turns, steps = [], []
    for seed in range(3):
        found = scene(kind, np.random.default_rng(seed), 128)
        down, right = np.gradient(gaussian_filter(found.image, 0.7))
        row, col = np.rint(found.row).astype(int), np.rint(found.col).astype(int)
        inside = (row > 2) & (row < 125) & (col > 2) & (col < 125) & (found.jump > 0.2)
        row, col, normal = row[inside], col[inside], found.normal_rad[inside]
        slope = np.hypot(down, right)[row, col]
        turns.append(np.abs(np.sin(np.arctan2(-down, right)[row, col] - normal)))
        steps.append(slope > 0.05)
    assert np.median(np.degrees(np.arcsin(np.concatenate(turns)))) < 8
    assert np.concatenate(steps).mean() > 0.9  # thin lines have no slope in their middle


def test_what_a_later_leaf_covers_is_no_edge():
    found = [_leaves(np.random.default_rng(seed), 64) for seed in range(6)]
    for one in found:
        rows, cols = np.rint(one.row).astype(int), np.rint(one.col).astype(int)
        inside = (rows > 1) & (rows < 62) & (cols > 1) & (cols < 62) & (one.jump > 0.3)
        spread = maximum_filter(one.image, 3) - minimum_filter(one.image, 3)
        assert (spread[rows[inside], cols[inside]] > 0.1).mean() > 0.95


def test_maps_of_a_disc_are_its_distance_and_its_angle():
    found = from_scene(circle())
    row, col = np.indices((48, 48))
    distance = np.abs(np.hypot(row - 22.3, col - 25.1) - 14)
    wanted = np.where(distance < 2.9, np.exp(-(distance**2) / (2 * SPREAD**2)), 0)
    assert np.allclose(found["edge"].float().numpy(), wanted, atol=0.01)
    angle = np.arctan2(22.3 - row, col - 25.1)
    turn = np.abs(np.sin(found["normal"].double().numpy() - angle))
    assert turn[distance < 2].max() < 0.02
    assert not found["two"].any()


def test_a_corner_has_two_normals():
    along = np.linspace(0, 20, 80, endpoint=False)
    row, col = np.concatenate([10 + along, np.full(80, 10.0)]), np.concatenate([np.full(80, 10.0), 10 + along])
    normal = np.repeat([0.0, np.pi / 2], 80)
    found = from_scene(Scene(np.zeros((32, 32)), row, col, normal, np.ones(160)))
    assert found["two"][10, 10] == 1
    assert {round(float(found[n][10, 10]), 2) for n in ("normal", "other")} == {0.0, 1.57}
    assert found["two"][10, 20] == 0
    found = from_scene(Scene(np.zeros((9, 9)), *(np.zeros(0) for _ in range(4))))
    assert not found["edge"].any()


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_maps_are_the_maps_of_the_turned_scene(quarters, mirrored):
    one = circle()
    plane, row, col, normal = one.image, one.row, one.col, one.normal_rad
    for _ in range(quarters):
        plane, row, col, normal = np.rot90(plane), 47 - col, row, normal + np.pi / 2
    if mirrored:
        plane, col, normal = plane[:, ::-1], 47 - col, np.pi - normal
    wanted = from_scene(Scene(plane, row, col, normal % np.pi, one.jump))
    found = _turned(from_scene(one) | {"image": torch.from_numpy(one.image)}, quarters, mirrored)
    assert np.array_equal(found["image"], plane)
    assert torch.allclose(found["edge"], wanted["edge"], atol=2e-3)
    near = wanted["edge"] > 0.1
    assert float((found["normal"] - wanted["normal"]).double()[near].sin().abs().max()) < 0.02


def test_a_step_fainter_than_the_noise_weighs_nothing():
    task = Directions({"pixels": 24, "noise": {"low": 0.1, "high": 0.1}}, TINY)
    example = task.example(0)
    example["edge"][:] = torch.linspace(0, 1, 24).half()
    for jump, kept in ((0.5, 1.0), (0.02, 0.0)):
        example["jump"][:] = jump
        weight = task.augment(example, generator(0))["weight"]
        edge = _turned(example, 0, False)["edge"]
        assert set(weight[weight.rot90(1).isfinite()].tolist()) == ({1.0} if kept else {0.0, 1.0})
        assert float((weight == 0).float().mean()) == pytest.approx(float((edge >= 0.05).float().mean()) * (1 - kept))


def test_noise_of_reconstructions_is_smooth_or_streaked_and_of_size_one():
    widths = []
    for seed in range(12):
        noise = noise_of_reconstructions((64, 64), generator(seed))
        assert float(noise.std()) == pytest.approx(1.0, abs=1e-4)
        assert float(noise.mean()) == pytest.approx(0.0, abs=1e-4)
        power = torch.fft.fft2(noise).abs() ** 2
        down, right = torch.meshgrid(torch.fft.fftfreq(64), torch.fft.fftfreq(64), indexing="ij")
        fine = power[torch.hypot(down, right) > 0.4].sum() / power.sum()
        assert float(fine) < 0.4  # of white noise half is finer
        angle = torch.atan2(down, right)[power > 1e-6 * power.max()]
        turned = torch.exp(2j * angle.to(torch.complex64)).mean().abs()  # 0 from all directions, 1 from one
        widths.append(float(turned))
    assert min(widths) < 0.3
    assert max(widths) > 0.7


def test_correlated_noise_comes_as_often_as_asked():
    table = {"pixels": 32, "noise": {"low": 0.3, "high": 0.3}}
    tasks = [Directions({**table, "correlated": share}, TINY) for share in (0.0, 1.0)]
    example = tasks[0].example(0)
    flat = {**example, "image": torch.zeros(32, 32).half()}

    def alike(task):
        planes = [task.augment(flat, generator(seed))["image"] for seed in range(20)]
        return np.mean([float((p[1:] * p[:-1]).mean() / p.var()) for p in planes])

    assert alike(tasks[0]) < 0.2
    assert alike(tasks[1]) > 0.3


def test_probabilities_of_two_directions_survive_at_a_corner():
    normal = torch.tensor([[0.4]])
    both = torch.maximum(0.9 * shared(normal, 36), 0.5 * shared(normal + 1.2, 36))
    assert float(decoded(both)) == pytest.approx(0.4, abs=1e-5)


LAWS = [edge_model.grey_values_may_be_scaled, edge_model.nothing_has_no_edges, edge_model.the_image_is_left_alone]


@pytest.mark.parametrize("law", LAWS)
def test_laws_that_hold_for_any_weights(law):
    network = random_network()
    law(("network", lambda plane, ridges: (network_field(plane, network), None)))


def test_a_shift_by_the_coarsest_pixel_shifts_what_is_said():
    network = random_network(widths=[3, 4, 4])
    plane = torch.from_numpy(image([Ellipse(1.0, (9.0, 6.0), (-4.0, 2.0), 0.4)], ml.Grid((96, 96), 1.0)))
    one, other = said(plane, network), said(plane.roll((4, 8), (0, 1)), network)
    inner = np.s_[..., 24:72, 24:72]
    for before, after in zip(one, other, strict=True):
        assert float((before.roll((4, 8), (-2, -1)) - after)[inner].abs().max()) < 2e-3
        assert float(before[inner].std()) > 0.02


def test_a_few_steps_of_training_give_weights_for_the_verb(tmp_path):
    run_table = {"steps": 2, "batch": 2, "pool": 2, "validation": 1, "out": str(tmp_path / "run"), "ema": 0.0}
    recipe = recipe_from({"task": "directions", "data": {"pixels": 24}, "network": TINY, "run": run_table})
    done = train(recipe)
    assert set(done.metrics) == {"loss", "edge accuracy", "direction error"}
    card = load_weights(done.weights)[1]
    assert card["architecture"]["classes"] == 12
    assert "licence" not in card
    plane = image([Ellipse(1.0, (9.0, 9.0))], ml.Grid((33, 40), 1.0))
    found = ml.edges(plane, "network", weights=done.weights)
    assert found.edge.strength.shape == (33, 40)
    assert (found.edge.strength < 1).all()
    np.save(tmp_path / "a.npy", plane)
    told = answer(
        run("edges", tmp_path / "a.npy", "--model", "network", "--weights", done.weights, "--out", tmp_path, "--json")
    )
    assert told["model"] == "network"


def test_what_cannot_be_is_refused(tmp_path, monkeypatch):
    plane = torch.rand(20, 20)
    monkeypatch.setattr(network_model, "shipped_weights", dict)
    with pytest.raises(InputError, match=r"microlocal train recipes/edges\.toml"):
        ml.edges(plane, "network")
    with pytest.raises(InputError, match="ridges"):
        ml.edges(plane, "network", ridges=True)
    with pytest.raises(InputError, match="a model that learns"):
        ml.edges(plane, "canny", weights=tmp_path / "x")
    with pytest.raises(InputError, match="2 widths"):
        DirectionNetwork(2, (3,))
    other = save_weights(tmp_path / "other", random_network().state_dict(), {"task": "line"})
    with pytest.raises(InputError, match="task directions"):
        ml.edges(plane, "network", weights=other)
    with pytest.raises(InputError, match="photographs"):
        Directions({"pixels": 24, "folder": str(tmp_path), "photographs": 0.5}, TINY).example(0)


def photographs(folder, count):
    """Write tiny photographs with the boundary of a vertical step, drawn by two people."""
    (folder / "images").mkdir()
    (folder / "groundTruth").mkdir()
    for k in range(count):
        plane = np.zeros((28, 32, 3), dtype=np.uint8)
        plane[:, 10 + k % 8 :] = 200
        Image.fromarray(plane).save(folder / "images" / f"p{k}.jpg")
        drawn = np.zeros((1, 2), dtype=object)
        for j in range(2):
            marked = np.zeros((28, 32), dtype=np.uint8)
            marked[:, 10 + k % 8 + j] = 1
            drawn[0, j] = {"Boundaries": marked}
        savemat(folder / "groundTruth" / f"p{k}.mat", {"groundTruth": drawn})


def test_photographs_held_out_are_never_trained_on(tmp_path):
    photographs(tmp_path, HELD_OUT + 3)
    task = Directions({"pixels": 24, "folder": str(tmp_path), "photographs": 1.0}, TINY)
    chosen, held = split(tmp_path)
    assert len(held) == HELD_OUT
    assert task.names == chosen
    assert not set(chosen) & set(held)
    example = task.example(3)
    assert example["image"].shape == (24, 24)
    top = example["edge"][12].argmax()
    assert abs(math.sin(float(example["normal"][12, top]))) < 0.05
    assert "non-commercial" in task.card([example])["licence"]


def test_drawn_boundaries_agree_more_where_more_people_drew_them():
    one, other = np.zeros((40, 40), dtype=bool), np.zeros((40, 40), dtype=bool)
    one[20], other[20] = True, True
    other[:, 8] = True
    found = from_drawings([one, other, np.zeros((40, 40), dtype=bool)])
    assert float(found["edge"][20, 30]) == pytest.approx(2 / 3, abs=0.01)
    assert float(found["edge"][35, 8]) == pytest.approx(1 / 3, abs=0.01)
    assert float(found["normal"][20, 30]) == pytest.approx(math.pi / 2, abs=0.02)
    assert abs(math.sin(float(found["normal"][35, 8]))) < 0.02

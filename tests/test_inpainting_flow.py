"""Flows that fill gaps: against dense matrices, in windows, trained by a recipe and used from the command line."""

import sys

import numpy as np
import pytest
import torch
from cli_help import answer, run, said
from PIL import Image

import microlocal as ml
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.networks import InpaintingFlow
from microlocal.networks.certify import examine
from microlocal.networks.inpainting_flow import load_inpainting
from microlocal.operators import Filling
from microlocal.operators.windows import by_windows
from microlocal.reconstruction.images.trial import cartoon
from microlocal.training import read_recipe, recipe_from, train

RECIPE = """
task = "inpainting"
[data]
scenes = { leaves = 1.0 }
pixels = 24
noise = { low = 0.01, high = 0.02 }
widest = 5
[network]
filters = 6
side = 3
steps = 8
[run]
steps = 60
batch = 4
learning_rate = 0.05
weight_decay = 0.0
ema = 0.9
precision = "float32"
pool = 24
validation = 8
validate_every = 60
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A flow trained for a minute or less, and what was measured of it."""
    folder = tmp_path_factory.mktemp("flow")
    (folder / "small.toml").write_text(RECIPE)
    return train(read_recipe(folder / "small.toml").with_run({"out": folder / "run"}))


def flow(row="soft", **more):
    torch.manual_seed(0)
    return InpaintingFlow(4, 3, steps=5, row=row, **more).double()


def gaps(*shape, seed=1):
    return torch.rand(shape, generator=generator(seed)) > 0.4


def test_the_flow_is_that_of_dense_matrices_and_gaps_count_for_nothing():
    """u <- u - T/S (λ M (u - f) + H u) from the means of the blocks around a gap."""
    network, shape, known = flow(row="whittaker-tikhonov", usual=1.0), (6, 7), gaps(6, 7)
    f = torch.randn(shape, dtype=torch.float64, generator=generator(0))
    basis = torch.eye(42, dtype=torch.float64).reshape(-1, 1, *shape)
    smooth = network.flow.block.force(basis).detach().flatten(1).T
    m = torch.diag(known.flatten().double())
    u = Filling(known)(f).flatten()
    pull, time = float(network.flow.pull().detach()), 3.0
    for _ in range(5):
        u = u - time / 5 * (pull * m @ (u - f.flatten()) + smooth @ u)
    behind = network.knowing(known)
    found = behind.at(f[None, None], time, 1.0)[0, 0].detach()
    assert torch.allclose(found, u.reshape(shape), atol=1e-12)
    other = torch.where(known, f, 100.0)
    assert torch.equal(behind.at(other[None, None], time, 1.0)[0, 0].detach(), found)


def test_images_of_a_batch_have_gaps_of_their_own():
    network, known = flow(), gaps(3, 1, 9, 8)
    f = torch.rand(3, 1, 9, 8, dtype=torch.float64, generator=generator(2))
    together = network.knowing(known)(f, 0.1).detach()
    for k in range(3):
        assert torch.allclose(network.knowing(known[k, 0])(f[k : k + 1], 0.1).detach(), together[k : k + 1], atol=1e-14)
    with pytest.raises(ShapeError, match=r"knowing\(known\)"):
        network.knowing(known)(f[..., :5], 0.1)


def test_both_conditions_are_derivatives_of_the_error_that_is_trained():
    network, h = flow().knowing(gaps(9, 8)), 1e-3
    f, truth = torch.rand(2, 2, 1, 9, 8, dtype=torch.float64, generator=generator(1))
    before, here, after = (network.optimality(f, truth, 0.1, 2.0 + k * h) for k in (-1, 0, 1))
    assert here.slope == pytest.approx((after.error - before.error) / (2 * h), rel=1e-4)
    assert here.curvature == pytest.approx((after.error - 2 * here.error + before.error) / h**2, rel=1e-2)


def test_windows_are_the_whole_even_where_one_holds_nothing(monkeypatch):
    known = gaps(150, 210)
    known[60:130, 60:140] = False
    image = torch.rand(150, 210, dtype=torch.float64, generator=generator(2))
    whole = ml.inpaint_network(image, known, flow())
    seen = []

    def small(run, x, margin, _, progress):
        seen.append(margin)
        return by_windows(run, x, margin, whole=64, tile=32, progress=progress)

    monkeypatch.setattr(sys.modules[ml.inpaint_network.__module__], "by_windows", small)
    found = ml.inpaint_network(image, known, flow())
    assert seen
    assert torch.allclose(found.image, whole.image, atol=1e-12)
    assert torch.equal(found.image[known], image[known])
    assert bool(((found.provenance == 0) == (whole.provenance == 0)).all())
    assert any("further from what is known" in note for note in found.notes)


def test_gaps_are_drawn_as_the_recipe_says():
    data = {"pixels": 48, "missing": {"low": 0.3, "high": 0.5}, "widest": 8}
    for rectangles in (0.0, 1.0):
        task = recipe_from(
            {"task": "inpainting", "data": data | {"rectangles": rectangles}, "run": {"steps": 1}}
        ).build()
        example = task.example(0)
        drawn = [task.augment(dict(example), generator(seed))["known"] for seed in range(12)]
        shares = [1 - float(known.float().mean()) for known in drawn]
        assert 0.25 < min(shares) < max(shares) < 0.55
        # a gap of single pixels hardly holds four in a square, one of rectangles consists of them
        squares = [float((~k[1:, 1:] & ~k[1:, :-1] & ~k[:-1, 1:] & ~k[:-1, :-1]).float().mean()) for k in drawn]
        assert (min(squares) > 0.1) if rectangles else (max(squares) < 0.1)


def test_a_recipe_trains_filters_and_stopping_time(trained):
    told = trained.metrics
    assert told["psnr"] > told["psnr of the data"] + 0.5
    network, card = load_inpainting(trained.weights)
    assert network.flow.time().item() != pytest.approx(InpaintingFlow(6, 3, 8).flow.time().item(), rel=0.01)
    assert abs(told["T J'/J"]) < 1
    assert card["trained on"]["data"]["widest"] == 5
    found = examine(trained.weights)
    assert found.holds
    assert all(c.bound > 1 for c in found.certificates)


def test_weights_of_a_flow_fill_a_picture(tmp_path, trained):
    clean = (40 + 150 * torch.stack([cartoon(), cartoon().T, cartoon().flip(0)]) / 1.4).permute(1, 2, 0)
    known = gaps(48, 48)
    array = torch.where(known[..., None], clean, 0.0).round().byte().numpy()
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.fromarray(known.byte().numpy()).save(tmp_path / "known.png")
    given = ("inpaint", tmp_path / "a.png", "--mask", tmp_path / "known.png", "--out", tmp_path / "out", "--json")
    (one,) = answer(run(*given, "--weights", trained.weights))["images"]
    after, truth = np.asarray(Image.open(tmp_path / "out" / "inpainted.png"), float), clean.numpy()
    assert (after[known] == array[known]).all()
    means = Filling(known)(clean.permute(2, 0, 1)).permute(1, 2, 0).numpy()
    assert np.linalg.norm(after - truth) < 0.9 * np.linalg.norm(means - truth)
    assert (one["model"], one["reference"]) == ("stopped-flow", "effland2020")
    (certificate,) = one["certificates"]
    assert certificate["holds"]
    assert 0 < certificate["value"] < certificate["bound"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "stopped-flow"], "recipes/stopped-flow-inpainting.toml"),
        (["--weights", "FLOW", "--iterations", "9"], "the steps that it was trained with"),
        (["--weights", "FLOW", "--model", "red"], "the task denoising"),
        (["--weights", "FLOW", "--model", "tv"], "uses no network"),
    ],
)
def test_what_a_flow_cannot_do_is_told(tmp_path, trained, options, told):
    for name, image in (("a", np.full((48, 48), 9, np.uint8)), ("mask", np.eye(48, dtype=np.uint8))):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    options = [trained.weights if option == "FLOW" else option for option in options]
    given = (tmp_path / "a.png", "--out", tmp_path / "out")
    result = run("inpaint", *given, "--mask", tmp_path / "mask.png", *options)
    assert result.exit_code == 2
    assert told in said(result)
    assert "the task deblurring" in said(run("deblur", *given, "--blur", "disc:2", "--weights", trained.weights))
    with pytest.raises(InputError, match="a network that fills gaps"):
        ml.inpaint_network(torch.rand(9, 9), gaps(9, 9), torch.nn.Identity())

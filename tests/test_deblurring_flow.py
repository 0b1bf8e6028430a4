"""Flows that undo a blur: against dense matrices, in tiles, trained by a recipe and used from the command line."""

import numpy as np
import pytest
import torch
from cli_help import answer, run, said
from PIL import Image
from tiny_weights import tiny_denoiser

import microlocal as ml
from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.networks import DeblurringFlow
from microlocal.networks.certify import examine
from microlocal.networks.deblurring_flow import load_deblurring
from microlocal.operators import Convolution, gaussian_kernel
from microlocal.reconstruction.images.deblur_network import OTHER, left
from microlocal.reconstruction.images.tiles import in_tiles, reach_of
from microlocal.reconstruction.images.trial import cartoon
from microlocal.training import read_recipe, recipe_from, train

SIGNED = torch.tensor([[0.1, 0.7, 0.3, -0.1], [0.0, 0.2, -0.2, 0.0]], dtype=torch.float64)
RECIPE = """
task = "deblurring"
[data]
blur = "gaussian:1"
scenes = { leaves = 1.0 }
pixels = 24
noise = { low = 0.02, high = 0.03 }
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


def flow(kernel=SIGNED, row="soft", **more):
    torch.manual_seed(0)
    return DeblurringFlow([1, 1], 4, 3, steps=5, row=row, **more).double().undoing(kernel)


def test_the_flow_is_that_of_dense_matrices_where_nothing_is_known_beyond_the_edge():
    """u <- u - T/S (λ Aᵀ(A u - f) + H u) on a wider image, from the mirror image of f."""
    network, (rows, cols) = flow(row="whittaker-tikhonov", usual=1.0), (6, 7)
    f = torch.randn(rows, cols, dtype=torch.float64, generator=generator(0))
    wide = (rows + 1, cols + 3)
    basis = torch.eye(wide[0] * wide[1], dtype=torch.float64).reshape(-1, 1, *wide)
    a = torch.zeros(rows * cols, wide[0] * wide[1], dtype=torch.float64)
    for i in range(rows):
        for j in range(cols):
            for p in range(2):
                for q in range(4):  # k[p, q] multiplies the pixel p - 1 rows and q - 2 columns before
                    a[i * cols + j, (i + 1 - p) * wide[1] + j + 3 - q] += SIGNED[p, q]
    smooth = network.flow.block.force(basis).detach().flatten(1).T
    u = torch.from_numpy(np.pad(f.numpy(), ((0, 1), (1, 2)), mode="symmetric")).flatten()
    pull, time = float(network.flow.pull().detach()), 3.0
    for _ in range(5):
        u = u - time / 5 * (pull * a.T @ (a @ u - f.flatten()) + smooth @ u)
    found = network.at(f[None, None], time, 1.0)[0, 0].detach()
    assert torch.allclose(found, u.reshape(wide)[:rows, 1 : 1 + cols], atol=1e-12)
    assert float(torch.linalg.matrix_norm(a, 2)) <= network.norm_bound() == pytest.approx(1.6)


@pytest.mark.parametrize("shape", [(30, 40), (5, 3), (1, 9)])
def test_constants_pass_and_the_time_does_not_depend_on_the_size(shape):
    network = flow(gaussian_kernel(1.5))
    level = torch.full((1, 1, *shape), 0.3, dtype=torch.float64)
    if min(shape) >= 6:
        assert torch.allclose(network(level, 0.1).detach(), level, atol=1e-12)
    behind = network.behind(shape)
    assert float(behind.time().detach()) == float(network.behind((100, 100)).time().detach())
    assert behind.guarantee().lipschitz <= network.guarantee().lipschitz + 1e-12
    assert network(level).shape == level.shape


def test_both_conditions_are_derivatives_of_the_error_that_is_trained():
    network, h = flow(), 1e-3
    f, truth = torch.rand(2, 2, 1, 9, 8, dtype=torch.float64, generator=generator(1))
    before, here, after = (network.optimality(f, truth, 0.1, 2.0 + k * h) for k in (-1, 0, 1))
    with torch.no_grad():
        assert here.error == pytest.approx(float((network.at(f, 2.0, 0.1) - truth).square().sum() / 2))
    assert here.slope == pytest.approx((after.error - before.error) / (2 * h), rel=1e-4)
    assert here.curvature == pytest.approx((after.error - 2 * here.error + before.error) / h**2, rel=1e-2)


def test_tiles_are_the_whole():
    network = flow(gaussian_kernel(1.0))
    image = torch.rand(150, 210, dtype=torch.float64, generator=generator(2))

    def sharp(part):
        with torch.no_grad():
            return network(part[None, None], 0.05)[0, 0]

    assert torch.allclose(in_tiles(sharp, image, reach_of(network), whole=64, tile=64), sharp(image), atol=1e-12)
    kernel = gaussian_kernel(1.0)
    again = in_tiles(lambda part: left(part, part, kernel), image, len(kernel), whole=64, tile=64)
    assert torch.allclose(again, image - Convolution(kernel, (150, 210))(image), atol=1e-12)


def test_a_recipe_trains_filters_and_stopping_time(trained):
    told = trained.metrics
    assert told["psnr"] > told["psnr of the data"] + 0.5
    network, card = load_deblurring(trained.weights)
    assert torch.equal(network.kernel, gaussian_kernel(1.0).float())
    begun = DeblurringFlow(list(network.kernel.shape), 6, 3, 8)
    assert network.flow.time().item() != pytest.approx(begun.flow.time().item(), rel=0.01)
    assert abs(told["T J'/J"]) < 0.3
    assert card["trained on"]["data"]["blur"] == "gaussian:1"
    found = examine(trained.weights)
    assert found.holds
    assert all(c.bound > 1 for c in found.certificates)
    assert "gaussian:1" in said(run("weights", trained.weights))


def test_weights_of_a_flow_deblur_a_picture(tmp_path, trained):
    clean = 40 + 150 * torch.stack([cartoon(), cartoon().T, cartoon().flip(0)]) / 1.4
    seen = Convolution(gaussian_kernel(1.0), (48, 48))(clean) + 3 * torch.randn(clean.shape, generator=generator(4))
    array = seen.clamp(0, 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "a.png")
    given = ("deblur", tmp_path / "a.png", "--weights", trained.weights, "--out", tmp_path / "out", "--json")
    (one,) = answer(run(*given, "--blur", "gaussian:1"))["images"]
    after = np.asarray(Image.open(tmp_path / "out" / "deblurred.png"), float)
    truth = clean.permute(1, 2, 0).numpy()
    assert np.linalg.norm(after - truth) < 0.9 * np.linalg.norm(array - truth)
    assert one["model"] == "stopped-flow"
    assert one["reference"] == "effland2020"
    (certificate,) = one["certificates"]
    assert certificate["holds"]
    assert 0 < certificate["value"] < certificate["bound"]
    assert OTHER not in one["notes"]
    (other,) = answer(run(*given, "--blur", "disc:2", "--model", "stopped-flow"))["images"]
    assert OTHER in other["notes"]
    assert other["certificates"][0]["holds"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "stopped-flow"], "recipes/stopped-flow-deblurring.toml"),
        (["--weights", "FLOW", "--iterations", "9"], "the steps that it was trained with"),
        (["--weights", "FLOW", "--model", "red"], "the task denoising"),
        (["--weights", "DENOISER", "--model", "stopped-flow"], "the task deblurring"),
        (["--weights", "FLOW", "--model", "tv"], "uses no network"),
    ],
)
def test_what_a_flow_cannot_do_is_told(tmp_path, trained, options, told):
    Image.fromarray(np.full((48, 48), 9, np.uint8)).save(tmp_path / "a.png")
    named = {"FLOW": trained.weights, "DENOISER": tiny_denoiser(tmp_path / "other")}
    options = [named.get(option, option) for option in options]
    result = run("deblur", tmp_path / "a.png", "--blur", "disc:2", *options, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert told in said(result)
    Image.fromarray(np.eye(48, dtype=np.uint8)).save(tmp_path / "mask.png")
    filled = ("inpaint", tmp_path / "a.png", "--mask", tmp_path / "mask.png", "--out", tmp_path / "out")
    assert "recipes/stopped-flow-inpainting.toml" in said(run(*filled, "--model", "stopped-flow"))
    assert run(*filled, "--weights", trained.weights).exit_code == 2


def test_what_is_no_blur_is_refused_by_the_recipe(tmp_path):
    with pytest.raises(InputError, match=r"\[data\] blur: .*gaussian:x"):
        recipe_from({"task": "deblurring", "data": {"blur": "gaussian:x"}, "run": {"steps": 1}}).build()
    np.save(tmp_path / "point.npy", np.ones((3, 5)))
    (tmp_path / "own.toml").write_text('task = "deblurring"\n[data]\nblur = "point.npy"\n[run]\nsteps = 1\n')
    task = read_recipe(tmp_path / "own.toml").build()
    assert tuple(task.example(0)["image"].shape) == (50, 52)
    with pytest.raises(InputError, match="a network that undoes blurs"):
        ml.deblur_network(torch.rand(9, 9), None, torch.nn.Identity())
    with pytest.raises(InputError, match=r"a kernel \(row, col\)"):
        ml.deblur_network(torch.rand(9, 9), torch.ones(3), flow())

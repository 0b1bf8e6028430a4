"""The methods that Learn the Invisible is compared with: oracles, budgets, shared examples, refusals, stacks."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from stack_files import data_exchange
from torch.nn import functional

from benchmarks import learned, null_space_rates
from microlocal.core import Detector, Grid, InputError, ParallelBeam, Scan
from microlocal.core.registry import lookup
from microlocal.core.seeding import generator
from microlocal.frames import WaveletFrame
from microlocal.members import load_all
from microlocal.networks.image_unet import ImageUNet
from microlocal.networks.primal_dual import LearnedPrimalDual
from microlocal.networks.wavelet_residual import WaveletResidual, _joined, _levels
from microlocal.networks.weights import load_weights, save_weights
from microlocal.operators import RayTransform
from microlocal.reconstruction import StackRequest, Workers, reconstruct_stack
from microlocal.reconstruction.method import Settings
from microlocal.reconstruction.null_space_network import (
    NullSpaceNetwork,
    completed,
    damping_for,
    tikhonov,
    unseen,
)
from microlocal.reconstruction.quality import psnr
from microlocal.reconstruction.run import reconstruct
from microlocal.reconstruction.toy import GRID, toy_scan, toy_truth
from microlocal.reconstruction.trained import EPSILON, Trained, trained_network, untrained
from microlocal.reconstruction.verdict import WHY, of_slice
from microlocal.training import read_recipe, recipe_from, train
from microlocal.training.batches import stacked
from microlocal.training.invisible import LearnTheInvisible
from microlocal.training.neighbours import rays_of, scan_of, turned_scan
from microlocal.training.pool import Pool
from microlocal.training.recipe import checked
from microlocal.training.scans import ScanTable, scan_example
from microlocal.training.tiny import SCANS

load_all()
RECIPES = Path(__file__).resolve().parents[1] / "recipes"
NEIGHBOURS = ("postprocessing", "wavelet-residual", "learned-primal-dual", "null-space-network")
COMPARED = ("learn-the-invisible", *NEIGHBOURS)
LARGE = ("learn-the-invisible", "postprocessing", "wavelet-residual")
TINY = {
    "learn-the-invisible": {"widths": [2, 2], "window": 16},
    "postprocessing": {"widths": [2, 2]},
    "wavelet-residual": {"widths": [2, 2]},
    "learned-primal-dual": {"iterations": 1, "memory": 2, "width": 2},
    "null-space-network": {"widths": [2, 2]},
}


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    """TensorBoard takes seconds to load."""
    monkeypatch.setattr("microlocal.training.log.find_spec", lambda name: None)


def small_ray():
    return RayTransform(ParallelBeam(tuple(np.radians(np.arange(0, 100, 9.0))), Detector(17, 1.0)), Grid((12, 12), 1.0))


def dense(ray):
    pixels = math.prod(ray.domain_shape)
    return ray(torch.eye(pixels, dtype=torch.float64).reshape(pixels, *ray.domain_shape)).reshape(pixels, -1).T


def recipe(task, folder, shared, **run):
    tables = {"data": SCANS, "network": TINY[task]}
    settings = {"steps": 2, "batch": 2, "pool": 2, "validation": 1, "pool_folder": str(shared), "out": str(folder)}
    return recipe_from({"task": task, **tables, "run": settings | run})


def weights(task, folder, **trained_on):
    """A file of untrained weights whose card knows the scans it is given as its own."""
    member = lookup("task", task, "test").member(SCANS, TINY[task])
    network = untrained(member.network)
    architecture = {"network": member.shape.model_dump()}
    ranges = {name: [0.0, 1000.0] for name in ("missing wedge", "noise", "step between views", "pixels a side")}
    ranges |= {"detector pixels for a pixel of the image": [0.0, 9.0]}
    trained_on = {"beam": "parallel", "ranges": ranges} | trained_on
    card = {"task": task, "architecture": architecture, "trained on": trained_on}
    return save_weights(Path(folder) / f"{task}.safetensors", network.state_dict(), card)


def test_the_bands_of_the_levels_are_the_wavelet_coefficients():
    frame, x = WaveletFrame((20, 13), "db2", levels=3), torch.rand(2, 20, 13, generator=generator(0))
    levels = _levels(frame, frame(x))
    assert [tuple(level.shape[1:]) for level in levels] == [(3, 12, 8), (3, 6, 4), (4, 3, 2)]
    assert torch.equal(_joined(levels), frame(x))


def test_subtracting_all_coefficients_leaves_nothing():
    class Everything(torch.nn.Module):
        inputs = (3, 4)

        def forward(self, levels):
            return list(levels)

    network, x = WaveletResidual((2, 2)), torch.rand(2, 20, 13, generator=generator(0))
    network.unet = Everything()
    assert float((network(x) - x).abs().max()) < 1e-5


@pytest.mark.parametrize("build", [ImageUNet, WaveletResidual])
def test_the_size_of_the_image_goes_through(build):
    network, x = untrained(lambda: build((3, 4))), torch.rand(1, 22, 17, generator=generator(1))
    with torch.no_grad():
        small, large = network(x), network(500.0 * x)
    assert float(small.abs().max()) > 1e-4
    assert torch.allclose(large, 500.0 * small, rtol=1e-3, atol=1e-4)


def test_an_iteration_of_primal_dual_is_the_formula():
    ray, draw = small_ray(), generator(0)
    network = untrained(lambda: LearnedPrimalDual(1, 2, 3)).double()
    matrix, norm = dense(ray), ray.norm_bound()
    g, x = torch.rand(1, *ray.codomain_shape, generator=draw).double(), torch.rand(1, 12, 12, generator=draw).double()
    size = x.flatten().kthvalue(round(0.995 * 144)).values
    f, h = (x / size)[:, None].repeat(1, 2, 1, 1), torch.zeros(1, 2, *ray.codomain_shape, dtype=torch.float64)
    seen = (matrix @ f[0, 1].flatten() / norm).reshape(1, 1, *ray.codomain_shape)
    h = h + network.dual[0](torch.cat([h, seen, g[:, None] / (size * norm)], 1))
    back = (matrix.T @ h[0, 0].flatten() / norm).reshape(1, 1, 12, 12)
    f = f + network.primal[0](torch.cat([f, back], 1))
    with torch.no_grad():
        assert torch.allclose(network(ray, g, x), size * f[:, 0], atol=1e-6)


def test_gradients_go_through_the_operators_of_primal_dual():
    ray = small_ray()
    network = untrained(lambda: LearnedPrimalDual(2, 2, 2)).double()
    g = torch.rand(1, *ray.codomain_shape, dtype=torch.float64, generator=generator(3)).requires_grad_(True)
    start = torch.rand(1, 12, 12, dtype=torch.float64, generator=generator(4))
    assert torch.autograd.gradcheck(lambda data: network(ray, data, start).sum(), g, eps=1e-6, atol=1e-5)


def test_tikhonov_and_its_projection_are_those_of_the_dense_matrix():
    ray, alpha = small_ray(), 3.0
    matrix = dense(ray)
    g = torch.rand(ray.codomain_shape, dtype=torch.float64, generator=generator(0))
    normal = matrix.T @ matrix + alpha * torch.eye(144, dtype=torch.float64)
    exact = torch.linalg.solve(normal, matrix.T @ g.flatten()).reshape(12, 12)
    assert torch.allclose(tikhonov(ray, g, alpha), exact, atol=1e-6)
    h = torch.rand(12, 12, dtype=torch.float64, generator=generator(1)).requires_grad_(True)
    projected = alpha * torch.linalg.solve(normal, h.detach().flatten()).reshape(12, 12)
    found = unseen(ray, h, alpha)
    assert float((found.detach() - projected).norm() / projected.norm()) < 0.02
    (slope,) = torch.autograd.grad((found * g.flatten()[:144].reshape(12, 12)).sum(), h)
    wanted = alpha * torch.linalg.solve(normal, g.flatten()[:144]).reshape(12, 12)
    assert float((slope - wanted).norm() / wanted.norm()) < 0.02


def test_the_damping_falls_with_the_noise():
    scan = toy_scan(noise=0.0)
    ray, draw = RayTransform(scan.geometry, GRID), torch.randn(scan.data.shape, generator=generator(0))
    low, high = (damping_for(ray, scan.data + s * float(scan.data.std()) * draw) for s in (0.02, 0.2))
    assert high / low == pytest.approx(10, rel=0.3)


def test_a_wild_null_space_network_keeps_the_residual_and_a_plain_one_does_not():
    """The same U-Net with weights fifty times as large: held by the projection, and not without it."""
    network = untrained(lambda: NullSpaceNetwork((4, 4)))
    with torch.no_grad():
        network.unet.unet.out[0].weight.mul_(50)
    estimate = completed(toy_scan(), GRID, Trained(network, "wild", "No reason."))
    (certificate,) = estimate.certificates
    assert certificate.holds
    assert certificate.falsify(seed=1) <= EPSILON
    assert float(estimate.learned.norm()) > 0.001 * float(estimate.image.norm())
    ray, scan = RayTransform(toy_scan().geometry, GRID), toy_scan()
    base = network.begin(ray, scan.data)
    with torch.no_grad():
        free = base + network(base[None])[0]
    before, after = (float((ray(x) - scan.data).norm()) for x in (base, free))
    assert after > 1.2 * before


@pytest.mark.parametrize("fan", [{}, {"source_axis": 40.0, "source_detector": 80.0, "detector": 35, "pitch": 2.0}])
def test_a_turned_example_is_the_scan_of_the_turned_object(fan):
    table = ScanTable.model_validate(SCANS | fan | {"pixels": 32, "detector": 47, "noise": {"low": 0.0, "high": 0.0}})
    example = scan_example(table, 3)
    for quarters in range(4):
        for mirrored in (False, True):
            found = turned_scan(table, example, quarters, mirrored)
            scan = scan_of(table, found)
            gap = RayTransform(scan.geometry, scan.grid)(found["truth"]) - scan.data
            assert float(gap.norm() / scan.data.norm()) < 0.06, (quarters, mirrored)


def test_every_example_of_a_batch_has_its_own_operator():
    table = ScanTable.model_validate(SCANS)
    examples = [scan_example(table, seed) for seed in (1, 2)]
    pairs = rays_of(table, stacked(examples))
    for example, (ray, data) in zip(examples, pairs, strict=True):
        assert len(ray.geometry.angles_rad) == int(example["views"])
        assert torch.equal(data[0], example["data"][: int(example["views"])])


@pytest.mark.parametrize(("kind", "names"), [("comparison", COMPARED), ("comparison-256", LARGE)])
def test_the_recipes_of_the_comparison_differ_in_nothing_but_the_method(kind, names):
    recipes = [read_recipe(RECIPES / f"{kind}-{name}.toml") for name in names]
    assert [r.task for r in recipes] == list(names)
    ours = recipes[names.index("learn-the-invisible")]
    for other in recipes:
        # Its network sees the scans on two sizes of pixels, which changes nothing of them but the facts on its card.
        assert {"halved": 0.5} | other.data == ours.data
        places = {name: getattr(ours.run, name) for name in ("out", "pool_folder")}
        assert other.run.model_copy(update=places) == ours.run
        assert other.seed == ours.seed
    pools = {Pool.of(r, r.run.pool_folder).mark for r in recipes if r is not ours}
    assert len(pools) == 1


@pytest.mark.parametrize(("kind", "names"), [("comparison", COMPARED), ("comparison-256", LARGE)])
def test_the_networks_of_the_comparison_have_the_same_budget(kind, names):
    counts = {}
    for name in names:
        task = read_recipe(RECIPES / f"{kind}-{name}.toml").build()
        counts[name] = sum(p.numel() for p in task.network().parameters())
    assert max(counts.values()) / min(counts.values()) < 1.05, counts


def test_tasks_share_their_examples(tmp_path):
    pool = tmp_path / "pool"
    train(recipe("postprocessing", tmp_path / "one", pool))
    before = {path: path.stat().st_mtime_ns for path in pool.iterdir()}
    assert len(before) == 3
    train(recipe("learn-the-invisible", tmp_path / "two", pool))
    assert {path: path.stat().st_mtime_ns for path in pool.iterdir()} == before


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"objects": {"ellipses": 0.0}}, r"\[data\] objects: expected shares of at least 0, and one above it"),
        ({"objects": {"ellipses": -1.0, "needle": 2.0}}, r"\[data\] objects: expected shares of at least 0"),
        ({"arc": {"low": 120.0, "high": 90.0}}, r"\[data\] arc: expected finite low <= high"),
        ({"arc": {"low": 1.0, "high": 2.0}}, r"\[data\]: expected .* arc: low >= 2 step's high"),
        ({"step": {"low": 0.0, "high": 1.0}}, r"\[data\]: expected step: low > 0"),
        ({"noise": {"low": 0.0, "high": 2.0}}, r"\[data\]: expected .*noise = .* <= 1, got \(0.0, 2.0\)"),
    ],
)
def test_a_table_that_no_scan_can_be_drawn_from_is_refused_by_its_key(entries, words):
    with pytest.raises(InputError, match=words):
        checked(ScanTable, SCANS | entries, "[data]")


@pytest.mark.parametrize("task", ["learn-the-invisible", "postprocessing"])
def test_a_level_without_features_is_refused(task):
    member = lookup("task", task, "test").member
    with pytest.raises(InputError, match=r"\[network\] \[widths\] 0: expected greater than or equal to 1, got 0"):
        member(SCANS, {"widths": [0, 4]})


def test_what_a_network_sees_halved_is_the_example_on_pixels_twice_as_large():
    shape, data = TINY["learn-the-invisible"], SCANS | {"pixels": 32, "halved": 1.0}
    fine, coarse = LearnTheInvisible(data, shape), LearnTheInvisible(SCANS | {"pixel": 2.0}, shape)
    network = untrained(fine.network)
    seen = [fine.augment(fine.example(seed), generator(seed)) for seed in (1, 2)]
    assert all(bool(example["halved"]) for example in seen)
    halved = [
        {**{name: fine.table.coarse(e[name]) for name in ("truth", "visible")}, "share": e["share"]} for e in seen
    ]
    with torch.no_grad():
        found = float(fine.loss(network, stacked(seen)))
        assert found == pytest.approx(float(coarse.loss(network, stacked(halved))), rel=1e-5)
        assert found != pytest.approx(float(fine.loss(network, stacked([fine.example(s) for s in (1, 2)]))), rel=1e-3)
    card = fine.card([fine.example(1)])
    assert (card["working pixels"], coarse.card([coarse.example(1)])["working pixels"]) == (16, 16)
    with pytest.raises(InputError, match="even number where halved > 0"):
        LearnTheInvisible(data | {"pixels": 31}, shape)
    with pytest.raises(InputError, match="only learn-the-invisible works on two sizes"):
        lookup("task", "postprocessing", "test").member(data, TINY["postprocessing"])


def test_in_a_cascade_a_network_is_given_what_it_made_of_the_larger_pixels():
    data, shape = SCANS | {"pixels": 32, "halved": 0.5}, TINY["learn-the-invisible"]
    plain, cascade = LearnTheInvisible(data, shape), LearnTheInvisible(data, shape | {"cascade": True})
    network = untrained(plain.network)
    one = stacked([plain.example(1)])
    with torch.no_grad():
        coarse = plain.table.coarse(one["visible"])
        change = network.complete(coarse, one["share"].float(), plain.table.coarse_frame) - coarse
        wide = functional.interpolate(change[:, None], scale_factor=2, mode="bicubic")[:, 0]
        proposal = network.complete(one["visible"] + wide, one["share"].float(), plain.frame)
        assert float(wide.norm()) > 1e-4 * float(one["visible"].norm())
        found = cascade.metrics(network, one)["psnr proposed"]
        assert found == pytest.approx(float(psnr(proposal[0], one["truth"][0])), abs=1e-4)
        # What is left is that of the proposal, by Parseval's identity, where nothing was measured; 1 is that of f*.
        blind = one | {"share": torch.zeros_like(one["share"])}
        change = network.complete(coarse, blind["share"].float(), plain.table.coarse_frame) - coarse
        wide = functional.interpolate(change[:, None], scale_factor=2, mode="bicubic")[:, 0]
        proposal = network.complete(one["visible"] + wide, blind["share"].float(), plain.frame)
        left = (proposal - one["truth"]).square().sum() / (one["visible"] - one["truth"]).square().sum()
        assert float(cascade.loss(network, blind)) == pytest.approx(float(left), rel=0.02)
    assert cascade.card([plain.example(1)])["cascade"]
    assert not plain.card([plain.example(1)])["cascade"]
    with pytest.raises(InputError, match="expected a network of two sizes of pixels, got halved = 0"):
        LearnTheInvisible(SCANS, shape | {"cascade": True})


@pytest.mark.slow
@pytest.mark.parametrize("task", ["learned-primal-dual", "null-space-network"])
def test_a_resumed_training_is_the_straight_one(task, tmp_path):
    pool = tmp_path / "pool"
    straight = train(recipe(task, tmp_path / "a", pool, steps=4))
    train(recipe(task, tmp_path / "b", pool, steps=4), stop_after=2)
    resumed = train(recipe(task, tmp_path / "b", pool, steps=4), resume=True)
    assert straight.weights.read_bytes() == resumed.weights.read_bytes()


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize("network", ["auto", "none"])
def test_without_weights_they_say_how_to_get_some(name, network):
    with pytest.raises(InputError, match=f"comparison-{name}.toml"):
        lookup("method", name, "test").member(toy_scan(), GRID, Settings(network=network))


def test_weights_of_another_task_and_scans_of_another_kind_are_refused(tmp_path):
    path = weights("postprocessing", tmp_path)
    with pytest.raises(InputError, match="expected task wavelet-residual, got postprocessing"):
        trained_network("wavelet-residual", WaveletResidual, toy_scan(), GRID, Settings(network=str(path)))
    fan_only = weights("postprocessing", tmp_path, beam="fan")
    settings = Settings(network=str(fan_only))
    with pytest.raises(InputError, match=r"beam parallel \(trained: fan\)"):
        trained_network("postprocessing", ImageUNet, toy_scan(), GRID, settings)
    forced = trained_network("postprocessing", ImageUNet, toy_scan(), GRID, replace(settings, force=True))
    assert "forced" in forced.note


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_a_result_says_what_was_learned(name, tmp_path):
    path = weights(name, tmp_path)
    result = reconstruct(toy_scan(), name, network=path)
    assert result.config["SHA-256 of the network"] == load_weights(path)[1]["sha256"]
    error = float((result.image - toy_truth()).norm() / toy_truth().norm())
    assert error < 0.6
    assert result.learned is not None
    assert float(result.learned.abs().max()) > 0
    assert [c.reference for c in result.certificates].count("schwab2019") == 1
    assert lookup("method", name, "test").reference in result.references


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_data_in_double_precision_are_taken(name, tmp_path):
    scan, settings = toy_scan(), Settings(network=str(weights(name, tmp_path)))
    method = lookup("method", name, "test").member
    both = (scan.data, scan.data.double())
    single, double = (method(replace(scan, data=data), GRID, settings).image for data in both)
    assert double.dtype == torch.float64
    assert float((single - double).norm() / double.norm()) < 1e-2


def test_training_gains_on_the_filtered_backprojection(tmp_path):
    """Sixty steps on four objects are enough to see that loss, task and method agree about what the network does."""
    run = {"steps": 60, "batch": 2, "pool": 4, "ema": 0.0, "learning_rate": 0.01, "validate_every": 60}
    done = train(recipe("postprocessing", tmp_path, tmp_path / "pool", **run))
    task = recipe("postprocessing", tmp_path, tmp_path / "pool").build()
    example = task.example(0)
    scan = scan_of(task.table, example)
    found = reconstruct(Scan(scan.data, scan.geometry, scan.grid), "postprocessing", network=done.weights, force=True)
    errors = [float((x - example["truth"]).norm()) for x in (found.image, example["fbp"])]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in NEIGHBOURS])
def test_a_stack_is_made_of_its_slices_with_workers_and_resumed(name, tmp_path):
    """A learned method in a stack: the same pixels in one block, in several, by two workers, and after a stop."""
    counts, path = data_exchange(tmp_path / "stack.h5", 6), weights(name, tmp_path)
    request = StackRequest(method=name, network=str(path), force=True, block=2, slices=(0, 6))
    whole = reconstruct_stack(counts, tmp_path / "one", replace(request, block=6))
    parts = reconstruct_stack(counts, tmp_path / "two", request, part=(0, 2))
    assert not parts.complete
    resumed = reconstruct_stack(counts, tmp_path / "two", request, where=Workers(2))
    assert resumed.complete
    assert resumed.checksum() == whole.checksum()


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_of_several_slices_each_is_looked_at_by_itself(name, tmp_path):
    """A slice of noise stays what the network would have been given; alone it is refused, but not in a volume."""
    scan = toy_scan()
    noise = scan.data.std() * torch.randn(scan.data.shape, generator=generator(5))
    path = weights(name, tmp_path)
    card = json.loads(path.with_suffix(".json").read_text())
    card["trained on"]["ranges"]["noise"] = [0.0, 10.0]
    path.with_suffix(".json").write_text(json.dumps(card))
    method, settings = lookup("method", name, "test").member, Settings(network=str(path))
    both = method(replace(scan, data=torch.stack([scan.data, noise])), GRID, settings)
    assert torch.equal(both.image[0], method(scan, GRID, settings).image)
    assert float(both.learned[0].norm()) > 0
    assert float(both.learned[1].norm()) == 0
    assert "completed 1 of 2 slices" in both.config[WHY]
    with pytest.raises(InputError, match="noise"):
        method(replace(scan, data=noise), GRID, settings)
    settled = method(replace(scan, data=noise), GRID, replace(settings, settled=True))
    assert torch.equal(settled.image, both.image[1])
    assert settled.config["network"] == "none"
    assert settled.config[WHY] == of_slice(both.config, 1)[WHY]


def test_the_error_of_a_null_space_network_falls_as_the_theorem_says():
    case = null_space_rates.problem()
    curves = null_space_rates.table(case)
    assert float(case.hidden(case.seen).norm()) < 1e-10
    assert null_space_rates.slope(curves["null-space network"]) > 0.49
    bound = (1 + curves["Lipschitz quotient"].max()) * curves["√(δ|w|)"]
    assert (curves["null-space network"] <= bound).all()
    assert null_space_rates.slope(curves["tikhonov"]) < 0.05


def test_the_table_has_what_was_measured_and_says_what_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(learned, "shipped_weights", dict)
    (tmp_path / "postprocessing").mkdir()
    weights("postprocessing", tmp_path).rename(tmp_path / "postprocessing" / "weights.safetensors")
    (tmp_path / "postprocessing.json").rename(tmp_path / "postprocessing" / "weights.json")
    files = learned.weights(tmp_path)
    assert list(files) == ["postprocessing"]
    case = learned.Case("ellipses", 60, 0.02)
    scores = [learned.measured(case, name, files, 1) for name in ("fbp", *files)]
    assert 0.1 < scores[0].error < 0.9
    text = learned.table(scores, ["learned-primal-dual"]).splitlines()
    assert len(text) == 2 + 2 + 1
    assert "`learned-primal-dual` | absent" in text[-1]
    assert [row.met for row in learned.judged(scores, "tv")] == [None]


def test_the_scans_of_the_table_are_the_same_every_time():
    case = learned.Case("needle", 90, 0.05)
    one, two = (next(learned.scans(case, 1)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1].data, two[1].data)
    assert torch.equal(one[2], two[2])
    angles = one[1].geometry.angles_rad
    assert math.degrees(angles[-1] - angles[0]) == pytest.approx(90 - learned.STEP)
    projected, (_, scan, exact) = RayTransform(one[1].geometry, one[1].grid)(one[0]), one
    assert float((projected - scan.data).norm() / scan.data.norm()) == pytest.approx(0.05, rel=0.1)
    assert float((projected - exact).norm() / exact.norm()) < 0.01
    assert float((scan.data - exact).norm() / exact.norm()) == pytest.approx(0.05, rel=0.03)

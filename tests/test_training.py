"""Training: resumed bit for bit, stopped without loss, refused by name, the same on two processes as on one."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import training_task
from safetensors.torch import load_file

from microlocal.core.errors import DivergenceError, InputError
from microlocal.core.progress import Silent
from microlocal.core.seeding import generator
from microlocal.networks.weights import load_weights
from microlocal.testing import check
from microlocal.training import loop, read_log, read_recipe, recipe_from, train
from microlocal.training.batches import Feed
from microlocal.training.distributed import Team
from microlocal.training.pool import Pool, fill_pool
from microlocal.training.recipe import Run
from microlocal.training.seeds import example_seed
from microlocal.training.state import State

HERE = Path(__file__).parent
SMALL = {"steps": 6, "batch": 2, "pool": 5, "validation": 3, "validate_every": 2, "ema": 0.9, "learning_rate": 0.05}


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    """TensorBoard takes seconds to load: only the test that is about it writes to it."""
    monkeypatch.setattr("microlocal.training.log.find_spec", lambda name: None)


def recipe(out, data=None, network=None, seed=0, **run):
    """A small recipe for the folder ``out``."""
    tables = {"data": data or {}, "network": network or {}, "run": SMALL | {"out": str(out)} | run}
    return recipe_from({"task": "line", "seed": seed, **tables})


def same(one, two):
    """Whether two trainings are in the same state, bit for bit."""
    a, b = (load_file(folder / "checkpoint.safetensors") for folder in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def steps_and_losses(folder):
    return [(row.step, row.loss, row.validation) for row in read_log(folder / "log.jsonl")]


def test_the_loss_falls_and_the_card_says_how(tmp_path):
    done = train(recipe(tmp_path, steps=80, network={"width": 8}), command="microlocal train r.toml")
    rows = read_log(tmp_path / "log.jsonl")
    assert [row.step for row in rows] == list(range(1, 81))
    assert rows[-1].validation["loss"] < 0.2 * rows[1].validation["loss"]
    state, card = load_weights(done.weights)
    assert sum(value.numel() for value in state.values()) == done.parameters == card["parameters"]
    assert card["task"] == "line"
    assert card["architecture"] == {"width": 8}
    assert card["noise"] == [0.0, 0.1]
    assert card["command"] == "microlocal train r.toml"
    assert card["metrics"] == done.metrics
    assert (card["seed"], card["steps"], card["processes"]) == (0, 80, 1)
    assert json.loads(card["recipe"])["run"]["steps"] == 80
    assert all(path.is_file() for path in done.files)


@pytest.mark.parametrize("pool", [5, 0])
def test_resumed_is_uninterrupted_bit_for_bit(tmp_path, pool):
    options = {"network": {"dropout": 0.3}, "pool": pool}
    train(recipe(tmp_path / "whole", **options))
    first = train(recipe(tmp_path / "parts", **options), stop_after=3)
    assert (first.step, first.complete) == (3, False)
    assert train(recipe(tmp_path / "parts", **options), resume=True).complete
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert steps_and_losses(tmp_path / "whole") == steps_and_losses(tmp_path / "parts")
    a, b = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts"))
    assert a == b


def test_the_sample_task_obeys_the_laws():
    check("task", training_task.Line({}, {}))


def test_another_seed_is_another_training(tmp_path):
    train(recipe(tmp_path / "a"))
    train(recipe(tmp_path / "b", seed=1))
    assert not same(tmp_path / "a", tmp_path / "b")


def test_killed_and_resumed_is_uninterrupted_bit_for_bit(tmp_path):
    run = {**SMALL, "out": str(tmp_path / "killed"), "checkpoint_minutes": 1e-9}
    code = (
        "import os, training_task\nfrom microlocal.training import recipe_from, train, log\n"
        "log.find_spec = lambda name: None\n"
        f"train(recipe_from({{'task': 'line', 'run': {run!r}}}), device='cpu',"
        "watch=lambda row: row.step == 4 and os.kill(os.getpid(), 9))"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=HERE, check=False, env=os.environ | {"RANK": "0"})
    assert killed.returncode == -signal.SIGKILL
    assert [row.step for row in read_log(tmp_path / "killed" / "log.jsonl")] == [1, 2, 3, 4]
    resumed = recipe(tmp_path / "killed", checkpoint_minutes=1e-9)
    train(resumed, resume=True)
    train(recipe(tmp_path / "whole"))
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert steps_and_losses(tmp_path / "whole") == steps_and_losses(tmp_path / "killed")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_step_with_usable_weights(tmp_path, number):
    before = signal.getsignal(number)
    done = train(recipe(tmp_path / "a"), watch=lambda row: row.step == 2 and os.kill(os.getpid(), number))
    assert (done.step, done.complete) == (2, False)
    assert load_weights(done.weights)[1]["steps"] == 2
    assert signal.getsignal(number) == before
    train(recipe(tmp_path / "a"), resume=True)
    train(recipe(tmp_path / "whole"))
    assert same(tmp_path / "a", tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_results_are_written_waits_for_them(tmp_path, monkeypatch, number):
    save = loop.save_weights

    def disturbed(*given):
        os.kill(os.getpid(), number)
        return save(*given)

    monkeypatch.setattr(loop, "save_weights", disturbed)
    done = train(recipe(tmp_path))
    assert done.complete
    assert load_weights(done.weights)[1]["steps"] == done.steps
    assert (tmp_path / "training.png").exists()


def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    def twice(row):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe(tmp_path), watch=twice)


def test_a_loss_that_is_nan_stops_and_keeps_its_batch(tmp_path):
    with pytest.raises(DivergenceError, match=r"nan_batch\.safetensors") as caught:
        train(recipe(tmp_path, data={"poison": 3}))
    batch = load_file(tmp_path / "nan_batch.safetensors")
    assert batch["x"].shape == (2, 8, 1)
    assert batch["y"].isnan().any()
    stopped_at = len(read_log(tmp_path / "log.jsonl"))
    assert f"at step {stopped_at + 1}" in str(caught.value)
    kept = load_file(tmp_path / "checkpoint.safetensors")
    assert all(value.isfinite().all() for value in kept.values())


def test_the_generator_of_the_caller_is_left_alone(tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(recipe(tmp_path, network={"dropout": 0.5}))
    assert torch.equal(torch.rand(3), expected)


def test_every_pass_reads_the_whole_pool_in_an_order_of_its_own():
    passes = [[example_seed(5, place, 20) for place in range(20 * k, 20 * k + 20)] for k in range(3)]
    assert all(sorted(seeds) == list(range(5, 25)) for seeds in passes)
    assert passes[0] != passes[1] != passes[2]
    assert [example_seed(5, place, 0) for place in range(3)] == [5, 6, 7]


def test_two_processes_read_what_one_with_the_double_batch_reads(tmp_path):
    small, double = recipe(tmp_path), recipe(tmp_path, batch=4)
    task, pool = small.build(), Pool.of(small, tmp_path / "pool")
    fill_pool(small, pool, range(5))
    (whole,) = Feed(double, task, pool, Team()).batches(3, 4)
    halves = [next(Feed(small, task, pool, Team(rank, 2)).batches(3, 4)) for rank in (0, 1)]
    assert torch.equal(whole["y"], torch.cat([half["y"] for half in halves]))


@pytest.fixture
def computed(monkeypatch):
    """The seeds of the examples that are computed."""
    seeds = []
    original = training_task.Line.example

    def counted(self, seed):
        seeds.append(seed)
        return original(self, seed)

    monkeypatch.setattr(training_task.Line, "example", counted)
    return seeds


def test_examples_are_computed_once(tmp_path, computed):
    train(recipe(tmp_path))
    assert len(computed) == 8
    train(recipe(tmp_path), fresh=True)
    assert len(computed) == 8


def test_a_damaged_example_and_one_of_other_data_are_computed_again(tmp_path, computed):
    one, other = recipe(tmp_path), recipe(tmp_path, data={"slope": 3.0})
    pool = Pool.of(one, tmp_path)
    assert fill_pool(one, pool, range(3)) == 3
    intact = pool.path(1).read_bytes()
    pool.path(1).write_bytes(intact[:-3] + bytes([intact[-3] ^ 1]) + intact[-2:])
    assert fill_pool(one, pool, range(3)) == 1
    pool.path(2).write_bytes(intact[:40])
    assert fill_pool(one, pool, range(3)) == 1
    assert pool.path(1).read_bytes() == intact
    assert fill_pool(other, Pool.of(other, tmp_path), range(3)) == 3
    assert computed == [0, 1, 2, 1, 2, 0, 1, 2]


def test_an_interruption_keeps_the_examples_that_are_done(tmp_path, computed):
    class Impatient(Silent):
        def advance(self, task, steps=1):
            if len(computed) == 2:
                raise KeyboardInterrupt

    one = recipe(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fill_pool(one, Pool.of(one, tmp_path), range(5), Impatient())
    assert fill_pool(one, Pool.of(one, tmp_path), range(5)) == 3


def test_an_example_that_cannot_be_computed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(training_task.Line, "example", lambda self, seed: 1 / 0)
    with pytest.raises(InputError, match=r"example of seed \d+: .*division by zero.*task\.example"):
        train(recipe(tmp_path))


@pytest.mark.slow
def test_worker_processes_compute_the_same(tmp_path):
    train(recipe(tmp_path / "here", pool=0))
    train(recipe(tmp_path / "there", pool=0, workers=1))
    assert same(tmp_path / "here", tmp_path / "there")


def test_the_running_mean_follows_the_weights(tmp_path):
    one = recipe(tmp_path)
    state = State.fresh(one.build().network(), one, torch.device("cpu"), scaled=False)
    old = [p.clone() for p in state.mean.parameters()]
    for parameter in state.network.parameters():
        parameter.data.add_(1.0)
    state.step = 10_000
    state.follow(0.9)
    for mean, before in zip(state.mean.parameters(), old, strict=True):
        torch.testing.assert_close(mean, before + 0.1)
    state.follow(0.0)
    for mean, weight in zip(state.mean.parameters(), state.network.parameters(), strict=True):
        assert torch.equal(mean, weight)


def test_weight_decay_leaves_biases_alone(tmp_path):
    one = recipe(tmp_path)
    groups = State.fresh(one.build().network(), one, torch.device("cpu"), scaled=False).optimizer.param_groups
    assert [(group["weight_decay"], {p.ndim for p in group["params"]}) for group in groups] == [(1e-4, {2}), (0.0, {1})]


def test_gradients_are_clipped(tmp_path):
    train(recipe(tmp_path / "free", steps=1, gradient_clip=0))
    train(recipe(tmp_path / "clipped", steps=1, gradient_clip=1e-3))
    moment = [load_file(tmp_path / n / "checkpoint.safetensors")["optimizer.0.exp_avg"] for n in ("free", "clipped")]
    assert moment[1].norm() <= 1e-4  # (1 - beta_1) times the clipped gradient
    assert moment[0].norm() > 1e-3


def test_bfloat16_on_the_cpu_and_no_float16(tmp_path):
    done = train(recipe(tmp_path, precision="bfloat16"))
    assert load_weights(done.weights)[1]["precision"] == "bfloat16"
    with pytest.raises(InputError, match=r"precision.*float16"):
        train(recipe(tmp_path / "b", precision="float16"))


def test_weights_to_start_from(tmp_path):
    done = train(recipe(tmp_path / "a"))
    again = train(recipe(tmp_path / "b", init_from=str(done.weights), steps=1, learning_rate=1e-30))
    old, new = load_weights(done.weights)[0], load_weights(again.weights)[0]
    assert all(torch.equal(old[name], new[name]) for name in old)
    first, card = (load_weights(one.weights)[1] for one in (done, again))
    assert card["began from"]["sha256"] == first["sha256"]
    assert card["began from"]["steps"] == first["steps"]
    third = recipe(tmp_path / "d", init_from=str(again.weights))
    train(third, stop_after=2)
    last = load_weights(train(third, resume=True).weights)[1]  # what it began from is in the checkpoint
    assert last["began from"]["began from"] == card["began from"]
    assert "began from" not in first
    with pytest.raises(InputError, match=r"init_from weights\.safetensors.*0\.weight of shape \(4, 1\), not \(5, 1\)"):
        train(recipe(tmp_path / "c", init_from=str(done.weights), network={"width": 5}))


def test_16_bit_weights(tmp_path):
    state, card = load_weights(train(recipe(tmp_path, stored="float16")).weights)
    assert card["stored"] == "float16"
    assert all(value.dtype == torch.float32 for value in state.values())


def test_a_folder_with_a_checkpoint_is_not_overwritten(tmp_path):
    train(recipe(tmp_path))
    with pytest.raises(InputError, match=r"--resume.*--fresh.*--out"):
        train(recipe(tmp_path))
    assert train(recipe(tmp_path), fresh=True).complete


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"data": {"slope": 3.0}}, r"\[data\] slope"), ({"batch": 3}, "batch"), ({"seed": 4}, "seed")],
)
def test_a_checkpoint_of_another_recipe_is_refused_by_name(tmp_path, changed, named):
    train(recipe(tmp_path), stop_after=1)
    with pytest.raises(InputError, match=named):
        train(recipe(tmp_path, **changed), resume=True)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(recipe(tmp_path), stop_after=1)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"checkpoint\.safetensors.*--fresh"):
        train(recipe(tmp_path), resume=True)


def test_without_a_checkpoint_resume_begins(tmp_path):
    done = train(recipe(tmp_path), resume=True, stop_after=2)
    assert (done.step, done.resumed_from) == (2, 0)
    assert train(recipe(tmp_path), resume=True).resumed_from == 2


def test_to_go_on_and_to_begin_again_exclude_each_other(tmp_path):
    train(recipe(tmp_path), stop_after=1)
    with pytest.raises(InputError, match="one of --resume and --fresh"):
        train(recipe(tmp_path), resume=True, fresh=True)
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    train(recipe(tmp_path), stop_after=3)
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 4, "lo')
    train(recipe(tmp_path), resume=True)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr("microlocal.training.log.find_spec", find_spec)
    train(recipe(tmp_path))
    assert list((tmp_path / "tensorboard").glob("events*"))


FILE = 'task = "line"\n[data]\n{data}\n[network]\n{network}\n[run]\n{run}\n'


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"run": "steps = 5\nbacth = 2"}, r"r\.toml \[run\] bacth: .*Did you mean 'batch'"),
        ({"run": ""}, r"r\.toml \[run\] steps: expected a value, got none"),
        ({"run": "steps = 'many'"}, r"\[run\] steps: expected a valid integer, got 'many'"),
        ({"run": "steps = 0"}, r"\[run\] steps: expected greater than or equal to 1, got 0"),
        ({"run": "steps = 5\nschedule = 'step'"}, r"\[run\] schedule: expected 'cosine' or 'constant', got 'step'"),
        ({"run": "steps = 5\nworkers = -1\nema = 2"}, r"1 more to mend"),
        ({"data": "slop = 1.0"}, r"r\.toml \[data\] slop: .*Did you mean 'slope'"),
        ({"network": "width = 1.5"}, r"r\.toml \[network\] width: expected a valid integer"),
    ],
)
def test_mistakes_in_a_recipe_are_told_by_file_and_key(tmp_path, parts, told):
    path = tmp_path / "r.toml"
    path.write_text(FILE.format(**{"data": "", "network": "", "run": "steps = 5"} | parts))
    with pytest.raises(InputError, match=told):
        read_recipe(path).build()


@pytest.mark.parametrize("task", ["denoising", "directions"])
@pytest.mark.parametrize("noise", [(0.0, 0.1), (-0.2, -0.1), (0.2, 0.1)])
def test_noise_that_cannot_be_drawn_is_refused_before_anything_is_made(task, noise):
    low, high = noise
    fields = {"task": task, "data": {"noise": {"low": low, "high": high}}, "run": {"steps": 1}}
    with pytest.raises(InputError, match=r"recipe \[data\].*noise: expected .*low <= high"):
        recipe_from(fields).build()


@pytest.mark.parametrize("blur", [(-1.0, 0.5), (0.0, 10.0)])
def test_a_blur_wider_than_the_image_is_refused_before_anything_is_made(blur):
    low, high = blur
    fields = {"task": "directions", "data": {"pixels": 24, "blur": {"low": low, "high": high}}, "run": {"steps": 1}}
    with pytest.raises(InputError, match="a third of the 24 pixels"):
        recipe_from(fields).build()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task = ", "expected a recipe in TOML"),
        ("tsak = 'line'\n[run]\nsteps = 1", "r.toml tsak: .*Did you mean 'task'"),
        ("task = 'lime'\n[run]\nsteps = 1", "Did you mean 'line'"),
        ("task = 'line'\ntext = 'x'\n[run]\nsteps = 1", "r.toml text"),
        ("task = 'line'\nrun = 3", "r.toml run"),
    ],
)
def test_files_that_are_no_recipes(tmp_path, text, told):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_recipe(path).build()
    with pytest.raises(InputError, match="No such file"):
        read_recipe(tmp_path / "none.toml")


def test_paths_of_what_is_read_start_at_the_recipe(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text("task = 'line'\n[data]\nfolder = 'images'\n[run]\nsteps = 1\ninit_from = 'w.safetensors'\n")
    read = read_recipe(path)
    assert read.data["folder"] == str(tmp_path / "images")
    assert read.run.init_from == tmp_path / "w.safetensors"
    assert read.run.out == Run(steps=1).out
    assert read.text == path.read_text()


def test_augmentation_is_a_function_of_the_position(tmp_path):
    one = recipe(tmp_path, pool=3)
    task, pool = one.build(), Pool.of(one, tmp_path / "pool")
    fill_pool(one, pool, range(3))
    feed = Feed(one, task, pool, Team())
    early, late = ([b["x"] for b in feed.batches(*span)] for span in ((0, 6), (3, 6)))
    assert all(torch.equal(a, b) for a, b in zip(early[3:], late, strict=True))
    signs = {bool((x < 0).all()) for batch in early for x in batch}
    assert signs == {True, False}
    assert torch.equal(task.example(4)["x"], torch.rand(8, 1, generator=generator(4)))


def test_every_key_of_run_is_on_the_page(repository):
    rows = [line for line in (repository / "docs" / "training.md").read_text().splitlines() if line.startswith("| `")]
    for name in Run.model_fields:
        assert [row for row in rows if f"`{name}`" in row.split("|")[1]], name


@pytest.mark.slow
def test_two_processes_compute_what_one_with_the_double_batch_computes(tmp_path):
    text = FILE.format(data="", network="", run="steps = 6\npool = 5\nvalidation = 2\nema = 0.5\nbatch = 2")
    (tmp_path / "r.toml").write_text(text)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, str(HERE / "training_task.py"), "train", "r.toml", "--out", "two", "--device", "cpu"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 steps") == 1
    train(read_recipe(tmp_path / "r.toml").with_run({"batch": 4, "out": tmp_path / "one"}))
    two, one = (load_weights(tmp_path / name / "weights") for name in ("two", "one"))
    assert two[1]["processes"] == 2
    for name, value in one[0].items():
        torch.testing.assert_close(two[0][name], value, atol=1e-5, rtol=1e-5)
    losses = [[row.loss for row in read_log(tmp_path / name / "log.jsonl")] for name in ("two", "one")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)

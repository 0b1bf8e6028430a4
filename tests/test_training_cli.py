"""``microlocal train`` as it is seen: the answer for people and programs, exit codes, errors, the bars."""

import io
import os
import signal

import pytest
import training_task  # registers its task
from cli_help import answer, run, said
from rich.console import Console

from microlocal.cli import lazy
from microlocal.cli.screen import THEME
from microlocal.cli.training_bars import TrainingBars
from microlocal.training import Row

assert training_task.Line


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    monkeypatch.setattr("microlocal.training.log.find_spec", lambda name: None)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "line.toml"
    path.write_text(f'task = "line"\n[run]\nsteps = 4\npool = 3\nvalidation = 2\nout = "{tmp_path / "run"}"\n')
    return path


def test_the_answer_names_the_weights(file, tmp_path):
    shown = said(run("train", file))
    for part in ("line done: 4 steps", "parameters", "Validation", "loss", "worst", "weights.safetensors"):
        assert part in shown
    assert (tmp_path / "run" / "training.png").read_bytes()[:4] == b"\x89PNG"


def test_programs_get_the_same_in_json(file, tmp_path):
    fields = answer(run("train", file, "--json", "--out", tmp_path / "other", "--steps", 2))
    assert (fields["step"], fields["steps"], fields["interrupted"]) == (2, 2, False)
    assert fields["weights"] == str(tmp_path / "other" / "weights.safetensors")
    assert set(fields["metrics"]) == {"loss", "worst"}


def test_ctrl_c_ends_with_3_and_says_how_to_go_on(file, monkeypatch):
    def interrupting(self, row):
        if row.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingBars, "row", interrupting)
        stopped = run("train", file)
    assert stopped.exit_code == 3
    assert "2 of 4 steps" in said(stopped)
    assert "--resume" in said(stopped)
    resumed = run("train", file, "--resume")
    assert resumed.exit_code == 0
    assert "done: 4 steps" in said(resumed)


def test_resume_without_a_checkpoint_says_that_it_begins(file, tmp_path):
    begun = run("train", file, "--resume")
    assert begun.exit_code == 0
    assert f"There is no checkpoint in {tmp_path / 'run'}: the training begins at the first step." in said(begun)
    again = run("train", file, "--resume", "--steps", 6)
    assert "no checkpoint" not in said(again)
    assert answer(run("train", file, "--resume", "--steps", 8, "--json"))["resumed_from"] == 6
    assert answer(run("train", file, "--fresh", "--json"))["resumed_from"] == 0
    assert run("train", file, "--fresh", "--resume").exit_code == 2


def test_interrupted_before_the_first_step(file, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(lazy.training, "train", interrupt)
    result = run("train", file)
    assert result.exit_code == 3
    assert "examples computed so far" in said(result)
    assert answer(run("train", file, "--json"))["error"]["exit_code"] == 3


def test_a_mistake_in_the_recipe_is_told_in_parts(file):
    file.write_text(file.read_text().replace("steps = 4", "stpes = 4"))
    result = run("train", file, "--json")
    assert result.exit_code == 2
    assert answer(result)["error"]["who"] == "line.toml [run] stpes"


def test_a_trained_folder_is_not_overwritten(file):
    assert run("train", file).exit_code == 0
    assert run("train", file).exit_code == 2
    assert run("train", file, "--fresh").exit_code == 0


def test_an_unknown_device_is_refused(file):
    assert "auto, cpu, or cuda" in said(run("train", file, "--device", "quantum"))


def test_the_bars_show_loss_speed_and_validation():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, theme=THEME)
    with TrainingBars(console, silent=False) as bars:
        bars.start("training", 10)
        for step in range(1, 4):
            bars.row(Row(step, 0.5, 1e-3, 1.0, 0.02 * step, {"loss": 0.25, "psnr": 30.0} if step == 2 else {}))
            bars.advance("training")
        bars.finish("training")
    shown = console.file.getvalue()
    assert "loss 0.5 · 20 ms/step · validation 0.25, psnr 30" in shown
    assert "3/10" in shown


def test_silent_bars_draw_nothing():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with TrainingBars(console, silent=True) as bars:
        bars.start("training", 1)
        bars.row(Row(1, 0.5, 1e-3, 1.0, 0.02))
        bars.advance("training")
        bars.finish("training")
    assert console.file.getvalue() == ""

"""What the command line says and how it ends: help that teaches, errors that tell what to do, exit codes."""

import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_help import answer, run, said, scan_file
from rich.text import Text

VERBS = (
    "reconstruct", "stack", "visible", "edges", "denoise", "deblur", "inpaint", "train", "weights", "certify",
    "info", "methods", "dictionary", "doctor", "demo",
)  # fmt: skip
PROGRAM = [sys.executable, "-m", "microlocal"]


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, in its own process."""
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, env=os.environ | environment, check=False
    )


def test_the_first_help_names_every_verb_and_every_exit_code():
    result = run("--help")
    assert result.exit_code == 0
    codes = ("0 done", "1 something inside", "2 the input", "3 interrupted")
    for word in (*VERBS, *codes, "--json", "--quiet", "--debug", "--version"):
        assert word in said(result)


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_page_shows_an_example_of_its_verb(verb):
    result = run(verb, "--help")
    assert result.exit_code == 0
    assert f"microlocal {verb}" in said(result).split("Examples")[1]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_no_help_page_is_wider_than_a_small_terminal(verb):
    shown = program(*filter(None, [verb]), "--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert "[dim]" not in shown


@pytest.mark.parametrize("verb", VERBS)
def test_no_sentence_of_a_help_page_is_broken_twice(verb):
    """Lines are kept as they are written: one that is too long leaves a word or two alone on the next."""
    module = importlib.import_module(f"microlocal.cli.{verb}")
    _, *described = inspect.getdoc(getattr(module, verb)).splitlines()
    told = [*Text.from_markup(module.EXAMPLES).plain.splitlines(), *described]
    assert [line for line in told if len(line) > 78] == []


def test_the_help_page_appears_at_once():
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        assert program("--help").returncode == 0
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.4


def test_no_verb_shows_the_help():
    assert "Examples" in said(run())


def test_the_version_for_people_and_for_programs():
    number = answer(run("--version", "--json"))["version"]
    assert said(run("--version")) == f"microlocal {number}"


def test_an_unknown_verb_is_bad_input():
    result = run("recontruct")
    assert result.exit_code == 2
    assert "reconstruct" in said(result)


def test_an_unknown_option_is_bad_input_for_people_and_programs():
    assert run("info", "x", "--wrong").exit_code == 2
    result = run("info", "x", "--wrong", "--json")
    assert result.exit_code == 2
    assert "--wrong" in answer(result)["error"]["problem"]


def test_a_malformed_value_names_the_option_and_the_form():
    result = run("reconstruct", "x", "--slice", "a")
    assert result.exit_code == 2
    assert "--slice" in said(result)
    assert "K or A:B" in said(result)


def test_a_missing_file_is_told_in_parts_and_without_a_traceback(tmp_path):
    result = program("info", str(tmp_path / "none.mat"))
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for part in ("who", "expected", "got", "do"):
        assert part in result.stderr


def test_debug_adds_the_traceback_and_keeps_the_exit_code(tmp_path):
    result = program("info", str(tmp_path / "none.mat"), "--debug")
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert "ScanFileError" in result.stderr


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"a sentence", bytes(range(256)) * 8], ids=str)
def test_what_is_not_a_scan_is_refused_for_programs_too(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    result = run("--json", "info", tmp_path / "file")
    error = answer(result)["error"]
    assert result.exit_code == error["exit_code"] == 2
    assert error["type"] == "ScanFileError"
    assert {"who", "expected", "got", "do"} <= set(error)


def test_flags_may_stand_before_or_after_the_verb(tmp_path):
    file = scan_file(tmp_path)
    assert answer(run("--json", "info", file)) == answer(run("info", file, "--json"))


def test_quiet_says_nothing(tmp_path):
    result = run("info", scan_file(tmp_path), "--quiet")
    assert result.exit_code == 0
    assert result.output == ""


def test_quiet_still_tells_errors(tmp_path):
    result = run("info", tmp_path / "none", "--quiet")
    assert result.exit_code == 2
    assert "expected" in said(result)


@pytest.mark.parametrize("verb", ["reconstruct", "visible"])
def test_an_unwritable_folder_is_found_before_anything_is_read(tmp_path, verb):
    blocked = tmp_path / "taken"
    blocked.write_text("a file, not a folder")
    result = run(verb, tmp_path / "no-such-scan", "--out", blocked, "--json")
    assert result.exit_code == 2
    assert answer(result)["error"]["type"] == "OutputError"
    assert blocked.read_text() == "a file, not a folder"


def test_a_failed_run_leaves_no_folder_behind(tmp_path):
    assert run("reconstruct", tmp_path / "none", "--out", tmp_path / "a" / "b").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_ends_with_1_and_says_how_to_report_it(tmp_path, monkeypatch):
    from microlocal.cli import lazy

    def broken(path: Path) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(lazy.io, "read_scan", broken)
    result = run("info", tmp_path)
    assert result.exit_code == 1
    assert "a fault of ours" in said(result)
    assert "--debug" in said(result)
    assert json.loads(run("info", tmp_path, "--json").stdout)["error"]["exit_code"] == 1


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (MemoryError(), 1, "smaller --grid"),
        (PermissionError(13, "Permission denied", "x.mat"), 2, "Permission denied"),
        (ImportError("no libfoo"), 1, "Install again"),
    ],
)
def test_what_the_system_refuses_is_told_without_jargon(tmp_path, monkeypatch, error, code, told):
    from microlocal.cli import lazy

    def refuse(path: Path) -> None:
        raise error

    monkeypatch.setattr(lazy.io, "read_scan", refuse)
    result = run("info", tmp_path)
    assert result.exit_code == code
    assert told in said(result)


def test_interrupted_before_there_is_a_result(tmp_path, monkeypatch):
    from microlocal.cli import lazy

    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lazy.io, "read_scan", interrupt)
    result = run("reconstruct", tmp_path / "scan", "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "nothing was written" in said(result)
    assert not (tmp_path / "out").exists()

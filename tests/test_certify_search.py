"""The search of ``microlocal certify``: its time is kept, it shows how far it is, and Ctrl-C loses nothing."""

import json
import signal
import time

import pytest
from tiny_weights import tiny_denoiser
from torch import nn
from typer.testing import CliRunner

from microlocal.certificates.attack import Search, gain, worst
from microlocal.cli.app import app
from microlocal.cli.bars import Bars
from microlocal.core.errors import InputError
from microlocal.networks import certify
from microlocal.networks.certify import examine


class Slow(nn.Module):
    """Doubles an image, a twentieth of a second long."""

    def forward(self, u):
        time.sleep(0.05)
        return 2 * u


class Heard:
    """Keeps what a search reports."""

    def __init__(self):
        self.total, self.steps, self.finished = 0, [], 0

    def start(self, task, total):
        del task
        self.total += total

    def advance(self, task, steps=1):
        del task
        self.steps.append(steps)

    def finish(self, task):
        del task
        self.finished += 1


def test_a_search_ends_when_its_time_is_over_and_has_a_value():
    begun = time.monotonic()
    found, _ = worst(Slow(), (1, 4, 4), gain, Search(starts=1, steps=1000, seconds=0.5))
    assert found == pytest.approx(2.0)
    assert 0.4 < time.monotonic() - begun < 30
    assert worst(Slow(), (1, 4, 4), gain, Search(starts=1, steps=1000, seconds=0.0))[0] == pytest.approx(2.0)


def test_a_search_hears_what_part_is_over_and_ends_when_told():
    parts = []

    def watch(part):
        parts.append(part)
        return len(parts) == 4

    worst(Slow(), (1, 4, 4), gain, Search(starts=1, steps=10, watch=watch))
    assert parts == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_the_time_of_an_examination_is_kept_and_said(tmp_path):
    weights, heard = tiny_denoiser(tmp_path / "tiny", "shrinkage"), Heard()
    found = examine(weights, attack=True, progress=heard, seconds=2.0)
    assert 2.0 <= found.seconds < 10
    assert not found.complete
    assert not found.interrupted
    assert found.holds
    assert heard.total == 100
    assert sum(heard.steps) <= heard.total
    assert sum(step > 0 for step in heard.steps) > 5
    assert heard.finished == 1
    with pytest.raises(InputError, match="seconds"):
        examine(weights, attack=True, seconds=0.0)


def test_a_longer_search_finds_no_less(tmp_path, monkeypatch):
    monkeypatch.setattr(certify, "LONG", Search(starts=1, steps=3))
    weights = tiny_denoiser(tmp_path / "tiny", "shrinkage")
    short, long = examine(weights, shape=(8, 8)), examine(weights, True, shape=(8, 8), seconds=600.0)
    assert all(b.value >= a.value for a, b in zip(short.certificates, long.certificates, strict=True))
    assert all(long.measured[name] >= value for name, value in short.measured.items())
    assert short.complete
    assert long.complete


def test_an_examination_that_is_stopped_has_a_value_for_every_claim(tmp_path):
    weights, calls = tiny_denoiser(tmp_path / "tiny"), []

    def stopped():
        calls.append(0)
        return len(calls) > 3

    whole, found = examine(weights, shape=(8, 8)), examine(weights, True, shape=(8, 8), stopped=stopped)
    assert found.interrupted
    assert not found.complete
    assert [c.claim for c in found.certificates] == [c.claim for c in whole.certificates]
    assert found.measured.keys() == whole.measured.keys()
    assert found.holds


def test_ctrl_c_prints_what_was_found(tmp_path, monkeypatch):
    """The signal comes when the search reports itself the second time."""
    weights, reports = tiny_denoiser(tmp_path / "tiny", "shrinkage"), []

    def advance(bars, task, steps=1):
        del bars, task, steps
        reports.append(0)
        if len(reports) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Bars, "advance", advance)
    shown = CliRunner().invoke(app, ["certify", str(weights), "--minutes", "5", "--json"])
    assert shown.exit_code == 3, shown.output
    told = json.loads(shown.stdout)
    assert told["search"]["interrupted"]
    assert told["search"]["seconds"] < 60
    assert len(told["certificates"]) == 2
    assert told["holds"]
    reports.clear()
    assert "Interrupted after" in CliRunner().invoke(app, ["certify", str(weights)]).output


def test_minutes_ask_for_a_long_search_and_for_some_time(tmp_path):
    weights = tiny_denoiser(tmp_path / "tiny")
    shown = CliRunner().invoke(app, ["certify", str(weights), "--minutes", "0.01"])
    assert shown.exit_code == 0, shown.output
    assert "all that it was given; --minutes gives it more" in " ".join(shown.output.split())
    refused = CliRunner().invoke(app, ["certify", str(weights), "--minutes", "0"])
    assert refused.exit_code == 2

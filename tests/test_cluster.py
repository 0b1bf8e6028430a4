"""Stacks on a dask cluster: the same pixels, and nothing lost when a worker is killed half-way."""

import os
import signal

import pytest
import stack_files as files
from cli_help import run, said

from microlocal.core import registry
from microlocal.core.errors import InputError, OutputError
from microlocal.members import load_all
from microlocal.reconstruction import Scheduler, StackRequest, reconstruct_stack
from microlocal.reconstruction import cluster as on_cluster

distributed = pytest.importorskip("distributed")
load_all()
SLICES = 24


@pytest.fixture(autouse=True)
def _methods(monkeypatch):
    members = {kind: dict(entries) for kind, entries in registry._ENTRIES.items()}
    monkeypatch.setattr(registry, "_ENTRIES", members)
    files.register_methods()


@pytest.fixture(scope="module")
def address():
    """The scheduler of a cluster of two processes on this machine."""
    with distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


class KillOne:
    """Kills one worker of the cluster as soon as some slices are done."""

    def __init__(self, address):
        self.address, self.killed, self.done = address, 0, 0

    def start(self, task, total):
        pass

    def advance(self, task, steps=1):
        self.done += steps
        if self.done >= 6 and not self.killed:
            with distributed.Client(self.address, set_as_default=False) as client:
                self.killed = next(iter(client.run(os.getpid).values()))
            os.kill(self.killed, signal.SIGKILL)

    def finish(self, task):
        pass


def test_a_worker_killed_half_way_loses_nothing(address, tmp_path):
    path = files.data_exchange(tmp_path / "s.h5", SLICES)
    killer = KillOne(address)
    request = StackRequest(method="slow", block=2, form="zarr")
    state = reconstruct_stack(path, tmp_path / "out", request, where=Scheduler(address), progress=killer)
    assert killer.killed
    assert state.complete
    alone = reconstruct_stack(path, tmp_path / "alone", StackRequest(method="fbp", block=2))
    assert state.checksum() == alone.checksum()


def test_failures_on_the_cluster_are_reported(address, tmp_path):
    path = files.npy(tmp_path / "s.npy", 8, cruel=(5,))
    state = reconstruct_stack(path, tmp_path / "out", StackRequest(method="raising", block=4), where=Scheduler(address))
    assert state.failed == {5: "ArithmeticError: a cruel slice"}
    assert state.missing == (5,)


def test_a_place_that_the_cluster_cannot_write_stops_it(address, tmp_path):
    path = files.npy(tmp_path / "s.npy", 4)
    (tmp_path / "out" / "slices" / "slice_00002.tif").mkdir(parents=True)
    with pytest.raises(OutputError, match="are done and stay"):
        reconstruct_stack(path, tmp_path / "out", StackRequest(method="fbp", block=1), where=Scheduler(address))


def test_the_command_runs_on_the_cluster(address, tmp_path):
    path = files.npy(tmp_path / "s.npy", 4)
    result = run("stack", path, "-m", "fbp", "--out", tmp_path / "out", "--scheduler", address, "--format", "zarr")
    assert result.exit_code == 0
    assert "fbp done. 4 of 4 slices" in said(result)


def test_nobody_at_the_address_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(on_cluster, "WAIT_SECONDS", 0.5)
    path = files.npy(tmp_path / "s.npy", 4)
    with pytest.raises(InputError, match="dask scheduler"):
        reconstruct_stack(path, tmp_path / "out", StackRequest(method="fbp"), where=Scheduler("tcp://127.0.0.1:9"))


def test_a_scheduler_without_workers_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(on_cluster, "WAIT_SECONDS", 0.5)
    path = files.npy(tmp_path / "s.npy", 4)
    scheduler = {"cls": distributed.Scheduler, "options": {"port": 0, "dashboard_address": ":0"}}
    with distributed.SpecCluster(workers={}, scheduler=scheduler) as empty:
        where = Scheduler(empty.scheduler_address)
        with pytest.raises(InputError, match="dask worker"):
            reconstruct_stack(path, tmp_path / "out", StackRequest(method="fbp"), where=where)


def test_a_form_that_one_machine_writes_is_refused(tmp_path):
    with pytest.raises(InputError, match="tiff or zarr"):
        reconstruct_stack("s.h5", tmp_path, StackRequest(form="bigtiff"), where=Scheduler("tcp://127.0.0.1:9"))

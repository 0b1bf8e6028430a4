"""The blocks of a stack on a dask cluster: the same work as in processes of one machine.

Every worker must see the scan and the output folder under the same paths, and have the same microlocal. A worker that
dies loses the block it was computing, which another one computes again.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import torch

from microlocal.core.errors import InputError, OutputError
from microlocal.core.extras import extra
from microlocal.reconstruction.pools import Outcome, Pool, attempt
from microlocal.reconstruction.stack_job import Job

WAIT_SECONDS = 60


class Cluster:
    """Computes blocks on the workers of the dask scheduler at ``address``; raises InputError where there are none."""

    def __init__(self, job: Job, address: str) -> None:
        self._dask = extra("distributed", "cluster", "stack --scheduler")
        self.job, self.address = job, address
        self._running: dict[Any, range] = {}
        try:
            self._client = self._dask.Client(address, timeout=WAIT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            do = "Start it (dask scheduler), and give the address that it prints, such as tcp://10.0.0.1:8786."
            got = f"{address}: {error}"
            raise InputError("stack", expected="a dask scheduler", got=got, do=do) from error
        try:
            self._client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            self._client.close()
            do = f"Start some: dask worker {address} --nthreads 1 --nworkers 4"
            raise InputError("stack", expected="workers at the scheduler", got="none", do=do) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.cancel(list(self._running))
        self._client.close()

    def free(self) -> bool:
        try:
            threads = sum(self._client.nthreads().values())
        except OSError as error:
            do = "Start it again and give the same command: what is done stays."
            raise InputError("stack", expected="a scheduler that answers", got=str(error), do=do) from error
        return len(self._running) < 2 * max(1, threads)

    def submit(self, numbers: range) -> None:
        future = self._client.submit(on_worker, self.job, numbers, pure=False)
        self._running[future] = numbers

    def outcome(self) -> Outcome:
        with self._client.as_current():
            done, _ = self._dask.wait(list(self._running), return_when="FIRST_COMPLETED")
        future = next(iter(done))
        numbers = self._running.pop(future)
        if future.status == "finished":
            answer: Outcome = future.result()
            return answer
        error = future.exception() if future.status == "error" else None
        if isinstance(error, OutputError):
            raise error
        return Outcome(numbers, error=f"{type(error).__name__}: {error}" if error else f"the task was {future.status}")


def on_worker(job: Job, numbers: range) -> Outcome:
    """Compute a block on a dask worker, with the threads that dask gives it."""
    worker = extra("distributed", "cluster", "dask worker").get_worker()
    torch.set_num_threads(max(1, int(worker.state.nthreads)))
    return attempt(job, numbers)


@dataclass(frozen=True)
class Scheduler:
    """The dask cluster whose scheduler listens at ``address``."""

    address: str
    several_machines: bool = True

    def open(self, job: Job) -> Pool:
        """Return the pool; raises InputError where nobody answers."""
        return Cluster(job, self.address)

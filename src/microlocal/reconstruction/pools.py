"""Who computes the blocks of a stack: this process, several of this machine, or a cluster; and what when one fails.

A pool takes blocks and gives back outcomes in any order. Blocks that fail are tried once more, then slice by slice,
so that a slice that kills its worker, or does not fit into the memory together with others, costs nothing but itself.
"""

import signal
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol, Self

import torch

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError, MicrolocalError, OutputError
from microlocal.reconstruction.journal import Row
from microlocal.reconstruction.stack_job import Job, run_block

TRIES = 2
PATIENCE = 5.0  # seconds for a worker to clean up after itself


@dataclass(frozen=True)
class Outcome:
    """What became of the slices ``numbers``: ``rows``, or the ``error`` and whether trying again is ``hopeless``."""

    numbers: range
    rows: tuple[Row, ...] = ()
    error: str = ""
    hopeless: bool = False


class Pool(AbstractContextManager["Pool"], Protocol):
    """Computes blocks; leaving the context stops whatever is still going on."""

    def free(self) -> bool:
        """Whether another block can be taken."""

    def submit(self, numbers: range) -> None:
        """Take a block."""

    def outcome(self) -> Outcome:
        """Wait for the next block to end; raises OutputError where results cannot be written."""


@dataclass
class _Task:
    numbers: range
    tries: int = 0


def drive(job: Job, blocks: list[range], pool: Pool) -> Iterator[tuple[Row, ...]]:
    """Have a pool compute ``blocks``; yield the rows of one after the other, with an error where all tries failed."""
    waiting = deque(map(_Task, blocks))
    running: dict[range, _Task] = {}
    while waiting or running:
        while waiting and pool.free():
            task = waiting.popleft()
            running[task.numbers] = task
            pool.submit(task.numbers)
        outcome = pool.outcome()
        task = running.pop(outcome.numbers)
        task.tries = TRIES if outcome.hopeless else task.tries + 1
        if not outcome.error:
            yield outcome.rows
        elif task.tries < TRIES:
            waiting.append(task)
        elif len(task.numbers) > 1:
            waiting.extend(_Task(range(k, k + 1), TRIES - 1) for k in task.numbers)
        else:
            rows = (Row(task.numbers.start, error=outcome.error),)
            job.journal.write(task.numbers, rows)
            yield rows


def attempt(job: Job, numbers: range) -> Outcome:
    """Compute a block; what the method raises becomes an outcome, what stops everything is raised."""
    try:
        return Outcome(numbers, run_block(job, numbers))
    except OutputError:
        raise
    except MicrolocalError as error:
        return Outcome(numbers, error=str(error), hopeless=True)
    except Exception as error:  # the method is anybody's code: the other slices shall go on
        return Outcome(numbers, error=f"{type(error).__name__}: {error}")


class Here:
    """Computes blocks in this process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._taken: list[range] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._taken.clear()

    def free(self) -> bool:
        return not self._taken

    def submit(self, numbers: range) -> None:
        self._taken.append(numbers)

    def outcome(self) -> Outcome:
        return attempt(self.job, self._taken.pop())


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    numbers: range | None = None
    ready: bool = False


class Processes:
    """Computes blocks in ``count`` processes of this machine, which share its threads; one that dies is replaced."""

    def __init__(self, job: Job, count: int) -> None:
        self.job, self.threads = job, max(1, torch.get_num_threads() // count)
        self._workers = [self._started() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.connection.close()  # an idle worker ends by itself
            if worker.numbers is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(PATIENCE)
            worker.process.kill()
            worker.process.join()

    def free(self) -> bool:
        return any(worker.numbers is None for worker in self._workers)

    def submit(self, numbers: range) -> None:
        worker = next(worker for worker in self._workers if worker.numbers is None)
        worker.numbers = numbers
        try:
            worker.connection.send(numbers)
        except OSError:  # it died while it was idle: ``outcome`` finds out
            return

    def outcome(self) -> Outcome:
        busy = {worker.connection: worker for worker in self._workers if worker.numbers is not None}
        while True:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    return self._lost(worker)
                worker.ready = True
                if isinstance(answer, OutputError):
                    raise answer
                if isinstance(answer, Outcome):
                    worker.numbers = None
                    return answer

    def _started(self) -> _Worker:
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(  # type: ignore[attr-defined]  # typeshed knows it in the subclasses
            target=serve, args=(theirs, self.job, self.threads), daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _lost(self, worker: _Worker) -> Outcome:
        """Replace a worker that died and tell what it was computing."""
        worker.process.join()
        worker.connection.close()
        numbers, code = worker.numbers or range(0), worker.process.exitcode
        if not worker.ready:
            do = 'In a program of your own, call it under `if __name__ == "__main__":`.'
            raise InputError("stack", expected="worker processes that start", got=f"exit code {code}", do=do)
        self._workers[self._workers.index(worker)] = self._started()
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return Outcome(numbers, error=f"the worker died ({how})")


def _context() -> BaseContext:
    """Return how workers start: forked from a small server that has loaded this module, where the system has that.

    So torch is loaded once, not once a worker, and the workers share its pages; the server itself runs no threads.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def serve(connection: Connection, job: Job, threads: int) -> None:
    """Compute the blocks that come through ``connection`` until it closes: the life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the work
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(-number))  # with locks and temporary files removed
    torch.set_num_threads(threads)
    try:
        connection.send("ready")
        while True:
            connection.send(_answer(job, connection.recv()))
    except (EOFError, OSError):
        return


def _answer(job: Job, numbers: range) -> Outcome | OutputError:
    try:
        return attempt(job, numbers)
    except OutputError as error:
        return error


class Where(Protocol):
    """Where blocks are computed: opens the pool for a job; ``several_machines`` may then write at once."""

    @property
    def several_machines(self) -> bool:
        """Whether the processes may be on more than one machine."""

    def open(self, job: Job) -> Pool:
        """Return the pool; raises InputError where it cannot be had."""


@dataclass(frozen=True)
class Workers:
    """``count`` processes of this machine; one is this process itself."""

    count: int = 1
    several_machines: bool = False

    def __post_init__(self) -> None:
        at_least(self.count, 1, "workers", "stack")

    def open(self, job: Job) -> Pool:
        """Return the pool."""
        return Here(job) if self.count == 1 else Processes(job, self.count)

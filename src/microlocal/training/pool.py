"""The pool of examples: computed once by worker processes, kept in files, and read from there ever after.

A file holds one example and the mark of the data table that it was computed from. What is there already, from an
earlier training or one that was stopped, is not computed again; what is damaged, or of another recipe, is.
"""

import hashlib
import json
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from microlocal.core.errors import InputError, MicrolocalError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import lookup
from microlocal.io.tensors import read_tensors, write_tensors
from microlocal.training.folder import ImageFolder
from microlocal.training.recipe import Recipe
from microlocal.training.task import Example, Task

AHEAD = 2  # examples that each worker has waiting
REMOVE = "Remove the file: it is computed again."


@dataclass(frozen=True)
class Pool:
    """Examples in files <folder>/example-<seed>.safetensors, each marked with ``mark``."""

    folder: Path
    mark: str

    @classmethod
    def of(cls, recipe: Recipe, folder: Path) -> "Pool":
        """Return the pool of a recipe; its mark changes with the task, [data], the images read, and the version.

        Tasks with the same attribute ``examples``, a name, make the same examples of the same [data] and share them.
        """
        place = recipe.data.get("folder")
        images = ImageFolder.at(place).listing() if isinstance(place, str) else []
        table = {name: value for name, value in recipe.data.items() if name != "folder"}
        maker = getattr(lookup("task", recipe.task, "task").member, "examples", recipe.task)
        described = json.dumps([maker, table, images, version("microlocal")], sort_keys=True, default=str)
        return cls(folder, hashlib.sha256(described.encode()).hexdigest())

    def path(self, seed: int) -> Path:
        """Return the file of an example."""
        return self.folder / f"example-{seed}.safetensors"

    def has(self, seed: int) -> bool:
        """Return whether the example is there, whole, and of this recipe."""
        if not self.path(seed).is_file():
            return False
        try:
            _, facts = read_tensors(self.path(seed), "pool", REMOVE)
        except InputError:
            return False
        return facts.get("mark") == self.mark

    def write(self, seed: int, example: Example) -> None:
        """Keep an example; raises OutputError."""
        write_tensors(example, self.path(seed), {"mark": self.mark})

    def read(self, seed: int) -> Example:
        """Return an example; raises InputError where its file is missing or damaged."""
        return read_tensors(self.path(seed), f"example {seed}", REMOVE)[0]


def fill_pool(recipe: Recipe, pool: Pool, seeds: Sequence[int], progress: Progress = SILENT) -> int:
    """Compute the examples that the pool lacks, with the recipe's workers; return how many were computed.

    What was computed before an interruption stays. Raises InputError where an example cannot be computed.
    """
    missing = [seed for seed in seeds if not pool.has(seed)]
    if not missing:
        return 0
    progress.start("examples", len(seeds))
    progress.advance("examples", len(seeds) - len(missing))
    with Maker.of(recipe) as maker:
        for seed, example in maker.make(iter(missing)):
            pool.write(seed, example)
            progress.advance("examples")
    progress.finish("examples")
    return len(missing)


class Maker:
    """Computes examples in ``workers`` processes of one thread each, or in this one where there are none."""

    def __init__(self, task: Task, executor: ProcessPoolExecutor | None, workers: int) -> None:
        self._task, self._executor, self._workers = task, executor, workers

    @classmethod
    @contextmanager
    def of(cls, recipe: Recipe) -> Iterator["Maker"]:
        """Open the workers of a recipe; they end with the context, at once where it is left by an error."""
        task, workers = recipe.build(), recipe.run.workers
        if workers == 0:
            yield cls(task, None, 0)
            return
        member = lookup("task", recipe.task, "task").member
        start = (member, recipe.data, recipe.network)
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=start)
        try:
            yield cls(task, executor, workers)
        finally:
            _stop(executor)

    def make(self, seeds: Iterator[int]) -> Iterator[tuple[int, Example]]:
        """Yield (seed, example) as they are ready, at most a few ahead of what was taken."""
        if self._executor is None:
            for seed in seeds:
                yield seed, _computed(self._task, seed)
            return
        running: dict[Future[bytes], int] = {}
        exhausted = False
        while running or not exhausted:
            fresh = list(islice(seeds, AHEAD * self._workers - len(running)))
            exhausted = not fresh and not running
            running |= {_submitted(self._executor, seed): seed for seed in fresh}
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), load(_result(future))

    def in_order(self, seeds: Iterator[int]) -> Iterator[Example]:
        """Yield the examples in the order of their seeds."""
        if self._executor is None:
            yield from (_computed(self._task, seed) for seed in seeds)
            return
        running = deque(_submitted(self._executor, seed) for seed in islice(seeds, AHEAD * self._workers))
        while running:
            yield load(_result(running.popleft()))
            running.extend(_submitted(self._executor, seed) for seed in islice(seeds, 1))


_AT_WORK: list[Task] = []


def _begin(member: Any, data: dict[str, Any], network: dict[str, Any]) -> None:
    """Begin the life of a worker process."""
    torch.set_num_threads(1)
    _AT_WORK[:] = [member(data, network)]


def _submitted(executor: ProcessPoolExecutor, seed: int) -> "Future[bytes]":
    """Give a seed to the workers, starting one if needed: born while Ctrl-C is held back, it leaves that to us."""
    if not hasattr(signal, "pthread_sigmask"):
        return executor.submit(_made, seed)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(_made, seed)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _made(seed: int) -> bytes:
    return save({name: value.contiguous() for name, value in _computed(_AT_WORK[0], seed).items()})


def _computed(task: Task, seed: int) -> Example:
    try:
        with torch.no_grad():
            return task.example(seed)
    except MicrolocalError:
        raise
    except Exception as error:  # the task is anybody's code
        got, do = f"{type(error).__name__}: {error}"[:200], f"Try it alone: task.example({seed})."
        raise InputError(f"example of seed {seed}", expected="tensors", got=got, do=do) from error


def _result(future: Future[bytes]) -> bytes:
    try:
        return future.result()
    except BrokenProcessPool as error:
        do = (
            "Take fewer workers if the memory is short; with workers = 0 this process shows what is wrong. "
            'In a program of your own, call train under `if __name__ == "__main__":`.'
        )
        raise InputError("pool", expected="workers that live", got="one that died", do=do) from error


def _stop(executor: ProcessPoolExecutor) -> None:
    """End the workers: at once where an error or Ctrl-C is on its way."""
    failing = sys.exc_info()[0] is not None
    processes = list((executor._processes or {}).values()) if failing else []
    executor.shutdown(wait=not failing, cancel_futures=True)
    for process in processes:
        process.terminate()

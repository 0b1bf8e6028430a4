"""The batch of every step: which examples, how they vary, stacked; a function of the recipe and the step alone."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from microlocal.core.errors import InputError
from microlocal.core.seeding import generator
from microlocal.training.distributed import Team
from microlocal.training.pool import Maker, Pool
from microlocal.training.recipe import Recipe
from microlocal.training.seeds import VALIDATION, example_seed, mixed
from microlocal.training.task import Batch, Example, Task

MEMORY = 4 * 2**30  # bytes of examples that are kept in memory; beyond them, each is read when it is needed
SOME = 256  # examples whose facts are on the card
THREADS = 6  # that prepare batches while a GPU computes


@dataclass
class Feed:
    """The batches of a training.

    Parameters: ``recipe``, ``task``, ``pool``; ``team``, of which each process takes its share of a step's examples.
    """

    recipe: Recipe
    task: Task
    pool: Pool
    team: Team
    _kept: dict[int, Example] = field(default_factory=dict)
    _bytes: int = 0

    def seeds(self) -> list[int]:
        """Return the seeds of the examples that are kept in the pool: those for training, those for validation."""
        first, run = self.recipe.seed, self.recipe.run
        return [*self.validation_seeds(), *range(first, first + run.pool)]

    def validation_seeds(self) -> range:
        """Return the seeds of the validation examples, the same whatever the recipe's own seed."""
        return range(VALIDATION, VALIDATION + self.recipe.run.validation)

    def batches(self, first: int, last: int) -> Generator[Batch, None, None]:
        """Yield the batches of the steps first..last-1."""
        if self.recipe.run.pool == 0:
            yield from self._endless(first, last)
        elif self.team.device.type == "cpu":
            yield from map(self._pooled, range(first, last))
        else:
            yield from prepared(self._pooled, range(first, last))

    def some(self) -> list[Example]:
        """Return examples of the pool that stand for the rest: up to ``SOME`` of those for training or validation."""
        return [self._read(seed) for seed in self.seeds()[::-1][:SOME]]

    def validation(self) -> Iterator[Batch]:
        """Yield the validation examples in batches."""
        seeds, size = self.validation_seeds(), self.recipe.run.batch
        for start in range(0, len(seeds), size):
            yield stacked([self._read(seed) for seed in seeds[start : start + size]])

    def positions(self, step: int) -> range:
        """Return which of the endless row of examples this process takes at a step."""
        size = self.recipe.run.batch
        start = (step * self.team.size + self.team.rank) * size
        return range(start, start + size)

    def _pooled(self, step: int) -> Batch:
        seed, pool = self.recipe.seed, self.recipe.run.pool
        places = self.positions(step)
        return self._varied(places, [self._read(example_seed(seed, place, pool)) for place in places])

    def _endless(self, first: int, last: int) -> Iterator[Batch]:
        seeds = (example_seed(self.recipe.seed, place, 0) for k in range(first, last) for place in self.positions(k))
        with Maker.of(self.recipe) as maker:
            examples = maker.in_order(seeds)
            for step in range(first, last):
                places = self.positions(step)
                yield self._varied(places, [next(examples) for _ in places])

    def _varied(self, places: range, examples: list[Example]) -> Batch:
        draws = [generator(mixed(self.recipe.seed, "augment", place)) for place in places]
        return stacked([self.task.augment(dict(e), draw) for e, draw in zip(examples, draws, strict=True)])

    def _read(self, seed: int) -> Example:
        if seed in self._kept:
            return self._kept[seed]
        example = self.pool.read(seed)
        size = sum(value.nbytes for value in example.values())
        if self._bytes + size <= MEMORY:
            self._kept[seed] = example
            self._bytes += size
        return example


def stacked(examples: list[Example]) -> Batch:
    """Return examples as one batch; raises InputError naming what differs in shape.

    >>> stacked([{"x": torch.zeros(3)}, {"x": torch.ones(3)}])["x"].shape
    torch.Size([2, 3])
    """
    for name, value in examples[0].items():
        shapes = {tuple(example[name].shape) for example in examples}
        if len(shapes) > 1:
            got = " and ".join(map(str, sorted(shapes)))
            do = "Let the task return examples of one shape."
            raise InputError(f"batch: {name}", expected=f"shape {tuple(value.shape)}", got=got, do=do)
    return {name: torch.stack([example[name] for example in examples]) for name in examples[0]}


def prepared(make: Callable[[int], Batch], steps: range) -> Iterator[Batch]:
    """Yield ``make(step)`` in order, made by threads a few steps ahead, in memory that a GPU can copy from at once."""

    def pinned(step: int) -> Batch:
        return {name: value.pin_memory() for name, value in make(step).items()}

    with ThreadPoolExecutor(THREADS, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        waiting = [threads.submit(pinned, step) for step in steps[: 2 * THREADS]]
        try:
            for step in steps:
                yield waiting.pop(0).result()
                if step + 2 * THREADS < steps.stop:
                    waiting.append(threads.submit(pinned, step + 2 * THREADS))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

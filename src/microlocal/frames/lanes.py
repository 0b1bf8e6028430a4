"""Independent pieces of work in lanes: one thread each, that meet once at the end.

The threads of torch meet at a barrier inside of every FFT and every product, and spin for milliseconds behind it; a
frame of fifty filters has a hundred of them. Here a lane takes the next filter when it is done with the last, with
torch held at one thread, and as many lanes run as torch has threads. What a piece computes does not depend on the lane,
so results do not depend on their number.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Shaped
from torch import Tensor

from microlocal.kernels.pool import submit
from microlocal.kernels.threads import torch_held_at_one

Work = Callable[[Iterator[int]], None]
Run = Callable[[Work, int, int], None]

_WORTH_A_LANE = 1 << 19  # numbers to compute; waking a thread costs about a tenth of a millisecond


@contextmanager
def lanes(like: Shaped[Tensor, "..."]) -> Iterator[Run]:
    """Hold torch at one thread and yield ``run(work, count, size)``; on other devices than the CPU, change nothing.

    Every lane calls ``work`` on an iterator, from which it takes pieces 0 … count - 1; ``size`` is how many numbers are
    computed in all: little work stays in the caller's thread. The first error of a lane is raised. Whoever comes while
    others hold the threads gets one lane, so that there are never more threads than torch has.
    """
    if like.device.type != "cpu":
        yield partial(_spread, 1)
        return
    with torch_held_at_one() as threads:
        yield partial(_spread, threads)


def _spread(threads: int, work: Work, count: int, size: int) -> None:
    queue = iter(range(count))
    helpers = min(threads, count) - 1 if size >= _WORTH_A_LANE else 0
    inference = torch.is_inference_mode_enabled()
    others = [submit(partial(_lane, work, queue, inference)) for _ in range(helpers)]
    try:
        work(queue)
    finally:
        wait(others)
    for other in others:
        other.result()


def _lane(work: Work, queue: Iterator[int], inference: bool) -> None:
    with torch.inference_mode(inference), torch.no_grad():
        work(queue)

"""Independent pieces of work in lanes: one thread each, that meet once at the end.

The threads of torch meet at a barrier inside of every FFT and every product; a frame of fifty filters has a hundred of
them. Here a lane takes the next filter when it is done with the last, with torch held at one thread, and as many lanes
run as torch has threads. What a piece computes does not depend on the lane, so results do not depend on their number.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_WORTH_A_LANE = 1 << 19  # numbers to compute; starting a thread costs about a tenth of a millisecond
_LOCK = threading.Lock()
_holders: list[int] = []  # torch's number of threads, once for every caller that holds it at one


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Hold torch at one thread; yield how many it had, one to whoever comes while others hold it."""
    with _LOCK:
        had = torch.get_num_threads()
        _holders.append(had if not _holders else _holders[0])
        torch.set_num_threads(1)
    try:
        yield had
    finally:
        with _LOCK:
            before = _holders.pop()
            if not _holders:
                torch.set_num_threads(before)


class _Lane(threading.Thread):
    """A thread that keeps its error, in the inference mode of whoever started it."""

    def __init__(self, work: Callable[[Iterator[int]], None], queue: Iterator[int]) -> None:
        super().__init__(daemon=True)
        self.work, self.queue, self.error = work, queue, None
        self.inference = torch.is_inference_mode_enabled()

    error: BaseException | None

    def run(self) -> None:
        try:
            with torch.inference_mode(self.inference), torch.no_grad():
                self.work(self.queue)
        except BaseException as error:
            self.error = error


def in_lanes(work: Callable[[Iterator[int]], None], count: int, size: int) -> None:
    """Let every lane ``work`` on pieces 0 … count - 1, which it takes from the iterator it is given.

    ``size`` is how many numbers are computed in all: little work stays in the caller's thread. The first error of a
    lane is raised.
    """
    queue = iter(range(count))
    with _one_thread_each() as threads:
        lanes = min(threads, count) if size >= _WORTH_A_LANE else 1
        helpers = [_Lane(work, queue) for _ in range(lanes - 1)]
        for helper in helpers:
            helper.start()
        try:
            work(queue)
        finally:
            for helper in helpers:
                helper.join()
    for helper in helpers:
        if helper.error is not None:
            raise helper.error

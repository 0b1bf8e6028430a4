"""One thread setting for every numba kernel, and one launch at a time.

Numba's default layer is OpenMP where it finds a library, and then two things go wrong beside torch, which brings an
OpenMP of its own: the number of threads set for one leaks into the other, and the idle workers of each spin on the
cores that the other needs (a 64 x 64 FFT was seen to take 7 ms instead of 0.03). So the kernels run on numba's own
work queue, which sleeps when idle and survives a fork; it takes one caller at a time, hence the lock. Whoever sets
NUMBA_THREADING_LAYER keeps that choice.

The setting is ``torch.set_num_threads``, which begins as OMP_NUM_THREADS (or the number of cores) says; the kernels on
numba take NUMBA_NUM_THREADS as an upper bound. Workers of a torch DataLoader have one thread, since torch sets
that; several processes of one's own should each be given their share of the cores by one of the three.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

import numba
import torch

from microlocal.kernels.forks import waited_for

_WORTH_A_SECOND_THREAD = 1_000_000  # updates, about half a millisecond of one core: less than waking another costs
# A 256 x 256 FFT of torch takes 0.1 ms; with two threads on a busy machine the barriers made it take 40 ms.
_FFT_WORTH_THREADS = 1 << 21  # pixels
_LOCK = waited_for(threading.RLock())
_HOLDERS_LOCK = waited_for(threading.Lock())
_own: ContextVar[int] = ContextVar("own", default=0)  # threads of our own pools where torch's are held, 0 elsewhere
_holders: list[int] = []  # torch's number of threads, once for every caller that holds it at one

if numba.config.THREADING_LAYER == "default":
    numba.config.THREADING_LAYER = "workqueue"


def threads_allowed() -> int:
    """Return the number of threads a kernel may use now: torch's, and no more than numba was started with."""
    return int(min(_own.get() or torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))


@contextmanager
def threads_for(updates: int) -> Iterator[None]:
    """Hold the launch lock, with torch's number of threads, or a single one where there is little to do."""
    with _LOCK:
        numba.set_num_threads(threads_allowed() if updates > _WORTH_A_SECOND_THREAD else 1)
        yield


@contextmanager
def torch_held_at_one() -> Iterator[int]:
    """Hold torch at one thread; yield the number it had for this caller: one where others hold it already.

    The setting is the process's, so callers count: the first remembers what it was, the last puts it back, in whatever
    order they end. Setting it back alone, one caller would restore what another had set for a moment.
    """
    with _HOLDERS_LOCK:
        threads = _own.get() or torch.get_num_threads()
        _holders.append(_holders[0] if _holders else torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield threads
    finally:
        with _HOLDERS_LOCK:
            before = _holders.pop()
            if not _holders:
                torch.set_num_threads(before)


@contextmanager
def own_threads_for(pixels: int) -> Iterator[None]:
    """Iterate on images of so many pixels with the threads of our own pools alone, where torch's gain little.

    A step of an iteration is many small sums between projections. With torch's threads each meets at a barrier, whose
    workers spin while they wait; on a busy machine a barrier waits for whoever has the core. Torch is held at one
    thread, and kernels called by this thread take as many as torch had.
    """
    if pixels > _FFT_WORTH_THREADS:
        yield
        return
    with torch_held_at_one() as threads:
        token = _own.set(threads)
        try:
            yield
        finally:
            _own.reset(token)


@contextmanager
def fft_threads_for(pixels: int) -> Iterator[None]:
    """Let torch use a single thread while small images are transformed."""
    with nullcontext() if pixels > _FFT_WORTH_THREADS else torch_held_at_one():
        yield

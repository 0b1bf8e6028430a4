"""The searches of an examination, one after the other: their time, their bar, and whether they are to stop."""

import math
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from microlocal.certificates.attack import Search
from microlocal.core.progress import Progress

WHOLE = 100  # parts of the bar
TASK = "attack, %"


def never() -> bool:
    """Ask for no stop."""
    return False


class Searches:
    """Hands out searches that end when ``seconds`` are over for all of them together, or ``stopped`` says so.

    Every search looks at its starts at least, so that there is a value for every claim.
    """

    def __init__(self, seconds: float, progress: Progress, stopped: Callable[[], bool] = never) -> None:
        self._begun, self._seconds = monotonic(), seconds
        self._progress, self._stopped = progress, stopped
        self._shown, self._jobs, self._done, self._last = 0, 1, 0, 0.0
        self.interrupted = self.complete = False
        self.took = 0.0
        progress.start(TASK, WHOLE)

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self._begun

    @property
    def over(self) -> bool:
        """Whether no other round is to begin."""
        return self.interrupted or self.spent >= self._seconds

    def round(self, search: Search, jobs: int) -> Search:
        """Return ``search`` for each of so many ``jobs``, with equal shares of the time that is left."""
        self._jobs, self._done, self._last = jobs, 0, 0.0
        return replace(search, seconds=max(self._seconds - self.spent, 0.0) / jobs, watch=self._watch)

    def finish(self) -> None:
        """The last one ended."""
        self.took, self.complete = self.spent, not self.over
        self._progress.finish(TASK)

    def _watch(self, part: float) -> bool:
        self._done, self._last = self._done + (part < self._last), part
        whole = (self._done + part) / self._jobs if math.isinf(self._seconds) else self.spent / self._seconds
        shown = min(int(WHOLE * whole), WHOLE)
        self._progress.advance(TASK, max(shown - self._shown, 0))
        self._shown = max(self._shown, shown)
        self.interrupted = self.interrupted or self._stopped()
        return self.interrupted

"""How long work reports itself: one protocol, silent by default.

Library code calls ``progress.start(task, total)``, ``advance(task)`` and ``finish(task)``; the command line passes an
implementation that draws bars with the remaining time, a notebook or a test may pass its own.
"""

from typing import Protocol


class Progress(Protocol):
    """Receives the beginning, the steps and the end of a task."""

    def start(self, task: str, total: int) -> None:
        """A task of ``total`` steps begins."""

    def advance(self, task: str, steps: int = 1) -> None:
        """``steps`` more are done."""

    def finish(self, task: str) -> None:
        """The task ended, perhaps early."""


class Silent:
    """Reports nothing."""

    def start(self, task: str, total: int) -> None:
        del task, total

    def advance(self, task: str, steps: int = 1) -> None:
        del task, steps

    def finish(self, task: str) -> None:
        del task


SILENT: Progress = Silent()


class PartOf:
    """Reports the steps of a part as steps of a ``whole`` task that somebody else starts and finishes."""

    def __init__(self, progress: Progress, whole: str) -> None:
        self.progress, self.whole = progress, whole

    def start(self, task: str, total: int) -> None:
        del task, total

    def advance(self, task: str, steps: int = 1) -> None:
        del task
        self.progress.advance(self.whole, steps)

    def finish(self, task: str) -> None:
        del task

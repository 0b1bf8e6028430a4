"""Progress bars with the remaining time: ``core.progress.Progress`` drawn by rich."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bars:
    """One bar a task; a task that starts again reuses its bar. Draws nothing when ``silent``."""

    def __init__(self, console: Console, silent: bool) -> None:
        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TimeRemainingColumn(),
        )
        self._rich = Progress(*columns, console=console, disable=silent, expand=True)
        self._ids: dict[str, TaskID] = {}
        self.prefix = ""

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rich.stop()

    def start(self, task: str, total: int) -> None:
        """A task of ``total`` steps begins."""
        key = self.prefix + task
        if key in self._ids:
            self._rich.reset(self._ids[key], total=total, left="left")
        else:
            self._ids[key] = self._rich.add_task(key, total=total, left="left")

    def advance(self, task: str, steps: int = 1) -> None:
        """``steps`` more are done."""
        self._rich.advance(self._ids[self.prefix + task], steps)

    def finish(self, task: str) -> None:
        """The task ended, perhaps early: its bar is full and shows the time it took."""
        identifier = self._ids[self.prefix + task]
        done = self._rich.tasks[self._rich.task_ids.index(identifier)].completed
        self._rich.update(identifier, total=done, left="    ")

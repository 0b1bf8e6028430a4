"""The screen of a training: a bar for the examples, and one for the steps with loss, speed and last validation."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as LeftColumn
from rich.text import Text

from microlocal.cli.words import number

if TYPE_CHECKING:
    from microlocal.training import Row

MOST_METRICS = 2
MEMORY = 0.98  # of the running means of loss and speed


class TrainingBars:
    """Draws what a training reports (``core.progress.Progress``, and ``row`` for every step); nothing if silent."""

    def __init__(self, console: Console, silent: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            LeftColumn(),
        )
        self._bars = Progress(*columns, console=console, expand=True)
        self._live = None if silent else Live(self, console=console, refresh_per_second=4)
        self._facts = ""
        self._ids: dict[str, TaskID] = {}
        self._loss = self._milliseconds = 0.0
        self._weight = 0.0
        self._last: Row | None = None
        self._validation = ""

    def __rich__(self) -> Group:
        """Return the bars, and the facts on a line below them."""
        return Group(self._bars, *([Text(f"  {self._facts}", style="quiet")] if self._facts else []))

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def start(self, task: str, total: int) -> None:
        """A task of ``total`` steps begins."""
        self._ids[task] = self._bars.add_task(task, total=total)

    def advance(self, task: str, steps: int = 1) -> None:
        """``steps`` more are done."""
        self._bars.advance(self._ids[task], steps)

    def finish(self, task: str) -> None:
        """The task ended, perhaps early: its bar stays as far as it came, with the time it took."""
        self._bars.stop_task(self._ids[task])

    def row(self, row: "Row") -> None:
        """A step was done: show running means of its loss and time, and the last validation."""
        if self._last is not None:
            self._weight = MEMORY * self._weight + 1 - MEMORY
            spent = 1000 * (row.seconds - self._last.seconds)
            self._loss = MEMORY * self._loss + (1 - MEMORY) * row.loss
            self._milliseconds = MEMORY * self._milliseconds + (1 - MEMORY) * spent
        self._last = row
        if row.validation:
            shown = list(row.validation.items())[:MOST_METRICS]
            self._validation = " · validation " + ", ".join(f"{_name(k)}{number(v)}" for k, v in shown)
        if self._weight > 0:
            loss, speed = self._loss / self._weight, self._milliseconds / self._weight
            self._facts = f"loss {number(loss)} · {speed:.3g} ms/step{self._validation}"


def _name(metric: str) -> str:
    return "" if metric == "loss" else metric.replace("_", " ") + " "

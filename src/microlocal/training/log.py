"""The log of a training: one JSON object a line, one line a step; the same to TensorBoard where it is installed."""

import json
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from microlocal.core.extras import extra
from microlocal.io.atomic import replacing, writing
from microlocal.io.jsonable import jsonable


@dataclass(frozen=True)
class Row:
    """A step: ``loss`` of its batch, learning rate ``lr``, norm of the gradient, ``seconds`` since the start,
    and ``validation`` metrics where it was a step with validation.
    """

    step: int
    loss: float
    lr: float
    gradient: float
    seconds: float
    validation: dict[str, float] = field(default_factory=dict)

    def line(self) -> bytes:
        """Return the row as one line of JSON."""
        fields = {name: _short(value) for name, value in vars(self).items() if value != {}}
        return (json.dumps(jsonable(fields), allow_nan=False) + "\n").encode()


class Log:
    """Appends rows to <folder>/log.jsonl, each in one write, after the rows up to a step that are there already."""

    def __init__(self, folder: Path, after: int) -> None:
        self.path = folder / "log.jsonl"
        kept = [row for row in read_log(self.path) if row.step <= after]
        with replacing(self.path) as temporary:
            temporary.write_bytes(b"".join(row.line() for row in kept))
        with writing(self.path):
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self._board: Any = None
        if find_spec("tensorboard"):
            writer = extra("torch.utils.tensorboard", "track", "log").SummaryWriter
            self._board = writer(folder / "tensorboard", purge_step=after + 1 if after else None)

    def write(self, row: Row) -> None:
        """Append a row; raises OutputError."""
        with writing(self.path):
            os.write(self._file, row.line())
        if self._board is not None:
            for name in ("loss", "lr", "gradient"):
                self._board.add_scalar(f"training/{name}", getattr(row, name), row.step)
            for name, value in row.validation.items():
                self._board.add_scalar(f"validation/{name}", value, row.step)

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[Row]:
    """Return the rows of a log, none where there is none; a line that a kill cut off is left out."""
    rows = []
    for line in path.read_bytes().splitlines() if path.is_file() else []:
        try:
            fields = json.loads(line)
            numbers = {name: float(fields[name]) for name in ("loss", "lr", "gradient", "seconds")}
            validation = {name: float(value) for name, value in fields.get("validation", {}).items()}
            rows.append(Row(step=int(fields["step"]), **numbers, validation=validation))
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
    return rows


def _short(value: Any) -> Any:
    """Return a number with seven digits, as many as a 32-bit float has; so the numbers of a table."""
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return float(f"{value:.7g}") if isinstance(value, float) else value

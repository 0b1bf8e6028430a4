"""How far a volume under way has come: a file beside it that goes when it is complete.

It names what was asked, of which data, and the SHA-256 of every slice that is written, in their order, so that what
Ctrl-C or a kill ended can be gone on with. Methods that iterate have their checkpoint beside it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from microlocal.core.errors import OutputError
from microlocal.io.values import write_json
from microlocal.io.volumes import Volume, digest


@dataclass(frozen=True)
class VolumeRun:
    """The run in a folder.

    Parameters: ``folder``; ``asked``, as JSON values: what has to be the same for it to be gone on with.
    """

    folder: Path
    asked: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The file of the iteration's state."""
        return self.folder / f"checkpoint-{self.asked['method']}.safetensors"

    def go_on(self) -> bool:
        """Return whether there is a run to go on with; raises OutputError where that one was asked something else."""
        if not is_under_way(self.folder):
            return False
        before = self._read()["asked"]
        other = [name for name in self.asked if before.get(name) != self.asked[name]]
        if other:
            expected, got = (f"{other[0]} {told.get(other[0])}" for told in (before, self.asked))
            do = "Give what was asked then, choose another --out, or discard it with --fresh."
            raise OutputError(str(self.folder), expected=f"{expected}, as the volume was begun", got=got, do=do)
        return True

    def add(self, images: Iterable[Float[np.ndarray, "row col"]]) -> None:
        """Record the slices that were written next, or none to begin; raises OutputError."""
        self._write([*self._marks(), *map(digest, images)])

    def intact(self, volume: Volume) -> int:
        """Return how many of the first slices of ``volume`` are what was written."""
        marks = self._marks()
        wrong = (k for k, mark in enumerate(marks) if not volume.path.exists() or digest(volume.read(k)) != mark)
        count = next(wrong, len(marks))
        if count < len(marks):
            self._write(marks[:count])
        return count

    def end(self) -> None:
        """Remove the files: the volume is complete, or another one begins."""
        self.checkpoint.unlink(missing_ok=True)
        _file(self.folder).unlink(missing_ok=True)

    def _marks(self) -> list[str]:
        return self._read()["slices"] if is_under_way(self.folder) else []

    def _write(self, marks: list[str]) -> None:
        write_json({"asked": self.asked, "slices": marks}, _file(self.folder))

    def _read(self) -> dict[str, Any]:
        path = _file(self.folder)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return {"asked": dict(fields["asked"]), "slices": [str(mark) for mark in fields["slices"]]}
        except (OSError, ValueError, TypeError, LookupError) as error:
            do = "Begin anew with --fresh."
            raise OutputError(str(path), expected="the state of a run", got=str(error)[:80], do=do) from error


def is_under_way(folder: Path) -> bool:
    """Return whether a run in the folder was ended before its volume was complete."""
    return _file(folder).is_file()


def _file(folder: Path) -> Path:
    return folder / "run.json"

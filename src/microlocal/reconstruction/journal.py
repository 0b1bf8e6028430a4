"""The journal of a stack: which slices are done, one small file a block, written after its slices.

Every file is written whole or not at all and belongs to one block, so that processes on several machines need no
lock, and a kill at any moment loses at most the block that was being computed.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from microlocal.io.values import write_json


@dataclass(frozen=True)
class Row:
    """What became of one slice: ``residual`` |R f - g|/|g|, ``seconds``, ``sha256`` of its pixels, or ``error``.

    ``growth``, by what share the residual grew with what a network added, None where none took part; ``network``, its
    name, "none" where it was left out, "" for methods that have none, and ``why``, the sentence that says so. Where
    slices are examined: ``provenance``, the share of the pixels that are measured, learned and undetermined, and
    ``certificates`` as JSON values. ``learned_sha256`` and ``provenance_sha256`` are those of the slice's other pixels.
    """

    slice: int
    residual: float = 0.0
    seconds: float = 0.0
    sha256: str = ""
    error: str = ""
    growth: float | None = None
    network: str = ""
    why: str = ""
    provenance: dict[str, float] = field(default_factory=dict)
    certificates: tuple[dict[str, Any], ...] = ()
    learned_sha256: str = ""
    provenance_sha256: str = ""

    @property
    def broken_claims(self) -> list[str]:
        """The claims of certificates that do not hold."""
        return [certificate["claim"] for certificate in self.certificates if not certificate["holds"]]


@dataclass(frozen=True)
class Journal:
    """The rows in a folder, which need not exist yet."""

    folder: Path

    def write(self, numbers: range, rows: Iterable[Row]) -> None:
        """Record what became of the slices ``numbers``; raises OutputError."""
        write_json([asdict(row) for row in rows], self.folder / f"{numbers.start:06d}-{numbers.stop:06d}.json")

    def rows(self) -> dict[int, Row]:
        """Return the rows by slice; where a slice was tried more than once, its last success counts.

        A slice may have been done alone and in a block: its pixels are those that were written last.
        """
        found: dict[int, Row] = {}
        for path in sorted(self.folder.glob("[0-9]*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
            for row in _rows_of(path):
                if row.slice not in found or not row.error:
                    found[row.slice] = row
        return found

    def done(self) -> dict[int, Row]:
        """Return the rows of the slices that are done."""
        return {number: row for number, row in self.rows().items() if not row.error}


def _rows_of(path: Path) -> list[Row]:
    """Return the rows of one file, none where it is damaged: its slices are computed again."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return [Row(**row | _numbers(row)) for row in fields]
    except (OSError, ValueError, TypeError, LookupError):
        return []


def _numbers(row: dict[str, Any]) -> dict[str, float | None]:
    """Return the numbers of a row that JSON may hold as text, as it does what is not finite."""
    growth = row.get("growth")
    return {"residual": float(row["residual"]), "growth": None if growth is None else float(growth)}

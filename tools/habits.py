"""The habits meter: how the package is written, in numbers, against an aim, a stop, and the last accepted state.

    python tools/habits.py            print the table; exit 1 past a stop, or where a number beyond its aim got worse
    python tools/habits.py --accept   record the present numbers in tools/habits.json

A number is free to move within its aim; beyond it the recorded value is a ratchet. Times are printed and stopped, but
not ratcheted, since they depend on the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import measures

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "microlocal"
RECORD = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Habit:
    """A measured number; ``more`` says that larger is better, ``ratchet`` that it may not get worse beyond its aim."""

    name: str
    value: float
    aim: float | None
    stop: float | None
    more: bool = False
    ratchet: bool = True

    def beyond(self, limit: float | None) -> bool:
        """Return whether the value is on the bad side of ``limit``."""
        if limit is None:
            return False
        value = round(self.value, 3)  # as it is recorded
        return value < limit if self.more else value > limit

    def verdict(self, recorded: float | None) -> str:
        """Return "stop", "worse", "aim missed" or "ok"."""
        if self.beyond(self.stop):
            return "stop"
        if not self.beyond(self.aim):
            return "ok"
        return "worse" if self.ratchet and self.beyond(recorded) else "aim missed"


def percentile(values: list[int], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))] if ordered else 0


def import_seconds(statement: str, repeats: int = 5) -> float:
    """Return the median time of ``statement`` after ``import torch``, each in a fresh process."""
    code = f"import time, torch; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return statistics.median(float(subprocess.check_output(command, text=True)) for _ in range(repeats))


def measured() -> list[Habit]:
    """Measure everything."""
    files = measures.read(PACKAGE)
    lines, bodies = [f.lines for f in files], measures.body_lines(files)
    bases, depth = measures.bases_and_depth(files)
    shaped, signatures = measures.shaped_signatures(files)
    telling, raises = measures.telling_raises(files)
    return [
        Habit("lines in a file, median", statistics.median(lines), 150, None),
        Habit("lines in a file, 95 %", percentile(lines, 0.95), 400, None),
        Habit("lines in a file, most", max(lines), None, 600),
        Habit("lines in a function body, median", statistics.median(bodies), 6, None),
        Habit("lines in a function body, 95 %", percentile(bodies, 0.95), 40, None),
        Habit("lines in a function body, most", max(bodies), None, 80),
        Habit("public methods of a base class, most", max(bases.values()), 10, 15),
        Habit("inheritance depth, most", depth, 2, 3),
        Habit("own imports inside functions", len(measures.inner_imports(files)), 0, 0),
        Habit("import cycles", len(measures.cycles(files)), 0, 0),
        Habit("**kwargs not passed straight through", len(measures.swallowed_kwargs(files)), 0, 0),
        Habit("print or assert in the library", len(measures.prints_and_asserts(files)), 0, 0),
        Habit("tensor signatures with shapes, %", 100 * shaped / max(signatures, 1), 100, None, more=True),
        Habit("raises that show expected and got, %", 100 * telling / max(raises, 1), 80, 60, more=True),
        Habit("import microlocal over torch, s", import_seconds("import microlocal"), 0.2, 0.5, ratchet=False),
        Habit("every room over torch, s", import_seconds(LOAD_ALL), 2.0, 5.0, ratchet=False),
    ]


LOAD_ALL = "from microlocal.members import load_all; load_all()"


def offenders() -> list[str]:
    """Return where the counted faults are, one line each."""
    files = measures.read(PACKAGE)
    found = [
        *measures.inner_imports(files),
        *measures.cycles(files),
        *measures.swallowed_kwargs(files),
        *measures.prints_and_asserts(files),
        *measures.unshaped(files),
    ]
    return sorted(found)


def table(habits: list[Habit], record: dict[str, float]) -> str:
    """Return the table as text."""
    rows = [("", "now", "aim", "stop", "accepted", "")]
    for h in habits:
        limits = ("–" if v is None else f"{v:g}" for v in (h.aim, h.stop, record.get(h.name)))
        rows.append((h.name, f"{round(h.value, 3):g}", *limits, h.verdict(record.get(h.name))))
    widths = [max(len(row[k]) for row in rows) for k in range(6)]
    cells = [[row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in range(1, 5)), row[5]] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def main() -> int:
    """Print the table, or accept it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--accept", action="store_true", help="record the present numbers")
    habits = measured()
    if parser.parse_args().accept:
        kept = {h.name: round(h.value, 3) for h in habits if h.ratchet}
        RECORD.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    print(table(habits, record))
    bad = [h for h in habits if h.verdict(record.get(h.name)) in ("stop", "worse")]
    if bad or any(h.verdict(record.get(h.name)) != "ok" for h in habits):
        print(*offenders(), sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

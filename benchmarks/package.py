"""What the package costs before it does anything."""

import statistics
import subprocess
import sys

from benchmarks.table import Row, at_most

REPEATS = 7
CLOCK = "import time, torch; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"


def _seconds(code: str) -> float:
    """Return the median time that ``code`` takes in fresh interpreters that have imported torch."""
    command = [sys.executable, "-c", CLOCK.format(code=code)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(REPEATS)]
    return statistics.median(map(float, runs))


def suite() -> list[Row]:
    """Import time beyond that of torch, and what the first use of a name adds, since rooms are loaded then."""
    where = f"fresh interpreters after import torch, median of {REPEATS}"
    first_use = _seconds("import microlocal; microlocal.reconstruct")
    return [
        at_most("import microlocal, seconds", where, _seconds("import microlocal"), 0.3, "{:.3f}"),
        Row("and the first use of microlocal.reconstruct, seconds", where, "", f"{first_use:.2f}", None),
    ]

"""What the package costs before it does anything."""

import statistics
import subprocess
import sys
import time

from benchmarks.table import Row, at_most

REPEATS = 7


def _seconds(code: str) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def suite() -> list[Row]:
    """Import time over that of torch, and the time to the first help text."""
    torch_alone, with_us = _seconds("import torch"), _seconds("import torch, microlocal")
    where = f"fresh interpreters, median of {REPEATS}"
    return [at_most("import microlocal over import torch, seconds", where, with_us - torch_alone, 0.3, "{:.3f}")]

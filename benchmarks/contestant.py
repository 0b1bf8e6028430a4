"""One contestant of a race, in a process of its own: prepares a case, runs it when told to, and hands its result over.

    python contestant.py MODULE.py        speaks one JSON object a line on stdin and stdout

Imports nothing of ours, so that it runs in the peers' environment as well. MODULE.py defines ``CASES``, the cases that
it can run: name -> function of the arrays that returns a function without arguments that does the work.
"""

import ctypes
import gc
import json
import os
import runpy
import statistics
import sys
import time
import traceback
from pathlib import Path

import numpy as np


def mebibytes(name: str) -> float:
    """Return what the kernel says of this process' memory: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def give_back() -> float:
    """Give free memory back and count the peak anew; return the MiB that are left."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the kernel's word for: count the peak anew
    return mebibytes("VmRSS")


def _rest(state: dict) -> dict:
    """Forget the case and give its memory back: the next peak is that of what comes next."""
    peak = mebibytes("VmHWM")
    state.pop("work", None)
    state.pop("result", None)
    return {"peak": peak, "left": give_back()}


def _answer(request: dict, state: dict) -> dict:
    if "rest" in request:
        return _rest(state)
    if "prepare" in request:
        module = state.setdefault("module", runpy.run_path(sys.argv[1]))
        case = module["CASES"].get(request["prepare"])
        if case is None:
            return {"absent": "does not do this"}
        with np.load(request["inputs"]) as arrays:
            began = time.perf_counter()
            state["work"] = case(dict(arrays))
        return {"prepared": time.perf_counter() - began, "version": module["VERSION"]}
    if "run" in request:
        # A turn is calls one after the other, as an iteration makes them.
        times, began = [], time.perf_counter()
        while not times or time.perf_counter() - began < request["run"]:
            start = time.perf_counter()
            state["result"] = state["work"]()
            times.append(time.perf_counter() - start)
        return {"seconds": statistics.median(times)}
    np.save(request["save"], np.asarray(state["result"]))
    return {"peak": mebibytes("VmHWM")}


def main() -> None:
    """Answer requests until the input ends; whatever libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    state: dict = {}
    for line in sys.stdin:
        try:
            reply = _answer(json.loads(line), state)
        except Exception as error:  # a contestant that fails is a row of the table, not the end of the race
            traceback.print_exc()
            reply = {"absent": f"{type(error).__name__}: {error}"[:200]}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()

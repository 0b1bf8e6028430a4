"""One contestant of a race, in a process of its own: prepares a case, runs it when told to, and hands its result over.

    python contestant.py MODULE.py        speaks one JSON object a line on stdin and stdout

Imports nothing of ours, so that it runs in the peers' environment as well. MODULE.py defines ``CASES``, the cases that
it can run: name -> function of the arrays that returns a function without arguments that does the work.
"""

import json
import os
import runpy
import statistics
import sys
import time
import traceback

import numpy as np


def _peak_mebibytes() -> float:
    with open("/proc/self/status", encoding="ascii") as lines:  # noqa: PTH123 - no pathlib on a kernel file
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def _answer(request: dict, state: dict) -> dict:
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
    return {"peak": _peak_mebibytes()}


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

"""How time and memory grow with the size, beside what theory says: exponents fitted over the largest sizes.

A curve is a process of its own, which begins with a case of 32 pixels: what is compiled or loaded on first use is no
part of a size. Images and data are random numbers, for no value changes the time. Memory is the peak of a size beyond
what the process held before it.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import cases
from benchmarks.growth_picture import draw
from benchmarks.race import PAUSE, TURN, Process
from benchmarks.table import Row, absent, at_most

SIZES = {2: (128, 256, 512, 1024, 2048, 4096), 3: (64, 128, 256)}  # by dimension
FITTED = {2: 3, 3: 2}  # of them, the largest, where constants have faded
SMALL = 32
LONGEST, LARGEST = 40.0, 10.0 * 1024  # s and MiB that a size may take; larger ones are left out, with the reason
TURNS, ENOUGH = 3, 4.0  # turns of which the quickest counts: fewer where they have taken ENOUGH seconds
SLICE, SLICE_GIBIBYTES = 2048, 8.0

Arrays = Mapping[str, NDArray[Any]]
Theory = Callable[[NDArray[np.floating]], NDArray[np.floating]]


class Point(NamedTuple):
    """One size: seconds of a call, seconds that the first call took beyond, and MiB beyond those before the case."""

    size: int
    seconds: float
    once: float
    memory: float


@dataclass(frozen=True)
class Curve:
    """Something that grows: a case's name, its arrays at a size, and how theory says that time grows.

    Memory grows as the image, N to the ``dimension``.
    """

    name: str
    arrays: Callable[[int], Arrays]
    dimension: int
    theory: str
    time: Theory


def _random(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def _plane(beam: str) -> Callable[[int], Arrays]:
    def arrays(size: int) -> Arrays:
        geometry, grid = cases.plane(size, beam)
        return cases.scan_arrays(geometry, _random(*grid.shape), _random(*geometry.shape))

    return arrays


def _space(size: int) -> Arrays:
    geometry, grid = cases.space(size)
    return cases.scan_arrays(geometry, _random(*grid.shape), _random(*geometry.shape))


def _image(dimension: int) -> Callable[[int], Arrays]:
    return lambda size: {"image": _random(*[size] * dimension)}


CURVES = (
    Curve("parallel forward", _plane("parallel"), 2, "N² log N", lambda n: n**2 * np.log(n)),
    Curve("fan forward", _plane("fan"), 2, "N³", lambda n: n**3),
    Curve("parallel fbp", _plane("parallel"), 2, "N³", lambda n: n**3),
    Curve("shearlet analysis", _image(2), 2, "N² log N", lambda n: n**2 * np.log(n)),
    Curve("cone forward", _space, 3, "N⁴", lambda n: n**4),
    Curve("3-D shearlet analysis", _image(3), 3, "N³ log N", lambda n: n**3 * np.log(n)),
)


def _asked(process: Process, **request: Any) -> dict[str, Any]:
    reply = process.ask(**request)
    if "absent" in reply:
        raise RuntimeError(reply["absent"])
    return reply


def _prepared(process: Process, name: str, arrays: Arrays, folder: Path) -> float:
    """Let the process prepare a case, its arrays handed over as a file; return the seconds until its first result."""
    inputs = folder / "inputs.npz"
    np.savez(inputs, **arrays)
    seconds = _asked(process, prepare=name, inputs=str(inputs))["prepared"]
    return seconds + _asked(process, run=0)["seconds"]


def _point(process: Process, curve: Curve, size: int, folder: Path) -> Point:
    before = _asked(process, rest=True)["left"]
    first = _prepared(process, curve.name, curve.arrays(size), folder)
    times: list[float] = []
    while len(times) < TURNS and sum(times) < ENOUGH:
        time.sleep(PAUSE)
        times.append(_asked(process, run=TURN)["seconds"])
    seconds = min(times)
    return Point(size, seconds, max(first - seconds, 0.0), _asked(process, rest=True)["peak"] - before)


def _available() -> float:
    """Return the MiB that the machine can give away."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable"))


def _too_large(curve: Curve, last: Point, size: int) -> str:
    """Return why a size is left out, as theory foretells from the size before it; nothing where it is not."""
    slower, larger = curve.time(np.array([last.size, size], float)), (size / last.size) ** curve.dimension
    seconds = last.once * larger + 2 * last.seconds * slower[1] / slower[0]
    memory = last.memory * larger
    if seconds > LONGEST:
        return f"would take about {seconds:.0f} s"
    if memory > min(LARGEST, _available()):
        return f"would need about {memory / 1024:.0f} GiB, {_available() / 1024:.0f} are free"
    return ""


def _measure(curve: Curve) -> tuple[list[Point], str]:
    """Return the points of a curve, and why the largest sizes are left out."""
    points: list[Point] = []
    process = Process("ours")
    try:
        with tempfile.TemporaryDirectory() as folder:
            _prepared(process, curve.name, curve.arrays(SMALL), Path(folder))
            for size in SIZES[curve.dimension]:
                if points and (why := _too_large(curve, points[-1], size)):
                    print(f"{curve.name}, {size}: left out, {why}", flush=True)
                    return points, f"{size} {why}"
                points.append(_point(process, curve, size, Path(folder)))
                _, seconds, once, memory = points[-1]
                print(f"{curve.name}, {size}: {seconds:.3g} s, once {once:.2g} s, {memory:.0f} MiB", flush=True)
    except RuntimeError as error:
        print(f"{curve.name}: {error}", flush=True)
        return points, str(error)
    finally:
        process.close()
    return points, ""


def slope(sizes: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Return the exponent of the power that fits best in the double logarithm."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _rows(curve: Curve, points: list[Point], left_out: str) -> list[Row]:
    tail = points[-FITTED[curve.dimension] :]
    if len(tail) < FITTED[curve.dimension]:
        return [absent(f"growth of {curve.name}", left_out)]
    sizes, seconds, once, memory = (np.array(values, float) for values in zip(*tail, strict=True))
    where, largest = f"N from {tail[0].size} to {tail[-1].size}, float32", tail[-1].size
    end = f"; {left_out}" if left_out else ""
    timed = f"{slope(sizes, seconds):.2f}; {seconds[-1]:.3g} s at {largest}, the first time {once[-1]:.2g} s more{end}"
    held = f"{slope(sizes, memory):.2f}; {memory[-1] / 1024:.2g} GiB at {largest}"
    theory = f"{slope(sizes, curve.time(sizes)):.2f} ({curve.theory})"
    power = f"{curve.dimension}.00 (N{'²³'[curve.dimension - 2]})"
    return [
        Row(f"time of {curve.name} as N to the", where, theory, timed, None),
        Row(f"memory of {curve.name} as N to the", where, power, held, None),
    ]


def _whole_slice() -> Row:
    """Peak memory of a reconstruction of a large slice, with its edges, map and certificates, libraries included."""
    what, process = f"memory of reconstruct, fbp, {SLICE}², GiB", Process("ours")
    try:
        with tempfile.TemporaryDirectory() as folder:
            seconds = _prepared(process, "reconstruct fbp", _plane("parallel")(SLICE), Path(folder))
        peak = _asked(process, rest=True)["peak"] / 1024
    except RuntimeError as error:
        return absent(what, str(error))
    finally:
        process.close()
    print(f"reconstruct, {SLICE}: {seconds:.0f} s, {peak:.2f} GiB", flush=True)
    where = f"{45 * SLICE // 64} views, float32, random; image, edges, map and certificates in {seconds:.0f} s"
    return at_most(what, where, peak, SLICE_GIBIBYTES)


def suite() -> list[Row]:
    """Fitted exponents of time and memory beside theory's, a picture, and the memory of a large slice."""
    found, rows = {}, []
    for curve in CURVES:
        points, left_out = _measure(curve)
        found[curve] = points
        rows += _rows(curve, points, left_out)
    draw([(c.name, c.time, c.dimension, points) for c, points in found.items()])
    return [*rows, _whole_slice()]

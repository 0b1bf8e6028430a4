"""How time and memory grow with the size, beside what theory says: exponents fitted over sizes, and a picture.

A size is a process of its own. Exponents are those of the largest half of the sizes, where constants have faded.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot

from benchmarks import cases
from benchmarks.race import Case, run
from benchmarks.table import Row

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "growth.png"
PLANE = (128, 256, 512, 1024, 2048, 4096)
SPACE = (64, 128, 256)


@dataclass(frozen=True)
class Curve:
    """Something that grows: its case at a size, the sizes, and the exponent of theory (logarithms as they fall)."""

    name: str
    case: Callable[[int], Case]
    sizes: tuple[int, ...]
    theory: str
    exponent: float


def _logarithmic(power: int, sizes: tuple[int, ...]) -> float:
    """Return the slope of N^power log N between the last two sizes."""
    a, b = sizes[-2:]
    return power + math.log(math.log(b) / math.log(a)) / math.log(b / a)


def _tomography(beam: str, what: str) -> Callable[[int], Case]:
    return lambda size: cases.tomography(size, beam, 3 if size < 2048 else 1)[what]


CURVES = (
    Curve("parallel forward", _tomography("parallel", "forward"), PLANE, "N² log N", _logarithmic(2, PLANE)),
    Curve("fan forward", _tomography("fan", "forward"), PLANE[:-1], "N³", 3.0),
    Curve("parallel fbp", _tomography("parallel", "fbp"), PLANE[:-1], "N³", 3.0),
    Curve(
        "shearlet analysis",
        lambda n: cases.shearlets(n, "float32")["analysis"],
        PLANE,
        "N² log N",
        _logarithmic(2, PLANE),
    ),
    Curve("cone forward", lambda n: cases.cone(n, 2)["forward"], SPACE, "N⁴", 4.0),
    Curve(
        "3-D shearlet analysis",
        lambda n: cases.shearlets3d(n, 2)["analysis"],
        SPACE[:2],
        "N³ log N",
        _logarithmic(3, SPACE[:2]),
    ),
)


def _measure(curve: Curve) -> list[tuple[int, float, float]]:
    """Return (size, seconds, MiB) of ours at every size that works."""
    points = []
    for size in curve.sizes:
        ours = next(o for o in run(Case(**(vars(curve.case(size)) | {"contestants": ("ours",)}))))
        if not ours.absent:
            points.append((size, ours.seconds, ours.peak))
    return points


def _draw(found: dict[str, list[tuple[int, float, float]]]) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for column, (axis, label) in enumerate(zip(axes, ("seconds", "peak memory of the process, MiB"), strict=True), 1):
        for name, points in found.items():
            axis.loglog([p[0] for p in points], [p[column] for p in points], "o-", label=name, base=2)
        axis.set(xlabel="N, side of the image or volume in pixels", ylabel=label)
        axis.set_yscale("log", base=10)
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(PICTURE, dpi=110)
    pyplot.close(figure)


def suite() -> list[Row]:
    """Fitted exponents beside theory's, and the memory of the largest size."""
    found, rows = {}, []
    for curve in CURVES:
        points = found[curve.name] = _measure(curve)
        sizes, seconds, memory = (np.array(values) for values in zip(*points, strict=True))
        tail = slice(-3, None)
        slope = float(np.polyfit(np.log(sizes[tail]), np.log(seconds[tail]), 1)[0])
        shown = f"{slope:.2f}; {seconds[-1]:.3g} s and {memory[-1] / 1024:.2g} GiB at {sizes[-1]}"
        where = f"{sizes[0]} to {sizes[-1]}, float32"
        rows.append(Row(f"exponent of {curve.name}", where, f"{curve.exponent:.2f} ({curve.theory})", shown, None))
    _draw(found)
    return rows

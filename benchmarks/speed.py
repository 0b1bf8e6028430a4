"""Our speed beside every peer that is installed and beside the floor: ratios within one run (``race``, ``floors``)."""

import math
from collections.abc import Mapping
from dataclasses import replace

from benchmarks import cases, floors, systems
from benchmarks.race import Case, Outcome, run
from benchmarks.table import Row
from microlocal.core import ParallelBeam
from microlocal.frames import WaveletFrame

# How many times faster than a peer, by case and contestant.
FASTER: dict[tuple[str, str], float] = {
    ("parallel forward 512", "astra_toolbox"): 30,
    ("parallel adjoint 512", "astra_toolbox"): 30,
    ("parallel forward 1024", "astra_toolbox"): 60,
    ("parallel adjoint 1024", "astra_toolbox"): 60,
    ("parallel forward 512", "deepinverse"): 20,
    ("parallel adjoint 512", "deepinverse"): 20,
    ("fan forward 512", "astra_toolbox"): 20,
    ("fan adjoint 512", "astra_toolbox"): 20,
    ("parallel fbp 512", "astra_toolbox"): 10,
    ("parallel fbp 512", "scikit_image"): 10,
}
STACKED = 60  # times faster than ASTRA a slice of a stack: the 20 asked alone times the 3 asked of a stack
FLOOR_3D = 1.7
FLOOR = 1.5  # a frame may take this many times the FFTs it cannot do without
# pyShearLab is not on PyPI: milliseconds at 512², 49 filters, float64, two threads, quoted from its measurement.
PYSHEARLAB = {"analysis": 443.0, "synthesis": 402.0}
OWN_SYSTEM = {"alpha_transform": " (41 filters, float64)", "pycoshrem": " (40 complex filters, float64)"}
PYSHEARLAB_FASTER = {"float32": 15.0, "float64": 7.0}


def _shown(outcome: Outcome, base: Outcome) -> str:
    if outcome.absent:
        return f"absent: {outcome.absent}"
    ratio = f"{outcome.seconds / base.seconds:.2f} x ours, " if outcome is not base and not base.absent else ""
    error = "" if math.isnan(outcome.error) else f", error {outcome.error:.2%}"
    return f"{ratio}{1e3 * outcome.seconds:.1f} ms (spread {1e3 * outcome.spread:.1f}{error})"


def rows_of(case: Case, size: int | str) -> list[Row]:
    """Run a case and return a row for every contestant; a peer that disagrees is shown but met by nobody."""
    outcomes = run(case)
    ours = next(o for o in outcomes if o.contestant == "ours")
    return [_row(case, outcome, ours, FASTER.get((f"{case.name} {size}", outcome.contestant))) for outcome in outcomes]


def _row(case: Case, outcome: Outcome, ours: Outcome, factor: float | None) -> Row:
    what = f"{case.name}: {outcome.contestant.replace('_', ' ')}{OWN_SYSTEM.get(outcome.contestant, '')}"
    shown = _shown(outcome, ours)
    if outcome.error > case.allowed:
        return Row(what, case.title, "agreement", shown, False if outcome is ours else None)
    if factor is not None and not outcome.absent:
        return Row(what, case.title, f"ours >= {factor:.0f} x faster", shown, outcome.seconds >= factor * ours.seconds)
    if outcome.contestant == "floor":
        return Row(what, case.title, f"ours <= {FLOOR} x the floor", shown, ours.seconds <= FLOOR * outcome.seconds)
    return Row(what, case.title, "", shown, None)


def floor_row(case: Case, algorithm: str, work: floors.Work) -> Row:
    """Return the row of the least time that an algorithm can take."""
    return Row(f"{case.name}: floor, {algorithm}", case.title.split(", error")[0], "", str(floors.floor(work)), None)


def floors_of_plane(case: Case, size: int, beam: str, what: str) -> list[Row]:
    """Return the floors of the algorithms that we have for a projector or for filtered backprojection."""
    geometry, grid = cases.plane(size, beam)
    if what == "fbp":
        return [floor_row(case, "backprojection", floors.backprojection(geometry, grid))]
    rows = [floor_row(case, "rays", floors.rays(geometry, grid))]
    if isinstance(geometry, ParallelBeam):
        rows.insert(0, floor_row(case, "Fourier", floors.fourier(geometry, grid, what == "adjoint")))
    return rows


def projectors() -> list[Row]:
    """Parallel and fan beam, 512² and 1024², and what a stack costs per slice."""
    rows = []
    for beam, size, rounds in (("parallel", 512, 7), ("fan", 512, 7), ("parallel", 1024, 3)):
        for what, case in cases.tomography(size, beam, rounds).items():
            if size == 512 or what != "fbp":
                rows += [*rows_of(case, size), *floors_of_plane(case, size, beam, what)]
    return rows + stacks()


def stacks(slices: int = 8) -> list[Row]:
    """A slice of a stack beside a slice alone, and beside ASTRA, which takes slices one after the other."""
    rows, singles = [], cases.tomography(512, "fan", 5)
    for what, many in cases.stack(singles, slices).items():
        (together,) = run(many)
        alone, astra = run(replace(singles[what], contestants=("ours", "astra_toolbox")))
        each, title = together.seconds / slices, f"fan {what}: a slice of {slices}"
        gain = alone.seconds / each
        shown = f"{gain:.1f} x less per slice ({1e3 * each:.1f} ms)"
        rows.append(Row(title, many.title, ">= 3 x less than alone", shown, gain >= 3))
        if not astra.absent:
            gain = astra.seconds / each
            asked = f"ours >= {STACKED:.0f} x faster"
            rows.append(Row(f"{title}, astra toolbox", many.title, asked, f"{gain:.0f} x ours", gain >= STACKED))
    return rows


def shearlets() -> list[Row]:
    """Analysis and synthesis, both precisions, beside the floor and the peers."""
    rows = []
    for size, kind in ((512, "float32"), (512, "float64"), (1024, "float32")):
        for what, case in cases.shearlets(size, kind).items():
            outcomes = run(case)
            found: Mapping[str, Outcome] = {o.contestant: o for o in outcomes}
            ours = found["ours"]
            rows += [_row(case, o, ours, None) for o in outcomes]
            if size == 512:
                rows.append(_beside_pyshearlab(case, what, kind, ours))
            rows.append(_decimated(case, found["ours_decimated"], ours))
    return rows


def wavelets() -> list[Row]:
    """The orthogonal wavelet transform and back."""
    rows, work = [], floors.wavelet(WaveletFrame((512, 512), "db4"))
    for case in cases.wavelets(512).values():
        rows += [*rows_of(case, 512), floor_row(case, "filter bank", work)]
    return rows


def _beside_pyshearlab(case: Case, what: str, kind: str, ours: Outcome) -> Row:
    gain = PYSHEARLAB[what] / (1e3 * ours.seconds)
    asked, shown = f"ours >= {PYSHEARLAB_FASTER[kind]:.0f} x faster", f"{gain:.1f} x ours (quoted, another run)"
    return Row(f"{case.name}: pyshearlab, float64", case.title, asked, shown, gain >= PYSHEARLAB_FASTER[kind])


def _decimated(case: Case, decimated: Outcome, ours: Outcome) -> Row:
    gain = ours.seconds / decimated.seconds
    return Row(f"{case.name}: decimated", case.title, ">= 3 x faster than ours", f"{gain:.1f} x faster", gain >= 3)


def volumes() -> list[Row]:
    """Cone beam and shearlets of a volume, 128³."""
    rows = []
    for what, case in cases.cone(128, 3).items():
        (ours,) = run(case)
        shown = f"{ours.seconds:.2f} s" + ("" if math.isnan(ours.error) else f", error {ours.error:.2%}")
        if what == "fdk":
            rows.append(Row(case.name, case.title, "", shown, None))
            continue
        rows.append(Row(case.name, case.title, "<= 10 s", shown, ours.seconds <= 10))
        rows.append(floor_row(case, "rays of a column together", floors.columns(*cases.space(128))))
    pair, peak = 0.0, 0.0
    for what, case in cases.shearlets3d(128, 3).items():
        floor, ours = run(case)
        gap = ours.seconds / floor.seconds
        shown = f"{gap:.2f} x ({ours.seconds:.2f} s beside {floor.seconds:.2f} s)"
        rows.append(Row(f"3-D shearlet {what}", case.title, f"<= {FLOOR_3D} x the floor", shown, gap <= FLOOR_3D))
        pair, peak = pair + ours.seconds, max(peak, ours.peak / 1024)
    shown = f"{pair:.2f} s, {peak:.2f} GiB"
    rows.append(Row("3-D shearlets, both ways", case.title, "<= 5 s, <= 3 GiB", shown, pair <= 5 and peak <= 3))
    return rows


def suite() -> list[Row]:
    """All rows of speed."""
    return [*projectors(), *shearlets(), *systems.rows(), *wavelets(), *volumes()]

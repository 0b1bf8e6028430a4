"""Learned methods beside each other and beside those that need no training, on scans with a missing wedge.

    make bench-limited-angle                                   # python -m benchmarks learned
    python -m benchmarks.learned WEIGHTS [OBJECTS]             # weights from that folder, so many objects a case

WEIGHTS holds ``<method>/weights.safetensors`` as the recipes comparison-* leave them (by default the folder named by
MICROLOCAL_COMPARISON, or microlocal-training/comparison; where a method's file is not there, shipped weights of its
task), a folder beside it with -256 in its name those for 256² pixels, of which something is asked. Methods without
weights are listed as absent. Networks are forced on objects unlike those they were trained on: that is the point of
three of the four families. The weights of ``tv`` and ``shearlet`` are chosen from the data, as a user's are. All
numbers are means over objects of fixed seeds; data are exact line integrals with white noise, those of CT slices
projections of a grid of half the pixel size. Two objects a case take about ten minutes. Writes
docs/limited-angle-table.md, results/learned-cases.json and two pictures.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from benchmarks import learned_pictures, null_space_rates
from benchmarks.table import RESULTS, Row, absent, at_least, at_most, machine, shared
from microlocal.certificates.least_change import least_possible
from microlocal.core import Detector, Grid, ParallelBeam, Scan
from microlocal.core.registry import lookup
from microlocal.core.seeding import generator
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import random_object
from microlocal.members import load_all
from microlocal.networks.weights import read_card, shipped_weights
from microlocal.operators import RayTransform
from microlocal.reconstruction.data_fit import fitted
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.quality import haarpsi, psnr, relative_error, ssim

PLAIN = ("fbp", "tv", "shearlet")
LEARNED = (
    "learn-the-invisible", "postprocessing", "wavelet-residual", "learned-primal-dual", "null-space-network",
)  # fmt: skip
WEDGES, NOISES = (30, 60, 90), (0.005, 0.02, 0.05)
FAMILIES = ("ellipses", "disc-with-holes", "needle", "CT slices")
SIDE, LARGE, STEP = 128, 256, 1.25  # pixels a side of the table, and of the case of which something is asked
CT_SLICES = (0.35, 0.45, 0.55, 0.65)  # of the height of the volume
HOUNSFIELD = (-1000.0, 1000.0)  # from air to bone: 0 to 1
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "limited-angle-table.md"
MAIN = ("ellipses", 60, 0.02)  # the case of which something is asked, and of the strip of images


@dataclass(frozen=True)
class Case:
    """A family of objects, missing degrees, relative noise."""

    family: str
    wedge: int
    noise: float


@dataclass(frozen=True)
class Score:
    """How a method did on a case: means over its objects."""

    family: str
    wedge: int
    noise: float
    method: str
    objects: int
    error: float
    psnr: float
    ssim: float
    haarpsi: float
    residual: float
    exact: float
    seconds: float


def cases() -> list[Case]:
    """Return all cases; CT slices only where the shared data are, and what reads them."""
    families = FAMILIES if shared() is not None and find_spec("nibabel") else FAMILIES[:-1]
    return [Case(family, wedge, noise) for family in families for wedge in WEDGES for noise in NOISES]


def scans(case: Case, count: int, side: int = SIDE) -> Iterator[tuple[Tensor, Scan, Tensor]]:
    """Yield (truth, scan, its data without noise) of the objects of a case, the same for every noise."""
    grid = Grid((side, side), 1.0)
    for number in range(count):
        draw = np.random.default_rng([number, case.wedge, FAMILIES.index(case.family)])
        first, views = float(draw.uniform(0, 2 * math.pi)), round((180 - case.wedge) / STEP)
        angles = tuple(first + math.radians(STEP) * np.arange(views))
        geometry = ParallelBeam(angles, Detector(math.floor(side * math.sqrt(2)), 1.0))
        if case.family == FAMILIES[-1]:
            yield _ct_scan(number, geometry, grid, case.noise)
            continue
        thing = random_object(case.family, draw, grid)
        data = simulate(thing, geometry, draw, Measurement(noise=(case.noise, case.noise))).data
        exact = simulate(thing, geometry, draw).data
        truth = torch.from_numpy(thing.image(grid)).float()
        yield truth, Scan(torch.from_numpy(data).float(), geometry, grid), torch.from_numpy(exact).float()


def _ct_scan(number: int, geometry: ParallelBeam, grid: Grid, noise: float) -> tuple[Tensor, Scan, Tensor]:
    fine = ct_slice(CT_SLICES[number % len(CT_SLICES)], 2 * grid.shape[0])
    exact = RayTransform(geometry, Grid((len(fine), len(fine)), grid.pixel / 2))(fine)
    data = exact + noise * exact.square().mean().sqrt() * torch.randn(exact.shape, generator=generator(number))
    return avg_pool2d(fine[None, None], 2)[0, 0], Scan(data, geometry, grid), exact


@cache
def ct_slice(height: float, side: int) -> Tensor:
    """Return an axial slice of the shared volume, 0 to 1, on ``side``² pixels, inside of the scan's circle."""
    folder, nibabel = shared(), import_module("nibabel")  # of an extra
    if folder is None:
        raise FileNotFoundError("the shared data")
    volume = nibabel.load(folder / "data" / "ct_volume" / "example_ct.nii.gz")
    plane = np.asarray(volume.dataobj[..., round(height * volume.shape[2])], np.float32).reshape(volume.shape[:2])
    low, high = HOUNSFIELD
    image = torch.from_numpy(np.clip((np.rot90(plane) - low) / (high - low), 0, 1).copy())[None, None]
    whole = interpolate(image, size=(side, side), mode="area")[0, 0]
    places = torch.arange(side) - side / 2 + 0.5
    return whole * (places[:, None] ** 2 + places**2 < (side / 2 - 2) ** 2)


def weights(folder: Path) -> dict[str, str]:
    """Return the file of weights of every learned method that has one: the folder's, else shipped ones of its task."""
    found = {name: folder / name / "weights.safetensors" for name in LEARNED}
    own = {name: str(path) for name, path in found.items() if path.is_file()}
    shipped = {read_card(path).get("task"): str(path) for path in shipped_weights().values()}
    return {name: own.get(name, shipped.get(name, "")) for name in LEARNED if name in own or name in shipped}


def reconstructed(
    method: str, scan: Scan, files: Mapping[str, str], residual: float | None = None
) -> tuple[Tensor, float]:
    """Return the image of a method, brought to a ``residual`` where one is given, and the seconds it took."""
    settings = Settings(network=files.get(method, "auto"), force=method in files)
    member = lookup("method", method, "learned").member
    began = time.perf_counter()
    estimate: Estimate = member(scan, scan.grid, settings)
    if residual is not None:
        estimate = fitted(estimate, RayTransform(scan.geometry, scan.grid), scan.data, residual)
    return estimate.image, time.perf_counter() - began


def measured(
    case: Case, method: str, files: Mapping[str, str], count: int, side: int = SIDE, residual: float | None = None
) -> Score:
    """Return the score of a method on a case."""
    rows = []
    for truth, scan, exact in scans(case, count, side):
        image, seconds = reconstructed(method, scan, files, residual)
        projected = RayTransform(scan.geometry, scan.grid)(image)
        distances = [float((projected - data).norm() / data.norm()) for data in (scan.data, exact)]
        quality = [float(f(image, truth)) for f in (relative_error, psnr, ssim, haarpsi)]
        rows.append([*quality, *distances, seconds])
    means = [float(value) for value in np.mean(rows, axis=0)]
    return Score(case.family, case.wedge, case.noise, method, count, *means)


def table(scores: list[Score], missing: list[str]) -> str:
    """Return the one table of all scores in Markdown."""
    head = "| objects | missing | noise | method | error | PSNR | SSIM | HaarPSI | residual | to exact data | seconds |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {s.family} | {s.wedge}° | {100 * s.noise:g} % | `{s.method}` | {s.error:.3f} | {s.psnr:.2f} | {s.ssim:.3f} "
        f"| {s.haarpsi:.3f} | {s.residual:.4f} | {s.exact:.4f} | {s.seconds:.2f} |"
        for s in scores
    ]
    lines += [f"| – | – | – | `{name}` | absent: no weights | | | | | | |" for name in missing]
    return "\n".join(lines)


HEAD = """# Learned methods beside each other

Written by `make bench-limited-angle`; `benchmarks/learned.py` says what is measured: {side}² pixels, parallel beam, a
view every {step}°, means over {count} objects of fixed seeds. The error is |f - truth|/|truth|, the residual
|R f - g|/|g|; "to exact data" is the same with the data before noise was added: a method that fits noise has a small
residual and is far from these. Networks trained by recipes/comparison-*.toml saw ellipses only; they are used on all
objects.

| weights | parameters | steps | minutes |
|---|---|---|---|
{trained}

![PSNR against the missing wedge](images/limited-angle-table.png)

![One case](images/limited-angle-strip.png)

{table}
"""


def _write(scores: list[Score], missing: list[str], files: Mapping[str, str]) -> None:
    cards = {name: _training(path) for name, path in files.items()}
    content = {"machine": machine(), "weights": cards, "absent": missing, "scores": [asdict(s) for s in scores]}
    (RESULTS / "learned-cases.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    trained = "\n".join(f"| `{n}` | {c['parameters']} | {c['steps']} | {c['minutes']} |" for n, c in cards.items())
    count = scores[0].objects if scores else 0
    page = HEAD.format(side=SIDE, step=STEP, count=count, trained=trained, table=table(scores, missing))
    PAGE.write_text(page, encoding="utf-8")


def _training(path: str) -> dict[str, object]:
    card = read_card(path)
    return {name: card.get(name) for name in ("parameters", "steps", "minutes", "device", "seed", "metrics", "sha256")}


def judged(scores: list[Score], base: str, side: int = SIDE) -> list[Row]:
    """Return what is asked of Learn the Invisible on ellipses: decibels over the others, and the lowest residual.

    ``base`` is the method that makes f*. Decibels over ``tv`` are asked of the shipped weights: ``benchmarks.shipped``.
    """
    found = {s.method: s for s in scores if (s.family, s.wedge, s.noise) == MAIN}
    ours = found.get("learn-the-invisible")
    if ours is None:
        return [absent("learn-the-invisible on ellipses", "no weights")]
    where = f"ellipses, {MAIN[1]}° missing, {100 * MAIN[2]:g} % noise, {side}², {ours.objects} objects"
    rows = [
        Row(f"learn-the-invisible over {name}, dB", where, "", f"{ours.psnr - found[name].psnr:.2f}", None)
        for name in PLAIN[1:]
    ]
    rows += [
        at_least(f"learn-the-invisible over {name}, dB", where, ours.psnr - found[name].psnr, 1.0, "{:.2f}")
        for name in ("postprocessing", "wavelet-residual")
        if name in found
    ]
    others = [s for name, s in found.items() if name in LEARNED[1:]]
    if others:
        least, nearest = min(s.residual for s in others), min(s.exact for s in others)
        compared = f"{len(others) + 1} learned methods"
        rows.append(at_most(f"residual, lowest of {compared}", where, ours.residual, least, "{:.4f}"))
        rows.append(at_most("the same beside data without noise", where, ours.exact, nearest, "{:.4f}"))
    beside = ours.residual / found[base].residual
    return [*rows, at_most("residual beside that of f*", where, beside, 1.05, "{:.3f}")]


def at_the_least_residual(scores: list[Score], files: Mapping[str, str], count: int, side: int = SIDE) -> list[Row]:
    """Return how Learn the Invisible does where it is asked for the residual of the method that has the least.

    With it, the most that any image could reach: the object itself, changed by the least that leaves so little.
    """
    found = {s.method: s for s in scores if (s.family, s.wedge, s.noise) == MAIN and s.method in LEARNED[1:]}
    if not found or LEARNED[0] not in files:
        return []
    closest = min(found.values(), key=lambda s: s.residual)
    ours = measured(Case(*MAIN), LEARNED[0], files, count, side, closest.residual)
    where = f"ellipses, {MAIN[1]}° missing, {100 * MAIN[2]:g} % noise, {side}², {count} objects"
    what = f"learn-the-invisible, asked for the residual of {closest.method}"
    most = np.mean([greatest_psnr(truth, scan, closest.residual) for truth, scan, _ in scans(Case(*MAIN), count, side)])
    return [
        at_most(f"{what}: residual", where, ours.residual, closest.residual, "{:.4f}"),
        *(
            at_least(f"{what}: dB over {name}", where, ours.psnr - found[name].psnr, 1.0, "{:.2f}")
            for name in dict.fromkeys(("postprocessing", "wavelet-residual", closest.method))
            if name in found
        ),
        Row("greatest PSNR of any image with such a residual, dB", where, "", f"{most:.2f}", None),
    ]


def greatest_psnr(truth: Tensor, scan: Scan, residual: float) -> float:
    """Return an upper bound of the PSNR of all images that leave ``residual`` of the data, by the dual problem."""
    ray = RayTransform(scan.geometry, scan.grid)
    near = fitted(Estimate(truth), ray, scan.data, residual).image
    gap, target = scan.data - ray(truth), residual * float(scan.data.norm())
    least = least_possible(ray, gap, scan.data - ray(near), target)
    shift = least / math.sqrt(truth.numel()) * torch.ones_like(truth)
    return float(psnr(truth + shift, truth)) if least > 0 else math.inf


def summary(scores: list[Score]) -> list[Row]:
    """Return a row a family and wedge: the PSNR of every method at the middle noise."""
    rows = []
    for family in dict.fromkeys(s.family for s in scores):
        for wedge in WEDGES:
            here = [s for s in scores if (s.family, s.wedge, s.noise) == (family, wedge, NOISES[1])]
            reached = ", ".join(f"{s.method} {s.psnr:.1f}" for s in here)
            rows.append(Row("PSNR, dB", f"{family}, {wedge}° missing, {100 * NOISES[1]:g} % noise", "", reached, None))
    return rows


def at_the_size_asked(folder: Path, count: int, base: str) -> list[Row]:
    """Return what is asked, on large images, with weights trained on such (recipes/comparison-256-*.toml)."""
    files = {name: str(path) for name in LEARNED if (path := folder / name / "weights.safetensors").is_file()}
    if not files:
        return [absent(f"learned methods at {LARGE}²", f"no weights in {folder}")]
    scores = [measured(Case(*MAIN), name, files, count, LARGE) for name in (*PLAIN[1:], *files)]
    rows = [
        Row("PSNR, dB", f"{MAIN[0]}, {MAIN[1]}° missing, {LARGE}²", "", f"{score.method} {score.psnr:.2f}", None)
        for score in scores
    ]
    return [*rows, *judged(scores, base, LARGE), *at_the_least_residual(scores, files, count, LARGE)]


def run(folder: Path, count: int) -> list[Row]:
    """Measure all cases, write table, JSON and pictures; return the rows of the page of numbers."""
    load_all()
    files = weights(folder)
    missing = [name for name in LEARNED if name not in files]
    names = [*PLAIN, *files]
    for name in names:  # compiles
        reconstructed(name, next(scans(Case("ellipses", 90, 0.05), 1))[1], files)
    scores = []
    for case in cases():
        scores += [measured(case, name, files, count) for name in names]
        print(f"{case.family}, {case.wedge}°, {100 * case.noise:g} %: done", file=sys.stderr, flush=True)
    _write(scores, missing, files)
    learned_pictures.curves(scores, NOISES[1])
    truth, scan, _ = next(scans(Case(*MAIN), 1))
    images = {name: reconstructed(name, scan, files)[0] for name in names}
    learned_pictures.strip(truth, {name: (image, float(psnr(image, truth))) for name, image in images.items()})
    why = f"no weights in {folder} and none shipped: microlocal train recipes/comparison-NAME.toml"
    base = str(read_card(files[LEARNED[0]]).get("base", "shearlet")) if LEARNED[0] in files else "shearlet"
    lacking = [absent(name, why) for name in missing]
    large = at_the_size_asked(folder.with_name(f"{folder.name}-{LARGE}"), count, base)
    small = [*judged(scores, base), *at_the_least_residual(scores, files, count)]
    return [*small, *large, *summary(scores), *lacking, *null_space_rates.suite()]


def suite() -> list[Row]:
    """Run with what the environment says: MICROLOCAL_COMPARISON, the folder; MICROLOCAL_OBJECTS, objects a case."""
    folder = os.environ.get("MICROLOCAL_COMPARISON", ROOT / "microlocal-training" / "comparison")
    return run(Path(folder), int(os.environ.get("MICROLOCAL_OBJECTS", "2")))


if __name__ == "__main__":
    for row in run(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2):
        print(row)

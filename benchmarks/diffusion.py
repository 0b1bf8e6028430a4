"""Nonlinear diffusion beside plain torch, torch.compile and the memory traffic it cannot do without, in one run.

    python -m benchmarks diffusion

Each contestant is a process (``race``). The picture is one of Set12 where the development data are there, else a
phantom with noise. The floor reads and writes the image once a step, which is what a kernel that does one step at a
time cannot do without; tiles that stay in the cache may be faster.
"""

import numpy as np
import torch

from benchmarks.contestants import ours_plain_diffusion
from benchmarks.race import Case, Outcome, run
from benchmarks.table import Row, at_most, shared
from microlocal.core.seeding import generator
from microlocal.dictionary import diffuse, nonlinearity
from microlocal.io.picture import read_picture
from microlocal.reconstruction.images.trial import cartoon

SIZE, STEPS, TIME, CONTRAST = 512, 100, 25.0, 0.05
ROUNDS = 31  # of the race: what plain torch takes differs by half from one turn to the next
# How many times faster than plain torch, by case.
FASTER = {"rational": 8.0, "exponential": 4.0, "tabulated": 4.0, "rational, back": 3.0}
ROUNDING = 1e-4  # relative, after 100 steps in float32
FEWER, APART = 25, 1e-2
NAMES = ("charbonnier", "perona-malik-rational", "perona-malik")


def picture() -> tuple[np.ndarray, str]:
    """Return an image with values from 0 to 1, and what it is."""
    root = shared()
    found = sorted((root / "data" / "denoising" / "Set12").glob("*")) if root else []
    for path in reversed(found):
        plane = read_picture(path)
        if plane.shape == (SIZE, SIZE):
            return (plane / (255 if plane.max() > 2 else 1)).astype(np.float32), f"Set12 {path.stem}, {SIZE}²"
    clean = cartoon(SIZE) / 1.3
    noisy = clean + 0.05 * torch.randn(clean.shape, generator=generator(0))
    return noisy.numpy(), f"a drawing with noise 0.05, {SIZE}²"


def _row(case: Case, outcome: Outcome, ours: Outcome) -> Row:
    what = f"{case.name.removeprefix('diffusion ')}: {outcome.contestant.replace('_', ' ')}"
    if outcome.absent:
        return Row(what, case.title, "", f"absent: {outcome.absent}", None)
    ratio = outcome.seconds / ours.seconds
    shown = f"{ratio:.2f} x ours, " if outcome is not ours else ""
    shown += f"{1e3 * outcome.seconds:.1f} ms (spread {1e3 * outcome.spread:.1f})"
    if outcome.contestant == "floor_diffusion":
        return Row(what, case.title, "", shown, None)
    shown += f", {outcome.error:.1e} from plain torch in float64"
    if outcome is ours:
        return Row(what, case.title, f"<= {ROUNDING:g} off", shown, outcome.error <= ROUNDING)
    if outcome.contestant != "ours_plain_diffusion":
        return Row(what, case.title, "", shown, None)
    factor = FASTER[case.name.removeprefix("diffusion ")]
    return Row(what, case.title, f"ours >= {factor:.0f} x faster", shown, ratio >= factor)


def races() -> list[Row]:
    """The steps, and back through them."""
    plane, what = picture()
    rows = []
    for name in FASTER:
        truth = ours_plain_diffusion.CASES[f"diffusion {name}"]({"image": plane.astype(np.float64)})()

        def error(got: np.ndarray, truth: np.ndarray = truth) -> float:
            return float(np.linalg.norm(got - truth) / np.linalg.norm(truth))

        who = ("ours_diffusion", "floor_diffusion", "ours_plain_diffusion", "ours_compiled_diffusion")
        case = Case(f"diffusion {name}", f"{what}, {STEPS} steps, float32", {"image": plane}, who, error, 1.0, ROUNDS)
        outcomes = run(case)
        rows += [_row(case, outcome, outcomes[0]) for outcome in outcomes]
    return rows


def fewer_steps() -> list[Row]:
    """How far the fast schemes are from 100 explicit steps, with at most 25."""
    plane, what = picture()
    image, rows = torch.from_numpy(plane).double(), []
    for name in NAMES:
        entry = nonlinearity(name, CONTRAST)
        many = diffuse(image, entry, TIME, STEPS)
        for scheme, steps in (("fsi", 24), ("du-fort-frankel", 25)):
            few = diffuse(image, entry, TIME, steps, scheme=scheme)
            gap = float((few - many).norm() / many.norm())
            told = f"{name}: {steps} steps of {scheme} beside {STEPS} explicit ones"
            asked = at_most(told, f"{what}, T = 25, λ = 0.05", gap, APART)
            rows.append(asked if scheme == "fsi" else Row(told, asked.data, "", asked.reached, None))
        finer = float((diffuse(image, entry, TIME, 8 * STEPS) - many).norm() / many.norm())
        rows.append(Row(f"{name}: {8 * STEPS} explicit steps beside {STEPS}", rows[-1].data, "", f"{finer:.2g}", None))
    return rows


def suite() -> list[Row]:
    """All rows of diffusion."""
    return [*races(), *fewer_steps()]

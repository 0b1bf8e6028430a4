"""Nonlinear diffusion beside plain torch, torch.compile and the memory traffic it cannot do without, in one run.

    python -m benchmarks diffusion

Each contestant is a process (``race``). The picture is one of Set12 where the development data are there, else a
phantom with noise. The floor reads and writes the image once a step, which is what a kernel that does one step at a
time cannot do without; tiles that stay in the cache may be faster. Of the forces Kᵀ Φ(K u) of learned energies the
floor is their multiply-adds (``floors``).
"""

import numpy as np
import torch

from benchmarks.contestants import ours_plain_diffusion, ours_plain_force
from benchmarks.floors import Work, floor
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
FILTERS, SIDE = 32, 7  # of a bank as learned energies have them
PASSES = {"force": 2, "force, with slopes": 7}  # K and Kᵀ; those, K u again, K of the slope, Kᵀ, and two for filters
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


def forces() -> list[Row]:
    """Kᵀ Φ(K u) of a bank of filters, and back through it."""
    plane, what = picture()
    draw, mixture = generator(0), (1, FILTERS, 2)
    learned = {"filters": torch.randn((FILTERS, SIDE, SIDE), generator=draw) / SIDE}
    learned |= {"shares": torch.full(mixture, 0.5), "contrasts": 0.1 + torch.rand(mixture, generator=draw)}
    arrays = {name: values.numpy() for name, values in learned.items()} | {"images": plane[None]}
    arrays["pull"] = torch.randn(arrays["images"].shape, generator=draw).numpy()
    title, rows = f"{what}, {FILTERS} filters of {SIDE}², float32", []
    for name, passes in PASSES.items():
        truth = ours_plain_force.CASES[name]({key: values.astype(np.float64) for key, values in arrays.items()})()

        def error(got: np.ndarray, truth: np.ndarray = truth) -> float:
            return float(np.linalg.norm(got - truth) / np.linalg.norm(truth))

        case = Case(name, title, arrays, ("ours_fused_force", "ours_plain_force"), error, 1.0, ROUNDS)
        outcomes = run(case)
        rows += [_force_row(case, outcome, outcomes[0]) for outcome in outcomes]
        work = Work(passes * FILTERS * SIDE**2 * plane.size, passes * plane.nbytes)
        rows.append(Row(f"{name}: floor", title, "", str(floor(work)), None))
    return rows


def _force_row(case: Case, outcome: Outcome, ours: Outcome) -> Row:
    what = f"{case.name}: {outcome.contestant.replace('_', ' ')}"
    if outcome.absent:
        return Row(what, case.title, "", f"absent: {outcome.absent}", None)
    shown = f"{1e3 * outcome.seconds:.1f} ms (spread {1e3 * outcome.spread:.1f})"
    if outcome is ours:
        shown += f", {outcome.error:.1e} from plain torch in float64"
        return Row(what, case.title, f"<= {ROUNDING:g} off", shown, outcome.error <= ROUNDING)
    return Row(what, case.title, "", f"{outcome.seconds / ours.seconds:.2f} x ours, {shown}", None)


def suite() -> list[Row]:
    """All rows of diffusion."""
    return [*races(), *forces(), *fewer_steps()]

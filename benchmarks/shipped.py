"""What the shipped weights reach: on ellipses against what needs no network, on the needle's held-out tilts, in time.

The ellipses are drawn from seeds that no training used; the needle's tilts are real, and no needle was trained on but
simulated ones. All weights of the regularisers are chosen from the data.
"""

import math
import resource
import subprocess
import sys
import time

import numpy as np
import torch

import microlocal as ml
from benchmarks.table import Row, absent, at_least, at_most
from microlocal.core import Detector, Grid, ParallelBeam, Scan
from microlocal.data import needle
from microlocal.data.measurement import Measurement, simulate
from microlocal.data.objects import random_object
from microlocal.networks.catalogue import at_hand
from microlocal.operators import RayTransform
from microlocal.reconstruction.quality import psnr

LTI = "learn-the-invisible"
PLAIN = ("tv", "shearlet")
SIDE, WEDGE, NOISE, OBJECTS = 256, 60, 0.02, 8
CUT, TILTS = 50.0, (52.0, 76.0)  # degrees: what is used, and what is predicted
SLICE = 2


def ellipses(seed: int, side: int = SIDE) -> tuple[torch.Tensor, Scan]:
    """Return (truth, scan) of random ellipses with a missing wedge at a random orientation."""
    draw, grid = np.random.default_rng([seed, side]), Grid((side, side), 1.0)
    angles = tuple(float(draw.uniform(0, math.pi)) + np.radians(np.arange(0.0, 180.0 - WEDGE, 1.0)))
    geometry = ParallelBeam(angles, Detector(round(1.42 * side), 1.0))
    thing = random_object("ellipses", draw, grid)
    data = simulate(thing, geometry, draw, Measurement(noise=(NOISE, NOISE))).data
    return torch.from_numpy(thing.image(grid)).float(), Scan(torch.from_numpy(data).float(), geometry, grid)


def on_ellipses() -> list[Row]:
    """PSNR and residual beside the methods without a network."""
    scores: dict[str, list[float]] = {name: [] for name in (*PLAIN, LTI)}
    growth, used = [], 0
    for seed in range(OBJECTS):
        truth, scan = ellipses(seed)
        for name, found in scores.items():
            result = ml.reconstruct(scan, name)
            found.append(float(psnr(result.image, truth)))
        used += result.learned is not None
        growth.append(
            max(c.value for c in result.certificates if "contradict" in c.claim) if result.learned is not None else 0.0
        )
    means = {name: float(np.mean(found)) for name, found in scores.items()}
    where = f"ellipses, {WEDGE}° missing, {100 * NOISE:g} % noise, {SIDE}², {OBJECTS} objects, seeds 0 to {OBJECTS - 1}"
    rows = [Row(f"PSNR of {name}, dB", where, "", f"{mean:.2f}", None) for name, mean in means.items()]
    rows += [at_least(f"{LTI} over {name}, dB", where, means[LTI] - means[name], 3.0, "{:.2f}") for name in PLAIN]
    rows.append(at_most("residual of f over that of f*, the largest, less one", where, max(growth), 0.05))
    return [*rows, at_least("scans for which a shipped network was chosen", where, used / OBJECTS, 1.0, "{:.2f}")]


def on_the_needle() -> list[Row]:
    """Errors of the tilts beyond 50 degrees, predicted from those within."""
    scan = needle().slices(SLICE)
    tilts = np.degrees(scan.geometry.angles)
    inner = scan.views(np.flatnonzero(np.abs(tilts) <= CUT).tolist())
    outer = scan.views(np.flatnonzero((np.abs(tilts) >= TILTS[0]) & (np.abs(tilts) <= TILTS[1])).tolist())
    errors = {}
    for name in ("cgls", *PLAIN, LTI):
        result = ml.reconstruct(inner, name)
        predicted = RayTransform(outer.geometry, inner.grid)(result.image)
        errors[name] = float((predicted - outer.data).norm() / outer.data.norm())
    where = f"needle, slice {SLICE}, tilts within {CUT:g}°, those of {TILTS[0]:g}° to {TILTS[1]:g}° predicted"
    best = min(error for name, error in errors.items() if name != LTI)
    rows = [
        Row(f"error of the held-out tilts, {name}", where, "", f"{100 * e:.2f} %", None) for name, e in errors.items()
    ]
    return [*rows[:-1], at_most(f"error of the held-out tilts, {LTI}", where, errors[LTI], best, "{:.4f}")]


def end_to_end(beam: str) -> list[Row]:
    """Seconds and memory of one 512² slice in a process of its own, with all checks."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", __name__, beam], capture_output=True, text=True, check=True)
    seconds, memory, network = time.perf_counter() - began, *done.stdout.split()[-2:]
    where = f"{beam}, 512², 120 views of 1°, network {network}, with all checks and the start of Python"
    return [
        at_most(f"{LTI}, seconds", where, seconds, 60.0),
        at_most(f"{LTI}, memory in GiB", where, float(memory), 4.0),
    ]


def one_slice(beam: str) -> None:
    """Reconstruct one slice; print memory and the network that was used."""
    _, scan = ellipses(0, 512)
    if beam == "fan":
        grid = scan.grid
        geometry = ml.FanBeam(scan.geometry.angles_rad, Detector(1024, 1.0), source_axis=1400.0, source_detector=1900.0)
        draw = np.random.default_rng(0)
        data = simulate(
            random_object("disc-with-holes", draw, grid), geometry, draw, Measurement(noise=(0.01, 0.01))
        ).data
        scan = Scan(torch.from_numpy(data).float(), geometry, grid)
    weights = next(one for one in at_hand() if one.task == LTI and one.beam == beam)
    result = ml.reconstruct(scan, LTI, network=str(weights.path), force=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{memory:.3f} {result.config['network']}")


def suite() -> list[Row]:
    """All rows; absent where no weights ship."""
    beams = {one.beam for one in at_hand() if one.task == LTI}
    if "parallel" not in beams:
        return [absent(LTI, "no weights for parallel beams ship")]
    rows = [*on_ellipses(), *on_the_needle()]
    for beam in sorted(beams):
        rows += end_to_end(beam)
    return rows


if __name__ == "__main__":
    one_slice(sys.argv[1])

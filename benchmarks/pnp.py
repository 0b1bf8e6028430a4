"""Plug-and-play: how many iterations it takes, on a toy scan and on a short arc of the Helsinki data, beside tv there.

The toy scan has the untrained denoiser of the tests, for two degrees of the data's step, plain and accelerated. On the
Helsinki data it is seen whether the steps fall to 1e-6, and how the score compares with that of tv, both on pixels
twice as large as the detector asks for, since a network takes its time at every step; the score is that of the image
on the mask's own pixels. Blurs are undone, too (``deblurring``). Without shipped
weights an untrained network shows the convergence alone.
"""

import json
import time
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
import torch
from matplotlib import pyplot
from torch.nn.functional import interpolate

import microlocal as ml
from benchmarks import deblurring
from benchmarks.helsinki import mask_of, mcc
from benchmarks.table import RESULTS, Row, absent, at_least, at_most, shared
from microlocal.core import Scan
from microlocal.networks.nonexpansive import Nonexpansive
from microlocal.networks.weights import shipped_weights
from microlocal.operators import RayTransform
from microlocal.reconstruction import Settings, plug_and_play, tv
from microlocal.reconstruction.data_step import DataStep
from microlocal.reconstruction.fixed_point import MEMORY, Iteration, tiny_denoiser
from microlocal.reconstruction.method import Estimate
from microlocal.reconstruction.plug_and_play import USUAL, Known, by_denoiser
from microlocal.reconstruction.toy import GRID, toy_scan, toy_truth
from microlocal.reconstruction.trained import untrained
from microlocal.solvers import Driver, krasnoselskii_mann

DEGREES, FACTOR, TOLERANCE = 60, 2, 1e-6
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "plug-and-play.png"


def suite() -> list[Row]:
    """The rows, results/pnp-steps.json with the residual of every iteration, and the picture of the page."""
    rows, folder = toy(), shared()
    if folder is None:
        return [*rows, absent("plug-and-play", "the development data are not here: set MICROLOCAL_SHARED")]
    data = folder / "data" / "htc2022"
    scan, mask = ml.read_scan(data / "ta_full.mat").arc(0, DEGREES), mask_of(data, "ta")
    fine = scan.grid
    grid = ml.Grid((fine.shape[0] // FACTOR, fine.shape[1] // FACTOR), FACTOR * fine.pixel, fine.center, fine.unit)
    found, seconds = _timed(scan, grid)
    plain = tv(scan, grid, Settings())
    residual = found.history["residual"]
    steps = {"network": found.config["network"], "weight": found.config["weight"], "residual": residual}
    steps["distance"] = found.history["distance"]
    (RESULTS / "pnp-steps.json").write_text(json.dumps(steps) + "\n", encoding="utf-8")
    draw(residual, str(found.config["network"]))
    where = f"Helsinki ta, 0 to {DEGREES} degrees, {grid.shape[0]}², {found.config['network']}, {seconds:.0f} s"
    reference, score = _score(plain, mask), _score(found, mask)
    trained = found.config["network"] == USUAL
    beside = at_least("MCC, plug-and-play, asked: tv's", where, score, reference)
    return [
        *rows,
        at_most(f"fixed-point residual after {len(residual)} iterations", where, residual[-1], TOLERANCE, "{:.2e}"),
        at_most("largest fixed-point residual over the one before", where, found.certificates[0].value, 1.0, "{:.4f}"),
        beside if trained else Row("MCC, plug-and-play", where, "", f"{score:.3f} (tv {reference:.3f})", None),
        *(deblurring.rows(folder / "data") if trained else ()),
    ]


def toy() -> list[Row]:
    """How often the network is applied on the toy scan until the fixed-point residual is 1e-6."""
    scan, rows = toy_scan(), []
    ray, data = RayTransform(scan.geometry, GRID), scan.data[None, None]
    for degree, level in ((1, 0.003), (3, 0.02)):
        iteration = Iteration(DataStep(ray, data, degree), tiny_denoiser(), data.new_tensor([level]))
        for name, memory in (("plain", 0), ("accelerated", MEMORY)):
            applied, found = _applications(iteration, memory)
            error = float((found - toy_truth()).norm() / toy_truth().norm())
            told = f"{applied}, data {float((ray(found) - data).norm() / data.norm()):.2%} off, image {error:.3f}"
            what = f"applications of the network to {TOLERANCE:g}, degree {degree}, s = {level}, {name}"
            rows.append(Row(what, "toy scan, 45 views over 130 degrees, 64², 1 % noise, untrained", "", told, None))
    return rows


def _applications(iteration: Iteration, memory: int) -> tuple[int, torch.Tensor]:
    """Return how often T is applied, and the image that is reached."""
    count = 0

    def applied(u: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return iteration(u)

    start = torch.zeros(1, 1, *GRID.shape)
    with torch.no_grad():
        found = krasnoselskii_mann(applied, start, Driver(3000, every=1, tolerance=TOLERANCE), memory)
    return count, found.value[0, 0]


def _timed(scan: Scan, grid: ml.Grid) -> tuple[Estimate, float]:
    began = time.monotonic()
    if USUAL in shipped_weights():
        found = plug_and_play(scan, grid, Settings())
    else:
        network = untrained(lambda: Nonexpansive((1, 2, 1), filters=16, side=5))
        found = by_denoiser(scan, grid, Settings(), Known(network))
    return found, time.monotonic() - began


def _score(found: Estimate, mask: np.ndarray) -> float:
    fine = interpolate(found.image[None, None], scale_factor=FACTOR, mode="bilinear", align_corners=False)
    return mcc(fine[0, 0].numpy(), mask)


def draw(residual: list[float], name: str, path: Path = PICTURE) -> None:
    """Draw the fixed-point residual over the iterations."""
    figure, axis = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axis.semilogy(np.arange(1, len(residual) + 1), residual, color="#0072b2", linewidth=1.8)
    axis.axhline(TOLERANCE, color="#666666", linewidth=0.9, linestyle="--")
    axis.set_xlabel("iteration")
    axis.set_title(f"|T(u) - u| / |u|, Helsinki ta from {DEGREES} degrees, weights: {name}", loc="left", fontsize=11)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)

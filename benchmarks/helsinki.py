"""The Helsinki challenge's phantoms: full scans, what the mask explains, and short arcs by every method."""

import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imread
from scipy.io import loadmat
from skimage.filters import threshold_otsu

import microlocal as ml
from benchmarks import scanner
from benchmarks.table import Row, absent, at_least, at_most, shared
from microlocal.core import Scan
from microlocal.operators import RayTransform
from microlocal.reconstruction.fbp import filtered_backprojection

ARCS = {90: (0.95, 0.988), 60: (0.90, 0.963), 30: (0.80, 0.916)}
LTI, LEARNED = "learn-the-invisible", {90: 0.985, 60: 0.985, 30: 0.95}
METHODS = {90: ("fbp",), 60: ("fbp", "tv"), 30: ("fbp",)}  # beside directional-tv; tv takes minutes at 512²


def mcc(image: np.ndarray, mask: np.ndarray) -> float:
    """Return the Matthews correlation of an image, thresholded by Otsu's method, and a mask."""
    return float(np.corrcoef((image > threshold_otsu(image)).ravel(), mask.ravel())[0, 1])


def mask_of(folder: Path, name: str) -> np.ndarray:
    """Return the true segmentation (512, 512)."""
    pixels = imread(folder / f"{name}_mask.png")
    return (pixels if pixels.ndim == 2 else pixels[..., 0]) > 0.5


def explained(mask: np.ndarray, scan: Scan) -> float:
    """Return the relative residual of the data after one scale and one offset of the projected mask."""
    shadow = RayTransform(scan.geometry, scan.grid)(torch.from_numpy(mask.astype(np.float64))).numpy().ravel()
    data = scan.data.double().numpy().ravel()
    design = np.column_stack((shadow, np.ones_like(shadow)))
    fit = design @ np.linalg.lstsq(design, data, rcond=None)[0]
    return float(np.linalg.norm(data - fit) / np.linalg.norm(data))


def full_scans(folder: Path) -> list[Row]:
    """FBP of the full scan, the mask's explanation, and the organisers' disc."""
    scan, mask = ml.read_scan(folder / "ta_full.mat"), mask_of(folder, "ta")
    image = ml.reconstruct(scan, "fbp").image.numpy()
    organisers = loadmat(folder / "solid_disc_full_recon_fbp.mat")["reconFullFbp"] / scan.grid.pixel
    disc = ml.read_scan(folder / "solid_disc_30_v73.mat")
    forward = RayTransform(disc.geometry, disc.grid)(torch.from_numpy(organisers)).numpy()
    agreement = float(np.corrcoef(forward.ravel(), disc.data.numpy().ravel())[0, 1])
    back = filtered_backprojection(torch.from_numpy(forward), disc.geometry, disc.grid).numpy()
    ours = filtered_backprojection(disc.data, disc.geometry, disc.grid).numpy()
    images = float(np.corrcoef(back.ravel(), ours.ravel())[0, 1])
    where = "solid disc, the 30 degrees that are at hand"
    return [
        at_least("MCC of FBP with Otsu's threshold, full scan", "Helsinki ta", mcc(image, mask), 0.99, "{:.4f}"),
        at_most("data unexplained by the projected mask", "Helsinki ta, full", explained(mask, scan), 0.05, "{:.4f}"),
        at_least("organisers' FBP projected, correlation with the data", where, agreement, 0.99, "{:.4f}"),
        Row("FBP of both, correlation", where, "", f"{images:.4f}", None),
        *scanner.rows(mask, scan, "Helsinki ta, full"),
    ]


def arcs(folder: Path) -> list[Row]:
    """Short arcs of ta from 0 degrees, and the limited files of both phantoms, one setting for all."""
    rows = []
    full = ml.read_scan(folder / "ta_full.mat")
    for degrees, (least, aim) in ARCS.items():
        scan, mask = full.arc(0, degrees), mask_of(folder, "ta")
        asked = {"directional-tv": (f"directional-tv (aim {aim})", least), LTI: (LTI, LEARNED[degrees])}
        for method in (*METHODS[degrees], *asked):
            score, seconds = _score(scan, method, mask)
            where = f"Helsinki ta, 0 to {degrees} degrees, {seconds:.0f} s"
            if method in asked:
                rows.append(at_least(f"MCC, {asked[method][0]}", where, score, asked[method][1], "{:.4f}"))
            else:
                rows.append(Row(f"MCC, {method}", where, "", f"{score:.3f}", None))
    for name, file in (("ta", "ta_category7.mat"), ("td", "td_30.mat"), ("td", "td_category7.mat")):
        for method in ("directional-tv", LTI):
            score, seconds = _score(ml.read_scan(folder / file), method, mask_of(folder, name))
            where = f"Helsinki {file}, 30 degrees, {seconds:.0f} s"
            if method == LTI:
                rows.append(at_least(f"MCC, {method}", where, score, LEARNED[30], "{:.4f}"))
            else:
                rows.append(Row(f"MCC, {method}", where, "", f"{score:.3f}", None))
    return rows


def _score(scan: Scan, method: str, mask: np.ndarray) -> tuple[float, float]:
    began = time.monotonic()
    image = ml.reconstruct(scan, method).image.numpy()
    return mcc(image, mask), time.monotonic() - began


def suite() -> list[Row]:
    """All rows of the Helsinki data."""
    folder = shared()
    if folder is None:
        return [absent("Helsinki", "the development data are not here: set MICROLOCAL_SHARED")]
    data = folder / "data" / "htc2022"
    return [*full_scans(data), *arcs(data)]

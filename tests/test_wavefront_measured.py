"""The sign conventions, proved by measured data: true edges of a real phantom sit where its real sinogram has edges."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from scipy import ndimage
from skimage.io import imread

from microlocal.core import Detector, FanBeam
from microlocal.wavefront import find_edges, traced_curve

PIXEL_MM = 0.1483223


def helsinki(folder: Path) -> tuple[FanBeam, np.ndarray, np.ndarray]:
    """Return geometry, measured line integrals and true mask of the full scan of phantom ta (HTC 2022)."""
    full = scipy.io.loadmat(folder / "ta_full.mat", squeeze_me=True, struct_as_record=False)["CtDataFull"]
    angles = np.radians(np.asarray(full.parameters.angles, dtype=float).ravel())
    geometry = FanBeam(tuple(angles), Detector(560, 0.2), source_axis=410.66, source_detector=553.74)
    mask = imread(folder / "ta_mask.png") > 0
    return geometry, np.asarray(full.sinogram, dtype=float), mask if mask.ndim == 2 else mask[..., 0]


def edge_strength(
    geometry: FanBeam, data: np.ndarray, x: np.ndarray, y: np.ndarray, phi: np.ndarray, flip: float = 1.0
) -> float:
    """Return the mean |dg/du| at the data singularities of the edges (x, y, φ), in standard deviations of its own."""
    t, u = geometry.locate(phi, x * np.cos(phi) + y * np.sin(phi))
    change = np.abs(ndimage.gaussian_filter1d(data, 1.0, axis=1, order=1))
    row = np.degrees(t) % 360 / 0.5
    col = flip * u / geometry.detector.pitch + (geometry.detector.count - 1) / 2
    found = ndimage.map_coordinates(change, np.stack([row, col]), order=1, mode="nearest")
    return float((found.mean() - change.mean()) / change.std())


@pytest.mark.shared
def test_edges_of_the_phantom_are_edges_of_its_data_with_no_sign_flipped(shared: Path) -> None:
    geometry, data, mask = helsinki(shared / "data" / "htc2022")
    edges = find_edges(torch.from_numpy(mask.astype(float)))
    rows, cols = np.nonzero(edges.mask)
    x, y = (cols - 255.5) * PIXEL_MM, (255.5 - rows) * PIXEL_MM
    phi = edges.normal_rad[rows, cols]
    right = edge_strength(geometry, data, x, y, phi)
    # The same edges seen from the opposite side are the other name of the same lines.
    opposite = edge_strength(geometry, data, x, y, phi + np.pi)
    wrong = {
        "y down": edge_strength(geometry, data, x, -y, phi),
        "x left": edge_strength(geometry, data, -x, y, phi),
        "normal clockwise": edge_strength(geometry, data, x, y, -phi),
        "detector reversed": edge_strength(geometry, data, x, y, phi, flip=-1.0),
        "views clockwise": edge_strength(geometry, data, x, -y, -phi),
        "source a quarter turn on": edge_strength(geometry, data, x, y, phi + np.pi / 2),
    }
    assert opposite == pytest.approx(right, rel=0.1)
    assert right > 2 * max(wrong.values()), (right, wrong)


@pytest.mark.shared
def test_edges_of_the_data_run_along_the_predicted_slope(shared: Path) -> None:
    geometry, data, mask = helsinki(shared / "data" / "htc2022")
    edges = find_edges(torch.from_numpy(mask.astype(float)))
    rows, cols = np.nonzero(edges.mask)
    x, y = (cols - 255.5) * PIXEL_MM, (255.5 - rows) * PIXEL_MM
    phi = edges.normal_rad[rows, cols]
    t, u = geometry.locate(phi, x * np.cos(phi) + y * np.sin(phi))
    _, slope = traced_curve(geometry, x, y, t)
    steep = np.abs(slope) > 15.0
    t, u, slope = t[steep], u[steep], slope[steep]
    # Along (1, du/dt) an edge of the data stays an edge; along the mirrored direction it is soon left.
    row = np.degrees(t) % 360 / 0.5
    change = np.abs(ndimage.gaussian_filter1d(data, 1.0, axis=1, order=1))
    strength = {}
    for sign in (1.0, -1.0):
        step = 3.0
        moved = u + sign * slope * np.radians(step)
        place = np.stack([(row + step / 0.5) % 720, moved / geometry.detector.pitch + 279.5])
        strength[sign] = float(ndimage.map_coordinates(change, place, order=1, mode="nearest").mean())
    assert strength[1.0] > 1.5 * strength[-1.0]

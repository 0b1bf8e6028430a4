"""On measured data: the Helsinki phantoms, the tooth and the needle. `make bench` prints the numbers behind these."""

import numpy as np
import pytest
import torch

import microlocal as ml
from benchmarks.helsinki import explained, mask_of, mcc
from microlocal.calibration import find_axis, with_center
from microlocal.core.provenance import Provenance
from microlocal.data import needle
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.wavefront import label_edges


@pytest.fixture(scope="module")
def helsinki(shared):
    return shared / "data" / "htc2022"


@pytest.mark.shared
def test_full_scan_is_segmented_and_explained(helsinki):
    scan, mask = ml.read_scan(helsinki / "ta_full.mat"), mask_of(helsinki, "ta")
    image = filtered_backprojection(scan.data, scan.geometry, scan.grid)
    assert mcc(image.numpy(), mask) >= 0.99
    assert explained(mask, scan) <= 0.05


@pytest.mark.shared
@pytest.mark.parametrize(("file", "name", "least"), [("ta_full.mat", "ta", 0.80), ("td_category7.mat", "td", 0.90)])
def test_thirty_degrees_by_directional_tv(helsinki, file, name, least):
    scan = ml.read_scan(helsinki / file)
    result = ml.reconstruct(scan.arc(0, 30) if "full" in file else scan, "directional-tv", iterations=40)
    assert mcc(result.image.numpy(), mask_of(helsinki, name)) >= least
    assert result.config["bounded"]


TOOTH_CRACKS = {  # two ends of each crack, (column, row) in the full reconstruction of 640 x 640 pixels
    "steep": ((266, 225), (308, 295)),
    "level": ((370, 341), (436, 318)),
}


@pytest.mark.shared
def test_crack_families_of_the_tooth_are_labelled_by_their_direction(shared):
    scan = ml.read_scan(shared / "data" / "tooth" / "tooth.h5").slices(0)
    axis = find_axis(scan)
    assert axis.center_pixels == pytest.approx(296.0, abs=0.5)
    scan = with_center(scan, axis.center_pixels)
    image = filtered_backprojection(scan.data, scan.geometry, scan.grid)
    labels = label_edges(image, scan.arc(0, 90).geometry, scan.grid).numpy()
    row, col = np.nonzero(labels)
    codes = labels[row, col]
    share = {}
    for name, (first, last) in TOOTH_CRACKS.items():
        along = np.subtract(last, first) / np.hypot(*np.subtract(last, first))
        x, y = col - first[0], row - first[1]
        length = np.hypot(*np.subtract(last, first))
        reach = x * along[0] + y * along[1]
        near = (np.abs(x * along[1] - y * along[0]) < 12) & (reach > 0) & (reach < length)
        assert near.sum() > 40, name
        share[name] = float((codes[near] == Provenance.MEASURED).mean())
    # Views of 0..90 degrees measure normals of 0..90 degrees: the steep crack's, not the level one's.
    assert share["steep"] > 0.7
    assert share["level"] < 0.3


def test_held_out_tilts_of_the_needle():
    scan = needle().slices(2)
    methods = ("fbp", "cgls", "tv", "shearlet")
    errors = {name: ml.reconstruct(scan, name, hold_out=8, iterations=_SHORT.get(name)) for name in methods}
    errors = {name: result.metrics["hold-out error"] for name, result in errors.items()}
    assert max(errors["tv"], errors["shearlet"]) < min(errors["fbp"], errors["cgls"])
    assert torch.isfinite(torch.tensor(list(errors.values()))).all()


_SHORT = {"tv": 60, "shearlet": 60}

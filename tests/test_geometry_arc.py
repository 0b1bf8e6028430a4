"""The curved fan detector: the same lines as a flat one, at other places along the detector."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import Detector, FanBeam, GeometryError, Grid, ParallelBeam, Scan
from microlocal.core.errors import InputError
from microlocal.core.geometry import geometry_from_dict
from microlocal.data import phantoms
from microlocal.operators import RayTransform
from microlocal.wavefront import measured_fraction

VIEWS = tuple(np.radians(np.arange(0.0, 360.0, 5.0)))
ARC = FanBeam(VIEWS, Detector(60, 2.0, offset=3.0), source_axis=80.0, source_detector=130.0, detector_shape="arc")
FLAT = FanBeam(VIEWS, ARC.detector, source_axis=80.0, source_detector=130.0)


def test_pixels_of_an_arc_are_equally_spaced_in_angle():
    phi, s = ARC.lines()
    gamma = ARC.angles[:, None] - phi
    np.testing.assert_allclose(np.diff(gamma, axis=1), 2.0 / 130.0, rtol=1e-9)
    np.testing.assert_allclose(s, 80.0 * np.sin(gamma), atol=1e-12)


def test_the_line_of_a_pixel_runs_from_the_source_to_it():
    t, u = ARC.angles[:, None], ARC.detector.positions()[None, :]
    source = 80.0 * np.stack((np.sin(t), -np.cos(t)))
    gamma = u / 130.0
    # A pixel lies at distance D from the source, turned by γ from the central ray towards (cos t, sin t).
    ahead, across = np.stack((-np.sin(t), np.cos(t))), np.stack((np.cos(t), np.sin(t)))
    pixel = source + 130.0 * (np.cos(gamma) * ahead + np.sin(gamma) * across)
    phi, s = ARC.lines()
    for x, y in (np.broadcast_to(source, pixel.shape), pixel):
        np.testing.assert_allclose(x * np.cos(phi) + y * np.sin(phi), s, atol=1e-11)


def test_locate_inverts_lines():
    t, u = ARC.locate(*ARC.lines())
    np.testing.assert_allclose(u, np.broadcast_to(ARC.detector.positions(), u.shape), atol=1e-10)
    np.testing.assert_allclose(t, np.broadcast_to(ARC.angles[:, None], t.shape), atol=1e-12)


def test_file_fields_round_trip():
    again = geometry_from_dict(ARC.to_dict())
    assert isinstance(again, FanBeam)
    assert again.detector_shape == "arc"
    np.testing.assert_allclose(again.lines(), ARC.lines(), atol=1e-12)
    before = {k: v for k, v in FLAT.to_dict().items() if k != "detector_shape"}
    assert geometry_from_dict(before).detector_shape == "flat"


@pytest.mark.parametrize("change", [{"detector_shape": "bent"}, {"detector_shape": "arc", "detector": {"count": 300}}])
def test_impossible_detectors_are_refused(change):
    fields = FLAT.to_dict() | change
    fields["detector"] = FLAT.to_dict()["detector"] | change.get("detector", {})
    with pytest.raises(GeometryError):
        geometry_from_dict(fields)


def test_line_integrals_of_ellipses():
    shapes, grid = [phantoms.Ellipse(1.0, (20.0, 13.0), (3.0, -4.0), 0.4)], Grid((256, 256), 0.2)
    image = torch.from_numpy(phantoms.image(shapes, grid))
    exact = phantoms.sinogram(shapes, ARC)
    error = np.linalg.norm(RayTransform(ARC, grid)(image).numpy() - exact) / np.linalg.norm(exact)
    assert error < 0.005


def test_an_arc_sees_what_the_flat_detector_of_the_same_reach_sees():
    views = tuple(np.radians(np.arange(0.0, 100.0)))
    reach = 0.3
    flat = FanBeam(views, Detector(1, 2 * 130.0 * math.tan(reach)), source_axis=80.0, source_detector=130.0)
    arc = FanBeam(views, Detector(1, 2 * 130.0 * reach), "mm", 80.0, 130.0, "arc")
    grid = Grid((21, 21), 3.0)
    assert float((measured_fraction(flat, grid) - measured_fraction(arc, grid)).abs().max()) < 1e-6
    assert float(measured_fraction(arc, grid).std()) > 0.01


def turning_scan(degrees):
    """Return a scan whose views are known by the first number of their data."""
    geometry = ParallelBeam(tuple(np.radians(degrees)), Detector(4, 1.0))
    data = torch.tensor(degrees, dtype=torch.float32)[:, None].expand(-1, 4).clone()
    return Scan(data, geometry, Grid((4, 4), 1.0))


@pytest.mark.parametrize(
    ("degrees", "arc", "taken", "angles"),
    [
        (np.arange(0.0, 360.0), (-2, 2), [358, 359, 0, 1, 2], [-2, -1, 0, 1, 2]),
        (np.arange(0.0, 360.0), (359, 361), [359, 0, 1], [359, 360, 361]),
        (np.arange(-180.0, 180.0), (178, 182), [178, 179, -180, -179, -178], [178, 179, 180, 181, 182]),
        (np.arange(0.0, 360.0), (1, 3), [1, 2, 3], [1, 2, 3]),
        (np.arange(-60.0, 61.0), (-90, -58), [-60, -59, -58], [-60, -59, -58]),
        (np.arange(0.0, 720.0, 90.0), (0, 90), [0, 90], [0, 90]),
        (np.array([40.0, 10.0, 30.0, 20.0]), (10, 30), [10, 30, 20], [10, 30, 20]),
        (np.arange(0.0, 360.0, 90.0), (-180, 180), [180, 270, 0, 90], [-180, -90, 0, 90]),
    ],
)
def test_an_arc_is_one_of_directions_where_it_reaches_beyond_the_angles_of_the_scan(degrees, arc, taken, angles):
    found = turning_scan(degrees).arc(*arc)
    assert found.data[:, 0].tolist() == taken
    np.testing.assert_allclose(np.degrees(found.geometry.angles), angles, atol=1e-9)


def test_an_arc_without_views_is_refused():
    with pytest.raises(InputError, match="an arc that the scan has"):
        turning_scan(np.arange(0.0, 90.0)).arc(100, 200)

"""The canonical relation: it inverts itself, and it is where a small disc's sinogram really has its edge."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microlocal.core import Detector, FanBeam, Geometry, GeometryError, Grid, InputError, ParallelBeam
from microlocal.operators import RayTransform
from microlocal.wavefront import data_singularity, image_singularity, traced_curve
from microlocal.wavefront.canonical import orbit_curvature

TURN = tuple(np.radians(np.arange(0.0, 360.0)))
DETECTOR = Detector(400, 0.5, offset=0.7, reversed=True)
PARALLEL = ParallelBeam(TURN, DETECTOR)
FAN = FanBeam(TURN, DETECTOR, source_axis=90.0, source_detector=130.0)
ARC = FanBeam(TURN, DETECTOR, source_axis=90.0, source_detector=130.0, detector_shape="arc")
both = pytest.mark.parametrize("geometry", [PARALLEL, FAN, ARC], ids=["parallel", "fan", "arc"])


@both
@settings(deadline=None, max_examples=60)
@given(x=st.floats(-38, 38), y=st.floats(-38, 38), normal=st.floats(0, 3.14159))  # what all views of the fan see
def test_image_of_data_singularity_is_the_edge_it_came_from(
    geometry: Geometry, x: float, y: float, normal: float
) -> None:
    places = data_singularity(geometry, (x, y), normal)
    assert len(places) == 2
    for place in places:
        back = image_singularity(geometry, place.angle_rad, place.u, place.slope)
        assert (back.x, back.y) == pytest.approx((x, y), abs=1e-9)
        assert math.sin(back.normal_rad - normal) == pytest.approx(0.0, abs=1e-12)
        assert 0 <= back.normal_rad < math.pi
        assert place.measured


@both
@settings(deadline=None, max_examples=60)
@given(angle=st.floats(0, 6.28), u=st.floats(-60, 60), slope=st.floats(-50, 50))
def test_data_of_image_singularity_is_the_datum_it_came_from(
    geometry: Geometry, angle: float, u: float, slope: float
) -> None:
    edge = image_singularity(geometry, angle, u, slope)
    found = data_singularity(geometry, (edge.x, edge.y), edge.normal_rad)
    gaps = [abs(math.sin((p.angle_rad - angle) / 2)) + abs(p.u - u) + abs(p.slope - slope) for p in found]
    assert min(gaps) < 1e-9


@both
def test_slope_is_the_derivative_of_the_traced_curve(geometry: Geometry) -> None:
    views, step = np.linspace(0, 6, 25), 1e-5
    u, slope = traced_curve(geometry, np.asarray(17.0), np.asarray(-29.0), views)
    ahead, _ = traced_curve(geometry, np.asarray(17.0), np.asarray(-29.0), views + step)
    behind, _ = traced_curve(geometry, np.asarray(17.0), np.asarray(-29.0), views - step)
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-6)
    # The traced curve is made of lines through the point.
    phi, s = geometry.lines_at(views, u)
    np.testing.assert_allclose(17.0 * np.cos(phi) - 29.0 * np.sin(phi), s, atol=1e-10)


def shadow_edge(geometry: Geometry, center: tuple[float, float], radius: float, angle: float, near_u: float) -> float:
    """Return the u near ``near_u`` at which the chord through the disc becomes zero, by bisection on its length."""

    def inside(u: float) -> bool:
        phi, s = geometry.lines_at(np.asarray(angle), np.asarray(u))
        return bool(abs(center[0] * np.cos(phi) + center[1] * np.sin(phi) - s) < radius)

    low, high = near_u - 0.5 * radius, near_u + 0.5 * radius
    assert inside(low) != inside(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) == inside(low) else (low, middle)
    return (low + high) / 2


@both
@pytest.mark.parametrize("normal_deg", [0.0, 33.0, 90.0, 151.0])
def test_edge_of_a_disc_appears_where_the_relation_says(geometry: Geometry, normal_deg: float) -> None:
    center, radius, normal, h = (12.0, -21.0), 2.0, math.radians(normal_deg), 1e-4
    edge = (center[0] + radius * math.cos(normal), center[1] + radius * math.sin(normal))
    for place in data_singularity(geometry, edge, normal):
        here, ahead, behind = (
            shadow_edge(geometry, center, radius, place.angle_rad + d, place.u) for d in (0.0, h, -h)
        )
        assert here == pytest.approx(place.u, abs=1e-9)
        assert (ahead - behind) / (2 * h) == pytest.approx(place.slope, rel=1e-5, abs=1e-5)


@both
def test_edge_of_a_projected_disc_runs_along_the_slope(geometry: Geometry) -> None:
    grid = Grid((128, 128), 0.5)
    x, y = grid.coordinates()
    center, radius, normal = (8.0, -11.0), 6.0, 0.7
    depth = (radius - np.hypot(x - center[0], y[:, None] - center[1])) / grid.pixel
    data = RayTransform(geometry, grid)(torch.from_numpy(np.clip(depth + 0.5, 0, 1))).numpy()
    edge = (center[0] + radius * math.cos(normal), center[1] + radius * math.sin(normal))
    for place in data_singularity(geometry, edge, normal):
        view = round(math.degrees(place.angle_rad))
        u = geometry.detector.positions()
        inside = [u[np.flatnonzero(data[v % 360] > 0.1)] for v in (view - 4, view, view + 4)]
        side = max if abs(inside[1].max() - place.u) < abs(inside[1].min() - place.u) else min
        ends = [float(side(row)) for row in inside]
        assert ends[1] == pytest.approx(place.u, abs=2 * geometry.detector.pitch)
        assert (ends[2] - ends[0]) / math.radians(8) == pytest.approx(place.slope, abs=6.0)


def test_unmeasured_places_are_said_to_be_so() -> None:
    quarter = ParallelBeam(tuple(np.radians(np.arange(0.0, 90.0))), Detector(41, 1.0))
    assert [p.measured for p in data_singularity(quarter, (3.0, 4.0), math.radians(40))] == [True, False]
    assert [p.measured for p in data_singularity(quarter, (3.0, 4.0), math.radians(130))] == [False, False]
    # Beyond the detector, and from the other side of it.
    assert [p.measured for p in data_singularity(quarter, (30.0, 0.0), 0.0)] == [False, False]


def test_lines_that_miss_the_source_circle_and_points_behind_the_source_have_no_datum() -> None:
    assert data_singularity(FAN, (100.0, 0.0), 0.0) == []
    # On the line x = 0 beyond the source at (0, -90): only the source at (0, 90) has the point before it.
    places = data_singularity(FAN, (0.0, -95.0), 0.0)
    assert [round(math.degrees(p.angle_rad)) for p in places] == [180]


def test_impossible_slopes_and_foreign_geometries_are_refused() -> None:
    with pytest.raises(InputError, match="slope du/dt below 130"):
        image_singularity(FAN, 0.0, 0.0, 131.0)
    with pytest.raises(InputError, match="got nan"):
        image_singularity(PARALLEL, 0.0, 0.0, math.nan)

    class Other(ParallelBeam):
        pass

    assert orbit_curvature(Other((0.0,), DETECTOR)) == 0.0
    with pytest.raises(GeometryError, match="ParallelBeam or FanBeam"):
        orbit_curvature(DETECTOR)  # type: ignore[arg-type]

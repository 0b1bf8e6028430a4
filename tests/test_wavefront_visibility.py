"""What a scan sees, against closed forms: wedges, fan arcs, detector edges, and the symmetries of the plane."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microlocal.core import Detector, FanBeam, Geometry, Grid, InputError, ParallelBeam
from microlocal.wavefront import (
    is_measured,
    measured_directions,
    measured_fraction,
    measured_range,
    missing_wedge,
    rose,
)
from microlocal.wavefront.arcs import in_arcs, merged_arcs

WIDE = Detector(2001, 1.0)
R, D = 100.0, 150.0


def views(first: float, last: float, step: float = 1.0) -> tuple[float, ...]:
    """Views whose arcs reach exactly from first to last degrees, half a step beyond the outer views."""
    return tuple(np.radians(np.arange(first + step / 2, last, step)))


def parallel(first: float, last: float, detector: Detector = WIDE) -> ParallelBeam:
    return ParallelBeam(views(first, last), detector)


def fan(first: float, last: float, detector: Detector = WIDE) -> FanBeam:
    return FanBeam(views(first, last), detector, source_axis=R, source_detector=D)


def degrees(intervals: list[tuple[float, float]]) -> list[float]:
    return [math.degrees(end) for interval in intervals for end in interval]


@pytest.mark.parametrize(("first", "last", "want"), [(0, 90, [0, 90]), (20, 140, [20, 140]), (-70, 70, [110, 250])])
def test_parallel_wedge_is_the_arc_at_every_point(first: int, last: int, want: list[float]) -> None:
    beam = parallel(first, last)
    for point in ((0.0, 0.0), (31.0, -17.0), (-200.0, 400.0)):
        assert degrees(measured_range(beam, *point)) == pytest.approx(want, abs=1e-6)
    assert missing_wedge(beam) == pytest.approx(180 - (last - first), abs=1e-5)
    assert is_measured(beam, 3.0, 4.0, np.radians([first + 0.01, last - 0.01, first - 0.01, last + 0.01])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_sparser_views_miss_nothing_and_single_views_close_no_wedge() -> None:
    dense, sparse = np.arange(0.0, 90.0, 0.75), np.arange(90.0, 180.0, 3.0)
    assert missing_wedge(ParallelBeam(tuple(np.radians([*dense, *sparse])), WIDE)) == pytest.approx(0, abs=1e-5)
    part = ParallelBeam(tuple(np.radians([*dense[:80], *sparse])), WIDE)
    assert missing_wedge(part) == pytest.approx(90 - 59.25 - 0.75 / 2 - 3 / 2, abs=1e-5)
    single = [*np.arange(0.0, 61.0), 80.0, 100.0, *np.arange(120.0, 180.0)]
    assert missing_wedge(ParallelBeam(tuple(np.radians(single)), WIDE)) == pytest.approx(57.0, abs=1e-5)


def test_two_arcs_leave_two_wedges() -> None:
    beam = ParallelBeam(views(10, 40) + views(100, 130), WIDE)
    assert degrees(measured_range(beam, 5.0, 5.0)) == pytest.approx([10, 40, 100, 130], abs=1e-6)
    assert missing_wedge(beam) == pytest.approx(120, abs=1e-5)


@pytest.mark.parametrize("turns", [(0, 360), (0, 180), (90, 270), (-180, 180), (0, 720), (300, 660)])
def test_closed_scans_see_everything(turns: tuple[int, int]) -> None:
    assert measured_range(parallel(*turns), 7.0, 8.0) == [(0.0, np.pi)]
    assert missing_wedge(parallel(*turns)) == 0.0
    if turns[1] - turns[0] >= 360:
        assert measured_range(fan(*turns), 7.0, 8.0) == [(0.0, np.pi)]
        assert measured_fraction(fan(*turns), Grid((9, 9), 2.0)).min() == 1.0


def test_views_across_zero_are_one_arc() -> None:
    split = ParallelBeam(views(330, 360) + views(0, 20), WIDE)
    assert degrees(measured_range(split, 1.0, 2.0)) == pytest.approx([150, 200], abs=1e-6)
    arcs = merged_arcs(split)
    assert in_arcs(np.radians([-30.0, 0.0, 360.0, 20.0, 330.0]), arcs).all()
    assert not in_arcs(np.radians([21.0, 329.0, 180.0]), arcs).any()


def test_fan_arc_at_the_axis_is_the_arc() -> None:
    assert degrees(measured_range(fan(20, 75), 0.0, 0.0)) == pytest.approx([20, 75], abs=1e-6)
    assert missing_wedge(fan(20, 75)) == pytest.approx(125, abs=1e-5)
    # More than half a turn closes the wedge there.
    assert missing_wedge(fan(20, 201)) == 0.0


@pytest.mark.parametrize("point", [(30.0, 10.0), (-41.0, 22.0), (0.0, -60.0)])
def test_fan_arc_off_the_axis_ends_at_the_lines_to_its_outer_sources(point: tuple[float, float]) -> None:
    ends = []
    for t in np.radians([20.0, 75.0]):
        source = R * np.array([np.sin(t), -np.cos(t)])
        along = np.asarray(point) - source
        ends.append(math.degrees(math.atan2(-along[0], along[1])) % 180)  # the normal of (-sin φ, cos φ)
    if ends[1] < ends[0]:
        ends[1] += 180
    assert degrees(measured_range(fan(20, 75), *point)) == pytest.approx(ends, abs=1e-6)


def test_fan_short_scan_closes_the_wedge_inside_the_field_of_view_only() -> None:
    detector = Detector(60, 1.0)
    opening = math.degrees(math.atan(30 / D))
    short = FanBeam(views(0, 180 + 2 * math.ceil(opening)), detector, source_axis=R, source_detector=D)
    inner = R * math.sin(math.radians(opening)) * 0.99
    around = np.linspace(0, 2 * np.pi, 24)
    phi = np.linspace(0, np.pi, 181)
    assert is_measured(short, inner * np.cos(around)[:, None], inner * np.sin(around)[:, None], phi).all()
    half = FanBeam(views(0, 180), detector, source_axis=R, source_detector=D)
    assert not is_measured(half, inner * np.cos(around)[:, None], inner * np.sin(around)[:, None], phi).all()


def test_truncated_detector_hides_what_leaves_it() -> None:
    # Half turn, detector |u| <= 10: at (20, 0) the line s = 20 cos φ is measured iff |cos φ| <= 1/2.
    beam = parallel(0, 180, Detector(20, 1.0))
    assert degrees(measured_range(beam, 20.0, 0.0)) == pytest.approx([60, 120], abs=1e-9)
    assert degrees(measured_range(beam, 0.0, 20.0)) == pytest.approx([150, 210], abs=1e-9)
    assert measured_range(beam, 9.9, 0.0) == [(0.0, np.pi)]
    # A fan over a full turn: |s| <= R sin γ.
    reach = R * math.sin(math.atan(10 / D))
    spread = math.degrees(math.acos(reach / 20))
    assert degrees(measured_range(fan(0, 360, Detector(20, 1.0)), 20.0, 0.0)) == pytest.approx([spread, 180 - spread])


def test_point_that_no_line_meets_is_dark() -> None:
    beam = parallel(-10, 10, Detector(20, 1.0))
    assert measured_range(beam, 30.0, 0.0) == []
    fraction = measured_fraction(beam, Grid((1, 3), 30.0))
    assert fraction.tolist() == [[0.0, pytest.approx(20 / 180, abs=1e-6), 0.0]]
    assert not rose(beam, 30.0, 0.0).any()


def test_offset_detector_sees_each_line_by_either_name() -> None:
    # u in [-2, 18]: over a full turn the names (φ, s) and (φ + π, -s) together reach |s| <= 18.
    offset = Detector(20, 1.0, offset=8.0)
    assert measured_range(parallel(0, 360, offset), 17.9, 0.0) == [(0.0, np.pi)]
    half = measured_range(parallel(0, 180, offset), 17.9, 0.0)
    turn = math.degrees(math.acos(-2 / 17.9))
    assert degrees(half) == pytest.approx([0, turn], abs=1e-6)
    assert measured_range(fan(0, 360, offset), 10.0, 5.0) == [(0.0, np.pi)]
    # A detector that the axis misses sees nothing there.
    assert missing_wedge(parallel(0, 180, Detector(10, 1.0, offset=8.0))) == 180.0


@pytest.mark.parametrize("make", [parallel, fan])
def test_reversing_the_pixels_changes_nothing(make: type) -> None:
    one, other = (make(15, 120, Detector(61, 1.0, offset=4.0, reversed=r)) for r in (False, True))
    grid = Grid((8, 11), 9.0, center=(3.0, -2.0))
    assert (measured_fraction(one, grid) == measured_fraction(other, grid)).all()
    assert len(measured_range(one, 25.0, 1.0)) > 0


GEOMETRIES = [
    parallel(0, 70),
    parallel(10, 150, Detector(40, 1.0, offset=-7.0)),
    fan(-20, 100),
    fan(30, 200, Detector(55, 1.0, offset=6.0, reversed=True)),
    replace(fan(0, 40), angles_rad=views(0, 40) + views(200, 260)),
]
geometries = pytest.mark.parametrize("geometry", GEOMETRIES, ids=["wedge", "offset", "fan", "fan-cut", "fan-two-arcs"])
coordinate = st.floats(-60, 60)


@geometries
@settings(deadline=None, max_examples=25)
@given(x=coordinate, y=coordinate)
def test_exact_ranges_agree_with_sampled_directions(geometry: Geometry, x: float, y: float) -> None:
    phi = (np.arange(720) + 0.5) * np.pi / 720
    ranges = measured_range(geometry, x, y)
    inside = np.zeros(phi.shape, dtype=bool)
    border = np.zeros(phi.shape, dtype=bool)
    for low, high in ranges:
        for shift in (0, np.pi):
            inside |= (phi + shift > low) & (phi + shift < high)
        for end in (low, high):
            border |= np.abs(np.sin(phi - end)) < 1e-6
    assert (inside == is_measured(geometry, x, y, phi))[~border].all()
    grid = Grid((1, 1), 1.0, center=(x, y))
    assert float(measured_fraction(geometry, grid)) == pytest.approx(sum(b - a for a, b in ranges) / np.pi, abs=1e-6)


@geometries
def test_map_is_the_mean_of_the_table(geometry: Geometry) -> None:
    grid = Grid((13, 17), 6.0, center=(2.0, 5.0))
    table = measured_directions(geometry, grid, directions=360).double().mean(dim=0)
    assert float((measured_fraction(geometry, grid) - table).abs().max()) < 6 / 360
    assert (rose(geometry, *(float(c[0]) for c in grid.coordinates()), bins=24).mean()) == pytest.approx(
        float(table[0, 0]), abs=6 / 24
    )


@geometries
@settings(deadline=None, max_examples=25)
@given(x=coordinate, y=coordinate, turn=st.floats(-4, 4), phi=st.floats(0, 3.1))
def test_rotating_the_scanner_rotates_the_answer(
    geometry: Geometry, x: float, y: float, turn: float, phi: float
) -> None:
    turned = replace(geometry, angles_rad=tuple(a + turn for a in geometry.angles_rad))
    c, s = math.cos(turn), math.sin(turn)
    moved = (c * x - s * y, s * x + c * y)
    before, after = measured_range(geometry, x, y), measured_range(turned, *moved)
    assert sum(b - a for a, b in after) == pytest.approx(sum(b - a for a, b in before), abs=1e-6)
    ends = [end for interval in before for end in interval]
    if all(abs(math.sin(phi - end)) > 1e-6 for end in ends):
        assert bool(is_measured(turned, *moved, phi + turn)) == bool(is_measured(geometry, x, y, phi))


@settings(deadline=None, max_examples=25)
@given(x=coordinate, y=coordinate, extra=st.integers(0, 120), pixels=st.integers(0, 60))
@pytest.mark.parametrize("make", [parallel, fan])
def test_more_views_and_more_pixels_never_hide_a_direction(
    make: type, x: float, y: float, extra: int, pixels: int
) -> None:
    small, large = make(20, 60, Detector(40, 1.0)), make(20, 60 + extra, Detector(40 + pixels, 1.0))
    phi = np.linspace(0, np.pi, 91)
    assert not (is_measured(small, x, y, phi) & ~is_measured(large, x, y, phi)).any()


def test_points_behind_the_source_are_not_measured_from_there() -> None:
    beam = fan(-10, 10)
    assert is_measured(beam, 0.0, 50.0, 0.0)
    assert not is_measured(beam, 0.0, -R - 1, 0.0)


def test_fan_of_a_far_source_is_a_parallel_beam() -> None:
    far = FanBeam(views(10, 95), WIDE, source_axis=1e9, source_detector=1e9 + 1)
    assert degrees(measured_range(far, 40.0, -13.0)) == pytest.approx([10, 95], abs=1e-5)


def test_no_directions_are_refused() -> None:
    with pytest.raises(InputError, match="count >= 1"):
        measured_directions(parallel(0, 90), Grid((2, 2), 1.0), directions=0)

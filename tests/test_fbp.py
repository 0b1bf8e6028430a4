"""Filtered backprojection: the right scale on every arc, in both geometries."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from microlocal.core import ConeBeam, Detector, FanBeam, FlatPanel, Grid, InputError, ParallelBeam, Scan
from microlocal.core.errors import ShapeError
from microlocal.data import phantoms
from microlocal.reconstruction import reconstruct
from microlocal.reconstruction.fbp import filtered_backprojection, ramp_filter
from microlocal.reconstruction.redundancy import redundancy, view_steps

SHAPES = [
    phantoms.Ellipse(1.0, (30.0, 20.0), (10.0, 5.0), 0.3, power=2),
    phantoms.Ellipse(0.5, (8.0, 15.0), (-20.0, -5.0), 0.1, power=2),
]
GRID = Grid((100, 110), 1.0, (3.0, -2.0))


def _views(degrees, count, start=0.3):
    return tuple(start + np.linspace(0, math.radians(degrees), count, endpoint=False))


def _parallel(degrees, **detector):
    return ParallelBeam(_views(degrees, 300), Detector(226, 0.8, **detector))


def _fan(degrees, count=200, shape="flat", **detector):
    return FanBeam(_views(degrees, 400), Detector(count, 1.0, **detector), "mm", 300.0, 400.0, shape)


def _golden(turn, count):
    """Views that each lie a golden section of ``turn`` further: gaps of up to three lengths."""
    return tuple(float(a) for a in np.arange(count) * turn * (math.sqrt(5) - 1) / 2 % turn)


def _jittered(count):
    jitter = np.random.default_rng(0).uniform(-0.4, 0.4, count)
    return tuple(float(a) for a in (np.arange(count) + jitter) * math.pi / count)


COMPLETE = {
    "parallel 180": _parallel(180),
    "parallel 360, offset and reversed": _parallel(360, offset=3.0, reversed=True),
    "parallel 250": _parallel(250),
    "fan 360": _fan(360),
    "fan 360, offset and reversed": _fan(360, offset=5.0, reversed=True),
    "fan short scan": _fan(215),
    "fan 300": _fan(300),
    "arc 360": _fan(360, shape="arc"),
    "arc short scan, reversed": _fan(215, shape="arc", reversed=True),
    "parallel 360, offset detector": ParallelBeam(_views(360, 600), Detector(150, 0.8, offset=38.0)),
    "fan offset detector": _fan(360, 150, offset=30.0),
    "fan offset detector, reversed": _fan(360, 150, offset=-30.0, reversed=True),
    "arc offset detector": _fan(360, 150, "arc", offset=30.0),
    "parallel golden angles": ParallelBeam(_golden(math.pi, 300), Detector(226, 0.8)),
    "fan golden angles": FanBeam(_golden(2 * math.pi, 450), Detector(200, 1.0), "mm", 300.0, 400.0),
    "parallel jittered": ParallelBeam(_jittered(400), Detector(226, 0.8)),
    "parallel, two densities": ParallelBeam(_views(90, 360) + _views(90, 90, 0.3 + math.pi / 2), Detector(226, 0.8)),
    "fan, two densities": FanBeam(
        _views(240, 450) + _views(120, 80, 0.3 + math.radians(240)), Detector(200, 1.0), "mm", 300.0, 400.0
    ),
}
REGULAR = {name: geometry for name, geometry in COMPLETE.items() if "golden" not in name}


@pytest.mark.parametrize("geometry", COMPLETE.values(), ids=COMPLETE)
def test_complete_scans_are_inverted(geometry):
    image = filtered_backprojection(torch.from_numpy(phantoms.sinogram(SHAPES, geometry)), geometry, GRID).numpy()
    truth = phantoms.image(SHAPES, GRID)
    assert np.linalg.norm(image - truth) / np.linalg.norm(truth) < 0.015
    assert (image * truth).sum() / (truth * truth).sum() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("geometry", REGULAR.values(), ids=REGULAR)
def test_every_line_counts_once(geometry):
    phi, s = geometry.lines()
    opposite, u = geometry.locate(phi + math.pi, -s)
    share = redundancy(geometry)
    order = np.argsort(geometry.detector.positions())
    first = geometry.angles[0]
    look_up = RegularGridInterpolator(
        (geometry.angles, geometry.detector.positions()[order]), share[:, order], bounds_error=False, fill_value=np.nan
    )
    partner = look_up(np.stack(((opposite - first) % (2 * math.pi) + first, u), axis=-1))
    twice = np.isfinite(partner)
    assert np.abs(share + partner - 1)[twice].max(initial=0.0) < 0.03
    low, high = geometry.detector.edges
    assert (share[~((u >= low) & (u <= high))] == 1).all()


@pytest.mark.parametrize("name", ["fan short scan", "fan 300", "parallel 360, offset detector", "arc offset detector"])
def test_shares_do_not_jump(name):
    share = redundancy(COMPLETE[name])
    assert share.min() < 0.05
    assert share.max() == 1.0
    # A jump would be of the order of one; a fade over 10 degrees or a quarter of the detector stays far below.
    assert np.abs(np.diff(share, axis=0)).max() < 0.25
    assert np.abs(np.diff(share, axis=1)).max() < 0.25


def test_values_inside_ellipses_are_right_to_a_percent():
    shapes = [phantoms.Ellipse(1.0, (35.0, 28.0), (3.0, 5.0), 0.3), phantoms.Ellipse(0.5, (9.0, 15.0), (-12.0, -5.0))]
    for name, geometry in COMPLETE.items():
        image = filtered_backprojection(torch.from_numpy(phantoms.sinogram(shapes, geometry)), geometry, GRID).numpy()
        x, y = GRID.coordinates()
        inner = (np.hypot(x + 12.0, y[:, None] + 5.0) < 6.0, np.hypot(x - 20.0, y[:, None] - 8.0) < 8.0)
        means = [float(image[part].mean()) for part in inner]
        assert means == pytest.approx([1.5, 1.0], rel=0.01), name


@pytest.mark.parametrize("refine", [2, 3, 4])
def test_refined_filter_gives_the_same_samples_in_between(refine):
    for count in (1, 2, 4, 6, 18, 37, 62):
        data = torch.randn(3, count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
        plain, fine = ramp_filter(data, 0.7), ramp_filter(data, 0.7, refine=refine)
        assert fine.shape == (3, refine * count)
        assert torch.allclose(fine[:, ::refine], plain, atol=1e-12)


def test_ramp_filter_is_the_convolution_it_says():
    data = torch.randn(2, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    n = np.abs(np.subtract.outer(np.arange(20), np.arange(20)))
    kernel = np.where(n == 0, 1 / 4, np.where(n % 2 == 1, -1 / (np.pi * np.maximum(n, 1)) ** 2, 0.0)) / 0.7**2
    np.testing.assert_allclose(ramp_filter(data, 0.7).numpy(), data.numpy() @ kernel * 0.7, atol=1e-12)
    curved = kernel * np.where(n == 0, 1.0, (n * 0.05 / np.sin(np.maximum(n, 1) * 0.05)) ** 2)
    np.testing.assert_allclose(ramp_filter(data, 0.7, 0.05).numpy(), data.numpy() @ curved * 0.7, atol=1e-12)


def test_a_constant_view_leaves_nothing_in_its_middle_on_any_detector():
    # The middle of a long constant view: 1/4 - Σ 2 / (π n)² over odd n up to the half, which is what the tail is worth.
    for count in [*range(64, 800, 3), 1024, 1441, 2048, 2889]:
        middle = float(ramp_filter(torch.ones(1, count, dtype=torch.float64), 1.0)[0, count // 2])
        assert abs(middle) < 1.1 / (np.pi**2 * (count // 2 - 1)), count


@pytest.mark.parametrize("shape", [(1, 12), (9, 1), (9, 11), (12,), (12, 9)])
def test_data_of_another_geometry_are_refused(shape):
    """A single row or column would broadcast into a plausible image."""
    beam = ParallelBeam(_views(180, 9), Detector(12, 1.0))
    with pytest.raises(ShapeError, match=r"filtered_backprojection: expected \(\*batch, 9, 12\) \[angle, detector\]"):
        filtered_backprojection(torch.zeros(shape), beam, Grid((8, 8), 1.0))


def test_numbers_and_geometries_that_cannot_be_are_refused():
    beam, grid = ParallelBeam(_views(180, 9), Detector(12, 1.0)), Grid((8, 8), 1.0)
    for dtype in (torch.half, torch.complex64, torch.int64):
        with pytest.raises(InputError, match="float32 or float64"):
            filtered_backprojection(torch.zeros(9, 12, dtype=dtype), beam, grid)
    with pytest.raises(InputError, match="a torch tensor"):
        filtered_backprojection(np.zeros((9, 12)), beam, grid)
    cone = ConeBeam(_views(360, 9), FlatPanel(9, 12, (1.0, 1.0)), source_axis=20.0, source_detector=30.0)
    with pytest.raises(InputError, match="a planar geometry"):
        filtered_backprojection(torch.zeros(cone.shape), cone, grid)
    with pytest.raises(InputError, match="unit of the geometry, 'mm', got one in 'um'"):
        filtered_backprojection(torch.zeros(9, 12), beam, Grid((8, 8), 1.0, unit="um"))
    within = FanBeam(_views(360, 9), Detector(12, 1.0), source_axis=3.0, source_detector=30.0)
    with pytest.raises(InputError, match="source"):
        filtered_backprojection(torch.zeros(9, 12), within, grid)


SMALL = [
    ParallelBeam(_views(180, 7), Detector(12, 0.9, offset=0.7, reversed=True)),
    ParallelBeam(_views(120, 5), Detector(6, 1.0)),  # shorter than the grid's shadow
    FanBeam(_views(215, 7), Detector(12, 1.6), "mm", 20.0, 31.0),
    FanBeam(_views(360, 6), Detector(9, 1.6, offset=2.0), "mm", 20.0, 31.0, "arc"),
]


@pytest.mark.parametrize("geometry", SMALL)
def test_the_gradient_is_the_transpose(geometry):
    grid, source = Grid((6, 7), 1.0, (0.3, -0.2)), torch.Generator().manual_seed(1)

    def apply(data):
        return filtered_backprojection(data, geometry, grid)

    basis = torch.eye(math.prod(geometry.shape), dtype=torch.float64).reshape(-1, *geometry.shape)
    image = torch.randn(2, *grid.shape, dtype=torch.float64, generator=source)
    data = torch.randn(2, *geometry.shape, dtype=torch.float64, generator=source).requires_grad_()
    (gradient,) = torch.autograd.grad((apply(data) * image).sum(), data)
    wanted = torch.einsum("drc,brc->bd", apply(basis), image).reshape(data.shape)
    assert gradient.allclose(wanted, rtol=0, atol=1e-11 * float(wanted.abs().max()))
    assert torch.autograd.gradgradcheck(apply, data, fast_mode=True)


def test_no_data_in_no_image_out():
    image = filtered_backprojection(torch.zeros(3, 0, *SMALL[0].shape, requires_grad=True), SMALL[0], Grid((6, 7), 1.0))
    assert image.shape == (3, 0, 6, 7)
    assert image.requires_grad


def test_parts_of_an_arc_add_up_to_the_whole():
    whole = _parallel(180)
    data = torch.from_numpy(phantoms.sinogram(SHAPES, whole))
    full = filtered_backprojection(data, whole, GRID)
    parts = sum(
        filtered_backprojection(data[part], whole.select(range(300)[part]), GRID)
        for part in (slice(0, 100), slice(100, 300))
    )
    assert float((parts - full).norm() / full.norm()) < 1e-6


def test_sparser_views_stand_for_the_way_to_their_neighbours():
    """A quarter of 0.75 degrees a step and one of 3: every gap of the scan is given to the views at its ends."""
    steps = np.degrees(view_steps(ParallelBeam(_views(90, 120, 0.0) + _views(90, 30, math.pi / 2), Detector(3, 1.0))))
    assert steps.sum() == pytest.approx(180)
    assert steps[[60, 120, 140]] == pytest.approx([0.75, 1.875, 3.0])


@pytest.mark.parametrize("turned", [0.0, 200.0, 350.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_dense_end_of_an_open_arc_reaches_half_a_dense_step(mirrored, turned):
    """30 degrees by 0.5 and 30 by 2: from 0.25 before the first view to 1 after the last, and nothing beyond.

    Of a disc around the axis every view says the same, so that the value there is Σ Δt / π of the whole integral.
    """
    degrees = np.r_[np.arange(0.0, 30.0, 0.5), np.arange(30.0, 61.0, 2.0)]
    degrees = turned + (-degrees[::-1] if mirrored else degrees)
    beam = ParallelBeam(tuple(np.radians(degrees)), Detector(41, 1.0))
    low, high = (1.0, 0.25) if mirrored else (0.25, 1.0)
    assert np.degrees(beam.arcs()) == pytest.approx(np.array([[degrees[0] - low, degrees[-1] + high]]))
    assert np.degrees(view_steps(beam)).sum() == pytest.approx(61.25)
    half = ParallelBeam(tuple(np.radians(np.arange(0.0, 180.0, 2.0))), Detector(41, 1.0))
    u, grid = beam.detector.positions(), Grid((1, 1), 1.0)
    chord = torch.from_numpy(2 * np.sqrt(np.maximum(15.0**2 - u**2, 0)))
    part, whole = (filtered_backprojection(chord.expand(b.shape), b, grid) for b in (beam, half))
    assert float(part / whole) == pytest.approx(61.25 / 180, rel=1e-9)


@pytest.mark.parametrize("turn", [180.0, 360.0])
def test_a_turn_of_two_densities_closes(turn):
    degrees = np.r_[np.arange(0.0, 60.0, 0.5), np.arange(60.0, turn, 2.0)]
    beam = ParallelBeam(tuple(np.radians(degrees)), Detector(3, 1.0))
    ((first, last),) = beam.arcs()
    assert math.degrees(last - first) == pytest.approx(turn)
    assert np.degrees(view_steps(beam)).sum() == pytest.approx(turn)


@pytest.mark.parametrize("count", range(1, 12))
@pytest.mark.parametrize("degrees", [180, 360])
def test_views_of_any_number_stand_for_a_half_turn(count, degrees):
    # Two views of a half turn counted as two half turns.
    for geometry in (ParallelBeam(_views(sign * degrees, count), Detector(5, 1.0)) for sign in (1, -1)):
        total = redundancy(geometry) * view_steps(geometry)[:, None]
        np.testing.assert_allclose(total.sum(axis=0), math.pi, rtol=1e-8)


def test_two_views_are_worth_the_same_however_often_they_are_taken():
    for degrees in ((0, 60), (60, 0), (-30, 30), (0, 60, 60), (0, 60, 360, 420)):
        geometry = ParallelBeam(np.radians(degrees), Detector(5, 1.0))
        total = redundancy(geometry) * view_steps(geometry)[:, None]
        np.testing.assert_allclose(total.sum(axis=0), math.radians(120), rtol=1e-8)


def test_repeated_views_share_their_step():
    twice = ParallelBeam((0.0, 0.1, 0.1, 0.2), Detector(3, 1.0))
    steps = view_steps(twice)
    assert steps[1] == pytest.approx(steps[2])
    assert steps.sum() == pytest.approx(0.3)


def test_a_short_arc_is_said_aloud():
    geometry = _parallel(120)
    scan = Scan(torch.from_numpy(phantoms.sinogram(SHAPES, geometry)).float(), geometry, GRID)
    assert "60 of 180 degrees" in reconstruct(scan, "fbp").notes[0]
    full = _parallel(180)
    scan = Scan(torch.from_numpy(phantoms.sinogram(SHAPES, full)).float(), full, GRID)
    assert reconstruct(scan, "fbp").notes == ()

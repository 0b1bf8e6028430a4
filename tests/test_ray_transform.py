"""The X-ray transform beyond its laws: against the oracle, closed forms, and rays that miss."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from microlocal.certificates.operators import certify_norm
from microlocal.core import Detector, FanBeam, Grid, InputError, ParallelBeam
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.registry import registered
from microlocal.core.volume import VolumeGrid
from microlocal.data import phantoms
from microlocal.kernels import joseph_torch
from microlocal.operators import NonUniformFourier, RayTransform, RayTransform3D
from microlocal.solvers import Driver, cgls

FANS = FanBeam((0.1, 0.8, 2.0, 4.4), Detector(41, 1.0), source_axis=9.0, source_detector=12.0)
SAMPLES = [ray for ray in registered("operator")["ray-transform"].samples() if ray.method == "rays"]
SAMPLES.append(RayTransform(FANS, Grid((9, 7), 1.0)))


@pytest.mark.parametrize("ray", SAMPLES)
def test_kernel_agrees_with_the_oracle(ray):
    x = torch.randn(2, *ray.domain_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = joseph_torch.project(x, ray.offsets, ray.slopes, ray.steep) * ray.lengths
    assert float((ray(x) - expected).abs().max()) < 1e-12


@pytest.mark.parametrize("ray", SAMPLES)
def test_gradcheck_and_opcheck(ray):
    x = torch.randn(1, *ray.domain_shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ray, x)
    assert torch.autograd.gradgradcheck(ray, x)
    rays = ray._rays(torch.float64)
    torch.library.opcheck(torch.ops.microlocal.project, (x, *rays))
    sums = torch.randn(1, *ray.codomain_shape, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.microlocal.backproject, (sums, *rays, *ray.domain_shape))


def test_rays_that_miss_the_grid_see_nothing():
    geometry = ParallelBeam(tuple(np.linspace(0, 3, 7)), Detector(400, 1.0))
    ray = RayTransform(geometry, Grid((8, 9), 1.0))
    beyond = np.abs(geometry.lines()[1]) > 8.0
    assert beyond.sum() > 2000
    assert float(ray(torch.ones(8, 9))[torch.from_numpy(beyond)].abs().max()) == 0.0
    hit = torch.from_numpy(beyond).float()
    assert float(ray.adjoint(hit).abs().max()) == 0.0


def test_vertical_and_horizontal_rays_are_column_and_row_sums():
    x = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    ray = RayTransform(ParallelBeam((0.0, math.pi / 2), Detector(4, 1.0)), Grid((3, 4), 1.0))
    sums = ray(x)
    assert torch.allclose(sums[0], x.sum(dim=0))
    # At 90 degrees u = y, which points up: pixel 3 is beyond the three rows' half pixels' middle positions.
    middle = RayTransform(ParallelBeam((math.pi / 2,), Detector(3, 1.0)), Grid((3, 4), 1.0))(x)
    assert torch.allclose(middle[0], x.sum(dim=1).flip(0))


def _error(shapes, geometry, grid):
    exact = phantoms.sinogram(shapes, geometry)
    image = torch.from_numpy(phantoms.image(shapes, grid))
    return float(np.linalg.norm(RayTransform(geometry, grid)(image).numpy() - exact) / np.linalg.norm(exact))


def _parallel(n):
    views = tuple(np.arange(48) * math.pi / 48 + 0.01)
    return ParallelBeam(views, Detector(n, 2.2 / n)), Grid((n, n), 2.0 / n)


def _fan(n):
    views = tuple(np.arange(48) * 2 * math.pi / 48 + 0.01)
    return FanBeam(views, Detector(n, 3.6 / n), source_axis=5.0, source_detector=8.0), Grid((n, n), 2.0 / n)


ELLIPSES = [
    phantoms.Ellipse(1.0, (0.7, 0.5), (0.05, -0.1), 0.4),
    phantoms.Ellipse(-0.4, (0.2, 0.3), (-0.2, 0.1), 1.0),
    phantoms.Ellipse(0.5, (0.1, 0.1), (0.3, -0.2), 0.0),
]
SMOOTH = [phantoms.Ellipse(1.0, (0.8, 0.6), (0.05, -0.1), 0.4, power=3)]


@pytest.mark.parametrize("build", [_parallel, _fan])
def test_ellipses_within_one_percent_and_first_order(build):
    errors = {n: _error(ELLIPSES, *build(n)) for n in (64, 128, 256)}
    assert errors[256] <= 0.01
    # An edge smeared over a pixel h errs by O(√h) on a band of width h: order one in L2 (up to a logarithm).
    slope = math.log2(errors[64] / errors[256]) / 2
    assert 0.7 <= slope <= 1.4


@pytest.mark.parametrize("build", [_parallel, _fan])
def test_smooth_bump_is_second_order(build):
    errors = {n: _error(SMOOTH, *build(n)) for n in (32, 64, 128)}
    assert math.log2(errors[32] / errors[128]) / 2 == pytest.approx(2.0, abs=0.25)


def test_result_does_not_depend_on_the_number_of_threads():
    geometry, grid = _fan(128)
    ray = RayTransform(geometry, grid)
    x = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            y = ray(x)
            results.append((y, ray.adjoint(y)))
    finally:
        torch.set_num_threads(before)
    assert bool((results[0][0] == results[1][0]).all())
    assert bool((results[0][1] == results[1][1]).all())


def test_norm_bound_is_tight():
    ray = RayTransform(*_parallel(32))
    dense = ray(torch.eye(32 * 32, dtype=torch.float64).reshape(-1, 32, 32)).reshape(32 * 32, -1)
    norm = float(torch.linalg.matrix_norm(dense, 2))
    assert norm <= ray.norm_bound() <= 1.02 * norm


def test_the_norm_certificate_encloses_the_norm_and_costs_four_iterations(monkeypatch):
    ray = RayTransform(*_parallel(32))
    dense = ray(torch.eye(32 * 32, dtype=torch.float64).reshape(-1, 32, 32)).reshape(32 * 32, -1)
    norm = float(torch.linalg.matrix_norm(dense, 2))
    calls = []
    monkeypatch.setattr(ray, "_adjoint", lambda y, apply=ray._adjoint: calls.append(y) or apply(y))
    certificate = certify_norm(ray)
    assert 0.98 * norm <= certificate.value <= norm * (1 + 1e-12)
    assert norm <= certificate.bound <= 1.05 * norm
    assert len(calls) == 4


def test_kernels_may_be_called_from_several_threads():
    geometry, grid = _fan(128)
    ray = RayTransform(geometry, grid)
    images = torch.rand(8, 128, 128, generator=torch.Generator().manual_seed(2))
    expected = torch.stack([ray(image) for image in images])  # one by one: a batch goes through the kernel for stacks
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ray, images))
    assert bool((torch.stack(results) == expected).all())


TURN = tuple(np.radians(np.arange(0.0, 360.0, 3.0)))


@pytest.mark.parametrize("offset", [14.0, -14.0])
def test_the_default_grid_of_an_offset_detector_holds_what_it_sees(offset):
    geometry = ParallelBeam(TURN, Detector(32, 1.0, offset=offset))
    grid = geometry.default_grid()
    assert grid == Grid((60, 60), 1.0)
    disc = (phantoms.Ellipse(1.0, (20.0, 20.0)),)
    found = cgls(RayTransform(geometry, grid), torch.from_numpy(phantoms.sinogram(disc, geometry)), Driver(30)).value
    inside = torch.from_numpy(phantoms.image((phantoms.Ellipse(1.0, (17.0, 17.0)),), grid) == 1)
    assert float(found[inside].std()) < 0.06  # and 0.8 on a grid of 32 x 32, which cuts the disc
    assert float(found[inside].mean()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("geometry", "side"),
    [
        (ParallelBeam(TURN, Detector(32, 1.0)), 32),
        (ParallelBeam(TURN, Detector(32, 1.0, offset=2.0)), 32),  # an axis a little off
        (ParallelBeam(TURN, Detector(32, 1.0, offset=8.0)), 32),
        (ParallelBeam(TURN, Detector(32, 1.0, offset=8.1)), 49),
        (ParallelBeam(TURN[:60], Detector(32, 1.0, offset=14.0)), 32),  # half a turn sees one side only
        (FanBeam(TURN, Detector(32, 1.0, offset=-14.0), source_axis=200.0, source_detector=400.0), 60),
    ],
)
def test_only_an_axis_near_the_detectors_edge_changes_the_default_grid(geometry, side):
    assert geometry.default_grid() == Grid((side, side), 1.0 / geometry.magnification)


def test_a_source_inside_the_grid_is_refused_and_one_before_it_sees_all_of_it():
    # Behind the source, which stands at y = -20, are 12 of the 64 that a whole line would give.
    grid = Grid((64, 64), 1.0)
    near = FanBeam((0.0,), Detector(3, 4.0), "mm", 20.0, 100.0)
    with pytest.raises(InputError, match=r"in front of the source.*1 of 1 views \(view 0: at 0, -20\)"):
        RayTransform(near, grid)
    far = FanBeam((0.0,), Detector(3, 4.0), "mm", 33.0, 100.0)
    assert float(RayTransform(far, grid)(torch.ones(64, 64))[0, 1]) == pytest.approx(64.0)


def _meets_behind(fan, grid):
    """Whether any ray, followed backwards from its source by small steps, comes into the grid."""
    left, right, bottom, top = grid.extent
    phi, t = fan.lines()[0][..., None], fan.angles[:, None, None]
    back = np.linspace(1e-6, 400.0, 20001)
    x = fan.source_axis * np.sin(t) + back * np.sin(phi)
    y = -fan.source_axis * np.cos(t) - back * np.cos(phi)
    return bool(((x > left) & (x < right) & (y > bottom) & (y < top)).any())


def test_exactly_the_fans_with_something_behind_the_source_are_refused():
    random, refused = np.random.default_rng(3), 0
    for _ in range(60):
        fan = FanBeam(tuple(random.uniform(0, 7, 2)), Detector(5, random.uniform(1, 40)), "mm", 20.0, 30.0)
        grid = Grid(tuple(random.integers(2, 60, 2).tolist()), 1.0, tuple(random.uniform(-25, 25, 2)))
        try:
            RayTransform(fan, grid)
            assert not _meets_behind(fan, grid)
        except InputError:
            assert _meets_behind(fan, grid)
            refused += 1
    assert 10 < refused < 50


@pytest.mark.parametrize("pitch", [1.0, 2.0, 4.0, 9.0])
def test_the_default_grid_never_reaches_the_source(pitch):
    fan = FanBeam(TURN, Detector(40, pitch), source_axis=50.0, source_detector=60.0)  # half angles of 18 to 72 degrees
    grid = fan.default_grid()
    assert (grid.shape == (40, 40)) == (pitch <= 2.0)
    assert RayTransform(fan, grid).domain_shape == grid.shape


@pytest.mark.parametrize("kind", [list, np.array, np.float32, torch.tensor], ids=["list", "array", "float32", "tensor"])
def test_angles_and_shapes_may_be_any_sequence(kind):
    angles, given = (0.0, 0.5, 2.25), kind((0.0, 0.5, 2.25))
    assert ParallelBeam(given, Detector(12, 1.0)) == ParallelBeam(angles, Detector(12, 1.0))
    assert ConeBeam(given, FlatPanel(2, 3, [1.0, 1.0])) == ConeBeam(angles, FlatPanel(2, 3, (1.0, 1.0)))
    assert Grid(torch.ones(8, 9).shape, 1.0, np.array([1, 2])) == Grid([8, 9], 1.0, (1.0, 2.0))
    assert VolumeGrid([2, 8, 9], 1.0) == VolumeGrid((2, 8, 9), 1.0)


NAN, INF = math.nan, math.inf
IMPOSSIBLE = {
    "no angles": lambda: ParallelBeam([], Detector(12, 1.0)),
    "one number": lambda: ParallelBeam(0.5, Detector(12, 1.0)),
    "angles with NaN": lambda: ParallelBeam(np.array([0.0, NAN]), Detector(12, 1.0)),
    "a table of angles": lambda: ParallelBeam(np.zeros((2, 2)), Detector(12, 1.0)),
    "complex angles": lambda: ParallelBeam(np.array([0.5j]), Detector(12, 1.0)),
    "named angles": lambda: ConeBeam("abc", FlatPanel(4, 4, (1.0, 1.0))),
    "half a pixel": lambda: Detector(12.5, 1.0),
    "no pixels": lambda: Detector(0, 1.0),
    "infinite pixels": lambda: Detector(12, INF),
    "a pitch by name": lambda: Detector(12, "1 mm"),
    "an unknown offset": lambda: Detector(12, 1.0, NAN),
    "a distance by name": lambda: FanBeam((0.0,), Detector(4, 1.0), "mm", "far", 5.0),
    "no distance": lambda: ConeBeam((0.0,), FlatPanel(4, 4, (1.0, 1.0)), source_axis=None, source_detector=5.0),
    "a tilt by name": lambda: ConeBeam((0.0,), FlatPanel(4, 4, (1.0, 1.0)), tilt_rad="steep"),
    "half a column": lambda: FlatPanel(4, 4.5, (1.0, 1.0)),
    "one pitch": lambda: FlatPanel(4, 4, 1.0),
    "an unknown pitch": lambda: FlatPanel(4, 4, (1.0, NAN)),
    "an unknown panel": lambda: FlatPanel(4, 4, (1.0, 1.0), (NAN, 0.0)),
    "a side": lambda: Grid(8, 1.0),
    "one axis": lambda: Grid((8,), 1.0),
    "three axes": lambda: Grid((8, 8, 8), 1.0),
    "whole by value only": lambda: Grid((8.0, 4), 1.0),
    "no place": lambda: Grid((8, 8), 1.0, (NAN, 0.0)),
    "no pixel": lambda: Grid((8, 8), None),
    "two axes of three": lambda: VolumeGrid((8, 8), 1.0),
    "a volume nowhere": lambda: VolumeGrid((8, 8, 8), 1.0, (0.0, 0.0, INF)),
}


@pytest.mark.parametrize("made", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_no_scanner_has_is_refused_by_a_sentence(made):
    with pytest.raises(InputError, match=r"(?s)expected .*, got .*\. \w+"):
        made()


CONE = ConeBeam((0.0,), FlatPanel(4, 4, (1.0, 1.0)), source_axis=20.0, source_detector=30.0)
FAN = FanBeam((0.0,), Detector(12, 1.0), "mm", 20.0, 30.0)
BOX = VolumeGrid((4, 4, 4), 1.0)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: RayTransform(CONE, Grid((8, 8), 1.0)), "got ConeBeam and Grid. Volumes are for RayTransform3D"),
        (lambda: RayTransform(FAN, BOX), "got FanBeam and VolumeGrid"),
        (lambda: RayTransform3D(FAN, BOX), "got FanBeam and VolumeGrid. Images are for RayTransform"),
        (lambda: RayTransform3D(CONE, Grid((8, 8), 1.0)), "got ConeBeam and Grid"),
        (lambda: RayTransform(FAN, Grid((8, 8), 1.0, unit="um")), "unit of the geometry, 'mm', got one in 'um'"),
        (lambda: RayTransform3D(CONE, replace(BOX, unit="um")), "unit of the geometry, 'mm', got one in 'um'"),
        (lambda: RayTransform(FAN, Grid((8, 8), 1.0), tolerance=NAN), r"to 0\.1, got tolerance = nan"),
        (lambda: NonUniformFourier(torch.zeros(3, 2), (4, 4), tolerance=-1.0), r"to 0\.1, got tolerance = -1"),
    ],
)
def test_geometry_and_grid_that_do_not_belong_together_are_refused(made, words):
    with pytest.raises(InputError, match=words):
        made()

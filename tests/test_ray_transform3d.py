"""The X-ray transform of volumes beyond its laws: oracle, closed forms, planar limits, threads."""

import math

import numpy as np
import pytest
import torch

from microlocal.core.errors import InputError
from microlocal.core.geometry3d import ConeBeam, FlatPanel, ParallelBeam3D
from microlocal.core.registry import registered
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid
from microlocal.data import phantoms3d
from microlocal.data.phantoms3d import Ellipsoid
from microlocal.kernels import joseph3d, joseph3d_torch, joseph_columns, lanes
from microlocal.operators import RayTransform
from microlocal.operators.ray_transform3d import RayTransform3D

SAMPLES = registered("operator")["ray-transform-3d"].samples()
VIEWS = tuple(np.arange(12) * 2 * math.pi / 12 + 0.1)


def _draw(shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ray", SAMPLES)
def test_kernel_agrees_with_the_oracle(ray):
    x = _draw((2, *ray.domain_shape))
    expected = joseph3d_torch.project(x, ray.views, ray.diverging, *ray.codomain_shape[1:]) * ray.grid.voxel
    assert float(expected.abs().max()) > 1
    assert float((ray(x) - expected).abs().max()) < 1e-12


@pytest.mark.parametrize("ray", SAMPLES[:1])
def test_gradcheck_and_opcheck(ray):
    x = _draw((1, *ray.domain_shape)).requires_grad_()
    assert torch.autograd.gradcheck(ray, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(ray, x, fast_mode=True)
    torch.library.opcheck(torch.ops.microlocal.project3d, (x, ray.views, ray.diverging, *ray.codomain_shape[1:]))
    sums = _draw((1, *ray.codomain_shape)).requires_grad_()
    torch.library.opcheck(torch.ops.microlocal.backproject3d, (sums, ray.views, ray.diverging, *ray.domain_shape))


UPRIGHT = [
    (ConeBeam(VIEWS, FlatPanel(9, 11, (1.2, 1.1), offset=(0.3, -0.4)), source_axis=14.0, source_detector=19.0), 1.0),
    (ConeBeam(VIEWS, FlatPanel(19, 11, (0.3, 1.1)), source_axis=14.0, source_detector=19.0), 1.0),
    (ConeBeam(VIEWS, FlatPanel(5, 11, (4.0, 1.1)), source_axis=24.0, source_detector=29.0), 0.8),
    (ParallelBeam3D(VIEWS, FlatPanel(9, 11, (0.8, 1.1), offset=(0.3, -0.4))), 1.0),
]


@pytest.mark.parametrize("registers", [True, False], ids=["registers", "any processor"])
@pytest.mark.parametrize(("geometry", "voxel"), UPRIGHT)
def test_columns_of_an_upright_panel_have_the_weights_of_single_rays(geometry, voxel, registers, monkeypatch):
    monkeypatch.setattr(joseph_columns, "AVAILABLE", registers and lanes.AVAILABLE)
    vectors, grid = geometry.to_vectors(), VolumeGrid((6, 8, 7), voxel, (0.2, -0.3, 0.1))
    table, panel = vectors.in_grid(grid), (vectors.rows, vectors.cols)
    assert joseph_columns.applies(table, vectors.diverging, grid.shape, *panel)
    x, y = _draw((2, *grid.shape)).numpy(), _draw((2, *geometry.shape), 1).numpy()
    one, other = (kernel.project(x, table, vectors.diverging, *panel) for kernel in (joseph3d, joseph_columns))
    assert abs(one).max() > 1
    np.testing.assert_allclose(one, other, atol=1e-12)
    one, other = (kernel.backproject(y, table, vectors.diverging, grid.shape) for kernel in (joseph3d, joseph_columns))
    np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.skipif(not lanes.AVAILABLE, reason="this processor has no AVX-512")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pitch", [0.2, 0.36, 0.5, 0.7, 0.99, 1.0, 1.3, 1.79, 1.9, 3.7, 5.0])
def test_windows_hold_what_rays_of_any_distance_need(pitch, dtype):
    """Tall columns of many registers, upwards and downwards, beyond either end of the volume."""
    number = 3e-4 if dtype == np.float32 else 1e-11
    for turned, rows, slices in ((1.0, 150, 90), (-1.0, 61, 33), (1.0, 9, 200)):
        grid = VolumeGrid((slices, 3, 4), 1.0)
        beam = ParallelBeam3D((0.3, 1.2, 2.9), FlatPanel(rows, 5, (pitch, 1.1), offset=(0.37, 0.1)))
        table = beam.to_vectors().in_grid(grid)
        table[:, 3] *= turned  # the panel's step v
        table[:, 1, 0] = slices / 2 - table[:, 3, 0] * rows / 2 + 0.21
        x, y = _draw((1, *grid.shape)).numpy().astype(dtype), _draw((1, 3, rows, 5), 1).numpy().astype(dtype)
        for direction, argument, shape in (("project", x, (rows, 5)), ("backproject", y, (grid.shape,))):
            one, other = (getattr(k, direction)(argument, table, False, *shape) for k in (joseph3d, joseph_columns))
            assert abs(one).max() > 1
            np.testing.assert_allclose(other, one, atol=number * abs(one).max())


def test_columns_are_left_alone_where_their_assumptions_fail():
    grid, panel = VolumeGrid((6, 8, 7), 1.0), FlatPanel(9, 11, (1.2, 1.1))
    tall = FlatPanel(40, 11, (1.2, 1.1))  # its upper rays run mainly along z
    for geometry in (
        ConeBeam(VIEWS, panel, tilt_rad=0.1, source_axis=14.0, source_detector=19.0),
        ConeBeam(VIEWS, panel, roll_rad=0.1, source_axis=14.0, source_detector=19.0),
        ConeBeam(VIEWS, tall, source_axis=14.0, source_detector=19.0),
        ConeBeam(VIEWS, panel, source_axis=3.0, source_detector=19.0),  # the source turns inside the volume
    ):
        vectors = geometry.to_vectors()
        table, panel_shape = vectors.in_grid(grid), (vectors.rows, vectors.cols)
        assert not joseph_columns.applies(table, vectors.diverging, grid.shape, *panel_shape)


def test_rays_at_exactly_45_degrees_belong_to_one_axis():
    # Equal components in two and in three axes: each ray must be summed once.
    directions = [(1, 1, 0), (0, 1, -1), (1, 0, 1), (1, 1, 1), (-1, 1, -1)]
    panels = [((1, -1, 0), (0, 0, 1)), ((1, 0, 0), (0, 1, 1)), ((0, 1, 0), (1, 0, -1)), *[((1, -1, 0), (1, 1, -2))] * 2]
    table = np.array([[*d, 0, 0, 0, *u, *v] for d, (u, v) in zip(directions, panels, strict=True)], float)
    ray = RayTransform3D(ViewVectors(table, 1, 1, diverging=False), VolumeGrid((5, 5, 5), 1.0))
    lengths = ray(torch.ones(5, 5, 5, dtype=torch.float64)).flatten().numpy()
    np.testing.assert_allclose(lengths[:4], 5 * np.sqrt([2, 2, 2, 3]))


def test_an_upright_stack_is_the_planar_transform_of_every_slice():
    geometry = ParallelBeam3D(VIEWS, FlatPanel(3, 15, (1.0, 0.9), offset=(0.0, 0.4)))
    grid = VolumeGrid((3, 8, 9), 1.0, (0.3, -0.1, 0.0))
    x = _draw(grid.shape)
    planar = RayTransform(geometry.midplane(), grid.plane)(x)
    assert float((RayTransform3D(geometry, grid)(x) - planar.movedim(0, 1)).abs().max()) < 1e-11


def test_the_middle_row_of_a_cone_is_a_fan():
    geometry = ConeBeam(VIEWS, FlatPanel(1, 25, (1.0, 1.1)), source_axis=30.0, source_detector=45.0)
    grid = VolumeGrid((1, 10, 12), 1.0)
    x = _draw(grid.shape)
    planar = RayTransform(geometry.midplane(), grid.plane)(x)
    assert float((RayTransform3D(geometry, grid)(x) - planar.movedim(0, 1)).abs().max()) < 1e-11


def _cone(n, **turns):
    panel = FlatPanel(n, n, (3.2 / n, 3.4 / n), offset=(0.02, -0.05))
    return ConeBeam(VIEWS, panel, source_axis=6.0, source_detector=9.0, **turns)


def _tilted(n):
    return ParallelBeam3D(VIEWS, FlatPanel(n, n, (2.2 / n, 2.2 / n)), tilt_rad=0.6, roll_rad=0.3)


def _free(n):
    draw = np.random.default_rng(3)
    table = np.stack(
        [_cone(n, tilt_rad=draw.normal(0, 0.3), roll_rad=draw.normal(0, 1)).to_vectors().table[k] for k in range(12)]
    )
    return ViewVectors(table, n, n, diverging=True)


SHAPES = [
    Ellipsoid(1.0, (0.7, 0.5, 0.6), (0.05, -0.1, 0.1), 0.4, -0.3),
    Ellipsoid(-0.4, (0.2, 0.3, 0.25), (-0.2, 0.1, 0.0), 1.0, 0.5),
]
SMOOTH = [Ellipsoid(1.0, (0.8, 0.6, 0.7), (0.05, -0.1, 0.1), 0.4, 0.2, power=3)]


def _error(shapes, geometry, n):
    grid = VolumeGrid((n, n, n), 2.0 / n)
    exact = phantoms3d.projections(shapes, geometry)
    volume = torch.from_numpy(phantoms3d.volume(shapes, grid))
    return float(np.linalg.norm(RayTransform3D(geometry, grid)(volume).numpy() - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("build", [_cone, _tilted, _free])
def test_ellipsoids_are_first_order(build):
    # An edge smeared over a voxel, as in the plane; it comes to 1.1 % at 128 voxels.
    errors = {n: _error(SHAPES, build(n), n) for n in (24, 72)}
    assert errors[72] < 0.021
    assert 0.7 <= math.log(errors[24] / errors[72]) / math.log(3) <= 1.4


@pytest.mark.parametrize("build", [_cone, _tilted, _free])
def test_smooth_bump_is_second_order(build):
    errors = {n: _error(SMOOTH, build(n), n) for n in (16, 48)}
    assert math.log(errors[16] / errors[48]) / math.log(3) == pytest.approx(2.0, abs=0.25)
    assert errors[48] < 0.008


def test_ellipsoid_chords_agree_with_sums_along_the_ray():
    shape = Ellipsoid(0.7, (0.8, 0.5, 0.6), (0.05, -0.1, 0.1), 0.4, -0.3, power=2)
    points, directions = _free(5).rays()
    along = np.linspace(-12, 12, 6001)
    samples = points[..., None, :] + along[:, None] * directions[..., None, :]
    sums = shape.density(*np.moveaxis(samples, -1, 0)).sum(axis=-1) * (along[1] - along[0])
    exact = shape.line_integral(points, directions)
    assert exact.max() > 0.3
    np.testing.assert_allclose(sums, exact, atol=1e-4)


def test_result_does_not_depend_on_the_number_of_threads():
    ray = RayTransform3D(_cone(40), VolumeGrid((40, 40, 40), 0.05))
    x = torch.rand(2, 40, 40, 40, generator=torch.Generator().manual_seed(1))
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
    ray = SAMPLES[0]
    dense = ray(torch.eye(4 * 5 * 6, dtype=torch.float64).reshape(-1, 4, 5, 6)).reshape(4 * 5 * 6, -1)
    norm = float(torch.linalg.matrix_norm(dense, 2))
    assert norm <= ray.norm_bound() <= 1.02 * norm


def test_a_source_inside_the_volume_is_refused():
    near = ConeBeam((0.0,), FlatPanel(4, 4, (1.0, 1.0)), source_axis=10.0, source_detector=12.0)
    with pytest.raises(InputError, match=r"in front of the source.*at 0, -10, 0"):
        RayTransform3D(near, VolumeGrid((4, 64, 4), 1.0))
    with pytest.raises(InputError, match="in front of the source"):
        RayTransform3D(near, VolumeGrid((4, 4, 4), 1.0, (0.0, -20.0, 0.0)))  # all of it behind


def test_a_wide_plate_beside_the_source_is_none_of_its_rays():
    # Laminography: some of the plate lies beyond the plane of the source, none of it behind the panel's rays.
    plate, panel = VolumeGrid((2, 80, 80), 1.0), FlatPanel(30, 30, (1.0, 1.0))
    lamino = ConeBeam(VIEWS, panel, tilt_rad=math.radians(60.0), source_axis=20.0, source_detector=60.0)
    assert RayTransform3D(lamino, plate).codomain_shape == lamino.shape


@pytest.mark.parametrize("tilt_rad", [0.0, 0.1])
def test_the_default_volume_never_reaches_the_source(tilt_rad):
    turn, panel = tuple(np.radians(np.arange(0.0, 360.0, 3.0))), FlatPanel(16, 16, (9.0, 9.0))
    cone = ConeBeam(turn, panel, tilt_rad=tilt_rad, source_axis=50.0, source_detector=60.0)
    grid = cone.default_grid()
    assert RayTransform3D(cone, grid).domain_shape == grid.shape

"""Filtered backprojection of volumes: right values on every arc, tilt and panel the theory covers."""

import math

import numpy as np
import pytest
import torch

from microlocal.core import ConeBeam, FlatPanel, GeometryError, InputError, ParallelBeam3D, ShapeError, VolumeGrid
from microlocal.data import phantoms3d
from microlocal.data.phantoms3d import Ellipsoid
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.fdk import CHUNK, fbp_volume, fdk, panel_map

SHAPES = [
    Ellipsoid(1.0, (24.0, 20.0, 22.0), (3.0, 2.0, 1.0), 0.3),
    Ellipsoid(0.5, (8.0, 9.0, 7.0), (-6.0, -4.0, 2.0)),
]
GRID = VolumeGrid((24, 50, 52), 1.0, (1.0, -1.0, 2.0))


def _views(degrees, count, start=0.3):
    return tuple(start + np.linspace(0, math.radians(degrees), count, endpoint=False))


def _cone(degrees, count, panel, **turns):
    return ConeBeam(_views(degrees, count), panel, source_axis=250.0, source_detector=400.0, **turns)


CENTRED = FlatPanel(70, 100, (1.5, 1.5))
COMPLETE = {
    "cone 360": (fdk, _cone(360, 160, CENTRED)),
    "cone half-scan": (fdk, _cone(204, 110, CENTRED)),
    "cone, panel moved aside": (fdk, _cone(360, 160, FlatPanel(70, 64, (1.5, 1.5), offset=(4.0, 24.0)))),
    "stack 180": (fbp_volume, ParallelBeam3D(_views(180, 120), FlatPanel(50, 80, (1.0, 1.0)))),
    "stack 360, panel moved aside": (
        fbp_volume,
        ParallelBeam3D(_views(360, 240), FlatPanel(40, 50, (1.2, 1.0), offset=(0.5, -14.0))),
    ),
    "rolled panel": (fbp_volume, ParallelBeam3D(_views(180, 120), FlatPanel(90, 120, (1.0, 0.7)), roll_rad=0.3)),
}


def _ball(center, radius):
    x, y, z = GRID.coordinates()
    squares = (x - center[0]) ** 2 + (y[:, None] - center[1]) ** 2 + (z[:, None, None] - center[2]) ** 2
    return squares < radius**2


@pytest.mark.parametrize(("method", "geometry"), COMPLETE.values(), ids=COMPLETE)
def test_values_inside_balls_are_right(method, geometry):
    volume = method(torch.from_numpy(phantoms3d.projections(SHAPES, geometry)).float(), geometry, GRID).numpy()
    # Near the middle plane, where Feldkamp's formula is exact; 2 % above it.
    assert float(volume[_ball((-6, -4, 1), 4)].mean()) == pytest.approx(1.5, rel=0.005)
    assert float(volume[_ball((14, 4, 1), 4)].mean()) == pytest.approx(1.0, rel=0.005)
    assert float(volume[_ball((4, 4, 11), 2)].mean()) == pytest.approx(1.0, rel=0.02)
    assert abs(float(volume[_ball((-21, 20, 0), 4)].mean())) < 0.02


@pytest.mark.parametrize("roll", [0.0, 0.1])
def test_laminography_inverts_what_it_measures(roll):
    # An object that is long in z has its frequencies near k_z = 0, far from the missing cone.
    shapes = [Ellipsoid(1.0, (14.0, 10.0, 200.0), (3.0, 2.0, 0.0), 0.3, power=3)]
    panel = FlatPanel(130, 110, (4.0, 1.2))
    geometry = ParallelBeam3D(_views(360, 180), panel, tilt_rad=math.radians(30), roll_rad=roll)
    grid = VolumeGrid((3, 40, 42), 1.0)
    volume = fbp_volume(torch.from_numpy(phantoms3d.projections(shapes, geometry)), geometry, grid).numpy()
    truth = phantoms3d.volume(shapes, grid)
    assert np.linalg.norm(volume - truth) / np.linalg.norm(truth) < 0.03
    assert (volume * truth).sum() / (truth * truth).sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("panel", [(40, 40), (41, 63), (64, 64)])
@pytest.mark.parametrize("roll", [0.05, 0.7, math.pi / 2, math.pi, -0.4])
def test_a_rolled_panel_gives_the_values_of_a_level_one(panel, roll):
    # What the transform's period brings back took 3 to 7 % off all values, the more the object fills the panel.
    geometry = ParallelBeam3D(_views(180, 90), FlatPanel(*panel, (1.0, 1.0)), roll_rad=roll)
    ball = [Ellipsoid(1.0, (0.45 * min(panel),) * 3)]
    volume = fbp_volume(torch.from_numpy(phantoms3d.projections(ball, geometry)), geometry, VolumeGrid((3, 5, 5), 1.0))
    assert float(volume.mean()) == pytest.approx(1.0, abs=0.012)


@pytest.mark.parametrize("panel", [(7, 24), (12, 5), (9, 31)])
def test_a_panel_on_its_side_is_the_upright_one(panel):
    upright = ParallelBeam3D(_views(180, 20), FlatPanel(*panel, (1.0, 1.0)))
    data = torch.randn(2, *upright.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    # Rolled by a right angle, e_u is the old e_v and e_v the old -e_u.
    aside = ParallelBeam3D(_views(180, 20), FlatPanel(*panel[::-1], (1.0, 1.0)), roll_rad=math.pi / 2)
    grid = VolumeGrid((5, 9, 8), 0.9)
    expected, found = fbp_volume(data, upright, grid), fbp_volume(data.mT.flip(-2), aside, grid)
    assert float((found - expected).abs().max()) < 0.01 * float(expected.abs().max())


def test_the_middle_plane_of_a_cone_is_a_fan():
    geometry = _cone(210, 40, FlatPanel(1, 90, (1.5, 1.5), offset=(0.0, 3.0)))
    grid = VolumeGrid((1, 30, 32), 1.0)
    data = torch.from_numpy(phantoms3d.projections(SHAPES, geometry))
    planar = filtered_backprojection(data.movedim(1, 0), geometry.midplane(), grid.plane)
    assert float((fdk(data, geometry, grid) - planar).abs().max()) < 1e-9


def test_a_stack_is_filtered_backprojection_of_every_slice():
    geometry = ParallelBeam3D(_views(180, 2 * CHUNK + 3), FlatPanel(4, 40, (1.0, 1.0)))
    grid = VolumeGrid((4, 20, 22), 1.0)
    data = torch.randn(2, *geometry.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    planar = filtered_backprojection(data.movedim(-2, 1), geometry.midplane(), grid.plane)
    assert float((fbp_volume(data, geometry, grid) - planar).abs().max()) < 1e-9


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize("kind", [_cone, None], ids=["cone", "parallel"])
def test_voxels_are_mapped_to_the_pixel_whose_ray_meets_them(kind, tilt):
    geometry = (
        _cone(300, 5, CENTRED, tilt_rad=tilt)
        if kind
        else ParallelBeam3D(_views(300, 5), CENTRED, tilt_rad=tilt, roll_rad=0.3)
    )
    points, directions = geometry.to_vectors().rays()
    indices = GRID.points_to_indices(points[:, 20, 33] + 0.3 * directions[:, 20, 33])
    table = panel_map(geometry, GRID)
    depth, u, v = np.einsum("aij,aj->ia", table, np.concatenate((np.ones((5, 1)), indices), axis=1))
    np.testing.assert_allclose(u / depth, 33.0, atol=1e-9)
    np.testing.assert_allclose(v / depth, 20.0, atol=1e-9)
    axis = np.concatenate((np.ones(1), GRID.points_to_indices(np.zeros(3))))
    np.testing.assert_allclose(table[:, 0] @ axis, 1.0)


def test_result_does_not_depend_on_the_number_of_threads():
    geometry, grid = _cone(360, 30, CENTRED), VolumeGrid((40, 40, 40), 1.0)
    data = torch.randn(geometry.shape, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    try:
        volumes = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            volumes.append(fdk(data, geometry, grid))
    finally:
        torch.set_num_threads(before)
    assert bool((volumes[0] == volumes[1]).all())


def test_what_cannot_be_is_refused():
    rolled = _cone(360, 4, CENTRED, roll_rad=0.1)
    with pytest.raises(GeometryError, match="level"):
        fdk(torch.zeros(rolled.shape), rolled, GRID)
    with pytest.raises(ShapeError, match="angle, v, u"):
        fdk(torch.zeros(4, 100, 70), _cone(360, 4, CENTRED), GRID)
    with pytest.raises(InputError, match="float32 or float64"):
        fdk(torch.zeros(4, 70, 100, dtype=torch.int64), _cone(360, 4, CENTRED), GRID)
    stack = ParallelBeam3D(_views(180, 4), CENTRED)
    for method, geometry in ((fdk, stack), (fbp_volume, _cone(360, 4, CENTRED)), (fdk, stack.to_vectors())):
        with pytest.raises(GeometryError, match=f"{method.__name__}: expected a"):
            method(torch.zeros(geometry.shape), geometry, GRID)


@pytest.mark.parametrize(("method", "geometry"), [COMPLETE["cone 360"], COMPLETE["rolled panel"]])
def test_no_volume_in_no_volume_out(method, geometry):
    assert method(torch.zeros(2, 0, *geometry.shape), geometry, GRID).shape == (2, 0, *GRID.shape)


TINY = {
    "cone, panel moved aside": (
        fdk,
        ConeBeam(
            _views(360, CHUNK + 2), FlatPanel(3, 4, (1.6, 1.3), (0.4, 1.9)), source_axis=25.0, source_detector=40.0
        ),
    ),
    "stack, tilted": (
        fbp_volume,
        ParallelBeam3D(_views(180, 4), FlatPanel(3, 5, (1.1, 0.9), (0.2, 0.1)), tilt_rad=0.3),
    ),
    "rolled panel": (fbp_volume, ParallelBeam3D(_views(180, 3), FlatPanel(4, 4, (1.0, 1.2)), roll_rad=0.2)),
}


@pytest.mark.parametrize(("method", "geometry"), TINY.values(), ids=TINY)
def test_the_gradient_is_the_transpose_of_the_dense_matrix(method, geometry):
    """Voxels look beyond all four sides of the panel, and views take more than one chunk."""
    grid = VolumeGrid((3, 4, 5), 1.0, (0.3, -0.2, 0.4))
    count = math.prod(geometry.shape)
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *geometry.shape)
    matrix = method(basis, geometry, grid).reshape(count, -1)
    source = torch.Generator().manual_seed(1)
    data = torch.randn(2, *geometry.shape, dtype=torch.float64, generator=source, requires_grad=True)
    weights = torch.randn(2, *grid.shape, dtype=torch.float64, generator=source)
    volume = method(data, geometry, grid)
    assert torch.allclose(volume, method(data.detach(), geometry, grid), atol=1e-12)
    (slope,) = torch.autograd.grad((volume * weights).sum(), data)
    assert slope.dtype == torch.float64
    exact = (weights.reshape(2, -1) @ matrix.mT).reshape(data.shape)
    assert float((slope - exact).norm()) < 1e-10 * float(exact.norm())
    single = data.detach().float().movedim(-1, 1).contiguous().movedim(1, -1).requires_grad_()  # not contiguous
    (rough,) = torch.autograd.grad((method(single, geometry, grid) * weights.float()).sum(), single)
    assert rough.dtype == torch.float32
    assert float((rough - exact).norm()) < 1e-4 * float(exact.norm())


def test_gradients_of_volumes_at_second_order():
    geometry = ParallelBeam3D((0.2, 1.4), FlatPanel(2, 3, (1.0, 1.0)))
    grid = VolumeGrid((1, 2, 2), 1.0)
    data = torch.randn(geometry.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    call = lambda y: fbp_volume(y, geometry, grid).square()  # noqa: E731
    assert torch.autograd.gradcheck(call, data.requires_grad_())
    assert torch.autograd.gradgradcheck(call, data)

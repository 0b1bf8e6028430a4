"""Geometries of volumes: their rays, against planar geometry and by hand; their files; the volume grid."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from microlocal.core import GeometryError, InputError, Scan
from microlocal.core.geometry3d import ConeBeam, FlatPanel, ParallelBeam3D, geometry3d_from_dict
from microlocal.core.view_vectors import ViewVectors
from microlocal.core.volume import VolumeGrid
from microlocal.reconstruction.fdk import panel_map

VIEWS = tuple(np.radians([0.0, 30.0, 100.0, 250.0]))
PANEL = FlatPanel(3, 5, (2.0, 1.5), offset=(0.5, -0.7))
CONE = ConeBeam(VIEWS, PANEL, source_axis=50.0, source_detector=80.0)
STACK = ParallelBeam3D(VIEWS, PANEL)
LAMINO = ConeBeam(VIEWS, PANEL, "um", math.radians(30), math.radians(-5), 50.0, 80.0)


def _line(points, directions):
    """Return (φ, s) of lines in the plane, with the normal that makes the direction (-sin φ, cos φ)."""
    phi = np.arctan2(-directions[..., 0], directions[..., 1])
    return phi, points[..., 0] * np.cos(phi) + points[..., 1] * np.sin(phi)


@pytest.mark.parametrize("geometry", [CONE, STACK], ids=["cone", "stack"])
def test_seen_from_above_the_rays_are_those_of_the_planar_geometry(geometry):
    points, directions = geometry.to_vectors().rays()
    phi, s = _line(points, directions)
    expected_phi, expected_s = (lines[:, None, :] for lines in geometry.midplane().lines())
    np.testing.assert_allclose(s, np.broadcast_to(expected_s, s.shape), atol=1e-12)
    np.testing.assert_allclose(np.cos(phi - expected_phi), 1.0, atol=1e-14)


def test_row_v_of_a_stack_sees_the_slice_at_that_height():
    points, directions = STACK.to_vectors().rays()
    np.testing.assert_allclose(directions[..., 2], 0.0, atol=1e-15)
    np.testing.assert_allclose(points[..., 2], np.broadcast_to(PANEL.positions()[0][:, None], STACK.shape))


@pytest.mark.parametrize("geometry", [CONE, LAMINO], ids=["upright", "tilted"])
def test_cone_rays_start_at_the_source_which_turns_around_the_axis(geometry):
    table = geometry.to_vectors().table
    source, height = table[:, :3], 50.0 * math.sin(geometry.tilt_rad)
    np.testing.assert_allclose(np.linalg.norm(source, axis=1), 50.0)
    np.testing.assert_allclose(source[:, 2], -height, atol=1e-12)
    points, directions = geometry.to_vectors().rays()
    np.testing.assert_allclose(np.cross(points - source[:, None, None], directions), 0.0, atol=1e-12)
    # The panel is square to the central ray, at distance D.
    beam = geometry.frames()[0]
    np.testing.assert_allclose(np.einsum("avui,ai->avu", points - source[:, None, None], beam), 80.0)


def test_frames_are_right_handed_and_orthonormal():
    frames = np.stack(LAMINO.frames(), axis=1)
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), np.broadcast_to(np.eye(3), frames.shape), atol=1e-14)
    # e_u x beam = e_v: across, ahead and up, as x, y and z.
    np.testing.assert_allclose(np.cross(frames[:, 1], frames[:, 0]), frames[:, 2], atol=1e-14)


def test_tilt_is_the_complement_of_the_angle_between_beam_and_axis():
    assert np.degrees(np.arccos(LAMINO.frames()[0][:, 2])) == pytest.approx([60.0] * 4)


@pytest.mark.parametrize("geometry", [CONE, STACK, LAMINO, LAMINO.to_vectors()], ids=lambda g: type(g).__name__)
def test_file_fields_round_trip(geometry):
    again = geometry3d_from_dict(geometry.to_dict())
    assert type(again) is type(geometry)
    assert again.shape == geometry.shape
    assert again.unit == geometry.unit
    np.testing.assert_allclose(again.to_vectors().table, geometry.to_vectors().table, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "helix"},
        {"source_axis": 90.0},
        {"tilt_deg": 90.0},
        {"angles_deg": []},
        {"detector": {"rows": 0, "cols": 3, "pitch": [1, 1]}},
        {"detector": {"rows": 2, "cols": 3, "pitch": [1, -1]}},
        {"detector": {"rows": 2}},
        {"colour": "red"},
    ],
    ids=str,
)
def test_impossible_fields_are_refused(change):
    with pytest.raises(InputError):
        geometry3d_from_dict(CONE.to_dict() | change)


def test_vectors_whose_rays_run_in_the_panel_are_refused():
    with pytest.raises(GeometryError, match="view 1"):
        ViewVectors(
            np.array([[0.0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1], [1.0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]]),
            2,
            2,
            diverging=False,
        )
    with pytest.raises(GeometryError, match="12"):
        ViewVectors(np.zeros((3, 9)), 2, 2, diverging=True)


def test_views_can_be_chosen():
    chosen = LAMINO.select([2, 0])
    np.testing.assert_array_equal(chosen.to_vectors().table, LAMINO.to_vectors().table[[2, 0]])
    np.testing.assert_array_equal(LAMINO.to_vectors().select([2, 0]).table, chosen.to_vectors().table)


@pytest.mark.parametrize("chosen", [np.array([True, False, True, True]), [True, False], [0.5], [4], [-5], 2, None])
@pytest.mark.parametrize("geometry", [CONE, CONE.midplane(), CONE.to_vectors()], ids=["cone", "fan", "vectors"])
def test_masks_and_numbers_of_no_view_are_refused(geometry, chosen):
    # A mask would be read as the numbers 0 and 1.
    with pytest.raises(InputError, match="numbers of views from 0 to 3"):
        geometry.select(chosen)
    if geometry.shape == CONE.midplane().shape:
        scan = Scan(torch.zeros(geometry.shape), geometry, geometry.default_grid())
        with pytest.raises(InputError, match="numbers of views from 0 to 3"):
            scan.views(chosen)


def test_default_grid_is_the_field_of_view():
    assert CONE.default_grid() == VolumeGrid((3, 5, 5), 1.5 * 50 / 80, (0.0, 0.0, 0.5 * 50 / 80))


@pytest.mark.parametrize("tilt", [0.0, 0.4])
@pytest.mark.parametrize("offset", [0.0, 0.3, 40.0, -7.0])
def test_the_default_grid_stands_at_the_height_that_the_panel_sees(offset, tilt):
    # It stood at z = 0, out of the sight of a panel that is moved along the axis.
    panel = FlatPanel(6, 9, (1.0, 1.0), offset=(offset, 0.0))
    for geometry in (
        ParallelBeam3D(VIEWS, panel, tilt_rad=tilt),
        ConeBeam(VIEWS, panel, tilt_rad=tilt, source_axis=1e5, source_detector=2e5),
    ):
        grid = geometry.default_grid()
        depth, _, v = np.einsum("aij,j->ia", panel_map(geometry, grid), [1.0, *((n - 1) / 2 for n in grid.shape)])
        np.testing.assert_allclose(v / depth, (panel.rows - 1) / 2, atol=0.02)


@pytest.mark.parametrize("beam", [ParallelBeam3D, partial(ConeBeam, source_axis=200.0, source_detector=400.0)])
def test_a_panel_moved_aside_that_goes_around_widens_the_default_volume(beam):
    turn, panel = tuple(np.radians(np.arange(0.0, 360.0, 3.0))), FlatPanel(12, 32, (1.0, 1.0), offset=(0.0, 14.0))
    assert beam(turn, panel).default_grid().shape == (12, 60, 60)
    assert beam(turn[:60], panel).default_grid().shape == (12, 32, 32)


def test_volume_grid_maps_points_and_indices():
    grid = VolumeGrid((4, 5, 6), 0.5, (1.0, -2.0, 3.0), "um")
    x, y, z = grid.coordinates()
    points = np.array([x[4], y[1], z[3]])
    np.testing.assert_allclose(grid.points_to_indices(points), [3, 1, 4], atol=1e-12)
    np.testing.assert_allclose(grid.steps_to_indices(np.array([0.5, 0.5, 0.5])), [1, -1, 1])
    assert VolumeGrid.from_dict(grid.to_dict()) == grid
    with pytest.raises(InputError):
        VolumeGrid((4, 0, 3), 1.0)

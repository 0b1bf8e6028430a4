"""The phantoms are the oracle of others: here their closed forms meet brute force."""

import math

import numpy as np
import pytest

from microlocal.core.errors import InputError
from microlocal.core.geometry import Detector, FanBeam, ParallelBeam
from microlocal.core.geometry3d import ConeBeam, FlatPanel
from microlocal.core.grid import Grid
from microlocal.data import phantoms, phantoms3d
from microlocal.data.phantoms import Ellipse
from microlocal.data.phantoms3d import Ellipsoid

ANGLES = tuple(math.radians(a) for a in (0.0, 17.0, 90.0, 133.0, 260.0))
GEOMETRIES = [
    ParallelBeam(ANGLES, Detector(23, 0.17, offset=0.1)),
    FanBeam(ANGLES, Detector(23, 0.4, offset=0.1, reversed=True), source_axis=5.0, source_detector=11.0),
]


def quadrature(shape: Ellipse, geometry: ParallelBeam | FanBeam, points: int) -> np.ndarray:
    """Midpoint sums of the density along each line."""
    phi, s = geometry.lines()
    length = 2.2 * (max(shape.semi_axes) + math.hypot(*shape.center))
    t = ((np.arange(points) + 0.5) / points - 0.5) * length
    x = (s * np.cos(phi))[..., None] - np.sin(phi)[..., None] * t
    y = (s * np.sin(phi))[..., None] + np.cos(phi)[..., None] * t
    return shape.density(x, y).sum(-1) * (length / points)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=["parallel", "fan"])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 3.0])
def test_line_integrals_match_quadrature(geometry: ParallelBeam | FanBeam, power: float) -> None:
    shape = Ellipse(1.7, (1.2, 0.5), (0.3, -0.2), 0.7, power)
    exact = phantoms.sinogram([shape], geometry)
    assert np.abs(exact - quadrature(shape, geometry, 8000)).max() < 2e-3 * exact.max()


def test_fan_rays_start_at_their_source() -> None:
    """A dot halfway to the source R (sin t, -cos t) and 1 aside along (cos t, sin t) is magnified D/(R/2) = 4 times."""
    angle = math.radians(30.0)
    fan = FanBeam((angle,), Detector(11, 1.0), source_axis=10.0, source_detector=20.0)
    x, y = 5 * math.sin(angle) + math.cos(angle), -5 * math.cos(angle) + math.sin(angle)
    assert np.flatnonzero(phantoms.sinogram([Ellipse(1.0, (0.1, 0.1), (x, y))], fan)).tolist() == [5 + 4]


def test_image_keeps_the_mass_and_the_orientation() -> None:
    shape = Ellipse(2.0, (1.5, 0.4), (0.8, 0.6), 0.0, power=1.0)
    grid = Grid((80, 96), 0.06)
    picture = phantoms.image([shape], grid)
    assert picture.sum() * grid.pixel**2 == pytest.approx(2.0 * math.pi * 1.5 * 0.4 / 2, rel=1e-4)
    row, col = np.unravel_index(picture.argmax(), picture.shape)
    assert row < 40
    assert col > 48


def test_projection_of_the_image_is_the_sinogram() -> None:
    """The column sums of the raster are the view at angle 0 (x = s)."""
    shapes = phantoms.shepp_logan(5.0)
    grid = Grid((200, 200), 0.05)
    view = ParallelBeam((0.0,), Detector(200, 0.05))
    exact = phantoms.sinogram(shapes, view)[0]
    sums = phantoms.image(shapes, grid, 4).sum(0) * grid.pixel
    assert np.linalg.norm(sums - exact) < 0.01 * np.linalg.norm(exact)


def test_disc_with_holes_is_a_disc_with_holes() -> None:
    shapes = phantoms.disc_with_holes(holes=7, seed=3)
    picture = phantoms.image(shapes, Grid((96, 96), 0.75), 2)
    assert len(shapes) == 8
    assert picture.min() > -1e-12
    assert picture.max() == pytest.approx(0.05)
    assert phantoms.disc_with_holes(seed=3) == shapes != phantoms.disc_with_holes(seed=4)
    with pytest.raises(InputError, match="room for 500 holes"):
        phantoms.disc_with_holes(holes=500)


@pytest.mark.parametrize("kind", [Ellipse, Ellipsoid])
def test_ellipses_of_no_place_are_refused(kind: type) -> None:
    # An ellipse whose centre is NaN was an empty image.
    axes = (1.0,) * (2 if kind is Ellipse else 3)
    for wrong in (
        {"semi_axes": axes[1:]},
        {"semi_axes": (math.nan, *axes[1:])},
        {"center": (math.nan, *axes[1:])},
        {"center": 0.0},
        {"value": math.inf},
        {"angle_rad": math.nan},
    ):
        with pytest.raises(InputError, match=r"expected .*finite"):
            kind(**({"value": 1.0, "semi_axes": axes} | wrong))


def test_phantoms_of_the_plane_and_of_volumes_are_told_apart() -> None:
    cone = ConeBeam((0.0,), FlatPanel(2, 3, (1.0, 1.0)), source_axis=5.0, source_detector=8.0)
    with pytest.raises(InputError, match="a planar geometry, got ConeBeam"):
        phantoms.sinogram([], cone)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a geometry of volumes, got FanBeam"):
        phantoms3d.projections([], cone.midplane())  # type: ignore[arg-type]


def test_impossible_ellipses_are_refused() -> None:
    with pytest.raises(InputError, match="semi-axis"):
        Ellipse(1.0, (1.0, 0.0))
    with pytest.raises(InputError, match="power >= 0"):
        Ellipse(1.0, (1.0, 1.0), power=-1.0)

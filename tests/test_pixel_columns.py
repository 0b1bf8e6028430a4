"""Voxel-driven backprojection by columns: the sums of the plain kernel on any processor, and where it may be used."""

import math

import numpy as np
import pytest

from microlocal.kernels import lanes, pixel_columns, pixel_driven3d

VIEWS = np.arange(7) * 0.83


def table(magnification: float, near: float, tilt: float = 0.0) -> np.ndarray:
    """Return affine coefficients (view, 3, 4) of depth, u depth and v depth for voxels (slice, row, col)."""
    cos, sin, one, none = np.cos(VIEWS), np.sin(VIEWS), np.ones_like(VIEWS), np.zeros_like(VIEWS)
    depth = np.stack([one, none, near * sin, near * cos], axis=1)
    u = magnification * np.stack([-12 * cos + 11 * sin + 9 / magnification, tilt * one, -sin, cos], axis=1)
    v = np.stack([(4 - 7 * magnification) * one, magnification * one, none, none], axis=1)
    depth[:, 0] -= depth[:, 2] * 11 + depth[:, 3] * 13
    return np.stack([depth, u + 9 * depth, v + 5 * depth], axis=1)


TABLES = {
    "parallel": table(1.0, 0.0),
    "diverging": table(1.2, 0.01),
    "magnified": table(2.5, 0.01),
    "far apart": table(6.0, 0.01),
    "downwards": table(-1.2, 0.01),
    "shrunk": table(0.2, 0.003),
}


def both(kernel, views, power, dtype, shape=(15, 23, 27)):
    """Return what the plain kernel adds to two volumes, and what ``kernel`` does."""
    draw = np.random.default_rng(0)
    data, weights = draw.normal(size=(2, VIEWS.size, 19, 31)).astype(dtype), draw.uniform(0.5, 1.0, VIEWS.size)
    begun = draw.normal(size=(2, *shape)).astype(dtype)
    plain, other = begun.copy(), begun.copy()
    pixel_driven3d.accumulate(data, views, weights, power, plain)
    kernel.accumulate(data, views, weights, power, other)
    assert np.abs(plain - begun).max() > 0.5
    return plain, other


@pytest.mark.parametrize("available", [True, False], ids=["registers", "any processor"])
@pytest.mark.parametrize(("dtype", "allowed"), [(np.float64, 1e-11), (np.float32, 2e-3)])
@pytest.mark.parametrize("name", TABLES)
def test_sums_are_those_of_the_plain_kernel(name, dtype, allowed, available, monkeypatch):
    monkeypatch.setattr(pixel_columns, "AVAILABLE", available and lanes.AVAILABLE)
    views = TABLES[name]
    assert pixel_columns.applies(views)
    for power in (0, 2):
        plain, other = both(pixel_columns, views, power, dtype)
        np.testing.assert_allclose(other, plain, atol=allowed)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (70, 2, 5), (16, 1, 33)])
def test_volumes_of_any_shape(shape):
    plain, other = both(pixel_columns, table(1.2, 0.001), 2, np.float64, shape)
    np.testing.assert_allclose(other, plain, atol=1e-11)


def test_tilted_panels_are_left_to_the_plain_kernel():
    assert not pixel_columns.applies(table(1.2, 0.01, tilt=0.1))
    assert math.isclose(np.abs(table(1.2, 0.01, tilt=0.1) - table(1.2, 0.01)).max(), 0.12)

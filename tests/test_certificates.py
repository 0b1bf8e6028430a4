"""Certificates beyond their laws: a claim that says nothing does not hold."""

import pytest
import torch

from microlocal.certificates.data import certify_residual
from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.operators import RayTransform

RAY = RayTransform(ParallelBeam((0.0, 0.8, 1.9), Detector(9, 1.0)), Grid((6, 7), 1.0))
IMAGE = torch.rand(6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_zero_image_explains_nothing():
    data = RAY(IMAGE)
    certificate = certify_residual(RAY, torch.zeros_like(IMAGE), data, target=1.0)
    assert certificate.value == pytest.approx(1.0)
    assert not certificate.holds


def test_a_bound_above_that_of_the_zero_image_is_without_force():
    data = RAY(IMAGE)
    assert certify_residual(RAY, IMAGE, data, target=1.0).holds
    assert not certify_residual(RAY, IMAGE, data, target=1.1).holds


def test_an_image_that_is_not_finite_is_not_certified():
    broken = IMAGE.clone()
    broken[2, 3] = torch.nan
    assert not certify_residual(RAY, broken, RAY(IMAGE), target=0.5).holds

"""Certificates beyond their laws: a claim that says nothing does not hold."""

import pytest
import torch

from microlocal.certificates import Kind, certificate_from_dict, operators
from microlocal.certificates.consistency import certify_consistency
from microlocal.certificates.data import certify_residual
from microlocal.certificates.operators import certify_adjoint, certify_norm
from microlocal.core import Detector, FanBeam, Grid, ParallelBeam
from microlocal.core.errors import InputError
from microlocal.operators import Identity, RayTransform

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


def _grown(data, visible, image):
    return certify_consistency(Identity((3, 4)), data, visible, image, 0.05)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_data_that_are_not_finite_are_not_consistent_with_anything(value):
    """Both residuals are infinite, and hence the same: nothing has stayed what it was."""
    f = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data = 1.1 * f
    assert _grown(data, f, f).holds
    data[1, 2, 3] = value
    certificate = _grown(data, f, f + 100)
    assert not certificate.holds
    assert not certificate.value <= certificate.bound
    assert not certificate.falsify() <= certificate.bound


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("error", [1.0, 3.0])
def test_residuals_are_what_they_are_in_any_unit(unit, error):
    """A unit in which squares are too small, or too large, for a number makes no residual zero or infinite."""
    f = torch.rand(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    data, image = 1.1 * unit * f, unit * f * (1.1 - 0.1 * error)
    certificate = _grown(data, unit * f, image)
    assert certificate.value == pytest.approx(error - 1, abs=1e-9)
    assert certificate.falsify() == pytest.approx(error - 1, abs=1e-6)
    assert certificate.holds is (error == 1.0)
    for operator in (Identity((3, 4)), RAY):
        image = IMAGE if operator is RAY else f
        explained = certify_residual(operator, unit * image, (1 + 0.1 * error) * unit * operator(image), target=0.15)
        assert explained.value == pytest.approx(1 - 1 / (1 + 0.1 * error))
        assert explained.falsify() == pytest.approx(explained.value)
        assert explained.holds is (error == 1.0)


def test_an_empty_slice_is_its_own_bound():
    """Of a stack: nothing was measured, and nothing may be added."""
    f = torch.rand(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    f[1] = 0.0
    data = 1.1 * f
    assert _grown(data, f, f).holds
    added = f.clone()
    added[1, 0, 0] = 1e-9
    assert not _grown(data, f, added).holds


def test_a_large_projector_is_sampled_by_views_and_its_certificate_says_so(monkeypatch):
    beam = FanBeam(tuple(0.1 * k for k in range(20)), Detector(30, 1.2), source_axis=60.0, source_detector=90.0)
    ray = RayTransform(beam, Grid((24, 20), 1.0))
    assert certify_adjoint(ray).claim == "The adjoint of RayTransform is its exact transpose."
    monkeypatch.setattr(operators, "LARGE", 24 * 30 * 5)
    certificate = certify_adjoint(ray)
    assert certificate.claim == "The adjoint of RayTransform is its exact transpose, on 5 of its 20 views."
    assert certificate.holds
    assert certificate.falsify(3) <= certificate.bound
    norm = certify_norm(ray)
    assert (norm.value, norm.bound) == ray.norm_bounds(2)
    assert norm.falsify(1) <= norm.bound


def test_the_norm_of_what_is_no_sum_along_rays_is_not_proved():
    """Differences of neighbouring rays: they are next to nothing on flat images, where the bound is looked for."""

    class Differences(RayTransform):
        def _forward(self, x):
            sums = super()._forward(x)
            return sums - sums.roll(1, -1)

        def _adjoint(self, y):
            return super()._adjoint(y - y.roll(-1, -1))

    operator = Differences(RAY.geometry, RAY.grid, "rays")
    certificate = certify_norm(operator)
    assert certificate.falsify() > certificate.bound
    assert not certificate.holds
    assert certificate.kind is Kind.ESTIMATED


def test_a_certificate_from_a_file_does_not_pretend_to_be_attacked():
    ray = RayTransform(ParallelBeam((0.0, 1.0), Detector(9, 1.0)), Grid((6, 6), 1.0))
    issued = certify_norm(ray)
    assert 0 < issued.falsify() <= issued.bound
    back = certificate_from_dict(issued.to_dict())
    assert back == issued
    with pytest.raises(InputError, match="not kept in files"):
        back.falsify()

"""Observations: data with any operator, against dense matrices; masks, complex images, refusals, what is told."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import microlocal as ml
from microlocal.certificates import Guarantee
from microlocal.core.errors import InputError, ShapeError, UnknownNameError
from microlocal.core.provenance import Provenance
from microlocal.core.seeding import generator
from microlocal.operators import Mask, birdcage_maps, cartesian_mask
from microlocal.reconstruction import Settings
from microlocal.reconstruction.data_step import OVERSHOOT, DataStep
from microlocal.reconstruction.fixed_point import tiny_denoiser
from microlocal.reconstruction.images.trial import cartoon
from microlocal.reconstruction.observation import EXACT, observed
from microlocal.reconstruction.plug_and_play import Known, observation_by_denoiser
from microlocal.reconstruction.scaled import scaled_observation
from microlocal.reconstruction.toy import GRID, blurred_toy, coned_toy, toy_scan

SHAPE = (5, 6)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def matrix(rows=40, seed=1):
    return drawn(rows, 30, seed=seed)


def off(image, truth):
    return float((image - truth).norm() / truth.norm())


class Halfway(nn.Module):
    """Averaged with 1/2 and not linear: the mean of u and its absolute value."""

    def forward(self, u):
        return (u + u.abs()) / 2

    def guarantee(self):
        return Guarantee(lipschitz=1.0, averaged=0.5)

    def hypotheses(self):
        return ()


def test_least_squares_is_that_of_the_matrix():
    a, x = matrix(), drawn(3, *SHAPE)
    data = x.flatten(1) @ a.T + 0.1 * drawn(3, 40, seed=2)
    found = ml.reconstruct(ml.Observation(data, ml.MatrixOperator(a, SHAPE)), "cgls", iterations=200)
    expected = torch.linalg.lstsq(a, data.T).solution.T.reshape(3, *SHAPE)
    assert torch.allclose(found.image, expected, atol=1e-4)
    assert torch.allclose(found.residual, data - found.image.flatten(1) @ a.T)


def test_damped_least_squares_is_that_of_the_matrix():
    a, data = matrix(), drawn(40)
    found = ml.reconstruct(ml.Observation(data, ml.MatrixOperator(a, SHAPE)), "cgls", weight=0.7, iterations=200)
    expected = torch.linalg.solve(a.T @ a + 0.7 * torch.eye(30, dtype=torch.float64), a.T @ data)
    assert torch.allclose(found.image.flatten(), expected, atol=1e-6)


def test_total_variation_meets_its_optimality_conditions():
    """0 = Aᵀ(A x - y) + Dᵀ p, p in the dual ball and λ Σ |D x| = <p, D x>: no direction beats the penalty."""
    a, data, weight = matrix(), drawn(40), 2.0
    found = ml.reconstruct(ml.Observation(data, ml.MatrixOperator(a, SHAPE)), "tv", weight=weight, iterations=4000)
    x, d = found.image, ml.Gradient(SHAPE)
    gradient = (a.T @ (a @ x.flatten() - data)).reshape(SHAPE)
    penalty = weight * float(d(x).norm(dim=0).sum())
    assert -float((gradient * x).sum()) == pytest.approx(penalty, rel=1e-3)
    for seed in range(20):
        v = drawn(*SHAPE, seed=seed)
        assert -float((gradient * v).sum()) <= weight * float(d(v).norm(dim=0).sum()) * (1 + 1e-3)


@pytest.mark.parametrize("scheme", ["plug-and-play", "red"])
def test_the_certified_fixed_point_is_that_of_a_plain_iteration(scheme):
    """By dense matrices in float64: r(AᵀA) from eigenvalues, no acceleration, a hundred thousand steps if need be."""
    a = matrix(60) / 8
    x = drawn(*SHAPE, seed=5)
    observation = ml.Observation(a @ x.flatten() + 0.05 * drawn(60, seed=6), ml.MatrixOperator(a, SHAPE))
    settings = Settings(weight=0.1, iterations=4000)
    found = observation_by_denoiser(observation, settings, Known(Halfway()), scheme)
    problem = scaled_observation(observation)
    step = DataStep(observation.operator, problem.data, 3)
    values, vectors = torch.linalg.eigh(a.T @ a)
    pulled = 1 - step.residual_polynomial(values.clamp_min(0))
    hessian, solved = (vectors @ torch.diag(part) @ vectors.T for part in (pulled, pulled / values))
    right = solved @ (a.T @ problem.data.flatten())
    u, length = problem.start.flatten(), 0.95 * 2 / (1 + OVERSHOOT + 2 * 0.5)
    for _ in range(3000):
        ahead = u - hessian @ u + right
        if scheme == "plug-and-play":
            u = ((ahead + ahead.abs()) / 2).clamp(-1, 2)
        else:
            u = (u - length * (u - ahead + u - (u + u.abs()) / 2)).clamp(-1, 2)
    expected = problem.image(u.reshape(1, 1, *SHAPE)).reshape(SHAPE)
    assert off(found.image, expected) < 1e-5
    assert found.config["status"] == "converged"
    (certificate,) = found.certificates
    assert certificate.holds


def test_pixels_of_a_mask_are_kept_and_told_apart():
    x, known = drawn(16, 16).cumsum(0) / 4, torch.rand(16, 16, generator=generator(1)) > 0.4
    holes = torch.where(known, x, torch.full_like(x, math.nan))
    for method, code in (("tv", Provenance.UNDETERMINED), ("cgls", Provenance.UNDETERMINED)):
        found = ml.reconstruct(ml.Observation(holes, ml.Mask(known)), method, iterations=100)
        assert torch.equal(found.image[known], x[known])
        assert bool((found.provenance == torch.where(known, int(Provenance.MEASURED), int(code))).all())
        assert any("% of the pixels were filled in" in note for note in found.notes)
    listed = ml.Observation(x[known], ml.Restriction(known))
    by_denoiser = observation_by_denoiser(listed, Settings(iterations=30), Known(tiny_denoiser()))
    assert by_denoiser.config["weight"] == 0.03
    from_tv = ml.reconstruct(listed, "tv", iterations=100)
    assert torch.equal(from_tv.image[known], x[known])
    assert off(from_tv.image, ml.reconstruct(ml.Observation(holes, ml.Mask(known)), "tv", iterations=100).image) < 0.02


def test_what_a_network_fills_in_is_learned(monkeypatch):
    x, known = drawn(12, 12), torch.rand(12, 12, generator=generator(1)) > 0.3
    plugged = ml.methods("observation-method")["plug-and-play"].member
    monkeypatch.setitem(plugged.__globals__, "loaded", lambda name: Known(tiny_denoiser(), name))
    found = ml.reconstruct(ml.Observation(x, ml.Mask(known)), "plug-and-play", iterations=20)
    assert bool((found.provenance[~known] == int(Provenance.LEARNED)).all())
    assert bool((found.provenance[known] == int(Provenance.MEASURED)).all())
    assert torch.equal(found.image[known], x[known])
    assert sum("fixed point" in c.claim for c in found.certificates) == 1
    noisy = ml.reconstruct(ml.Observation(x, ml.Mask(known), noise=0.1), "plug-and-play", weight=0.05, iterations=20)
    assert not torch.equal(noisy.image[known], x[known])
    assert any("changed by the method" in note for note in noisy.notes)
    with pytest.raises(InputError, match="weights of a denoiser"):
        ml.reconstruct(ml.Observation(x, ml.Mask(known)), "red", network="none")


def test_pixels_without_influence_are_found():
    a = matrix(20)
    a[:, [3, 17]] = 0
    found = ml.reconstruct(ml.Observation(drawn(20), ml.MatrixOperator(a, SHAPE)), "cgls")
    dark = found.provenance.flatten() == int(Provenance.UNDETERMINED)
    assert dark.nonzero().flatten().tolist() == [3, 17]
    assert bool((found.provenance.flatten()[~dark] == int(Provenance.NONE)).all())
    assert any("2 pixels have no influence" in note for note in found.notes)


def test_the_residual_meets_the_noise_that_is_given():
    observation, truth = blurred_toy()
    for method in ("tv", "shearlet"):
        given = ml.reconstruct(replace(observation, noise=0.02), method)
        assert given.config["relative residual"] == pytest.approx(given.config["target residual"], rel=0.1)
        assert given.config["target residual"] == pytest.approx(0.02 * 20 / float(observation.data.norm()), rel=1e-3)
        assert "given noise" in given.notes[0]
        assert off(given.image, truth) < off(observation.data, truth)
        assert all(c.holds and c.falsify(0) <= c.bound for c in given.certificates)
    found = observation_by_denoiser(replace(observation, noise=0.02), Settings(iterations=40), Known(tiny_denoiser()))
    assert found.config["relative residual"] == pytest.approx(found.config["target residual"], rel=0.1)
    assert off(found.image.float(), truth) < off(observation.data, truth)


def test_bounds_are_kept_by_image():
    observation, _ = blurred_toy()
    both = replace(observation, data=torch.stack((observation.data, 5 * observation.data + 1)), bounds=(0.1, 4.0))
    for found in (
        ml.reconstruct(both, "tv", weight=0.01, iterations=30).image,
        observation_by_denoiser(both, Settings(weight=0.02, iterations=30), Known(tiny_denoiser())).image,
    ):
        assert found.min() >= 0.1 - 1e-5
        assert found.max() <= 4.0 + 1e-5
        assert (found == found.max()).sum() > 1


def test_complex_data_of_coils():
    truth = torch.zeros(24, 24, dtype=torch.float64)
    truth[6:18, 8:16] = 1.0
    coils = ml.CoilSensitivities(birdcage_maps(4, (24, 24)))
    sense = ml.FourierSampling(cartesian_mask((24, 24), 2.0)) @ coils
    real = sense @ ml.AsComplex((24, 24))
    data = real(truth)
    data = data + 0.01 * torch.complex(drawn(*data.shape), drawn(*data.shape, seed=1))
    found = ml.reconstruct(ml.Observation(data, real, noise=0.01), "tv")
    plain = ml.reconstruct(ml.Observation(data, real, noise=0.01), "cgls")
    assert off(found.image, truth) < min(0.1, off(plain.image, truth))
    plugged = observation_by_denoiser(ml.Observation(data, real, noise=0.01), Settings(iterations=40, weight=0.01),
                                      Known(tiny_denoiser()))  # fmt: skip
    assert off(plugged.image, truth) < 0.2
    turned = ml.reconstruct(ml.Observation(data, sense, noise=0.01), "tv", weight=0.02, iterations=100)
    assert turned.image.is_complex()
    assert off(turned.image.real, truth) < 0.15
    for method in ("shearlet", "plug-and-play"):
        with pytest.raises(InputError, match="real images"):
            ml.reconstruct(ml.Observation(data, sense, noise=0.01), method)


def test_a_scan_is_an_observation_too():
    scan = toy_scan()
    as_scan = ml.reconstruct(scan, "cgls")
    observation = observed(scan, GRID)
    assert torch.equal(ml.reconstruct(observation, "cgls").image, as_scan.image)
    assert observation.sigma() == as_scan.metrics["noise per ray"]


def test_noise_that_cannot_be_known_is_asked_for():
    observation = ml.Observation(drawn(40), ml.MatrixOperator(matrix(), SHAPE))
    for method in ("tv", "shearlet"):
        with pytest.raises(InputError, match=r"noise level.*noise="):
            ml.reconstruct(observation, method)
    assert math.isnan(float(ml.reconstruct(observation, "tv", weight=1.0, iterations=5).noise))
    exact = replace(observation, noise=0.0)
    assert exact.aim("tv").sigma * math.sqrt(40) == pytest.approx(EXACT * float(exact.data.norm()))


def test_a_wrong_adjoint_is_told():
    class Wrong(ml.MatrixOperator):
        def _adjoint(self, y):
            return super()._adjoint(y) * 1.5

    found = ml.reconstruct(ml.Observation(drawn(40), Wrong(matrix(), SHAPE)), "cgls", iterations=2)
    assert any("not its transpose" in note for note in found.notes)
    assert not found.certificates[0].holds


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: ml.Observation(drawn(40), matrix()), InputError, "MatrixOperator"),
        (lambda: ml.Observation(drawn(41), ml.MatrixOperator(matrix(), SHAPE)), ShapeError, "40"),
        (lambda: ml.Observation(drawn(40) * math.nan, ml.MatrixOperator(matrix(), SHAPE)), InputError, "finite"),
        (lambda: ml.Observation(drawn(40), ml.MatrixOperator(matrix(), (30,))), InputError, "images"),
        (lambda: ml.Observation(drawn(40), ml.MatrixOperator(matrix(), SHAPE), -1.0), InputError, "noise >= 0"),
        (
            lambda: ml.Observation(drawn(40), ml.MatrixOperator(matrix(), SHAPE), bounds=(1.0, 0.0)),
            InputError,
            "bounds",
        ),
        (
            lambda: ml.Observation(drawn(40), ml.MatrixOperator(matrix(), SHAPE), bounds=(0.0, 1.0, 2.0)),
            InputError,
            "bounds",
        ),
        (
            lambda: ml.Observation(
                drawn(*SHAPE).cfloat(), ml.FourierSampling(torch.ones(SHAPE)), bounds=(0.0, math.inf)
            ),
            InputError,
            "real images only",
        ),
        (lambda: ml.Observation(drawn(0, 40), ml.MatrixOperator(matrix(), SHAPE)), InputError, "data"),
    ],
)
def test_what_does_not_fit_is_refused(made, error, said):
    with pytest.raises(error, match=said):
        made()


def test_methods_that_need_rays_say_which_do_not():
    observation, _ = blurred_toy()
    for name in set(ml.methods()) - set(ml.methods("observation-method")):
        with pytest.raises(InputError, match=r"needs rays.*cgls, tv, shearlet|needs rays.*plug-and-play"):
            ml.reconstruct(observation, name)
    with pytest.raises(UnknownNameError, match="shearlet"):
        ml.reconstruct(observation, "sheerlet")
    with pytest.raises(InputError, match="neither grid nor hold_out"):
        ml.reconstruct(observation, "tv", hold_out=2)
    with pytest.raises(InputError, match="not zero"):
        ml.reconstruct(replace(observation, data=0 * observation.data), "tv")
    assert set(ml.methods("observation-method")) <= set(ml.methods())


@pytest.mark.parametrize("method", ["tv", "shearlet"])
def test_gaps_in_exact_data_are_filled_in(method):
    """A start that explains exact data without an error left the steps balanced by nothing: the gaps stayed empty."""
    truth = 100 * cartoon(32) + 50
    known = torch.rand(32, 32, generator=generator(0)) > 0.3
    found = ml.reconstruct(ml.Observation(truth * known, Mask(known), 0.0), method)
    assert float((found.image - truth)[~known].abs().mean()) < 15
    assert found.config["relative residual"] < 0.01


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weight": None}, "weight > 0"),
        ({"weight": math.nan}, "weight > 0"),
        ({"iterations": 0}, "iterations >= 1"),
        ({"iterations": -1}, "iterations >= 1"),
        ({"iterations": 1.5}, "whole number"),
    ],
)
@pytest.mark.parametrize("method", ["cgls", "tv", "fbp"])
def test_settings_that_make_no_sense_are_refused_and_not_replaced(method, settings, said):
    measured = toy_scan() if method == "fbp" else blurred_toy()[0]
    with pytest.raises(InputError, match=said):
        ml.reconstruct(measured, method, **settings)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_data_whose_squares_leave_float32_are_refused_as_those_of_scans(size):
    observation, _ = blurred_toy()
    with pytest.raises(InputError, match="Choose another unit"):
        ml.reconstruct(replace(observation, data=size * observation.data.float()), "cgls")


@pytest.mark.parametrize("method", ["cgls", "plug-and-play"])
def test_an_operator_that_sees_nothing_is_refused(method):
    blind = ml.MatrixOperator(torch.zeros(5, 64), (8, 8))
    with pytest.raises(InputError, match="an operator that sees pixels"):
        ml.reconstruct(ml.Observation(torch.ones(5), blind, 0.1), method)


@pytest.mark.parametrize("method", ["tv", "shearlet"])
def test_one_pixel_can_be_fitted_without_an_error(method):
    found = ml.reconstruct(ml.Observation(torch.ones(1, 1), Mask(torch.ones(1, 1)), 0.1), method, iterations=5)
    assert float(found.image) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("noise", [10.0, 1e9])
def test_noise_beyond_the_data_is_said_and_flattens_the_image(noise):
    observation, _ = blurred_toy()
    found = ml.reconstruct(replace(observation, noise=noise), "tv")
    assert any("nothing in the image can be told from it" in note for note in found.notes)
    assert found.config["target residual"] == pytest.approx(1.0)
    assert float(found.image.std()) < 0.05 * float(ml.reconstruct(observation, "tv").image.std())
    quiet = ml.reconstruct(observation, "tv", iterations=5)
    assert not any("told from it" in note for note in quiet.notes)


def coned(noise=0.0):
    cone = ml.ConeBeam(
        tuple(torch.linspace(0, 5.6, 8).tolist()),
        ml.FlatPanel(6, 7, (2.0, 2.0)),
        source_axis=40.0,
        source_detector=80.0,
    )
    ray = ml.RayTransform3D(cone, ml.VolumeGrid((4, 5, 6), 1.0))
    x = drawn(4, 5, 6).abs()
    return ray, x, ray(x) + noise * drawn(*ray.codomain_shape, seed=3)


def test_least_squares_of_a_volume_are_those_of_the_matrix():
    ray, _, data = coned(0.1)
    columns = ray(torch.eye(120, dtype=torch.float64).reshape(120, 4, 5, 6)).flatten(1).T
    found = ml.reconstruct(ml.Observation(data, ray), "cgls", weight=0.3, iterations=300)
    expected = torch.linalg.solve(
        columns.T @ columns + 0.3 * torch.eye(120, dtype=torch.float64), columns.T @ data.flatten()
    )
    assert off(found.image.flatten(), expected) < 1e-4
    assert found.provenance.shape == found.image.shape == (4, 5, 6)
    assert all(c.holds for c in found.certificates)


def test_total_variation_of_a_volume_meets_its_optimality_conditions():
    ray, _, data = coned(0.1)
    weight = 1.5
    found = ml.reconstruct(ml.Observation(data, ray, noise=0.1), "tv", weight=weight, iterations=4000)
    x, d = found.image, ml.Gradient((4, 5, 6))
    gradient = ray.adjoint(ray(x) - data)
    penalty = weight * float(d(x).norm(dim=0).sum())
    assert -float((gradient * x).sum()) == pytest.approx(penalty, rel=1e-3)
    for seed in range(20):
        v = drawn(4, 5, 6, seed=seed)
        assert -float((gradient * v).sum()) <= weight * float(d(v).norm(dim=0).sum()) * (1 + 1e-3)


def test_the_noise_of_a_panel_is_estimated_and_the_weight_follows():
    cone = ml.ConeBeam((0.0, 0.9, 2.1), ml.FlatPanel(12, 64, (2.0, 0.4)), source_axis=60.0, source_detector=120.0)
    _, truth = coned_toy()
    ray = ml.RayTransform3D(cone, ml.VolumeGrid((10, 12, 12), 1.0))
    data = ray(truth) + 0.2 * torch.randn(3, 12, 64, generator=generator(4))
    observation = ml.Observation(data, ray, bounds=(0.0, math.inf))
    assert observation.sigma() == pytest.approx(0.2, rel=0.15)
    found = ml.reconstruct(observation, "tv")
    assert found.config["weight chosen by"] == "discrepancy principle"
    assert found.config["relative residual"] == pytest.approx(found.config["target residual"], rel=0.1)
    assert float(found.image.min()) >= 0


def test_what_needs_images_refuses_volumes_by_name():
    ray, _, data = coned()
    for name in ("plug-and-play", "red"):
        with pytest.raises(InputError, match=rf"{name}: expected an operator of images .* tv, shearlet and cgls take"):
            ml.reconstruct(ml.Observation(data, ray), name)
    with pytest.raises(InputError, match=r"images .row, col. or volumes .slice, row, col."):
        ml.Observation(torch.zeros(4), ml.Identity((4,)))


def test_gaps_of_a_volume_are_filled_and_told_apart():
    truth = torch.zeros(8, 8, 8)
    truth[:, :4] = 1.0
    known = torch.ones(8, 8, 8, dtype=torch.bool)
    known[3:5, 1:3, 3:5] = False
    found = ml.reconstruct(ml.Observation(truth, Mask(known)), "tv", iterations=300)
    assert torch.equal(found.image[known], truth[known])
    assert float((found.image - truth).abs().max()) < 0.02
    assert bool((found.provenance[~known] == int(Provenance.UNDETERMINED)).all())

"""The least change that brings an image nearer to its data, beside a dense matrix; its certificate, refusals."""

import json
import math

import pytest
import torch
from scipy.sparse.linalg import aslinearoperator
from typer.testing import CliRunner

import microlocal as ml
from microlocal.certificates.least_change import certify_least_change, least_possible
from microlocal.cli.app import app
from microlocal.core import Detector, Grid, ParallelBeam
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT
from microlocal.core.seeding import generator
from microlocal.io.own import write_scan
from microlocal.operators import MatrixFree, MatrixOperator, RayTransform
from microlocal.reconstruction.data_fit import INTERRUPTED, fitted
from microlocal.reconstruction.method import Estimate
from microlocal.reconstruction.toy import toy_scan

RAY = RayTransform(ParallelBeam(tuple(0.4 * k for k in range(5)), Detector(14, 1.0)), Grid((9, 10), 1.0))


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def dense(operator):
    count = math.prod(operator.domain_shape)
    rows = torch.eye(count, dtype=torch.float64).reshape(count, *operator.domain_shape)
    return operator(rows).reshape(count, -1).T


def unseen():
    """Return a basis of the images that RAY does not see."""
    _, s, v = torch.linalg.svd(dense(RAY))
    return v[int((s > 1e-9 * s[0]).sum()) :]


def least_change(a, gap, target):
    """Return d of the least norm with |A d - gap| <= target: Tikhonov's, its α found by halving in the dense matrix."""
    low, high = 1e-12, 1e12
    for _ in range(200):
        alpha = math.sqrt(low * high)
        d = torch.linalg.solve(a.T @ a + alpha * torch.eye(a.shape[1], dtype=a.dtype), a.T @ gap)
        low, high = (low, alpha) if float((a @ d - gap).norm()) > target else (alpha, high)
    return d


def problem(operator, noise, seed=0):
    image = drawn(*operator.domain_shape, seed=seed).abs()
    data = operator(image)
    data = data + noise * float(data.norm()) / math.sqrt(data.numel()) * drawn(*data.shape, seed=seed + 1)
    begun = 0.9 * image + 0.05 * drawn(*image.shape, seed=seed + 2)
    return begun, data


def left(operator, image, data):
    return float((operator(image) - data).norm() / data.norm())


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
@pytest.mark.parametrize("operator", [RAY, MatrixOperator(drawn(70, 30, seed=9), (5, 6))], ids=["rays", "matrix"])
def test_it_is_the_least_change_of_the_dense_matrix(operator, share):
    begun, data = problem(operator, 0.05)
    a, gap = dense(operator), data - operator(begun)
    rest = float((gap.flatten() - a @ torch.linalg.lstsq(a, gap.flatten(), driver="gelsd").solution).norm())
    residual = (share * float(gap.norm()) + (1 - share) * rest) / float(data.norm())
    found = fitted(Estimate(begun), operator, data, residual)
    least = least_change(a, gap.flatten(), residual * float(data.norm()))
    assert left(operator, found.image, data) <= residual
    assert float((found.image - begun).norm()) == pytest.approx(float(least.norm()), rel=0.05)
    assert found.certificates[0].holds
    assert 0.8 < found.certificates[0].falsify(0) <= found.certificates[0].value
    assert found.config["target residual"] == residual


def test_the_bound_of_the_change_is_sharp_at_the_least_one_and_below_it_everywhere():
    begun, data = problem(RAY, 0.05)
    gap = data - RAY(begun)
    target = 0.8 * float(gap.norm())
    least = least_change(dense(RAY), gap.flatten(), target)
    y = gap - RAY(least.reshape(RAY.domain_shape))
    assert least_possible(RAY, gap, y, target) == pytest.approx(float(least.norm()), rel=1e-6)
    for seed in range(20):
        assert least_possible(RAY, gap, y + 0.3 * float(y.std()) * drawn(*y.shape, seed=seed), target) <= float(
            least.norm()
        ) * (1 + 1e-9)


def test_a_change_larger_than_it_must_be_is_not_certified_and_the_attack_finds_a_smaller_one():
    begun, data = problem(RAY, 0.05)
    residual = 0.8 * left(RAY, begun, data)
    found = fitted(Estimate(begun), RAY, data, residual).image
    far = found + float((found - begun).norm()) * unseen()[0].reshape(found.shape)  # which costs nothing in the data
    certificate = certify_least_change(RAY, begun, far, data, residual)
    assert left(RAY, far, data) == pytest.approx(left(RAY, found, data), rel=1e-6)
    assert not certificate.holds
    assert certificate.falsify(0) > certificate.bound


def test_what_is_near_enough_stays_as_it_is():
    begun, data = problem(RAY, 0.05)
    found = fitted(Estimate(begun), RAY, data, 1.01 * left(RAY, begun, data))
    assert torch.equal(found.image, begun)
    assert found.certificates[0].holds
    assert found.certificates[0].value == found.certificates[0].falsify(0) == 1.0
    assert "Nothing had to be changed" in found.notes[-1]


def test_data_that_cannot_be_explained_so_well_are_not_claimed_to_be():
    begun, data = problem(RAY, 0.3)
    found = fitted(Estimate(begun), RAY, data, 1e-4)
    assert left(RAY, found.image, data) < left(RAY, begun, data)
    assert not found.certificates[0].holds
    assert "0.01 % of the data cannot be left" in found.notes[-1]


def test_images_of_a_batch_are_changed_one_by_one():
    pairs = [problem(RAY, noise, seed) for noise, seed in ((0.05, 0), (0.2, 7))]
    images, data = (torch.stack(parts) for parts in zip(*pairs, strict=True))
    residual = 0.95 * max(left(RAY, *pair) for pair in pairs)
    together = fitted(Estimate(images), RAY, data, residual)
    for k, (image, own) in enumerate(pairs):
        assert torch.equal(together.image[k], fitted(Estimate(image), RAY, own, residual).image)


def test_what_the_rays_do_not_see_stays():
    """The learned part lies there: the change is measured, all of it."""
    begun, data = problem(RAY, 0.05)
    found = fitted(Estimate(begun), RAY, data, 0.7 * left(RAY, begun, data))
    change = (found.image - begun).flatten()
    assert float((unseen() @ change).norm()) <= 1e-9 * float(change.norm())


class Stopping(type(SILENT)):
    def advance(self, task, count=1):
        raise KeyboardInterrupt


def test_ctrl_c_leaves_the_image_of_the_method():
    begun, data = problem(RAY, 0.05)
    found = fitted(Estimate(begun), RAY, data, 0.5 * left(RAY, begun, data), Stopping())
    assert torch.equal(found.image, begun)
    assert found.config["status"] == "interrupted"
    assert found.notes[-1] == INTERRUPTED


def test_ctrl_c_in_the_method_leaves_its_image():
    begun, data = problem(RAY, 0.05)
    for config in ({"status": "interrupted"}, {"first stage": {"status": "interrupted"}}):
        found = fitted(Estimate(begun, config=config), RAY, data, 0.5 * left(RAY, begun, data))
        assert torch.equal(found.image, begun)
        assert found.notes == (INTERRUPTED,)
        assert not found.certificates


@pytest.mark.parametrize("method", ["fbp", "tv"])
def test_a_scan_is_reconstructed_to_the_residual_that_was_asked_for(method):
    scan = toy_scan()
    plain = ml.reconstruct(scan, method)
    asked = 0.8 * plain.metrics["relative residual"]
    found = ml.reconstruct(scan, method, residual=asked)
    assert found.metrics["relative residual"] <= asked * (1 + 1e-4)
    assert any("leaves so little" in c.claim and c.holds for c in found.certificates)


def test_a_complex_observation_is_reconstructed_to_the_residual_that_was_asked_for():
    a = MatrixOperator(torch.complex(drawn(40, 30, seed=1), drawn(40, 30, seed=2)), (5, 6))
    y = a(torch.complex(drawn(5, 6, seed=3), drawn(5, 6, seed=4)))
    y = y + 0.2 * torch.complex(drawn(40, seed=5), drawn(40, seed=6))
    observation = ml.Observation(y, a, noise=0.3)
    plain = ml.reconstruct(observation, "tv")
    before = float(plain.residual.norm() / y.norm())
    found = ml.reconstruct(observation, "tv", residual=0.9 * before)
    assert float(found.residual.norm() / y.norm()) <= 0.9 * before * (1 + 1e-6)
    assert all(c.holds for c in found.certificates)


def test_an_operator_without_a_bound_is_fitted_too():
    matrix = drawn(40, 30, seed=1)
    a = MatrixFree(aslinearoperator(matrix.numpy()), (5, 6), (40,))
    begun, data = problem(a, 0.3)
    asked = 0.8 * left(a, begun, data)
    found = fitted(Estimate(begun), a, data, asked)
    assert a.norm_bound() == math.inf
    assert left(a, found.image, data) <= asked
    assert found.certificates[0].holds


@pytest.mark.parametrize("residual", [0, 1, -0.1, math.nan, "0.02", True])
def test_residuals_that_are_none_are_refused(residual):
    with pytest.raises(InputError, match="a residual between 0 and 1"):
        ml.reconstruct(toy_scan(), "fbp", residual=residual)


def test_the_command_line_reaches_it_and_says_so(tmp_path):
    write_scan(toy_scan(), tmp_path / "scan.npz")
    command = ["reconstruct", str(tmp_path / "scan.npz"), "--method", "fbp", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "--residual", "0.05"])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "result.json").read_text())
    assert told["metrics"]["relative residual"] <= 0.05 * (1 + 1e-4)
    assert any("was changed by" in note for note in told["notes"])
    assert CliRunner().invoke(app, [*command, "--residual", "2"]).exit_code == 2

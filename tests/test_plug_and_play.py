"""Plug-and-play: fixed points with known answers, steps that never grow, refusals, certificates that mutants fail."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from torch import nn
from torch.nn import functional

import microlocal as ml
from microlocal.certificates import Guarantee, Hypothesis, certify_fixed_point
from microlocal.certificates.fixed_point import largest_growth
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.seeding import generator
from microlocal.networks import DiffusionNetwork, Mixture, SymmetricBlock
from microlocal.networks.adaptive_shrinkage import AdaptiveShrinkage
from microlocal.networks.nonexpansive import Nonexpansive
from microlocal.networks.weights import load_weights, save_weights
from microlocal.operators import Convolution, Identity, MatrixFree, MatrixOperator, RayTransform, gaussian_kernel
from microlocal.reconstruction import Settings
from microlocal.reconstruction.data_step import OVERSHOOT, DataStep
from microlocal.reconstruction.fixed_point import (
    Iteration,
    certificate_of,
    iterate,
    refuse_unproved,
    tiny_denoiser,
)
from microlocal.reconstruction.images import plug_and_play
from microlocal.reconstruction.images.scale import trained_range
from microlocal.reconstruction.images.trial import cartoon
from microlocal.reconstruction.plug_and_play import Known, by_denoiser
from microlocal.reconstruction.toy import GRID, toy_scan, toy_truth
from microlocal.solvers import Driver, Status, krasnoselskii_mann
from microlocal.solvers.trial import small_scan

SHAPE = (4, 5)
LONG = Driver(iterations=6000, every=1, tolerance=1e-13)


class Quadratic(nn.Module):
    """The proximal map of c/2 |u|²: u/(1 + c)."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, u, noise):
        return u / (1 + self.weight)

    def guarantee(self):
        return Guarantee(lipschitz=1.0, averaged=0.5)

    def hypotheses(self):
        return (Hypothesis("the weight is positive", str(self.weight), self.weight > 0),)


class Soft(Quadratic):
    """The proximal map of c |u|_1."""

    def forward(self, u, noise):
        return u.sign() * (u.abs() - self.weight).clamp_min(0)


class TooSteep(Quadratic):
    """States that it is averaged, but its Lipschitz constant is 1.2, where the image changes from pixel to pixel."""

    def forward(self, u, noise):
        return u + 0.2 * (u - u.mean(dim=(-2, -1), keepdim=True))


def problem(denoiser, steps=1, scheme="plug-and-play", box=(0.0, 10.0), strength=1.0):
    ray, matrix, data = small_scan()
    step = DataStep(ray, data.reshape(1, 1, *data.shape), steps)
    level = torch.tensor([0.1], dtype=torch.float64)
    return Iteration(step, denoiser, level, scheme, box, strength), matrix, data.flatten()


def start(draw=0):
    return torch.rand(1, 1, *SHAPE, dtype=torch.float64, generator=generator(draw))


def weighting(step, matrix):
    """I - r(AᵀA), by its eigenvalues: the Hessian of what the data's step descends."""
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)
    pulled = 1 - step.residual_polynomial(values.clamp_min(0))
    return vectors @ torch.diag(pulled) @ vectors.T, vectors @ torch.diag(pulled / values) @ vectors.T


@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_the_data_step_is_the_polynomial_in_closed_form(steps):
    iteration, matrix, data = problem(Quadratic(0.1), steps)
    step, u = iteration.data_step, start()
    hessian, solved = weighting(step, matrix)
    expected = u.flatten() - hessian @ u.flatten() + solved @ (matrix.T @ data)
    assert torch.allclose(step(u).flatten(), expected, atol=1e-10)
    values = step.residual_polynomial(torch.linspace(0, step.largest, 999, dtype=torch.float64))
    assert -OVERSHOOT - 1e-12 <= float(values.min()) <= -OVERSHOOT + 0.01 * (steps > 0)
    assert float(values.max()) <= 1 + 1e-12
    assert all(h.holds for h in step.hypotheses())


def test_acceleration_gains_where_the_map_has_kinks():
    noisy = torch.randn(200, dtype=torch.float64, generator=generator(0)).cumsum(0)
    applied = []

    def smoother(u):
        applied[-1] += 1
        flux = functional.pad(u.diff().clamp(-0.05, 0.05), (1, 1))
        return u + 0.45 * (flux.diff() - 2e-3 * (u - noisy))

    for memory in (0, 5):
        applied.append(0)
        found = krasnoselskii_mann(smoother, noisy, Driver(iterations=20000, every=1, tolerance=1e-7), memory)
        assert found.status.name == "CONVERGED"
    assert 8 * applied[1] < applied[0]  # a fixed damping: 5.5 times


def test_one_step_is_the_usual_gradient_step():
    iteration, matrix, data = problem(Quadratic(0.1))
    step, u = iteration.data_step, start().flatten()
    length = 2 / (step.largest + step.least)
    assert length < 2 / torch.linalg.matrix_norm(matrix, 2) ** 2
    assert torch.allclose(step(u.reshape(1, 1, *SHAPE)).flatten(), u - length * matrix.T @ (matrix @ u - data))


@pytest.mark.parametrize("steps", [1, 3])
def test_with_the_prox_of_a_quadratic_it_is_the_minimiser(steps):
    """u = D(G(u)) is (M + c) u = b for the data's Hessian M."""
    iteration, matrix, data = problem(Quadratic(0.05), steps, box=(-100.0, 100.0))
    hessian, solved = weighting(iteration.data_step, matrix)
    expected = torch.linalg.solve(hessian + 0.05 * torch.eye(20, dtype=torch.float64), solved @ (matrix.T @ data))
    assert torch.allclose(iterate(iteration, start(), LONG).value.flatten(), expected, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 3])
def test_with_soft_shrinkage_the_optimality_conditions_hold(steps):
    """For x >= 0: the gradient of the data is -c where x > 0 and at least -c where x = 0."""
    iteration, matrix, data = problem(Soft(0.02), steps)
    hessian, solved = weighting(iteration.data_step, matrix)
    x = iterate(iteration, start(), LONG).value.flatten()
    slope = hessian @ x - solved @ (matrix.T @ data) + 0.02
    assert 0 < int((x > 0).sum()) < 20
    assert float(slope[x > 0].abs().max()) < 1e-9
    assert float(slope.min()) > -1e-9


def test_red_leaves_its_fixed_point_condition():
    """u - G(u) + λ (u - D(u)) = 0 where the box does not bind; with D = u/(1 + c) that is (M + λ c/(1 + c)) u = b."""
    iteration, matrix, data = problem(Quadratic(0.2), 2, "red", (-100.0, 100.0), strength=0.5)
    x = iterate(iteration, start(), LONG).value
    pull = (x - iteration.data_step(x)) + 0.5 * (x - iteration.denoiser(x, 0.1))
    assert float(pull.norm()) < 1e-10
    hessian, solved = weighting(iteration.data_step, matrix)
    shifted = hessian + 0.5 * 0.2 / 1.2 * torch.eye(20, dtype=torch.float64)
    assert torch.allclose(x.flatten(), torch.linalg.solve(shifted, solved @ (matrix.T @ data)), atol=1e-8)


@pytest.mark.parametrize("scheme", ["plug-and-play", "red"])
def test_no_step_is_longer_than_the_one_before(scheme):
    iteration, _, _ = problem(tiny_denoiser().double(), 3, scheme)
    for draw in range(2):
        solution = iterate(iteration, 3 * start(draw), Driver(iterations=60, every=1))
        assert largest_growth(solution.history["distance"], 1e-14) <= 1.0
    (certificate,) = certificate_of(iteration, solution)
    assert certificate.holds
    assert certificate.falsify(0) <= certificate.bound


@pytest.mark.parametrize("scheme", ["plug-and-play", "red"])
def test_two_images_get_no_further_apart(scheme):
    iteration, _, _ = problem(tiny_denoiser().double(), 3, scheme)
    u, v = start(0), start(1)
    with torch.no_grad():
        assert float((iteration(u) - iteration(v)).norm()) <= float((u - v).norm())
    assert iteration.guarantee().averaged < 1


def test_the_averaged_constant_is_that_of_combettes_and_yamada():
    iteration, _, _ = problem(Quadratic(0.1))
    one = (0.75 + 0.5 - 0.75) / (1 - 0.375)  # the data's step, then the denoiser
    assert iteration.guarantee().averaged == pytest.approx((one + 0.5 - one) / (1 - one / 2))


def test_the_step_of_red_is_bounded_by_cocoercivity():
    iteration, _, _ = problem(Quadratic(0.1), 2, "red", strength=3.0)
    assert iteration.length < 2 / (1 + OVERSHOOT + 2 * 0.5 * 3.0)
    longer = problem(Quadratic(0.1), 2, "red", strength=3.0)[0]
    longer.length = 2.1 / (1 + OVERSHOOT + 3.0)
    assert not longer.guarantee().averaged < 1
    assert not all(h.holds for h in longer.hypotheses())


@pytest.mark.parametrize("scheme", ["plug-and-play", "red"])
def test_a_denoiser_that_is_too_steep_is_found_out(scheme):
    """On data that leave much undetermined: nothing else there brings images together."""
    matrix = torch.rand(2, 20, dtype=torch.float64, generator=generator(0))
    operator = MatrixOperator(matrix, SHAPE)
    step = DataStep(operator, operator(start(3)), 1)
    iteration = Iteration(step, TooSteep(0.1), torch.tensor([0.1], dtype=torch.float64), scheme, strength=1.0)
    certificate = certify_fixed_point(iteration, (1.0, 0.9), (1, 1, *SHAPE))
    assert certificate.holds
    assert max(certificate.falsify(seed) for seed in range(3)) > 1.05


def test_growing_steps_do_not_hold():
    iteration, _, _ = problem(Quadratic(0.1))
    assert not certify_fixed_point(iteration, (1.0, 0.5, 0.6), (1, 1, *SHAPE)).holds
    assert certify_fixed_point(iteration, (1.0, 0.5, 0.6), (1, 1, *SHAPE), rounding=0.11).holds
    assert not certify_fixed_point(iteration, (1.0, 0.0, 0.6), (1, 1, *SHAPE)).holds
    assert certify_fixed_point(iteration, (1.0, 0.0, 0.0), (1, 1, *SHAPE)).holds
    with pytest.raises(InputError, match="states what is proved"):
        certify_fixed_point(nn.Identity(), (1.0,), (1, 1, *SHAPE))


def test_what_is_no_number_refutes_convergence():
    iteration, _, _ = problem(Quadratic(0.1))
    assert not certify_fixed_point(iteration, (1.0, math.nan, 0.6), (1, 1, *SHAPE)).holds
    certificate = certify_fixed_point(iteration, (1.0, 0.6), (1, 1, *SHAPE))
    iteration.denoiser.forward = lambda u, noise: u * math.nan
    assert certificate.falsify() == math.inf
    with pytest.raises(InputError, match="not: modules are as they were written"):
        refuse_unproved(iteration, "plug-and-play", force=False)


def test_a_denoiser_whose_weights_are_no_numbers_is_refused():
    network = tiny_denoiser().double()
    network.blocks[0].activation.log_contrast.data.fill_(math.nan)
    iteration, _, _ = problem(network)
    with pytest.raises(InputError, match="not: all weights are finite"):
        refuse_unproved(iteration, "plug-and-play", force=False)


def test_what_is_not_averaged_is_refused_unless_forced():
    network = AdaptiveShrinkage((4, 4))
    with pytest.raises(InputError, match=r"AdaptiveShrinkage.*nonexpansive"):
        by_denoiser(toy_scan(), GRID, Settings(weight=0.05, iterations=2), Known(network))
    forced = by_denoiser(toy_scan(), GRID, Settings(weight=0.05, iterations=2, force=True), Known(network))
    assert forced.certificates == ()
    assert any("forced" in note for note in forced.notes)
    free = Nonexpansive((1,), 4, 3, row="perona-malik")
    with pytest.raises(InputError, match="averaged"):
        refuse_unproved(problem(free.double())[0], "plug-and-play", force=False)
    with pytest.raises(InputError, match="Lipschitz constant of one"):
        refuse_unproved(problem(free.double(), scheme="red")[0], "red", force=False)
    with pytest.raises(UnknownNameError):
        problem(Quadratic(0.1), scheme="admm")


def test_red_takes_what_is_only_non_expansive():
    class Turned(Quadratic):
        def forward(self, u, noise):
            return -u

        def guarantee(self):
            return Guarantee(lipschitz=1.0)

    iteration, _, _ = problem(Turned(1.0), 1, "red")
    assert iteration.guarantee().averaged < 1
    assert not problem(Turned(1.0))[0].guarantee().averaged < 1


def test_the_guarantee_follows_the_noise_level():
    network = Nonexpansive((1, 2), filters=4, side=3)
    with torch.no_grad():
        network.raw_mix[:, 1] = 1.0
    little, usual, much = (network.guarantee(noise).averaged for noise in (0.01, 0.1, 1.0))
    assert much < usual < little < 1
    assert network.guarantee().averaged == usual
    step = problem(network.double())[0].data_step
    at = Iteration(step, network, torch.tensor([0.01], dtype=torch.float64))
    assert at.proved().averaged == pytest.approx(little)
    kept = Iteration(step, network, torch.tensor([0.01], dtype=torch.float64), trained=(0.1, 0.2))
    assert kept.proved().averaged == pytest.approx(usual)


def test_levels_beyond_the_trained_ones_scale_the_image():
    iteration, _, _ = problem(tiny_denoiser().double())
    step, network, u = iteration.data_step, iteration.denoiser, start()
    level = torch.tensor([0.001], dtype=torch.float64)
    kept = Iteration(step, network, level, trained=(0.02, 0.2))
    with torch.no_grad():
        expected = (0.05 * network(20 * step(u), 0.02)).clamp(0, 10)
        assert torch.allclose(kept(u), expected, atol=1e-12)
    card = {"trained on": {"ranges": {"noise of images in [0, 1]": [0.02, 0.2]}}}
    assert trained_range(card) == (0.02, 0.2)
    assert trained_range({}) is None


def test_the_weights_of_a_file_reconstruct(tmp_path):
    architecture = {"kind": "nonexpansive", "dilations": [1, 2], "filters": 4, "side": 3}
    torch.manual_seed(0)
    network = Nonexpansive([1, 2], 4, 3)
    path = save_weights(tmp_path / "tiny", network.state_dict(), {"task": "denoising", "architecture": architecture})
    result = ml.reconstruct(toy_scan(), "plug-and-play", network=path, iterations=15)
    (certificate,) = [c for c in result.certificates if "fixed point" in c.claim]
    assert certificate.holds
    assert result.config["network"] == "tiny"
    assert result.config["SHA-256 of the network"] == load_weights(path)[1]["sha256"]
    assert abs(math.log(result.config["relative residual"] / result.config["target residual"])) < 0.1
    assert not any("not used" in note for note in result.notes)
    with pytest.raises(InputError, match="weights of a denoiser"):
        ml.reconstruct(toy_scan(), "red", network="none")


def test_it_converges_on_a_limited_arc():
    estimate = by_denoiser(toy_scan(), GRID, Settings(weight=0.02), Known(tiny_denoiser()))
    residual = estimate.history["residual"]
    assert estimate.config["status"] == Status.CONVERGED.name.lower()
    assert residual[-1] <= 1e-6
    assert len(residual) < 250
    assert estimate.certificates[0].value < 1


def test_rounding_does_not_end_the_iteration(monkeypatch):
    """In float32 the accelerated residual would stay near 1e-7: its proposals magnify rounding."""
    monkeypatch.setattr(sys.modules[by_denoiser.__module__], "TOLERANCE", 1e-10)
    estimate = by_denoiser(toy_scan(), GRID, Settings(weight=0.02, iterations=300), Known(tiny_denoiser()))
    assert estimate.history["residual"][-1] <= 1e-10
    assert estimate.image.dtype == torch.float32


def test_the_datas_step_is_faster_where_its_own_fit_explains_the_data_as_well():
    """Of 45 views a polynomial of degree four fits something else than the plain residual, of 180 it does not."""
    geometry = ml.ParallelBeam(tuple(np.radians(np.linspace(0, 130, 180))), ml.Detector(91, 1.0))
    data = RayTransform(geometry, GRID)(toy_truth())
    noisy = data + 0.01 * float(data.max()) * torch.randn(data.shape, generator=generator(0))
    settings = Settings(weight=0.02, iterations=2)
    for scan, degree in ((toy_scan(), 3), (ml.Scan(noisy, geometry, GRID), 4)):
        assert by_denoiser(scan, GRID, settings, Known(tiny_denoiser())).config["degree of the data's step"] == degree


def test_images_keep_what_is_known_and_carry_the_certificate():
    image = torch.linspace(0, 1, 20, dtype=torch.float64).expand(16, 20).clone()
    mask = torch.rand(16, 20, generator=generator(1)) > 0.3
    found = ml.inpaint_plug_and_play(image * mask, mask, tiny_denoiser(), iterations=100)
    assert torch.equal(found.image[mask], image[mask])
    assert float((found.image - image).abs().max()) < 0.2
    (certificate,) = found.certificates
    assert certificate.holds
    assert certificate.falsify(1) <= certificate.bound


def test_a_blur_is_undone():
    kernel, truth = gaussian_kernel(1.0).double(), (start().new_zeros(24, 24))
    truth[6:18, 8:16] = 1.0
    blurred = Convolution(kernel, (24, 24))(truth)
    found = ml.deblur_plug_and_play(blurred, kernel, tiny_denoiser(), noise=1e-3, iterations=150)
    assert float((found.image - truth).norm()) < 0.5 * float((blurred - truth).norm())
    assert found.certificates[0].holds
    with pytest.raises(InputError, match="not zero"):
        ml.deblur_plug_and_play(blurred, 0 * kernel, tiny_denoiser())


def test_strong_noise_is_not_left_where_a_blur_is_undone(monkeypatch):
    kernel, truth = gaussian_kernel(1.0).float(), cartoon().float()
    sizes = (int(truth.shape[0]), int(truth.shape[1]))
    seen = Convolution(kernel, sizes)(truth) + 0.1 * torch.randn(sizes, generator=generator(3))
    found = [ml.deblur_plug_and_play(seen, kernel, noise=0.1, iterations=60).image]
    monkeypatch.setattr(plug_and_play, "RAISED", 0.0)  # the denoiser is told the noise itself,
    monkeypatch.setattr(plug_and_play, "DEGREE", 3)  # which a step of this degree raises
    found.append(ml.deblur_plug_and_play(seen, kernel, noise=0.1, iterations=60).image)
    mine, plain = (float((image - truth).norm()) for image in found)
    assert mine < 0.85 * plain
    assert mine < 0.8 * float((seen - truth).norm())


def test_averaged_networks_that_take_no_noise_level_are_called_without():
    kernel, image = gaussian_kernel(1.0), torch.rand(12, 12, dtype=torch.float64, generator=generator(2))
    network = DiffusionNetwork([SymmetricBlock(1, 4, 3, Mixture(4))], repeats=2)
    found = ml.deblur_plug_and_play(image, kernel, network, noise=0.01, iterations=5)
    assert found.certificates[0].holds
    assert found.config["averaged"] < 1
    with pytest.raises(InputError, match="Conv2d, Lipschitz constant <= inf"):
        ml.deblur_plug_and_play(image, kernel, nn.Conv2d(1, 1, 3), noise=0.01, iterations=5)


def test_an_operator_without_a_bound_is_refused():
    class Free(Identity):
        def norm_bound(self):
            return math.inf

    with pytest.raises(InputError, match="norm bound"):
        DataStep(Free(SHAPE), start())


@pytest.mark.parametrize(
    ("bound", "turned", "told"), [(1.0, 1.0, r"A\* is the adjoint"), (0.5, 0.0, "the bound that A states")]
)
def test_an_operator_that_is_not_what_it_says_is_refused(bound, turned, told):
    """Its adjoint is another matrix's, and distances grow; or its norm is above the bound that was declared."""
    first, second = (
        torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64, generator=generator(k)))[0] for k in (1, 2)
    )
    back = (turned * second + (1 - turned) * first.T).numpy()
    products = scipy.sparse.linalg.LinearOperator(
        (64, 64), lambda x: first.numpy() @ x, lambda y: back @ y, dtype=float
    )
    operator = MatrixFree(products, (8, 8), (8, 8), bound=bound)
    step = DataStep(operator, operator(torch.rand(8, 8, dtype=torch.float64))[None, None])
    iteration = Iteration(step, tiny_denoiser().double(), torch.tensor([0.02], dtype=torch.float64))
    u = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=generator(0))
    assert iteration.guarantee().averaged < 1
    if turned:
        assert float((step(u[:1]) - step(u[1:])).norm()) > float((u[0] - u[1]).norm())
    with pytest.raises(InputError, match=told):
        refuse_unproved(iteration, "plug-and-play", force=False)


def test_the_red_scheme_of_a_scan_is_the_same_with_its_settings():
    settings = Settings(weight=0.02, iterations=20)
    first = by_denoiser(toy_scan(), GRID, settings, Known(tiny_denoiser()), "red")
    more = by_denoiser(toy_scan(), GRID, replace(settings, iterations=40), Known(tiny_denoiser()), "red")
    assert more.config["fixed-point residual"] < first.config["fixed-point residual"]


def test_the_acceleration_saves_steps_and_never_lets_the_residual_grow():
    """A kinked average of two projections: proposals across the kink are refused, plain steps go on."""

    def apply(u):
        wall = torch.tensor([1.0, 0.02], dtype=torch.float64)
        return 0.5 * u + 0.5 * (u - wall * ((u * wall).sum() - 1).clamp_min(0) / (wall @ wall)).clamp(-1, 3)

    begin = torch.tensor([40.0, 30.0], dtype=torch.float64)
    driver = Driver(iterations=400, every=1, tolerance=1e-12)
    plain, fast = (krasnoselskii_mann(apply, begin, driver, memory) for memory in (0, 3))
    assert all(largest_growth(found.history["distance"]) <= 1 for found in (plain, fast))
    assert fast.status is Status.CONVERGED
    assert fast.stats["iterations"] < plain.stats["iterations"]
    assert float((apply(fast.value) - fast.value).norm()) < 1e-11

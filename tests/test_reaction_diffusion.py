"""Trained reaction diffusion with a bound, and flows behind an operator, against their formulas and dense matrices."""

import math

import pytest
import torch
from scipy.sparse.linalg import LinearOperator
from torch import nn

from microlocal.certificates import certify_map
from microlocal.certificates.attack import Search, gain, spread, worst
from microlocal.certificates.layers import guarantee_of
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.registry import registered
from microlocal.core.seeding import generator
from microlocal.networks import Bands, DiffusionNetwork, Nonexpansive, ReactionDiffusion, StoppedFlow, SymmetricBlock
from microlocal.operators import Convolution, MatrixFree, MatrixOperator, gaussian_kernel
from microlocal.reconstruction.images.denoise_network import denoise_network
from microlocal.training.denoising import Denoising


def shaken(network, size=1.0):
    """The network with other weights, in float64."""
    for value in network.parameters():
        value.data.add_(size * torch.randn(value.shape, generator=generator(value.numel())))
    return network.double()


@pytest.mark.parametrize("parts", [1, 3, 5])
def test_whatever_bands_learn_stays_between_zero_and_the_identity(parts):
    bands = shaken(Bands(6, parts), 3.0)
    s = torch.linspace(-40, 40, 20001, dtype=torch.float64).expand(1, 6, 1, -1).requires_grad_()
    found = bands(s)
    (slope,) = torch.autograd.grad(found.sum(), s)
    ratio = (found / s)[..., s[0, 0, 0].abs() > 1e-9].detach()
    assert 0 <= float(ratio.min()) <= float(ratio.max()) <= 1 + 1e-12
    assert bands.least_slope - 1e-12 <= float(slope.min()) < 0
    assert float(slope.max()) <= bands.greatest_slope + 1e-12


def rising():
    """Bands of three channels that leave small differences alone and diffuse larger ones."""
    bands = Bands(3, 2)
    bands.raw_share.data = torch.tensor([[-6.0, 6.0]]).repeat(3, 1)
    return bands


def test_a_diffusivity_may_rise():
    s = torch.tensor([1e-3, 0.09], dtype=torch.float64).expand(1, 3, 1, 2)
    small, large = (rising().double()(s) / s)[0, 0, 0].tolist()
    assert small < 0.01
    assert large > 0.2
    assert rising().greatest_slope == pytest.approx(1.12, abs=0.01)


def test_stages_are_those_of_trained_reaction_diffusion():
    """u - τ (Kᵀ Φ(K u) + λ (u - f)), by the steps and reactions that ``stages`` tells."""
    network = shaken(ReactionDiffusion((1, 2), filters=3, side=3, parts=3), 0.3)
    f = torch.rand(2, 1, 9, 8, dtype=torch.float64, generator=generator(1))
    noise = 0.2
    scaled = u = f / noise
    level = torch.tensor(noise / network.usual, dtype=torch.float64).log().reshape(1, 1, 1, 1)
    for block, (_, tau, length, pull) in zip(network.blocks, network.stages(noise), strict=True):
        assert tau * (1 + 2 * pull) <= 2
        assert length == pytest.approx(tau / (1 - tau * pull))
        u = u - tau * (block.force(u, level) + pull * (u - scaled))
    torch.testing.assert_close(network(f, noise).detach(), noise * u.detach(), rtol=1e-9, atol=1e-12)


def test_distances_stay_bounded_for_any_depth_where_the_reaction_is_stronger_than_the_slope_falls():
    deep = ReactionDiffusion([1] * 60, filters=3, side=3, row="perona-malik-rational")
    deep.log_pull.data[:, 0] = -1.0
    least, _, _, pull = deep.stages()[0]
    bound = deep.guarantee().lipschitz
    assert least == -0.125
    assert 1 < bound <= pull / (pull + least) + 1e-9
    assert bound == pytest.approx(pull / (pull + least), rel=1e-3)
    deep.log_pull.data[:, 0] = -3.0
    assert deep.guarantee().lipschitz > 100
    assert deep.guarantee().gain == 1.0


def test_reaction_diffusion_is_attacked_in_vain_and_not_where_its_step_is_too_long():
    network = shaken(ReactionDiffusion((1, 1), filters=4, side=3, parts=3), 0.5)
    assert worst(network, (1, 9, 9), gain, Search(2, 20))[0] <= 1 + 1e-9
    assert worst(network, (1, 9, 9), spread, Search(2, 20))[0] <= network.guarantee().lipschitz
    long = ReactionDiffusion((1, 1), filters=4, side=3, row="whittaker-tikhonov")
    for block in long.blocks:
        block.step = lambda: torch.tensor(2.8)
    assert worst(long, (1, 12, 12), gain, Search(4, 60))[0] > 1.05
    assert [h.statement for h in long.hypotheses() if not h.holds] == [
        "block 0: 0 < τ <= 2",
        "block 1: 0 < τ <= 2",
        "0 < τ (1 + 2 λ) <= 2",
    ]
    with pytest.raises(UnknownNameError, match="bands"):
        ReactionDiffusion((1,), 4, 3, row="hard")
    with pytest.raises(InputError, match="a stage or more"):
        ReactionDiffusion((), 4, 3)


def test_bands_stand_in_other_networks_with_their_steeper_slopes():
    block = SymmetricBlock(1, 3, 3, rising(), step=1.9).double()
    for network in (block, DiffusionNetwork([block], 2, "fsi")):
        found = worst(network, (1, 8, 8), spread, Search(2, 20))[0]
        assert 1 < found <= network.guarantee().lipschitz


def test_a_recipe_trains_it_and_names_its_mistakes():
    table = {"kind": "reaction-diffusion", "row": "bands", "dilations": [1, 1], "filters": 6, "side": 3, "parts": 3}
    task = Denoising({"pixels": 24, "noise": {"low": 0.1, "high": 0.1}}, table)
    torch.manual_seed(0)
    network, draw = task.network(), generator(0)
    examples = [task.augment(task.example(seed), draw) for seed in range(6)]
    batch = {name: torch.stack([example[name] for example in examples]) for name in ("image", "noisy", "level")}
    batch["seed"] = torch.zeros(6, dtype=torch.long)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-2)
    before = float(task.loss(network, batch).detach())
    for _ in range(25):
        optimiser.zero_grad()
        task.loss(network, batch).backward()
        optimiser.step()
    assert float(task.loss(network, batch).detach()) < 0.8 * before
    with torch.no_grad():
        found = task.metrics(network, batch)
    assert found["psnr"] > found["psnr of the data"] + 3
    with pytest.raises(InputError, match=r"\[network\] coupled: expected a divisor of the 6 filters, got 4"):
        Denoising({}, {"kind": "nonexpansive", "filters": 6, "coupled": 4})
    with pytest.raises(InputError, match=r"\[network\] coupled: .* reaction-diffusion reads: .* which nonexpansive, "):
        Denoising({}, table | {"coupled": 4})


def quadratic(operator, steps, shape=(5, 6)):
    """A flow of a quadratic energy in units of the noise: the network, its Hessian, and A as a matrix."""
    torch.manual_seed(0)
    network = StoppedFlow(3, 3, steps, row="whittaker-tikhonov", noise=1.0, usual=1.0, operator=operator).double()
    basis = torch.eye(shape[0] * shape[1], dtype=torch.float64).reshape(-1, 1, *shape)
    smoothing = network.block.force(basis).detach().flatten(1).T
    matrix = operator(basis).flatten(1).T
    pull = float(network.pull().detach())
    return network, pull * matrix.T @ matrix + smoothing, pull * matrix.T


@pytest.mark.parametrize("kind", ["a blur", "fewer numbers than pixels"])
def test_behind_an_operator_the_flow_is_that_of_the_dense_matrices(kind):
    """u' = b - H u: u(T) = u* + exp(-T H) (u(0) - u*); S steps have (1 - T H/S)^S, which tends to it at first order."""
    if kind == "a blur":
        operator = Convolution(gaussian_kernel(0.7), (5, 6))
    else:
        operator = MatrixOperator(torch.rand(11, 30, dtype=torch.float64, generator=generator(0)) / 8, (5, 6), (1, 11))
    data = torch.randn(1, 1, *operator.codomain_shape, dtype=torch.float64, generator=generator(1))
    truth = torch.randn(1, 1, 5, 6, dtype=torch.float64, generator=generator(2))
    gaps = []
    for steps in (8, 16, 32):
        network, hessian, forcing = quadratic(operator, steps)
        time, b = 4.0, forcing @ data.flatten()
        solved = torch.linalg.lstsq(hessian, b[:, None]).solution[:, 0]
        begin = network._begin(data).flatten() - solved
        each = torch.eye(30, dtype=torch.float64) - time / steps * hessian
        exact = solved + torch.linalg.matrix_power(each, steps) @ begin
        found = network.flow(data, time).detach().flatten()
        assert torch.allclose(found, exact, atol=1e-10)
        gaps.append(float((found - solved - torch.linalg.matrix_exp(-time * hessian) @ begin).norm()))
        velocity = -hessian @ torch.linalg.matrix_power(each, steps - 1) @ begin
        bend = hessian @ hessian @ torch.linalg.matrix_power(each, steps - 2) @ begin * (1 - 1 / steps)
        at = network.optimality(data, truth, time=time)
        miss = exact - truth.flatten()
        assert at.slope == pytest.approx(float(miss @ velocity), rel=1e-8)
        assert at.curvature == pytest.approx(float(velocity @ velocity + miss @ bend), rel=1e-8)
    assert 1.7 < gaps[0] / gaps[1] < 2.4
    assert 1.7 < gaps[1] / gaps[2] < 2.4


def test_a_flow_that_undoes_a_blur_learns_when_to_stop():
    """Weights and time are learned; on another picture the learned time is better than half and twice of it."""
    torch.manual_seed(0)
    blur = Convolution(gaussian_kernel(1.5), (24, 24))
    draw = generator(3)

    def pairs(count):
        corners = torch.randint(3, 12, (count, 2), generator=draw).tolist()
        truth = torch.zeros(count, 1, 24, 24)
        for image, (row, col) in zip(truth, corners, strict=True):
            image[0, row : row + 9, col : col + 8] = 1.0
        return truth, blur(truth) + 0.02 * torch.randn(truth.shape, generator=draw)

    network = StoppedFlow(6, 3, steps=8, noise=0.02, usual=0.02, operator=blur)
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=5e-2)
    for _ in range(60):
        truth, blurred = pairs(4)
        optimiser.zero_grad()
        (network(blurred) - truth).square().mean().backward()
        optimiser.step()
    truth, blurred = pairs(6)
    with torch.no_grad():
        error = float((network(blurred) - truth).norm() / (blurred - truth).norm())
    learned = network.optimality(blurred, truth)
    others = [network.optimality(blurred, truth, time=part * learned.time).error for part in (0.5, 0.75)]
    assert error < 0.8
    assert all(learned.error < other for other in others)
    assert all(h.holds for h in network.hypotheses())
    assert network.guarantee().lipschitz <= 1 + learned.time * network.pull().item() * blur.norm_bound() + 1e-6


def _falling():
    (trial,) = (trial for trial in registered("network")["reaction-diffusion"].samples() if "less pull" in trial.name)
    return trial.build()


def test_distances_are_stated_for_the_noise_levels_in_use():
    """At the usual one they hardly grow; told twice as much, an attack moves images apart beyond that."""
    network = _falling()
    usual, twice = (network.guarantee(noise=level).lipschitz for level in (0.1, 0.2))
    assert usual < 1.001
    assert twice > 1.1
    (certificate,) = (c for c in certify_map(network, (1, 8, 8), Search(4, 60)) if "stay together" in c.claim)
    assert "told the noise 0.02, 0.1, 0.2: |N(u) - N(v)| <= 1.16593 |u - v|" in certificate.claim
    assert 1.02 < certificate.value <= certificate.bound


def test_without_a_level_the_guarantee_is_that_of_the_level_that_is_assumed():
    network = _falling()
    network.noise = 0.2
    assert network.guarantee() == network.guarantee(noise=0.2)
    assert guarantee_of(nn.Sequential(network)).lipschitz == network.guarantee(noise=0.2).lipschitz
    shifted = Nonexpansive((1, 2), filters=4, side=3, noise=0.5)
    shifted.raw_mix.data[:, 1] = -2.0
    assert shifted.guarantee().averaged == shifted.guarantee(noise=0.5).averaged > shifted.guarantee(noise=0.1).averaged


def test_a_denoised_image_is_certified_at_the_level_it_was_told():
    network, image = _falling(), torch.rand(24, 24, generator=generator(0))
    image = image + 0.3 * torch.randn(24, 24, generator=generator(1))
    (certificate,) = (c for c in denoise_network(image, network, noise=0.25).certificates if "together" in c.claim)
    found = max(certificate.falsify(seed) for seed in range(2))
    assert network.guarantee(noise=0.1).lipschitz < 1.05 < found <= certificate.bound


def _threefold(bound, back=3.0):
    products = LinearOperator((36, 36), lambda x: 3 * x, lambda y: back * y, dtype=float)
    return MatrixFree(products, (6, 6), (6, 6), bound=bound)


def test_a_flow_behind_an_operator_tries_what_the_operator_says_of_itself():
    """With a bound of one for a norm of three the steps are too long, and norms grow beyond what is stated."""
    honest, wrong = (StoppedFlow(4, 3, steps=6, operator=_threefold(bound)).double() for bound in (3.0, 1.0))
    assert guarantee_of(honest).gain < 1.6
    wrong.log_pull.data.fill_(2.0)
    u = torch.rand(1, 1, 6, 6, dtype=torch.float64, generator=generator(0))
    assert float(wrong(u).detach().norm() / u.norm()) > 2 * wrong.guarantee().gain
    assert guarantee_of(wrong).gain == math.inf
    with pytest.raises(InputError, match=r"the bound that A states: 3 is reached, the bound is 1"):
        certify_map(wrong, (1, 6, 6), Search(1, 1))
    with pytest.raises(InputError, match=r"A\* is the adjoint of A"):
        certify_map(StoppedFlow(4, 3, steps=6, operator=_threefold(3.0, -3.0)).double(), (1, 6, 6), Search(1, 1))


@pytest.mark.parametrize("bound", [0.0, math.inf])
def test_a_flow_behind_an_operator_needs_its_bound(bound):
    with pytest.raises(InputError, match="an operator with a norm bound"):
        StoppedFlow(4, 3, operator=_threefold(bound))

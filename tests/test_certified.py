"""Guarantees and their algebra, certified networks, and what breaks them."""

import copy
import inspect
import math

import numba
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from microlocal.certificates import Guarantee, Hypothesis, certify_map, filter_norm_bound
from microlocal.certificates.attack import Search, drift, gain, overshoot, spread, worst
from microlocal.certificates.guarantee import IDENTITY, chain, gradient_step
from microlocal.certificates.layers import guarantee_of
from microlocal.certificates.maps import Certified
from microlocal.cli.app import app
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.seeding import generator
from microlocal.networks import (
    AdaptiveShrinkage,
    DiffusionNetwork,
    LearnedDiffusivity,
    Mixture,
    Nonexpansive,
    ParabolicNetwork,
    ReactionDiffusion,
    StoppedFlow,
    SymmetricBlock,
    mixture,
)
from microlocal.networks.certify import examine
from microlocal.networks.denoisers import denoiser, load_denoiser
from microlocal.networks.mixture import LEAST_SLOPES
from microlocal.networks.weights import save_weights
from microlocal.reconstruction.images.denoise_network import denoise_network
from microlocal.reconstruction.quality import psnr
from microlocal.training.denoising import Denoising

SMALL = {"kind": "nonexpansive", "dilations": [1, 2], "filters": 4, "side": 3}


def test_the_algebra_of_guarantees():
    firm = gradient_step(1.0, 1.0)
    assert firm.averaged == 0.5
    assert gradient_step(3.0, 1.0).lipschitz == 2.0
    assert gradient_step(2.0, 1.0).lipschitz == 1.0
    assert gradient_step(2.0, 1.0).averaged == math.inf
    assert chain([]) == IDENTITY
    assert chain([firm, firm, firm]).averaged == pytest.approx(0.75)
    mixed = Guarantee(lipschitz=3.0).mixed(IDENTITY, 0.25)
    assert mixed.lipschitz == 2.5
    assert mixed.averaged == math.inf
    assert firm.plus(firm).lipschitz == 2.0
    assert not firm.plus(firm).range
    with pytest.raises(InputError, match=r"weight in \[0, 1\]"):
        firm.mixed(firm, 2.0)


def test_the_composition_of_averaged_maps_is_averaged_as_stated():
    """For two projections: the reflected composition (N - (1 - a) Id)/a is non-expansive at a = 2/3, not below."""
    turn = math.radians(50)
    line = torch.tensor([math.cos(turn), math.sin(turn)], dtype=torch.float64)
    both = torch.outer(line, line) @ torch.diag(torch.tensor([1.0, 0.0], dtype=torch.float64))
    a = chain([gradient_step(1.0, 1.0)] * 2).averaged

    def size(share):
        return float(torch.linalg.matrix_norm((both - (1 - share) * torch.eye(2)) / share, 2))

    assert size(a) <= 1 + 1e-12
    assert max(size(0.5), size(0.55)) > 1.001


@pytest.mark.parametrize("row", sorted(LEAST_SLOPES))
def test_slopes_of_mixtures_stay_where_they_are_said_to_be(row):
    mixture = Mixture(3, row, parts=3).double()
    for value in mixture.parameters():
        value.data.add_(torch.randn(value.shape, generator=generator(2), dtype=torch.float64))
    s = torch.linspace(-40, 40, 20001, dtype=torch.float64).expand(1, 3, 1, -1).requires_grad_()
    found = mixture(s)
    (slope,) = torch.autograd.grad(found.sum(), s)
    assert float(slope.min()) >= mixture.least_slope - 1e-12
    assert float(slope.max()) <= 1 + 1e-12
    ratio = (found / s)[..., s[0, 0, 0].abs() > 1e-9].detach()
    assert float(ratio.min()) >= 0
    assert float(ratio.max()) <= 1 + 1e-12


def test_coupled_channels_do_not_see_how_a_group_is_turned():
    mixture = Mixture(2, "perona-malik", coupled=2).double()
    s = torch.randn(1, 2, 5, 5, dtype=torch.float64, generator=generator(0))
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    gap = mixture(torch.einsum("ij,bjrc->birc", turn, s)) - torch.einsum("ij,bjrc->birc", turn, mixture(s))
    assert float(gap.detach().abs().max()) < 1e-14
    with pytest.raises(InputError, match="a divisor of 3"):
        Mixture(3, coupled=2)
    with pytest.raises(UnknownNameError, match="hard"):
        Mixture(3, "hard")


def test_a_step_beyond_the_bound_is_found_out():
    block = SymmetricBlock(1, 6, 3, Mixture(6, "whittaker-tikhonov"))
    assert worst(block, (1, 9, 9), spread, Search(4, 60))[0] <= 1 + 1e-9
    block.step = lambda: torch.tensor(2.8)
    assert worst(block, (1, 12, 12), spread, Search(4, 60))[0] > 1.05
    assert not block.hypotheses()[1].holds


def test_norms_fall_where_distances_grow():
    """Perona-Malik: |N(u)| <= |u| always, but two images can get apart; an attack finds both facts."""
    block = SymmetricBlock(1, 2, (1, 2), Mixture(2, "perona-malik", parts=1), step=1.9)
    gain, lipschitz, _ = certify_map(block, (1, 1, 16), Search(6, 120))
    assert gain.holds
    assert lipschitz.holds
    assert 1.1 < lipschitz.value <= 1 + 1.9 * 2 * math.exp(-1.5) + 1e-6


def test_the_maximum_principle_of_learned_diffusivities_is_sharp():
    network = LearnedDiffusivity(steps=1, width=4)
    network.nets[0][-1].bias.data.fill_(50.0)
    assert worst(network, (1, 7, 7), overshoot, Search(4, 40))[0] <= 1e-12
    spike = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    spike[..., 2, 2] = 1.0
    # The middle becomes the mean of its neighbours: no longer step is allowed.
    assert float(network.double()(spike)[0, 0, 2, 2].detach()) < 1e-12


@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (8, 8), (7, 13), (16, 9)])
def test_shrinkage_keeps_everything_if_told_to(sides):
    network = AdaptiveShrinkage((4, 4)).double()
    network.unet.out[0].bias.data[:63] = 60.0
    u = torch.randn(2, 1, *sides, dtype=torch.float64, generator=generator(1))
    torch.testing.assert_close(network(u).detach(), u, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e-12])
def test_shrinkage_adds_nothing_to_what_is_next_to_nothing(size):
    torch.manual_seed(0)
    network = AdaptiveShrinkage((4, 4)).double()
    nn.init.normal_(network.unet.get_parameter("out.0.weight"))
    u = size * torch.randn(1, 1, 12, 16, dtype=torch.float64, generator=generator(0))
    assert float(network(u).detach().norm() / u.norm()) <= 1 + 1e-12


@pytest.mark.parametrize("strength", [30.0, 90.0, 800.0])
def test_a_reaction_of_any_strength_keeps_its_bound(strength):
    """λ beyond what exp can hold: the stage returns the data."""
    network = ReactionDiffusion((1, 2), filters=4, side=3)
    u = torch.randn(1, 1, 8, 8, generator=generator(0))
    network.log_pull.data[:, 0] = strength
    assert network.guarantee().gain == 1.0
    assert all(hypothesis.holds for hypothesis in network.hypotheses())
    assert torch.allclose(network(u), u)


@pytest.mark.parametrize("step", [2.0, 0.0, -1.0, math.nan])
def test_a_block_begins_with_a_step_that_it_can_have(step):
    with pytest.raises(InputError, match=r"a step in \(0, 2\)"):
        SymmetricBlock(1, 4, 3, Mixture(4), step=step)


def test_shrinkage_is_told_the_noise_and_knows_no_grey_value():
    network = AdaptiveShrinkage((4, 4)).double()
    nn.init.normal_(network.unet.out[0].weight, std=0.3)
    u = torch.rand(2, 1, 20, 18, dtype=torch.float64, generator=generator(1))
    plain = network(u, 0.1).detach()
    torch.testing.assert_close(network(u + 5, 0.1).detach(), plain + 5)
    assert float((network(u, 0.3) - plain).detach().abs().max()) > 1e-4
    torch.testing.assert_close(network(u, torch.tensor([0.1, 0.3]))[:1].detach(), plain[:1])
    with pytest.raises(InputError, match="positive"):
        network(u, 0.0)


def test_schemes_of_diffusion_networks():
    block = SymmetricBlock(1, 4, 3, Mixture(4, "whittaker-tikhonov"), step=1e-3)
    u = torch.randn(1, 1, 12, 12, dtype=torch.float64, generator=generator(0))
    with torch.no_grad():
        slow = DiffusionNetwork([block], 37).double()(u) - u
        fast = DiffusionNetwork([block], 10, "fsi").double()(u) - u  # reaches (100 + 10)/3 = 36.7 steps
        leap = DiffusionNetwork([block], 37, "du-fort-frankel").double()(u) - u
    torch.testing.assert_close(fast * (37 * 3 / 110), slow, rtol=0, atol=0.01 * float(slow.abs().max()))
    torch.testing.assert_close(leap, slow, rtol=0, atol=0.05 * float(slow.abs().max()))
    with pytest.raises(UnknownNameError, match="explicit"):
        DiffusionNetwork([block], scheme="implicit")
    with pytest.raises(InputError, match="stretch"):
        DiffusionNetwork([block], stretch=2.0)


@pytest.mark.parametrize("depth", [1, 10, 1000])
def test_symmetric_networks_are_stable_for_any_depth(depth):
    blocks = [SymmetricBlock(1, 4, 3, Mixture(4, "perona-malik-rational"), step=1.99)]
    network = DiffusionNetwork(blocks, depth).double()
    u = 10 * torch.randn(4, 1, 9, 9, dtype=torch.float64, generator=generator(depth))
    with torch.no_grad():
        found = network(u).flatten(1).norm(dim=1) / u.flatten(1).norm(dim=1)
    assert float(found.max()) <= 1 + 1e-12
    assert network.guarantee().gain == 1.0


class Spoiled(nn.Module):
    """The identity, except where a pixel is above a level; its slope at zero is no number."""

    def __init__(self, level=math.inf):
        super().__init__()
        self.level = level

    def forward(self, u):
        return torch.where(u > self.level, math.nan, u.square().sqrt())


@pytest.mark.parametrize("score", [gain, spread, overshoot, drift])
def test_a_result_that_is_no_number_is_infinitely_bad(score):
    assert worst(Spoiled(3.0), (1, 5, 5), score, Search(2, 3))[0] == math.inf


class LoudWhen(nn.Module):
    """The identity, but twice as large where told little noise, or for a picture that is not zero in the mean."""

    def __init__(self, flaw):
        super().__init__()
        self.flaw, self.usual, self.noise = flaw, 0.1, 0.1

    def forward(self, u, noise=None):
        level = torch.as_tensor(self.noise if noise is None else noise).reshape(-1, 1, 1, 1)
        bright = u.mean(dim=(1, 2, 3), keepdim=True) > 0.7 * u.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return u * torch.where(bright if self.flaw == "a picture" else level < 0.05, 2.0, 1.0)

    def guarantee(self):
        return Guarantee(gain=1.0)

    def hypotheses(self):
        return (Hypothesis("it is the identity", "so they say", True),)


@pytest.mark.parametrize("flaw", ["little noise", "a picture"])
def test_attacks_tell_several_noise_levels_and_start_from_pictures(flaw):
    (certificate,) = certify_map(LoudWhen(flaw), (1, 6, 7), Search(2, 0))
    assert certificate.value == pytest.approx(2.0)
    assert not certificate.holds
    noise = torch.randn(1, 1, 6, 7, generator=generator(0))
    assert worst(LoudWhen(flaw), (1, 6, 7), gain, Search(2, 0), images=noise)[0] == pytest.approx(1.0)


def test_a_slope_that_is_no_number_refutes_nothing():
    flat = torch.zeros(1, 1, 5, 5)
    assert worst(Spoiled(), (1, 5, 5), gain, Search(2, 3), images=flat)[0] <= 1 + 1e-9


@pytest.mark.parametrize(
    "network",
    [AdaptiveShrinkage((4,)), LearnedDiffusivity(2, 4), SymmetricBlock(1, 4, 3, Mixture(4)), Nonexpansive((1,), 4, 3)],
    ids=lambda network: type(network).__name__,
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_certified(network, value):
    broken = copy.deepcopy(network)
    for parameter in broken.parameters():
        parameter.data.fill_(value)
    with pytest.raises(InputError, match=r"all weights are finite: (\d+) of \1 are not"):
        certify_map(broken, (1, 8, 8))


def test_certify_refuses_a_file_whose_weights_are_no_numbers(tmp_path):
    network = denoiser({"kind": "adaptive-shrinkage", "widths": [4, 4]})
    next(network.parameters()).data[0].fill_(math.nan)
    card = {"task": "denoising", "architecture": {"kind": "adaptive-shrinkage", "widths": [4, 4]}}
    file = save_weights(tmp_path / "broken", network.state_dict(), card)
    found = CliRunner().invoke(app, ["certify", str(file), "--json"])
    assert found.exit_code != 0
    assert "all weights are finite" in found.output


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler looks at filters between two of its graphs
def test_certificates_outlive_the_compiler_and_16_bits():
    network = denoiser(SMALL).eval()
    nn.init.normal_(network.blocks[0].raw)
    u = torch.rand(2, 1, 16, 16, generator=generator(0))
    with torch.no_grad():
        plain = network(u)
        compiled = torch.compile(network, backend="eager")
        torch.testing.assert_close(compiled(u), plain)
        half = copy.deepcopy(network).bfloat16()(u.bfloat16()).float()
    assert float((half - plain).abs().max()) < 0.02
    assert float(half.norm() / u.norm()) <= 1.01
    search = Search(starts=1, steps=2)
    assert certify_map(compiled, (1, 6, 6), search) == certify_map(network, (1, 6, 6), search)
    assert guarantee_of(compiled) == network.guarantee()


def test_the_compiler_need_not_look_into_kernels_that_are_not_compiled_yet(monkeypatch):
    """It cannot: a network whose first call was a compiled one ended in an error of the compiler."""
    cold = numba.njit(lambda s: 2 * s)
    monkeypatch.setattr(mixture, "mixed", lambda kind, s, shares, scales: cold(s))
    u = torch.rand(1, 2, 5, 6, generator=generator(0))
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(Mixture(2), backend="eager", fullgraph=True)(u), 2 * u)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nothing_is_proved_of_a_network_of_16_bits(dtype):
    """The attacks, in float64 and on weights that were rounded once, find nothing; the network itself moves means."""
    network = denoiser(SMALL).eval()
    nn.init.normal_(network.blocks[0].raw)
    half = copy.deepcopy(network).to(dtype)
    u = (1 + 0.02 * torch.rand(1, 1, 16, 16, generator=generator(0))).to(dtype)
    with torch.no_grad():
        assert float((half(u).double().mean() - u.double().mean()).abs()) > 1e-6
    with pytest.raises(InputError, match=f"numbers have 32 bits or more: some have {str(dtype)[6:]}"):
        certify_map(half, (1, 8, 8), Search(1, 2))
    assert guarantee_of(half) == Guarantee()
    assert guarantee_of(nn.Sequential(nn.Conv2d(1, 1, 3, bias=False)).to(dtype)) == Guarantee()
    assert certify_map(half.float(), (1, 8, 8), Search(1, 2))[0].holds


def test_networks_are_known_by_what_they_answer_not_by_what_stands_in_their_class():
    """As compiled modules answer: where a look-up without __getattr__ finds nothing."""

    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            return super().__getattr__(name) if name == "inner" else getattr(super().__getattr__("inner"), name)

        def forward(self, u):
            return self.inner(u)

    wrapped = Wrapped(SymmetricBlock(1, 4, 3, Mixture(4)))
    with pytest.raises(AttributeError):
        inspect.getattr_static(wrapped, "guarantee")
    assert isinstance(wrapped, Certified)
    assert guarantee_of(wrapped).nonexpansive
    assert not isinstance(nn.ReLU(), Certified)


@pytest.mark.parametrize("part", ["", "blocks.1.activation"])
def test_a_network_with_a_hook_proves_nothing(part):
    network = Nonexpansive((1, 2), filters=4, side=3)
    assert guarantee_of(network).nonexpansive
    network.get_submodule(part).register_forward_hook(lambda module, given, found: -3 * found)
    told = rf"without hooks: 1 are not: {part or 'Nonexpansive'}"
    with pytest.raises(InputError, match=told):
        certify_map(network, (1, 6, 6), Search(1, 1))
    assert guarantee_of(nn.Sequential(network)) == Guarantee()


def test_within_a_sequence_hypotheses_are_asked_as_well():
    network = ParabolicNetwork(1, 4, 2, bias=False)
    assert guarantee_of(nn.Sequential(network)).nonexpansive
    network.step = 10.0
    u = torch.randn(1, 1, 8, 8, generator=generator(0))
    assert float(network(u).detach().norm()) > 1.5 * float(u.norm())
    assert guarantee_of(nn.Sequential(network)) == Guarantee()


def test_nothing_is_proved_for_half_precision():
    """On two values that bfloat16 holds exactly, the norm about the mean grows."""
    torch.manual_seed(0)
    block = SymmetricBlock(1, 8, 5, Mixture(8, "soft"), step=1.9)
    u = 1 + torch.randint(0, 2, (1, 1, 32, 32), generator=generator(0)) / 128
    assert torch.equal(u.bfloat16().float(), u)
    with torch.no_grad():
        found = block.bfloat16()(u.bfloat16()).double()
    assert float((found - u.double().mean()).norm() / (u.double() - u.double().mean()).norm()) > 1.001


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shrinkage_in_half_precision_stays_finite_on_flat_images(dtype):
    network = AdaptiveShrinkage((4, 4)).to(dtype)
    flat = torch.full((1, 1, 16, 16), 0.5, dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(network(flat), flat, rtol=0.01, atol=0)


def _written(folder, kind, **arguments):
    torch.manual_seed(0)
    architecture = {"kind": kind, **arguments}
    card = {"task": "denoising", "architecture": architecture}
    return save_weights(folder / kind, denoiser(architecture).state_dict(), card)


def test_certify_on_the_command_line(tmp_path):
    file = _written(tmp_path, "nonexpansive", dilations=[1, 2], filters=4, side=3)
    found = CliRunner().invoke(app, ["certify", str(file)])
    assert found.exit_code == 0, found.output
    for part in ("What is proved", "|N(u) - N(v)| <= 1 |u - v|", "|K| <= 1", "Layer by layer", "half precision"):
        assert part in " ".join(found.output.split()), part
    plain = _written(tmp_path, "dncnn", depth=3, width=2)
    shown = CliRunner().invoke(app, ["certify", str(plain)]).output
    assert "Nothing is proved" in shown
    assert "bfloat16" not in shown
    told = examine(file)
    assert told.holds
    assert told.proved.nonexpansive
    assert not told.costliest


@pytest.mark.parametrize("side", [23, 25, 31, (1, 65)])
def test_large_filters_keep_their_hypotheses(side):
    block = SymmetricBlock(1, 2, side, Mixture(2))
    assert [h.statement for h in block.hypotheses() if not h.holds] == []
    rows, cols = block.raw.shape[-2:]
    kernel = block.filters().detach().double()
    assert float(filter_norm_bound(kernel, grid=16 * max(rows, cols))) <= 1.001


def test_an_offset_of_the_filters_changes_nothing():
    block = SymmetricBlock(1, 4, 3, Mixture(4))
    block.raw.data = (1024 * block.raw.data).round() / 1024  # so that the sum is exact in float32
    before = block.filters().detach()
    block.raw.data += 8192
    assert [h.statement for h in block.hypotheses() if not h.holds] == []
    torch.testing.assert_close(block.filters().detach(), before, rtol=0, atol=1e-5)
    assert float(block.filters().detach().double().mean(dim=(-2, -1)).abs().max()) <= 1e-6


def _broken(folder, damaged, value):
    network = denoiser(SMALL)
    network.blocks[0].get_parameter(damaged).data.fill_(value)
    return save_weights(folder / "broken", network.state_dict(), {"task": "denoising", "architecture": SMALL})


@pytest.mark.parametrize(
    ("damaged", "value", "failing", "claims"),
    [("raw", math.nan, "all weights are finite", 3), ("raw_step", math.nan, "all weights are finite", 0),
     ("activation.log_contrast", 100.0, "block 0: contrasts of Φ are finite", 3)],
)  # fmt: skip
def test_where_a_hypothesis_fails_nothing_is_proved(tmp_path, damaged, value, failing, claims):
    found = examine(_broken(tmp_path, damaged, value), shape=(8, 8))
    assert failing in [h.statement for h in found.hypotheses if not h.holds]
    assert [(c.kind, c.holds) for c in found.certificates] == [("estimated", False)] * claims
    assert found.claims
    assert not found.holds
    assert not found.proved.nonexpansive


def test_a_hypothesis_that_fails_is_shown(tmp_path):
    shown = CliRunner().invoke(app, ["certify", str(_broken(tmp_path, "raw", math.nan))])
    assert shown.exit_code == 1, shown.output
    words = " ".join(shown.output.split())
    assert "What is claimed, and does not hold" in words
    assert "✗ all weights are finite" in words
    assert "✗ estimated" in words
    assert "✓ proved" not in words


def test_weights_that_overflow_in_their_own_precision_are_not_certified(tmp_path):
    """Each is finite, and so is all that attacks see in float64; what the network computes is not."""
    torch.manual_seed(0)
    network = AdaptiveShrinkage((4, 4))
    for value in network.parameters():
        value.data.mul_(1e20)
    assert all(bool(value.isfinite().all()) for value in network.parameters())
    assert certify_map(copy.deepcopy(network).double(), (1, 8, 8), Search(1, 2))[0].holds
    with pytest.raises(InputError, match="the result for a picture is finite in float32: 64 of 64 values are not"):
        certify_map(network, (1, 8, 8))
    card = {"task": "denoising", "architecture": {"kind": "adaptive-shrinkage", "widths": [4, 4]}}
    file = save_weights(tmp_path / "loud", network.state_dict(), card)
    found = examine(file, shape=(8, 8))
    assert not found.holds
    assert [c.holds for c in found.certificates] == [False, False]


def test_what_float32_cannot_hold_is_not_stored(tmp_path):
    huge = torch.tensor([1.0, 1e39], dtype=torch.float64)
    with pytest.raises(InputError, match=r"values within 32 bits \(3.4e38\), got values up to 1e\+39 in huge"):
        save_weights(tmp_path / "huge", {"huge": huge}, {})
    assert not list(tmp_path.iterdir())
    save_weights(tmp_path / "fits", {"fits": huge.sqrt()}, {})


def test_weights_of_another_task_are_refused(tmp_path):
    save_weights(tmp_path / "other", {"a": torch.ones(1)}, {"task": "directions"})
    with pytest.raises(InputError, match="the task denoising, got 'directions'"):
        load_denoiser(tmp_path / "other")
    with pytest.raises(InputError, match="states what is proved"):
        certify_map(nn.ReLU(), (1, 3, 3))


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({}, "expected one of adaptive-shrinkage, .*, got 'None'"),
        ({"architecture": ["a"]}, r"got \['a'\]"),
        ({"architecture": SMALL | {"foo": 1}}, "an architecture of the kind nonexpansive, got .*'foo'"),
        ({"architecture": SMALL | {"dilations": "x"}}, "a whole number dilation"),
        ({"architecture": {"kind": "adaptive-shrinkage", "widths": "x"}}, "an architecture of the kind adaptive"),
        ({"architecture": {"kind": "adaptive-shrinkage", "widths": [-4]}}, "an architecture of the kind adaptive"),
    ],
)
def test_damaged_cards_are_refused(tmp_path, card, told):
    save_weights(tmp_path / "damaged", {"a": torch.ones(1)}, {"task": "denoising"} | card)
    with pytest.raises(InputError, match=told):
        load_denoiser(tmp_path / "damaged")


@pytest.mark.parametrize("name", ["", "/", "."])
def test_a_name_of_nothing_is_no_file_of_weights(name):
    with pytest.raises(InputError, match="expected"):
        load_denoiser(name)


@pytest.mark.parametrize(
    ("table", "claim"),
    [({"kind": "learned-diffusivity", "steps": 2, "width": 4, "dilations": [1]}, "Maximum-minimum principle"),
     (SMALL | {"row": "perona-malik", "coupled": 2}, "<= 1 |u|"),
     ({"kind": "stopped-flow", "filters": 4, "side": 3, "steps": 3, "coupled": 4}, "<= 1 |u - v|")],
)  # fmt: skip
def test_what_a_recipe_names_is_certified_and_denoises(tmp_path, table, claim):
    task = Denoising({"pixels": 20}, table)
    architecture = task.card([])["architecture"]
    card = {"task": "denoising", "architecture": architecture}
    file = save_weights(tmp_path / "own", task.network().state_dict(), card)
    assert any(claim in c.claim and c.holds for c in examine(file, shape=(8, 8)).certificates)
    noisy = torch.rand(12, 12, generator=generator(0))
    certificates = denoise_network(noisy, file, noise=0.1).certificates
    assert certificates
    assert all(c.holds for c in certificates)


def test_the_loss_psnr_counts_images_alike():
    """An image ten times as far off loses 20 dB in the mean of both, whatever the other one has."""
    task = Denoising({"pixels": 20, "loss": "psnr"}, SMALL)
    draw = generator(0)
    truth = torch.rand(2, 20, 20, generator=draw)
    noisy = truth + 0.1 * torch.randn(2, 20, 20, generator=draw)
    batch = {"image": truth, "noisy": noisy, "level": torch.full((2,), 0.1)}
    loss = float(task.loss(nn.Identity(), batch))
    assert loss == pytest.approx(-float(psnr(noisy, truth, 1.0).mean()))
    batch["noisy"] = torch.stack([noisy[0], truth[1] + 10 * (noisy[1] - truth[1])])
    assert float(task.loss(nn.Identity(), batch)) == pytest.approx(loss + 10, abs=1e-4)


def test_denoisers_repeat_their_noise_level():
    network = Nonexpansive((1,), filters=4, side=3).double()
    u = torch.rand(1, 1, 9, 9, dtype=torch.float64, generator=generator(0))
    torch.testing.assert_close(network(7 * u, 0.7).detach() / 7, network(u, 0.1).detach(), rtol=1e-9, atol=1e-9)


def test_the_derivatives_by_the_stopping_time_are_those_of_the_error():
    torch.manual_seed(0)
    network = StoppedFlow(4, 3, steps=6).double()
    truth = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    truth[..., 4:11, 5:12] = 1.0
    noisy = truth + 0.2 * torch.randn(truth.shape, dtype=torch.float64, generator=generator(0))
    at, h = 2.0, 1e-3
    before, here, after = (network.optimality(noisy, truth, 0.2, at + k * h) for k in (-1, 0, 1))
    assert here.slope == pytest.approx((after.error - before.error) / (2 * h), rel=1e-4)
    assert here.curvature == pytest.approx((after.error - 2 * here.error + before.error) / h**2, rel=1e-2)
    assert not here.holds()


def test_the_learned_time_meets_both_conditions():
    """Only T is learned, on the images that it is judged on: J'(T) = 0 and J''(T) > 0 at the end, not before."""
    torch.manual_seed(0)
    network = StoppedFlow(8, 3, steps=10).double()
    truth = torch.zeros(2, 1, 24, 24, dtype=torch.float64)
    truth[0, :, 4:15, 5:12], truth[1, :, :, 12:] = 1.0, 1.0
    noisy = truth + 0.2 * torch.randn(truth.shape, dtype=torch.float64, generator=generator(0))
    assert not network.optimality(noisy, truth, 0.2).holds(1e-3)
    optimiser = torch.optim.LBFGS([network.raw_time], line_search_fn="strong_wolfe", max_iter=60)

    def loss():
        optimiser.zero_grad()
        error = (network(noisy, 0.2) - truth).square().sum()
        error.backward()
        return error

    optimiser.step(loss)
    found = network.optimality(noisy, truth, 0.2)
    assert found.holds(1e-3)
    assert 0.05 * network.longest() < found.time < 0.95 * network.longest()
    assert network.guarantee().nonexpansive


@pytest.mark.parametrize("row", sorted(LEAST_SLOPES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_of_a_mixture_is_its_formula(row, dtype):
    mixture = Mixture(3, row, parts=3, contrast=0.7)
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator(1)))
    s = 3 * torch.randn(2, 3, 50, 47, dtype=dtype, generator=generator(2))
    log_noise = torch.tensor([0.3, -0.5]).reshape(2, 1, 1, 1)
    by_formula = mixture(s, log_noise)
    assert by_formula.requires_grad
    with torch.no_grad():
        for given in (s, s.transpose(-1, -2).contiguous().transpose(-1, -2), torch.neg(torch.neg(s))):
            found = mixture(given, log_noise)
            assert found.shape == s.shape
            assert not found.requires_grad
            assert torch.allclose(found, by_formula, rtol=0, atol=4 * torch.finfo(dtype).eps * float(s.abs().max()))
        assert mixture(s[:0], 0.0).shape == (0, 3, 50, 47)

"""Diffusion of signals: Theorem 2 as certificates, sharp at its bounds for any depth, and what their attack refutes."""

import itertools
import math

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from microlocal.certificates import Guarantee, Hypothesis, certify_map
from microlocal.certificates.attack import Search, bursts, changes_of_sign, crossings, overshoot
from microlocal.certificates.maps import attacked
from microlocal.cli.app import app
from microlocal.core.errors import UnknownNameError
from microlocal.core.seeding import generator
from microlocal.dictionary import diffusion_step, facts, nonlinearity
from microlocal.networks import SignalDiffusion
from microlocal.networks.denoisers import denoiser
from microlocal.networks.mixture import LEAST_SLOPES
from microlocal.networks.weights import save_weights
from microlocal.reconstruction.images.denoise_network import denoise_network

SHAPE = (1, 1, 20)
BOUNDS = {"signs": 0.25, "range": 0.5}
DEPTHS = (1, 10, 100, 1000)


class Stepping(SignalDiffusion):
    """Steps of a size of one's own, and the claims of those that are short enough."""

    def __init__(self, step, depth, row="soft", keeps="signs"):
        super().__init__(1, depth, parts=1, row=row, keeps=keeps)
        self.size = step

    def steps(self):
        return torch.tensor([self.size], dtype=torch.float64)

    def guarantee(self):
        return Guarantee(range=True, signs=self.keeps == "signs")

    def hypotheses(self):
        return (Hypothesis("it is diffusion", "so they say", True),)


def rows_of(depth):
    return ("perona-malik",) if depth == 1000 else ("perona-malik", "soft", "garrote", "charbonnier")


def search_of(depth):
    return Search(2, 4 if depth <= 10 else 0)


@pytest.mark.parametrize("row", sorted(LEAST_SLOPES))
def test_steps_are_those_of_the_dictionary(row):
    u = torch.randn(3, 17, dtype=torch.float64, generator=generator(0))
    network = Stepping(0.2, 3, row).double()
    expected = u
    for _ in range(3):  # the contrast is one in units of the noise
        expected = diffusion_step(expected, nonlinearity(row, 0.3), 0.2)
    found = network(u[:, None, None], 0.3)[:, 0, 0].detach()
    assert torch.allclose(found, expected, atol=1e-12)
    assert facts(nonlinearity(row, 0.3)).sign_step() == pytest.approx(BOUNDS["signs"])
    assert facts(nonlinearity(row, 0.3)).max_min_step() == pytest.approx(BOUNDS["range"])


def minors(matrix):
    """All determinants of square parts of a matrix, by brute force."""
    places = range(len(matrix))
    for size in range(1, len(matrix) + 1):
        for rows, cols in itertools.product(itertools.combinations(places, size), repeat=2):
            yield float(torch.linalg.det(matrix[list(rows)][:, list(cols)]))


def test_up_to_the_bound_a_step_is_a_totally_non_negative_matrix():
    """What sign stability follows from (Gantmacher and Krein): no minor is negative, whatever the diffusivities."""
    n = 5
    difference = torch.diff(torch.eye(n, dtype=torch.float64), dim=0)
    for draw in range(4):
        g = torch.rand(n - 1, dtype=torch.float64, generator=generator(draw)) if draw else torch.ones(n - 1).double()
        stable, over = (torch.eye(n) - step * difference.T @ torch.diag(g) @ difference for step in (0.25, 0.34))
        assert min(minors(stable)) >= -1e-15
        assert draw or min(minors(over)) < -1e-3


def test_changes_of_sign_are_counted_as_by_hand():
    signals = torch.randint(-1, 2, (50, 9), generator=generator(0)).double()

    def counted(row):
        kept = [x for x in row if x]
        return sum(a * b < 0 for a, b in itertools.pairwise(kept))

    assert changes_of_sign(signals).tolist() == [counted(row) for row in signals.tolist()]


@pytest.mark.parametrize("keeps", BOUNDS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("part", [0.99, 1.0])
def test_up_to_the_bound_no_signal_is_found_at_any_depth(keeps, depth, part):
    for row in rows_of(depth):
        network = Stepping(part * BOUNDS[keeps], depth, row, keeps)
        assert all(c.holds for c in certify_map(network, SHAPE, search_of(depth))), row


@pytest.mark.parametrize("depth", DEPTHS)
def test_just_above_the_bounds_signals_are_found_at_any_depth(depth):
    for row in rows_of(depth):
        signs = Stepping(1.01 * BOUNDS["signs"], depth, row)
        within, new = certify_map(signs, SHAPE, search_of(depth))
        assert within.holds
        assert not new.holds
        assert new.value == 2
        beyond = attacked(Stepping(1.01 * BOUNDS["range"], depth, row, "range"), SHAPE, overshoot, search_of(depth), 0)
        assert beyond > 0.004, row


def test_how_near_the_bound_a_signal_shows_it_is_a_matter_of_its_length():
    """A linear step gains signs on k pixels above τ (2 + 2 cos(π/(k + 1))) = 1; the attack finds it just above that."""
    for n in (16, 48):
        longest = 1 / (2 + 2 * math.cos(math.pi / (n - 3)))  # zeros on both sides, and a pixel more
        for part, gained in ((0.999, 0), (1.001, 2)):
            found = attacked(Stepping(part * longest, 1, "whittaker-tikhonov"), (1, 1, n), crossings, Search(2, 0), 0)
            assert found == gained


class Claims(nn.Module):
    """A convolution along rows that claims to add no change of sign."""

    def __init__(self, kernel):
        super().__init__()
        self.register_buffer("kernel", torch.tensor(kernel)[None, None, None])

    def forward(self, u):
        return nn.functional.conv2d(u, self.kernel, padding="same")

    def guarantee(self):
        return Guarantee(signs=True)

    def hypotheses(self):
        return (Hypothesis("it diffuses", "so they say", True),)


@pytest.mark.parametrize(
    ("kernel", "refuted"),
    [([1 / 3, 1 / 3, 1 / 3], True), ([-0.1, 1.2, -0.1], True), ([1.0, -1.0, 0.0], True), ([0.25, 0.5, 0.25], False),
     ([0.5, 0.5, 0.0], False), ([0.2, 0.6, 0.2], False)],
)  # fmt: skip
def test_the_attack_tells_what_adds_signs(kernel, refuted):
    """Of three taps, those with non-negative entries whose polynomial has real roots add none (Schoenberg)."""
    (certificate,) = certify_map(Claims(kernel), (1, 2, 20), Search(3, 20))
    assert certificate.holds is not refuted


def test_what_is_no_number_refutes_sign_stability():
    (certificate,) = certify_map(Claims([0.25, 0.5, 0.25]), SHAPE, Search(1, 1))
    assert certificate.holds
    network = Claims([0.25, 0.5, 0.25])
    network.forward = lambda u: torch.where(u > 2, math.nan, u)
    assert attacked(network, SHAPE, crossings, Search(1, 0), 0) == math.inf


def test_bursts_are_signals_of_every_width_that_fit():
    found = bursts((2, 3, 11))
    widths = (found != 0).sum(dim=-1).unique().tolist()
    assert found.shape[1:] == (2, 3, 11)
    assert widths == list(range(3, 8))  # two zeros on both sides
    assert torch.equal(found[:, 0, 0], found[:, 1, 2])


def test_training_cannot_leave_the_bound():
    network = SignalDiffusion(3)
    network.raw_steps.data.fill_(1e9)
    assert network.guarantee().signs
    assert all(h.holds for h in network.hypotheses())
    wide = SignalDiffusion(3, keeps="range")
    wide.raw_steps.data.fill_(1e9)
    assert (wide.guarantee().range, wide.guarantee().signs) == (True, False)
    wide.raw_steps.data.fill_(-1.0)
    assert wide.guarantee().signs
    with pytest.raises(UnknownNameError, match="signs"):
        SignalDiffusion(keeps="all")


def test_the_claim_stands_in_certify_and_beside_a_denoised_picture(tmp_path):
    architecture = {"kind": "signal-diffusion", "steps": 3}
    card = {"task": "denoising", "architecture": architecture}
    file = save_weights(tmp_path / "rows", denoiser(architecture).state_dict(), card)
    shown = CliRunner().invoke(app, ["certify", str(file)])
    assert shown.exit_code == 0, shown.output
    assert "Sign stability: no step adds" in " ".join(shown.output.split())
    noisy = torch.rand(20, 30, generator=generator(0))
    found = denoise_network(noisy, file, noise=0.2)
    (signs,) = [c for c in found.certificates if c.claim.startswith("Sign stability")]
    assert signs.holds
    assert signs.falsify(1) <= signs.bound
    crossed = [changes_of_sign(x.double() - noisy.double().mean()) for x in (noisy, found.image)]
    assert int(crossed[1].sum()) < int(crossed[0].sum())

"""The fused gradient of a learned energy beside the plain formula: values, slopes, tiles, threads."""

import pytest
import torch

from microlocal.core.seeding import generator
from microlocal.dictionary import nonlinearity
from microlocal.kernels import filter_bank
from microlocal.kernels.diffusivities import CLOSED
from microlocal.networks.bands import Bands
from microlocal.networks.fused_force import bank_force, plain_force
from microlocal.networks.mixture import LEAST_SLOPES, Mixture
from microlocal.networks.symmetric_block import SymmetricBlock

# batch, rows, columns; filters and their sides; dilation
SHAPES = [
    ((2, 20, 23), (6, 3, 3), 1),
    ((1, 300, 37), (6, 5, 3), 2),
    ((3, 40, 1000), (11, 7, 7), 2),
    ((1, 7, 7), (8, 7, 7), 1),
    ((2, 1, 30), (4, 1, 5), 1),
    ((1, 5, 9), (1, 2, 2), 3),
]
DTYPES = [(torch.float64, 1e-13), (torch.float32, 1e-5)]


def far(one, other):
    return float(((one - other).norm() / other.norm()).detach())


def arguments(shape, bank, dtype, seed=0):
    draw = generator(seed)
    images, filters = (torch.randn(size, dtype=dtype, generator=draw) for size in (shape, bank))
    shares, contrasts = (0.5 + torch.rand((shape[0], bank[0], 2), dtype=dtype, generator=draw) for _ in range(2))
    return images, filters, shares, 3 * contrasts


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize(("shape", "bank", "dilation"), SHAPES)
@pytest.mark.parametrize("row", sorted(LEAST_SLOPES))
def test_values_and_slopes_are_those_of_the_plain_formula(row, shape, bank, dilation, dtype, tolerance):
    tensors = [x.requires_grad_() for x in arguments(shape, bank, dtype)]
    pull = torch.randn(shape, dtype=dtype, generator=generator(1))
    fused, plain = (force(*tensors, dilation, row) for force in (bank_force, plain_force))
    assert far(fused, plain) < tolerance
    slopes, expected = (torch.autograd.grad(force, tensors, pull) for force in (fused, plain))
    least = float(expected[2].norm())  # by contrasts a constant has no slope, and plain torch the rounding of others
    for one, other in zip(slopes, expected, strict=True):
        assert one.dtype == dtype
        assert float((one - other).norm()) <= 10 * tolerance * max(float(other.norm()), least)


def test_every_row_that_mixtures_know_has_a_kernel():
    assert set(LEAST_SLOPES) <= set(CLOSED)
    assert all(nonlinearity(row) for row in LEAST_SLOPES)


@pytest.mark.parametrize("row", ["charbonnier", "perona-malik"])
def test_derivatives_of_derivatives(row):
    tensors = tuple(x.requires_grad_() for x in arguments((1, 6, 7), (2, 3, 3), torch.float64))
    assert torch.autograd.gradcheck(lambda *x: bank_force(*x, 1, row), tensors)
    assert torch.autograd.gradgradcheck(lambda *x: bank_force(*x, 1, row), tensors)


def test_tiles_and_threads_change_no_bit(monkeypatch):
    tensors = arguments((1, 70, 333), (9, 5, 5), torch.float32)
    before, threads = bank_force(*tensors, 2, "soft"), torch.get_num_threads()
    monkeypatch.setattr(filter_bank, "_WORTH_A_SECOND_THREAD", 0)
    for high, wide, count in ((16, 1000, 1), (1000, 40, 1), (9, 100, 2), (1000, 1000, 2)):
        monkeypatch.setattr(filter_bank, "_HIGH", high)
        monkeypatch.setattr(filter_bank, "_WIDE", wide)
        torch.set_num_threads(count)
        try:
            assert torch.equal(bank_force(*tensors, 2, "soft"), before)
        finally:
            torch.set_num_threads(threads)


def test_strips_share_the_slopes_of_the_filters(monkeypatch):
    tensors = [x.requires_grad_() for x in arguments((2, 50, 33), (5, 3, 7), torch.float64)]
    expected = torch.autograd.grad(bank_force(*tensors, 2, "garrote").square().sum(), tensors)
    monkeypatch.setattr(filter_bank, "_HIGH", 7)
    found = torch.autograd.grad(bank_force(*tensors, 2, "garrote").square().sum(), tensors)
    assert all(far(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("activation", [Mixture(6, "soft", 2, 0.5), Bands(6, 3, 0.5)])
def test_a_block_is_fused_and_says_the_same_where_it_is_not(activation, told, monkeypatch):
    torch.manual_seed(0)
    block = SymmetricBlock(1, 6, 3, activation, dilation=2).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator(3)))
    u = torch.randn((3, 1, 20, 21), dtype=torch.float64, generator=generator(4))
    noise = torch.tensor([0.0, 0.5, -1.0], dtype=torch.float64)[:, None, None, None] if told else 0.0
    fused = block(u, log_noise=noise)
    (slope,) = torch.autograd.grad(block(u, log_noise=noise).square().sum(), block.raw)
    monkeypatch.setattr("microlocal.networks.symmetric_block.fuses", lambda u: False)
    assert far(fused, block(u, log_noise=noise)) < 1e-13
    assert far(slope, torch.autograd.grad(block(u, log_noise=noise).square().sum(), block.raw)[0]) < 1e-12


def test_numbers_that_are_none_spread_no_further_than_a_filter():
    images, *rest = arguments((1, 40, 60), (3, 5, 5), torch.float32)
    images[0, 20, 30] = torch.nan
    found = bank_force(images, *rest, 2, "soft")
    reached = torch.zeros(40, 60, dtype=torch.bool)
    reached[12:29, 22:39] = True
    assert found[0][~reached].isfinite().all()
    assert not found[0, 20, 30].isfinite()

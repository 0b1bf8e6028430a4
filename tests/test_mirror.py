"""Filters on images that go on as their mirror images: their norm beside dense matrices, and why it is kept."""

import pytest
import torch
from torch.nn.functional import conv2d

from microlocal.certificates.filters import filter_norm_bound
from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.seeding import generator
from microlocal.networks.fused_force import plain_force
from microlocal.networks.mirror import folded, mirrored, with_reflections
from microlocal.networks.mixture import Mixture
from microlocal.networks.symmetric_block import SymmetricBlock
from microlocal.operators import Pad

SIZES = [(1, 2), (2, 2), (4, 5), (7, 3), (9, 8)]


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def norm_on(bank, shape):
    """Return the norm of a bank of 3 x 5 filters on images of a shape, continued by their mirror images."""
    count = shape[0] * shape[1]
    images = torch.eye(count, dtype=torch.float64).reshape(count, 1, *shape)
    return float(torch.linalg.matrix_norm(conv2d(mirrored(images, (1, 2)), bank).reshape(count, -1), 2))


@pytest.mark.parametrize("shape", SIZES)
def test_a_bank_with_its_reflections_keeps_its_norm(shape):
    for seed in range(20):
        bank = with_reflections(drawn(2, 1, 3, 5, seed=seed))
        assert norm_on(bank, shape) <= float(filter_norm_bound(bank, grid=512)) * (1 + 1e-12)


def test_a_bank_without_them_may_not():
    longest = max(
        norm_on(bank, (1, 2)) / float(filter_norm_bound(bank, grid=512))
        for bank in (drawn(2, 1, 3, 5, seed=seed) for seed in range(20))
    )
    assert longest > 1.1


@pytest.mark.parametrize("margins", [(0, 0), (0, 2), (3, 1), (4, 5)])
def test_it_is_the_symmetric_padding_and_its_transpose(margins):
    (rows, cols), u = margins, drawn(2, 4, 5)
    pad = Pad((4, 5), ((rows, rows), (cols, cols)), "symmetric")
    wide = drawn(2, *pad.codomain_shape, seed=1)
    assert torch.equal(mirrored(u, margins), pad(u))
    assert torch.allclose(folded(wide, margins), pad.adjoint(wide), atol=1e-14)


def block(row="soft", coupled=1, dilation=1, side=(3, 5)):
    torch.manual_seed(0)
    activation = Mixture(4, row, parts=2, contrast=0.3, coupled=coupled)
    return SymmetricBlock(1, 4, side, activation, dilation, border="symmetric").double()


@pytest.mark.parametrize("dilation", [1, 2])
def test_the_force_is_that_of_plain_torch_on_the_continued_image(dilation):
    found, u = block(dilation=dilation), drawn(2, 1, 11, 12)
    bank, mixture = found.filters(), found.activation.mixture()
    shares, contrasts = (x.repeat(4, 1).expand(2, -1, -1) for x in (mixture.shares, mixture.contrasts[0]))
    margins = (dilation, 2 * dilation)
    plain = folded(plain_force(mirrored(u, margins)[:, 0], bank[:, 0], shares, contrasts, dilation, "soft"), margins)
    assert torch.allclose(found.force(u)[:, 0], plain, atol=1e-12)


@pytest.mark.parametrize("coupled", [1, 2])
def test_its_slope_is_symmetric_and_between_0_and_1(coupled):
    found, u = block("charbonnier", coupled), drawn(6, 7)
    slope = torch.autograd.functional.jacobian(lambda v: found.force(v[None, None])[0, 0], u).reshape(42, 42)
    assert torch.allclose(slope, slope.T, atol=1e-12)
    least, most = torch.linalg.eigvalsh(slope)[[0, -1]].tolist()
    assert -1e-12 <= least <= most <= 1


def test_images_turned_around_are_denoised_to_images_turned_around():
    found, u = block(), drawn(1, 1, 8, 9)
    for axes in ((-1,), (-2,), (-2, -1)):
        assert torch.allclose(found(u.flip(axes)), found(u).flip(axes), atol=1e-12)


def test_noise_falls_at_the_border_as_it_does_inside():
    """Where filters fit only inside, pixels at the border are seen by few of them."""
    torch.manual_seed(0)
    noise = drawn(20, 1, 24, 24)
    left = {}
    for border in ("valid", "symmetric"):
        found = SymmetricBlock(1, 16, 5, Mixture(16, "whittaker-tikhonov"), step=1.9, border=border).double()
        rest = found(noise).detach().square().mean(dim=(0, 1))
        left[border] = float(rest[0].mean() / rest[8:16, 8:16].mean())
    assert left["symmetric"] < 1.3
    assert left["valid"] > 1.3 * left["symmetric"]


def test_images_with_fewer_pixels_than_the_margin_pass():
    u = drawn(1, 1, 8, 1)
    assert torch.equal(block()(u), u)
    assert not torch.equal(block()(drawn(1, 1, 1, 2)), drawn(1, 1, 1, 2))


def test_borders_that_are_none_and_even_sides_are_refused():
    with pytest.raises(InputError, match="odd sides"):
        block(side=4)
    with pytest.raises(UnknownNameError, match="valid"):
        SymmetricBlock(1, 4, 3, Mixture(4), border="mirror")

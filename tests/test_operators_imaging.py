"""Blur, padding, decimation, masks and the symmetrised gradient against scipy, numpy and dense matrices."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from microlocal.core.errors import InputError, MicrolocalError
from microlocal.operators import (
    Convolution,
    Downsampling,
    Gradient,
    Mask,
    Pad,
    Restriction,
    SymmetrisedGradient,
    box_kernel,
    disc_kernel,
    gaussian_kernel,
    motion_kernel,
    norm_estimate,
)

SCIPY = {"periodic": "wrap", "symmetric": "reflect", "reflect": "mirror", "replicate": "nearest", "zero": "constant"}
IMAGE = torch.from_numpy(np.random.default_rng(3).standard_normal((9, 12)))
KERNELS = {
    "odd": torch.from_numpy(np.random.default_rng(4).standard_normal((3, 5))),
    "even": torch.from_numpy(np.random.default_rng(5).standard_normal((4, 2))),
    "large": torch.from_numpy(np.random.default_rng(6).standard_normal((11, 8))),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("boundary", SCIPY)
def test_convolution_agrees_with_scipy(boundary, kernel):
    expected = scipy.ndimage.convolve(IMAGE.numpy(), KERNELS[kernel].numpy(), mode=SCIPY[boundary])
    assert Convolution(KERNELS[kernel], (9, 12), boundary)(IMAGE).numpy() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kernel", ["odd", "even"])
def test_valid_convolution_agrees_with_scipy(kernel):
    expected = scipy.signal.convolve2d(IMAGE.numpy(), KERNELS[kernel].numpy(), mode="valid")
    assert Convolution(KERNELS[kernel], (9, 12), "valid")(IMAGE).numpy() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("boundary", [*SCIPY, "valid"])
def test_bounds_of_blurs_are_close(boundary):
    blur = Convolution(gaussian_kernel(1.2, truncate=3.0), (20, 24), boundary)
    lower = norm_estimate(blur, 200)
    assert lower <= blur.norm_bound() <= 1.07 * lower
    signed = Convolution(KERNELS["odd"], (20, 24), boundary)
    assert signed.norm_bound() <= 2.0 * norm_estimate(signed, 200)


def test_a_constant_image_stays_constant_where_the_boundary_continues_it():
    for boundary in ("periodic", "symmetric", "reflect", "replicate", "valid"):
        blurred = Convolution(disc_kernel(1.5), (8, 8), boundary)(torch.ones(8, 8, dtype=torch.float64))
        assert float((blurred - 1).abs().max()) < 1e-14


def test_kernels_are_what_they_say():
    for kernel in (gaussian_kernel(0.8), disc_kernel(2.3), motion_kernel(6.5, 0.4), box_kernel(3)):
        assert float(kernel.sum()) == pytest.approx(1.0)
    rows = torch.arange(-20.0, 21.0, dtype=torch.float64)
    spread = gaussian_kernel(2.5, truncate=8.0).sum(dim=1) @ rows.square()
    assert float(spread) == pytest.approx(2.5**2, rel=1e-6)
    disc = disc_kernel(6.0)
    assert float((disc > 0).sum()) == pytest.approx(math.pi * 6.5**2, rel=0.05)
    assert float(disc[6, 6]) == pytest.approx(1 / (math.pi * 36), rel=2e-3)
    down = motion_kernel(7.0, math.pi / 2)
    assert float(down.sum(dim=0).max()) == pytest.approx(1.0, abs=1e-9)  # one column holds it all
    slanted = motion_kernel(7.0, math.pi / 4)  # up to the right
    assert slanted[2, 6] > 0.05
    assert float(slanted[2, 2]) == 0.0


@pytest.mark.parametrize("size", [1e-9, 0.02, 0.3, 0.5, 1.0, 1.49, 1.51, 7.0])
def test_kernels_of_every_size_add_up_to_one(size):
    for kernel in (gaussian_kernel(size), disc_kernel(size), disc_kernel(size, 1), motion_kernel(size, 0.4)):
        assert float(kernel.sum()) == pytest.approx(1.0)
        assert kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
    assert disc_kernel(0.01).tolist() == [[1.0]]


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "a", None])
def test_kernels_of_no_size_are_refused(value):
    for kernel in (gaussian_kernel, disc_kernel, box_kernel, lambda length: motion_kernel(length, 0.3)):
        with pytest.raises(InputError, match=r"expected .*, got .*\. \w+"):
            kernel(value)
    if not isinstance(value, float) or not math.isfinite(value):
        with pytest.raises(InputError, match="a finite angle_rad"):
            motion_kernel(2.0, value)


def test_padding_agrees_with_numpy():
    names = {
        "periodic": "wrap",
        "symmetric": "symmetric",
        "reflect": "reflect",
        "replicate": "edge",
        "zero": "constant",
    }
    for boundary, mode in names.items():
        margins = ((2, 1), (0, 4))
        expected = np.pad(IMAGE.numpy(), margins, mode=mode)
        pad = Pad((9, 12), margins, boundary)
        assert pad(IMAGE).numpy().tolist() == expected.tolist()
        assert norm_estimate(pad, 200) == pytest.approx(pad.norm_bound(), rel=1e-6)


def test_downsampling_takes_the_pixels_it_says():
    assert Downsampling((9, 12), 4, offset=(1, 3))(IMAGE).tolist() == IMAGE[1::4, 3::4].tolist()
    blocks = Downsampling((8, 12), 2, offset=(0, 0), kernel=box_kernel(2), boundary="zero")(IMAGE[:8])
    means = IMAGE[:8].reshape(4, 2, 6, 2).mean(dim=(1, 3))
    assert blocks.numpy() == pytest.approx(means.numpy())
    thirds = Downsampling((9, 12), 3, offset=(1, 1), kernel=box_kernel(3))(IMAGE)
    assert thirds.numpy() == pytest.approx(IMAGE.reshape(3, 3, 4, 3).mean(dim=(1, 3)).numpy())


def test_downsampling_bound_sees_the_decimation():
    mean = Downsampling((9, 12), 3, offset=(1, 1), kernel=box_kernel(3))
    assert norm_estimate(mean, 200) == pytest.approx(1 / 3, rel=1e-6)
    assert mean.norm_bound() == pytest.approx(1 / 3, rel=1e-3)


def test_mask_and_restriction_agree():
    marked = IMAGE > 0.3
    seen = Restriction(marked)
    assert seen.adjoint(seen(IMAGE)).equal(Mask(marked)(IMAGE))
    assert seen(IMAGE).equal(IMAGE[marked])


def test_symmetrised_gradient_of_a_gradient_vanishes_on_affine_images():
    rows, cols = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    affine = 3 * rows - 2 * cols + 1
    second = SymmetrisedGradient((6, 7))(Gradient((6, 7))(affine))
    assert float(second[..., 1:-1, 1:-1].abs().max()) == 0.0
    curved = SymmetrisedGradient((6, 7))(Gradient((6, 7))(rows * cols))[..., 2:-2, 2:-2]
    assert curved[2].unique().tolist() == pytest.approx([math.sqrt(2)])  # ∂r∂c = 1, times √2
    assert float(curved[:2].abs().max()) == 0.0


def test_gradient_of_a_volume_takes_one_difference_an_axis():
    gradient = Gradient((12, 12, 12), 0.5)
    x = torch.randn(2, 12, 12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for component, axis in zip(gradient(x).unbind(1), (1, 2, 3), strict=True):
        assert component.narrow(axis, 0, 11).equal(x.diff(dim=axis) / 0.5)
        assert bool((component.narrow(axis, 11, 1) == 0).all())
    assert 0.97 * gradient.norm_bound() < norm_estimate(gradient, 400) <= gradient.norm_bound()


def test_symmetrised_gradient_comes_close_to_its_bound():
    operator = SymmetrisedGradient((24, 24), pixel=0.5)
    assert 0.97 * operator.norm_bound() < norm_estimate(operator, 400) <= operator.norm_bound()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Convolution(torch.ones(5, 5), (4, 9), "valid"), r"a kernel within \(4, 9\)"),
        (lambda: Convolution(torch.ones(3), (4, 9), "valid"), r"a kernel within \(4, 9\), got \(3,\)"),
        (lambda: Convolution(torch.ones(3, 3), (4, 9), "mirror"), "one of periodic"),
        (lambda: Pad((3, 3), ((0, -1), (0, 0))), "four whole margins >= 0"),
        (lambda: Pad((3, 3), ((1, 1), (1,))), "four whole margins >= 0"),
        (lambda: Pad((3, 3), (1, 1)), "four whole margins >= 0"),
        (lambda: Pad((0, 3), ((1, 1), (1, 1))), r"Pad: .* \(row, col\), got \(0, 3\)"),
        (lambda: Downsampling((6,), 2), r"Downsampling: .* \(row, col\), got \(6,\)"),
        (lambda: Downsampling((6, 6), 2, offset=(0.5, 0)), "offsets from 0 to 1"),
        (lambda: Downsampling((6, 6), 2, offset=0), "offsets from 0 to 1"),
        (lambda: Mask(torch.tensor([[1.0, math.nan]])), "Mask: expected finite values"),
        (lambda: Pad((3, 3), ((0, 1), (0, 0)), "wrap"), "one of periodic"),
        (lambda: Downsampling((6, 6), 2, offset=(2, 0)), "offsets from 0 to 1"),
        (lambda: Downsampling((6, 6), 2, kernel=box_kernel(2), boundary="valid"), "keeps the shape"),
        (lambda: Gradient((2, 3, 4, 5)), r"\(slice, row, col\)"),
        (lambda: Gradient((5, 5), -1.0), "Gradient: expected pixel > 0"),
        (lambda: Gradient((5, 5), 0.0), "Gradient: expected pixel > 0"),
        (lambda: SymmetrisedGradient((3, 4, 5)), "whole numbers above zero, \\(row, col\\)"),
        (lambda: SymmetrisedGradient((5, 5), -1.0), "SymmetrisedGradient: expected pixel > 0"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises((InputError, MicrolocalError), match=message):
        build()

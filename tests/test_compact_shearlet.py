"""Compactly supported shearlets beyond their laws: published values, the construction in space, support, the dual."""

import numpy as np
import pytest
import torch

from microlocal.core.errors import InputError, ShapeError
from microlocal.core.seeding import generator
from microlocal.frames import CompactShearletFrame
from microlocal.frames.compact_shearlet import compact_shearlet_filters, default_shear_levels
from microlocal.frames.maxflat import absolute_sum_of_fan, doubled, fan, low_pass, low_pass_cascade
from microlocal.frames.shearlet import shearlet_index

# The taps of ShearLab's default low-pass, as published with pyShearLab.
PUBLISHED = (0.0104933261758410, -0.0263483047033631, -0.0517766952966370, 0.276348304703363, 0.582566738241592)


def test_low_pass_has_the_published_taps():
    cosine = np.cos(2 * np.pi * np.arange(16) / 16)
    taps = np.fft.ifft(low_pass(cosine)).real
    assert np.abs(taps[4::-1] - PUBLISHED).max() <= 1e-14
    assert np.abs(taps[5:12]).max() <= 1e-15


def test_fan_has_17_by_17_taps_and_passes_one_pair_of_cones():
    cosine = np.cos(2 * np.pi * np.arange(64) / 64)
    response = fan(cosine[None, :], cosine[:, None])
    taps = np.fft.fftshift(np.fft.ifft2(response).real)
    inside = taps[24:41, 24:41]
    assert np.abs(taps).sum() == pytest.approx(np.abs(inside).sum(), abs=1e-12)
    f = np.abs(np.fft.fftfreq(64))
    across = f[None, :] - f[:, None]
    assert response[across > 0.3].min() > 0.99
    assert np.abs(response[across < -0.3]).max() < 0.1


def test_bounds_are_those_of_pyshearlab():
    # Measured on pyShearLab's system: 49 filters, bounds 0.0669 and 1, ratio 14.9, at 256 x 256 and 512 x 512.
    frame = CompactShearletFrame((256, 256))
    lower, upper = frame.bounds()
    assert len(frame.filters) == 49
    assert frame.shear_levels == default_shear_levels(4) == (1, 1, 2, 2)
    assert lower == pytest.approx(0.0669, abs=5e-5)
    assert upper == pytest.approx(1.0, abs=1e-5)
    assert frame.condition() == pytest.approx(14.94, abs=0.01)


@pytest.mark.parametrize(("level", "shear"), [(1, 1), (1, -2), (2, 3)])
def test_sheared_wedges_are_those_made_in_space(level, shear):
    # Upsample by 2^s along x, low-pass, shift every row by k times its number, low-pass, downsample.
    n, parts = 256, 2**level
    w = 2 * np.pi * np.fft.fftfreq(n)
    cos_x, cos_y = np.cos(w)[None, :], np.cos(w)[:, None]
    wedge = fan(cos_x, doubled(cos_y, level + 1)) * low_pass_cascade(cos_y, level + 1) / absolute_sum_of_fan()
    fine = np.zeros((n, parts * n))
    fine[:, ::parts] = np.fft.ifft2(wedge).real
    smooth = low_pass_cascade(np.cos(2 * np.pi * np.fft.fftfreq(parts * n)), level)[None, :]
    fine = np.fft.ifft(np.fft.fft(fine) * smooth).real
    rows = np.fft.fftfreq(n, 1 / n).astype(int)
    sheared = np.stack([np.roll(line, shear * row) for line, row in zip(fine, rows, strict=True)])
    sheared = parts * np.fft.ifft(np.fft.fft(sheared) * smooth).real[:, ::parts]
    expected = np.fft.fft2(sheared)[:, : n // 2 + 1]
    frame = CompactShearletFrame((n, n), shear_levels=(level,))
    numbers = [k for k, f in enumerate(frame.filters) if f.cone in ("horizontal", "seam") and f.shear == shear]
    band = low_pass(-np.cos(w))[None, : n // 2 + 1]
    assert np.abs(frame.responses[numbers[0]].numpy() - expected * band).max() <= 1e-12


def _by_formula(shape, shear_levels):
    """Return ψ̂ of every filter, term by term as the formula stands, at every frequency of the half spectrum."""
    rows, cols = shape
    wy = -2 * np.pi * np.fft.fftfreq(rows)[:, None]
    wx = 2 * np.pi * np.arange(cols // 2 + 1)[None, :] / cols
    scales = len(shear_levels)
    yield low_pass_cascade(np.cos(wx), scales) * low_pass_cascade(np.cos(wy), scales)
    for record in shearlet_index([2**level for level in shear_levels])[1:]:
        level, below = shear_levels[record.scale], scales - 1 - record.scale
        across, along = (wy, wx) if record.cone == "vertical" else (wx, wy)
        wedge = 0
        for m in range(2**level):
            fine = (across + 2 * np.pi * m) / 2**level
            cosine = np.cos(along - record.shear * fine)
            directions = fan(np.cos(across), doubled(cosine, level + 1)) * low_pass_cascade(cosine, level + 1)
            wedge = wedge + low_pass_cascade(np.cos(fine), level) ** 2 * directions / absolute_sum_of_fan()
        band = low_pass_cascade(np.cos(across), below) * low_pass(-doubled(np.cos(across), below))
        yield wedge * band


@pytest.mark.parametrize("shape", [(64, 64), (63, 63), (40, 97), (65, 32), (8, 7), (1, 5), (2, 1)])
@pytest.mark.parametrize("levels", [(0,), (1, 2), (1, 1, 3)])
def test_filters_are_those_of_the_formula(shape, levels):
    filters = compact_shearlet_filters(shape, levels)
    expected = np.stack(list(_by_formula(shape, levels)))
    assert filters.shape == expected.shape
    assert np.abs(filters.numpy() - expected).max() <= 1e-13


def test_filters_have_compact_support():
    # One scale, s = 1: 9 taps times 17 along x and far fewer than the image; twice the image, the same taps.
    small, large = (compact_shearlet_filters((n, n), (1,)) for n in (128, 256))
    for k in range(len(small)):
        taps = torch.fft.fftshift(torch.fft.irfft2(small[k], s=(128, 128)))
        wide = torch.fft.fftshift(torch.fft.irfft2(large[k], s=(256, 256)))
        assert float((wide[64:192, 64:192] - taps).abs().max()) <= 1e-15
        rows, cols = torch.nonzero(taps.abs() > 1e-14, as_tuple=True)
        assert int(rows.max() - rows.min()) < 120
        assert int(cols.max() - cols.min()) < 120


@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (40, 97), (8, 8), (5, 7)])
@pytest.mark.parametrize("levels", [(1, 2), (0, 3)])
def test_the_dual_frame_reconstructs_at_every_size(shape, levels):
    frame = CompactShearletFrame(shape, shear_levels=levels)
    x = torch.randn(shape, dtype=torch.float64, generator=generator(0))
    assert float((frame.inverse(frame(x)) - x).norm() / x.norm()) <= 1e-12
    single = x.float()
    assert float((frame.inverse(frame(single)) - single).norm() / single.norm()) <= 1e-5
    assert float((frame.adjoint(frame(x)) - x).norm() / x.norm()) > 0.01  # the adjoint alone does not


def test_the_inverse_is_the_least_squares_one_and_differentiable():
    frame = CompactShearletFrame((6, 5), shear_levels=(1,))
    y = torch.randn(frame.codomain_shape, dtype=torch.float64, generator=generator(1))
    matrix = frame(torch.eye(30, dtype=torch.float64).reshape(30, 6, 5)).reshape(30, -1).T
    expected = torch.linalg.lstsq(matrix, y.reshape(-1, 1)).solution.reshape(6, 5)
    assert torch.allclose(frame.inverse(y), expected, atol=1e-12)
    torch.autograd.gradcheck(frame.inverse, y.requires_grad_())


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="shear_levels >= 0"):
        CompactShearletFrame((32, 32), shear_levels=(1, -1))
    with pytest.raises(InputError, match="scales >= 1"):
        CompactShearletFrame((32, 32), scales=0)
    frame = CompactShearletFrame((8, 8), scales=1)
    with pytest.raises(ShapeError, match=r"CompactShearletFrame\.inverse"):
        frame.inverse(torch.zeros(3, 8, 8))

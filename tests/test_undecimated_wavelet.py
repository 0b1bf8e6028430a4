"""Undecimated wavelets beyond their laws: PyWavelets' coefficients, shifts, every size."""

import numpy as np
import pytest
import pywt
import torch

from microlocal.core.seeding import generator
from microlocal.frames import UndecimatedWaveletFrame


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator(0))


@pytest.mark.filterwarnings("ignore:norm=True")  # PyWavelets says that biorthogonal filters do not keep the norm
@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym8", "bior2.2"])
def test_coefficients_are_those_of_pywavelets(wavelet):
    x = noise(32, 48)
    frame = UndecimatedWaveletFrame((32, 48), wavelet, levels=2)
    bands = frame(x).numpy()
    low, coarse, fine = pywt.swtn(x.numpy(), wavelet, level=2, norm=True, trim_approx=True)
    assert np.abs(bands[0] - low).max() <= 1e-10
    for record, band in zip(frame.filters[1:], bands[1:], strict=True):
        name = "".join("d" if high else "a" for high in record.high)
        assert np.abs(band - (coarse, fine)[record.scale][name]).max() <= 1e-10


@pytest.mark.parametrize("wavelet", ["haar", "sym4", "bior4.4"])
@pytest.mark.parametrize("shape", [(64, 64), (63, 65), (40, 97), (5, 7), (31,), (6, 9, 5)])
def test_reconstruction_is_exact_at_every_size(wavelet, shape):
    frame, x = UndecimatedWaveletFrame(shape, wavelet), noise(*shape)
    assert float((frame.inverse(frame(x)) - x).norm() / x.norm()) <= 1e-12
    if frame.wavelet.orthogonal:
        assert max(abs(bound - 1) for bound in frame.bounds()) <= 1e-12
    else:
        assert frame.bounds()[1] - frame.bounds()[0] > 0.01


def test_a_moved_image_has_moved_coefficients():
    frame, x = UndecimatedWaveletFrame((21, 16), "db2", levels=2), noise(21, 16)
    moved = frame(x.roll((3, -5), (0, 1)))
    assert torch.allclose(moved, frame(x).roll((3, -5), (-2, -1)), atol=1e-13)

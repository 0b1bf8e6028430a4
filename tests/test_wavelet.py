"""Decimated wavelets beyond their laws: PyWavelets' and MATLAB's coefficients, every size, frame bounds."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import pywt
import torch

from microlocal.core.errors import UnknownNameError
from microlocal.core.seeding import generator
from microlocal.frames import WaveletFrame


def noise(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator(0))


@pytest.mark.filterwarnings("ignore:Level value")  # PyWavelets says that filters wrap around small arrays
@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym8", "coif2", "bior4.4", "rbio2.8"])
@pytest.mark.parametrize("shape", [(64,), (32, 48), (8, 16, 8)])
def test_coefficients_are_those_of_pywavelets(wavelet, shape):
    x = noise(*shape)
    expected, _ = pywt.coeffs_to_array(pywt.wavedecn(x.numpy(), wavelet, mode="periodization", level=2))
    ours = WaveletFrame(shape, wavelet, levels=2)(x).numpy()
    assert np.abs(ours - expected).max() <= 1e-10  # their taps carry eleven digits


def matlab():
    path = Path(pywt.__file__).parent / "tests" / "data" / "dwt_matlabR2012a_result.npz"
    if not path.is_file():
        pytest.skip("this build of PyWavelets comes without its MATLAB reference coefficients")
    return np.load(path)


def test_coefficients_are_those_of_matlab():
    # The signals of the reference are drawn in this order from this generator, two lengths a wavelet.
    reference, source, compared = matlab(), np.random.RandomState(1234), 0
    for family in ("db", "sym", "coif", "bior", "rbio"):
        for name in pywt.wavelist(family):
            length = pywt.Wavelet(name).dec_len
            for count in (length, length + 1):
                signal = source.randn(count)
                if count % 2:
                    continue  # MATLAB repeats the last sample there; this frame continues by zero to stay an isometry
                got = WaveletFrame((count,), name, levels=1)(torch.from_numpy(signal)).numpy()
                for suffix, allowed in (("", 5e-5), ("_pywtCoeffs", 1e-10)):
                    low, high = (reference[f"per_{name}_{count}_{part}{suffix}"].ravel() for part in ("ma", "md"))
                    assert np.sqrt(np.mean((got - np.concatenate((low, high))) ** 2)) <= allowed, name
                compared += 1
    assert compared > 100


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym8", "bior2.2", "bior4.4", "rbio3.1"])
@pytest.mark.parametrize("shape", [(32, 32), (63, 65), (40, 97), (5, 7), (31,), (9, 6, 11)])
def test_reconstruction_is_exact_at_every_size(wavelet, shape):
    frame, x = WaveletFrame(shape, wavelet), noise(*shape)
    assert float((frame.inverse(frame(x)) - x).norm() / x.norm()) <= 1e-12
    if frame.wavelet.orthogonal:
        assert float((frame.adjoint(frame(x)) - x).norm() / x.norm()) <= 1e-12
        assert max(abs(bound - 1) for bound in frame.bounds()) <= 1e-12


@pytest.mark.parametrize(("wavelet", "levels"), [("bior2.2", 1), ("bior4.4", 1), ("bior4.4", 2), ("bior2.2", 3)])
def test_bounds_against_the_singular_values_of_the_matrix(wavelet, levels):
    frame = WaveletFrame((8, 16), wavelet, levels=levels)
    matrix = frame(torch.eye(128, dtype=torch.float64).reshape(128, 8, 16)).reshape(128, -1)
    values = torch.linalg.svdvals(matrix).square()
    lower, upper = frame.bounds()
    assert lower <= float(values.min()) * (1 + 1e-12)
    assert upper >= float(values.max()) * (1 - 1e-12)
    if levels == 1:
        assert (lower, upper) == pytest.approx((float(values.min()), float(values.max())), rel=1e-10)
    assert upper / lower <= 4 * float(values.max() / values.min())


def test_the_inverse_is_differentiable():
    frame = WaveletFrame((6, 8), "bior2.2", levels=1)
    y = noise(6, 8).requires_grad_()
    torch.autograd.gradcheck(frame.inverse, y)
    torch.autograd.gradcheck(frame, noise(6, 8).requires_grad_())


def test_bands_cover_the_array_and_are_views():
    frame = WaveletFrame((16, 24), "db2", levels=2)
    coefficients = torch.zeros(2, 16, 24)
    for number, band in enumerate(frame.bands(coefficients)):
        band.fill_(number + 1)
    assert torch.equal(coefficients[0], frame.spread(torch.arange(1.0, 8.0)))
    assert [f.scale for f in frame.filters] == [-1, 0, 0, 0, 1, 1, 1]
    vertical = torch.zeros(16, 24, dtype=torch.float64)
    vertical[:, 7:] = 1.0
    energy = [float(band.square().sum()) for band in frame.bands(frame(vertical))]
    along = [k for k, f in enumerate(frame.filters) if f.high == (False, True)]
    assert all(energy[k] < 1e-20 for k in range(1, 7) if k not in along)
    assert all(frame.filters[k].normal == (1.0, 0.0) for k in along)


def test_smooth_signals_have_no_details():
    frame = WaveletFrame((64,), "db3", levels=1)
    ramp = torch.arange(64, dtype=torch.float64) ** 2
    detail = frame.bands(frame(ramp))[1]
    assert float(detail[3:-3].abs().max()) <= 1e-9  # three vanishing moments, away from the periodic seam
    assert float(detail.abs().max()) > 1


@pytest.mark.parametrize("wavelet", ["haar", "db2", "bior1.3", "rbio1.1"])
def test_filter_norms_hold_at_every_size(wavelet):
    # Of 33 pixels and five levels the middle one of two atoms lay almost wholly in the zeros behind the image.
    for count in (5, 17, 33, 49, 65, 100, 127):
        frame = WaveletFrame((count,), wavelet)
        whole = WaveletFrame(frame.codomain_shape, wavelet, frame.levels)
        np.testing.assert_allclose(frame.filter_norms(), whole.filter_norms(), rtol=1e-12)
        if frame.wavelet.orthogonal:
            np.testing.assert_allclose(frame.filter_norms(), 1.0, rtol=1e-9)


def test_unknown_wavelets_are_refused():
    with pytest.raises(UnknownNameError, match="db4"):
        WaveletFrame((8, 8), "db4x")


def test_every_orthogonal_family_keeps_the_norm():
    for name in itertools.chain(pywt.wavelist("db")[:20], pywt.wavelist("sym")[:10], pywt.wavelist("coif")[:5]):
        x = noise(128)
        frame = WaveletFrame((128,), name, levels=2)
        ratio = float(frame(x).norm() / x.norm())
        lower, upper = frame.bounds()
        assert lower - 1e-12 <= ratio**2 <= upper + 1e-12

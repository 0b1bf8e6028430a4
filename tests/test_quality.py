"""Quality measures against scikit-image, and against the formulas of the papers written plainly."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from microlocal.core.errors import InputError, ShapeError
from microlocal.reconstruction.quality import haarpsi, mcc, psnr, relative_error, ssim


def _pair(noise=0.1, shape=(41, 52)):
    draw = np.random.default_rng(3)
    y, x = np.mgrid[: shape[0], : shape[1]] / 40
    clean = (np.hypot(x - 0.5, y - 0.5) < 0.3) + 0.3 * np.sin(7 * x)
    return torch.from_numpy(clean + noise * draw.standard_normal(shape)), torch.from_numpy(clean)


def test_ssim_and_psnr_are_those_of_scikit_image():
    image, clean = _pair()
    kwargs = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    size = float(clean.max() - clean.min())
    expected = structural_similarity(image.numpy(), clean.numpy(), data_range=size, **kwargs)
    assert ssim(image, clean).item() == pytest.approx(expected, abs=1e-9)
    expected = peak_signal_noise_ratio(clean.numpy(), image.numpy(), data_range=size)
    assert psnr(image, clean).item() == pytest.approx(expected, abs=1e-9)


def _haarpsi_plain(image, reference, size):
    """The formulas of Reisenhofer et al. 2018, on full convolutions cut by hand."""

    def same(x, kernel):
        k = kernel.shape[0] // 2
        return convolve2d(x, kernel)[k : k + x.shape[0], k : k + x.shape[1]]

    x, y = (same(v * 255 / size, np.full((2, 2), 0.25))[::2, ::2] for v in (image, reference))
    terms, weights = [], []
    for turn in (False, True):
        g = []
        for j in (1, 2, 3):
            kernel = np.ones((2**j, 2**j)) / 2**j
            kernel[: 2 ** (j - 1)] *= -1
            kernel = kernel.T if turn else kernel
            g.append((np.abs(same(x, kernel)), np.abs(same(y, kernel))))
        local = [(2 * a * b + 30) / (a * a + b * b + 30) for a, b in g[:2]]
        terms.append(1 / (1 + np.exp(-4.2 * (local[0] + local[1]) / 2)))
        weights.append(np.maximum(*g[2]))
    mean = np.sum(np.array(terms) * weights) / np.sum(weights)
    return (np.log(mean / (1 - mean)) / 4.2) ** 2


def test_haarpsi_is_the_published_formula():
    image, clean = _pair()
    size = float(clean.max() - clean.min())
    assert haarpsi(image, clean).item() == pytest.approx(_haarpsi_plain(image.numpy(), clean.numpy(), size), abs=1e-10)


@pytest.mark.parametrize("measure", [ssim, haarpsi])
def test_similarities_are_one_for_equals_symmetric_and_fall_with_noise(measure):
    scores = [measure(*_pair(noise), data_range=1.6).item() for noise in (0.0, 0.02, 0.1, 0.5)]
    assert scores[0] == pytest.approx(1, abs=1e-9)
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.8
    image, clean = _pair()
    assert measure(image, clean, 1.6).item() == pytest.approx(measure(clean, image, 1.6).item(), abs=1e-12)


def test_mcc_counts_pixels():
    truth = torch.zeros(4, 4, dtype=torch.float64)
    truth[:2] = 1.0
    found = truth.clone()
    found[0, 0], found[3, 3] = 0.1, 0.9  # TP 7, TN 7, FP 1, FN 1
    assert mcc(found, truth).item() == pytest.approx((49 - 1) / 64)
    assert mcc(1 - truth, truth).item() == -1.0
    assert mcc(torch.ones_like(truth), truth).item() == 0.0


def test_relative_error_of_each_image():
    clean = torch.ones(2, 3, 4)
    image = clean * torch.tensor([1.5, 0.5])[:, None, None]
    assert relative_error(image, clean).tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("measure", [relative_error, psnr, ssim, haarpsi, mcc])
def test_batches_types_and_refusals(measure):
    image, clean = _pair()
    both = measure(torch.stack((image, clean)).float(), torch.stack((clean, clean)).float())
    assert both.shape == (2,)
    assert both.dtype == torch.float32
    assert both[0].item() == pytest.approx(measure(image, clean).item(), abs=1e-4)
    with pytest.raises(ShapeError, match=measure.__name__):
        measure(image, clean[:-1])
    with pytest.raises(InputError, match="float32 or float64"):
        measure(image.long(), clean.long())


def test_a_constant_reference_needs_a_range():
    with pytest.raises(InputError, match="data_range"):
        psnr(torch.rand(12, 12), torch.ones(12, 12))
    assert haarpsi(torch.ones(16, 16), torch.zeros(16, 16), 1.0).item() < 1

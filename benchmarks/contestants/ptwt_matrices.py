"""ptwt's orthogonal wavelets, sparse matrices with boundary filters (its padded convolutions are not orthogonal)."""

from importlib.metadata import version

import ptwt
import pywt
import torch

VERSION = f"ptwt {version('ptwt')}"
WAVELET = "db4"


def _decomposition(image):
    levels = pywt.dwt_max_level(min(image.shape), WAVELET)  # given, or else the matrices are built at every call
    return ptwt.MatrixWavedec2(WAVELET, levels)


def _flat(coefficients):
    low, *details = coefficients
    return torch.cat([low.flatten(), *(band.flatten() for detail in details for band in detail)])


def _analysis(arrays):
    image = torch.from_numpy(arrays["image"])
    transform = _decomposition(image)
    return lambda: _flat(transform(image)).numpy()


def _synthesis(arrays):
    image = torch.from_numpy(arrays["image"])
    coefficients = _decomposition(image)(image)
    back = ptwt.MatrixWaverec2(WAVELET)
    return lambda: back(coefficients).numpy()


CASES = {"wavelet analysis": _analysis, "wavelet synthesis": _synthesis}

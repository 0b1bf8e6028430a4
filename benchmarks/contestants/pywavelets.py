"""PyWavelets' periodic orthogonal wavelets (one thread), in one array as ours."""

from importlib.metadata import version

import pywt

VERSION = f"PyWavelets {version('PyWavelets')}"
WAVELET, MODE = "db4", "periodization"


def _decomposed(image):
    return pywt.coeffs_to_array(pywt.wavedec2(image, WAVELET, mode=MODE))


def _analysis(arrays):
    return lambda: _decomposed(arrays["image"])[0]


def _synthesis(arrays):
    array, places = _decomposed(arrays["image"])
    return lambda: pywt.waverec2(pywt.array_to_coeffs(array, places, output_format="wavedec2"), WAVELET, mode=MODE)


CASES = {"wavelet analysis": _analysis, "wavelet synthesis": _synthesis}

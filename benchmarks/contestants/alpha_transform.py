"""alpha-transform's shearlets (41 filters, float64)."""

import numpy as np
from alpha_transform import AlphaShearletTransform

VERSION = "alpha-transform 0.0.1"


def _system(arrays):
    rows, cols = arrays["image"].shape
    return AlphaShearletTransform(rows, cols, [0.5] * 4, real=True, verbose=False)


def _analysis(arrays):
    system, image = _system(arrays), arrays["image"].astype(np.float64)
    return lambda: system.transform(image, do_norm=False)


def _synthesis(arrays):
    system, image = _system(arrays), arrays["image"].astype(np.float64)
    coefficients = np.array(system.transform(image, do_norm=False))
    return lambda: system.inverse_transform(coefficients, do_norm=False)


CASES = {"shearlet analysis": _analysis, "shearlet synthesis": _synthesis}

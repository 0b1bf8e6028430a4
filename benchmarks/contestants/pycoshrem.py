"""PyCoShREM's complex shearlets (analysis only; GPL-3)."""

import numpy as np

VERSION = "pycoshrem 0.0.2"
for old, new in {"product": np.prod, "complex_": np.complex128}.items():
    setattr(np, old, new)  # names that numpy 2 dropped and the package still uses

import coshrem.shearletsystem  # noqa: E402


def _analysis(arrays):
    rows, cols = arrays["image"].shape
    system = coshrem.shearletsystem.EdgeSystem(rows, cols, octaves=4, scales_per_octave=1, shear_level=3)
    image = arrays["image"].astype(np.float64)
    return lambda: system._transform(image)


CASES = {"shearlet analysis": _analysis}

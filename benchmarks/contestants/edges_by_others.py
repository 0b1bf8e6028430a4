"""Edges by scikit-image (Canny, Sobel) and PyCoShREM (GPL-3): soft maps and normals of a stack of grey images.

    python edges_by_others.py IN.npz OUT.npz NAME      arrays image_0, image_1, ... in; soft_k and normal_k out

Maps are as the libraries give them, not thinned but for Canny, whose strength is the highest upper threshold at which a
pixel survives (the lower one is 0.4 of it). Normals are radians, x right and y up.
"""

import sys

import numpy as np

for old, new in {"product": np.prod, "complex_": np.complex128, "float": float}.items():
    if not hasattr(np, old):
        setattr(np, old, new)  # names that numpy 2 dropped and coshrem still uses

LEVELS = np.geomspace(0.01, 0.6, 33)


def _canny(image, sigma):
    from skimage.feature import canny

    soft = np.zeros(image.shape)
    for level in LEVELS:
        soft[canny(image, sigma, 0.4 * level, level)] = level
    return soft, np.zeros(image.shape)


def _sobel(image):
    from skimage.filters import sobel_h, sobel_v

    down, right = sobel_h(image), sobel_v(image)
    return np.hypot(down, right), np.arctan2(-down, right) % np.pi


_SYSTEMS = {}


def _coshrem(image):
    from coshrem.shearletsystem import EdgeSystem

    if image.shape not in _SYSTEMS:
        _SYSTEMS.clear()
        _SYSTEMS[image.shape] = EdgeSystem(*image.shape)
    measure, angle = _SYSTEMS[image.shape].detect(255 * image, min_contrast=4)
    # Its angles are those of the tangents, in degrees.
    return np.nan_to_num(measure), np.radians(angle + 90) % np.pi


DETECTORS = {
    **{f"canny-{sigma:g}": lambda image, sigma=sigma: _canny(image, sigma) for sigma in (1.0, 1.5, 2.0, 2.5, 3.0)},
    "sobel": _sobel,
    "coshrem": _coshrem,
}

if __name__ == "__main__":
    source, target, name = sys.argv[1:]
    found = {}
    with np.load(source) as images:
        for key in images.files:
            soft, normal = DETECTORS[name](images[key].astype(np.float64))
            found[key.replace("image", "soft")] = soft.astype(np.float32)
            found[key.replace("image", "normal")] = normal.astype(np.float32)
    np.savez(target, **found)

"""scikit-image's radon and iradon."""

import numpy as np
import skimage
from skimage.transform import iradon, radon

VERSION = f"scikit-image {skimage.__version__}"


def _forward(arrays):
    degrees = np.degrees(arrays["angles"])
    return lambda: radon(arrays["image"], degrees, circle=True).T


def _back(filter_name):
    def prepare(arrays):
        degrees, data = np.degrees(arrays["angles"]), np.ascontiguousarray(arrays["sinogram"].T)
        return lambda: iradon(data, degrees, filter_name=filter_name, circle=True)

    return prepare


CASES = {"parallel forward": _forward, "parallel fbp": _back("ramp")}

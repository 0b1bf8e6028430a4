"""ODL's ray transform, by ASTRA on the CPU."""

import math

import numpy as np
import odl
from odl.applications import tomo

VERSION = f"odl {odl.__version__}"


def _transform(arrays):
    size, (views, detectors) = arrays["image"].shape[0], arrays["sinogram"].shape
    space = odl.uniform_discr([-size / 2] * 2, [size / 2] * 2, [size] * 2, dtype="float32")
    step = math.pi / views  # angles are the middles of cells
    angles = odl.uniform_partition(-step / 2, math.pi - step / 2, views)
    pixels = odl.uniform_partition(-detectors / 2, detectors / 2, detectors)
    return tomo.RayTransform(space, tomo.Parallel2dGeometry(angles, pixels), impl="astra_cpu")


def _forward(arrays):
    transform = _transform(arrays)
    image = transform.domain.element(np.rot90(arrays["image"], -1).copy())  # (x, y)
    return lambda: transform(image).asarray()


def _adjoint(arrays):
    transform = _transform(arrays)
    back, data = transform.adjoint, transform.range.element(arrays["sinogram"])
    return lambda: np.rot90(back(data).asarray())


CASES = {"parallel forward": _forward, "parallel adjoint": _adjoint}

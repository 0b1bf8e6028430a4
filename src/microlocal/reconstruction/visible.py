"""Reconstruct the visible: the model-based images that networks complete, by name."""

from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import UnknownNameError
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.directional_tv import directional_tv
from microlocal.reconstruction.discrepancy import natural_weight
from microlocal.reconstruction.method import Method, Settings
from microlocal.reconstruction.shearlet import shearlet
from microlocal.reconstruction.tv import tv

USUAL = "shearlet"
BASES: dict[str, Method] = {"shearlet": shearlet, "tv": tv, "directional-tv": directional_tv}

# The weight that the discrepancy principle chooses over the natural one, about the median at noise from 0.5 to 5 %: of
# ellipses for shearlets; for tv of nine scans of ellipses, general objects and needles, where it ran from 1.0 to 4.6.
USUAL_WEIGHT = {"shearlet": 2.1, "tv": 2.0}
LEAST_NOISE = 0.003  # relative, for the weight: below, models are no better


def base_method(name: str) -> Method:
    """Return the method called ``name`` if a network may complete its images; raises UnknownNameError."""
    if name not in BASES:
        raise UnknownNameError("visible part", name, BASES)
    return BASES[name]


def visible_image(name: str, scan: Scan, grid: Grid, noise: float, iterations: int) -> Float[Tensor, "*batch row col"]:
    """Return the image that a network is trained on: no search for weights, few iterations.

    The weight is the one usual at a relative ``noise``: searching for it takes several times as long, and the image
    differs little. ``iterations`` of directional-tv are those of its finest level.
    """
    weight = None
    if name in USUAL_WEIGHT:
        sigma = max(noise, LEAST_NOISE) * float(scan.data.double().square().mean().sqrt())
        weight = USUAL_WEIGHT[name] * natural_weight(RayTransform(scan.geometry, grid), sigma)
    return base_method(name)(scan, grid, Settings(weight=weight, iterations=iterations)).image

"""Reconstruct the visible: the model-based images that networks complete, by name."""

from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import UnknownNameError
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.reconstruction.directional_tv import directional_tv
from microlocal.reconstruction.method import Method, Settings
from microlocal.reconstruction.shearlet import shearlet, usual_image

USUAL = "shearlet"
BASES: dict[str, Method] = {"shearlet": shearlet, "directional-tv": directional_tv}


def base_method(name: str) -> Method:
    """Return the method called ``name`` if a network may complete its images; raises UnknownNameError."""
    if name not in BASES:
        raise UnknownNameError("visible part", name, BASES)
    return BASES[name]


def visible_image(
    name: str, scan: Scan, grid: Grid, noise: float, iterations: int
) -> Float[Tensor, "*batch row col"]:
    """Return the image that a network sees, in training and at work: no search for weights, few iterations.

    ``noise`` is relative to the data; ``iterations`` of sparse shearlets, or of the finest level of directional-tv.
    """
    if name == USUAL:
        return usual_image(scan, grid, noise, iterations)
    return base_method(name)(scan, grid, Settings(iterations=iterations)).image

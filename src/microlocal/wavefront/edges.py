"""The edges of an image, each with its normal direction, labelled by whether the scan measured that direction.

Canny's detector (IEEE PAMI 8, 1986): the gradient of the image smoothed at scale σ, its maxima along the normal, and
two thresholds that the image sets itself. Then the microlocal part: an edge at x with normal φ is MEASURED iff the
scan measures the lines through x with normals from φ - δ to φ + δ, where δ bounds the error of the direction.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from microlocal.core.checks import finite, positive, trailing_shape
from microlocal.core.geometry import Array, Geometry
from microlocal.core.grid import Grid
from microlocal.core.provenance import Provenance
from microlocal.wavefront.segments import is_measured
from microlocal.wavefront.thresholds import gradient_noise, otsu

# Pure noise passes 4.5 standard deviations of a gradient component at 4 pixels in 100 000, and 3 at 1 in 90.
STRONG, WEAK = 4.5, 3.0
# Canny's advice: the lower threshold is two to three times smaller.
HYSTERESIS = 0.4
# Discs of radius 10 to 40 pixels, rasterised with hard edges: the normal is off by 1° rms (three standard errors are
# 3°), and by half of noise / |gradient| more when noise is added.
RASTER_ERROR_RAD = np.radians(3.0)
FAINTEST = 0.01
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class EdgeMap:
    """Edges of one image, all fields (row, col).

    ``mask``, where an edge runs; ``normal_rad``, direction of its normal in [0, π), x right and y up; ``strength``,
    |gradient| per pixel; ``error_rad``, what the normal may be off by (at least two standard errors).
    """

    mask: NDArray[np.bool_]
    normal_rad: Array
    strength: Array
    error_rad: Array


def _ridges(magnitude: Array, down: Array, right: Array) -> NDArray[np.bool_]:
    """Return where the magnitude is greatest along the gradient (down, right), one pixel to either side."""
    length = np.where(magnitude > 0, magnitude, 1.0)
    step = np.stack([down / length, right / length])
    place = np.indices(magnitude.shape, dtype=np.float64)
    ahead = ndimage.map_coordinates(magnitude, place + step, order=1, mode="nearest")
    behind = ndimage.map_coordinates(magnitude, place - step, order=1, mode="nearest")
    return (magnitude > ahead) & (magnitude >= behind) & (magnitude > 0)


def _normals(down: Array, right: Array, width: float) -> Array:
    """Return the direction in [0, π) along which the image changes most within ``width`` pixels: structure tensor.

    The dominant eigenvector of the local mean of ∇f ∇fᵀ; unlike the gradient's, its direction is averaged along the
    edge, and the two flanks of a thin line add up instead of cancelling.
    """
    across, along, mixed = (
        ndimage.gaussian_filter(product, width, mode="nearest") for product in (right**2, down**2, -right * down)
    )
    direction: Array = np.arctan2(2 * mixed, across - along) / 2 % np.pi
    return direction


def _parting(ridges: Array, floor: float) -> float:
    """Return Otsu's threshold between faint and strong ridges on a logarithmic scale, all below a floor being alike.

    The floor is the noise, and at least a hundredth of the strongest ridge: what is fainter is no structure.
    """
    if ridges.size == 0:
        return 0.0
    return math.exp(otsu(np.log(np.maximum(ridges, max(floor, FAINTEST * float(ridges.max()), TINY)))))


def _hysteresis(weak: NDArray[np.bool_], strong: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Return the 8-connected pieces of ``weak`` that are strong somewhere and have ``shortest`` pixels or more."""
    pieces, _ = ndimage.label(weak, structure=np.ones((3, 3)))
    lengths = np.bincount(pieces.ravel())
    kept = np.zeros(lengths.shape, dtype=bool)
    kept[np.unique(pieces[weak & strong])] = True
    kept[0] = False
    mask: NDArray[np.bool_] = (kept & (lengths >= shortest))[pieces]
    return mask


def find_edges(image: Float[Tensor, "row col"], sigma: float = 1.5) -> EdgeMap:
    """Return the edges of an image at scale ``sigma`` (pixels), with thresholds chosen from the image.

    High threshold: Otsu's between the faint and the strong ridges of the gradient, on a logarithmic scale so that a
    weak crack beside a strong outline counts, and at least 4.5 times the noise of a gradient component; low: 0.4 of
    it, at least 3 times the noise; pieces shorter than 2 sigma are specks. Normals are those of the structure tensor
    over 2 sigma.

    Raises InputError for an image that is not finite or sigma <= 0.
    """
    positive(sigma, "sigma", "find_edges")
    pixels = finite(image, "find_edges", "Mask the image first.").detach().cpu().double().numpy()
    down = ndimage.gaussian_filter(pixels, sigma, order=(1, 0), mode="nearest")
    right = ndimage.gaussian_filter(pixels, sigma, order=(0, 1), mode="nearest")
    magnitude = np.hypot(down, right)
    # Rounding of the filter on a constant image is no edge.
    noise = max(gradient_noise(magnitude), 1e-9 * float(np.abs(pixels).max()))
    ridges = _ridges(magnitude, down, right)
    high = max(_parting(magnitude[ridges], WEAK * noise), STRONG * noise)
    low = max(HYSTERESIS * high, WEAK * noise)
    mask = _hysteresis(ridges & (magnitude > low), magnitude > high, shortest=math.ceil(2 * sigma))
    error = RASTER_ERROR_RAD + noise / np.maximum(magnitude, max(noise, TINY))
    return EdgeMap(mask, _normals(down, right, 2 * sigma), magnitude, error)


def _labels(edges: EdgeMap, geometry: Geometry, grid: Grid) -> NDArray[np.uint8]:
    rows, cols = np.nonzero(edges.mask)
    x, y = grid.coordinates()
    normal, error = edges.normal_rad[rows, cols], edges.error_rad[rows, cols]
    around = normal + np.array([-1.0, 0.0, 1.0])[:, None] * error
    sure = is_measured(geometry, x[cols], y[rows], around).all(axis=0)
    codes = np.full(edges.mask.shape, int(Provenance.NONE), dtype=np.uint8)
    codes[rows, cols] = np.where(sure, int(Provenance.MEASURED), int(Provenance.UNDETERMINED))
    return codes


def label_edges(
    image: Float[Tensor, "*batch row col"], geometry: Geometry, grid: Grid, *, sigma: float = 1.5
) -> UInt8[Tensor, "*batch row col"]:
    """Return for every pixel NONE, or MEASURED or UNDETERMINED for the edge that runs there (codes of
    ``core.provenance``).

    An edge counts as MEASURED only if its direction φ and φ ± δ all are, δ = 3° + noise / |gradient| (3° to 22°)
    being the error of the direction: in doubt, undetermined. This is deliberate, since limited-angle artefacts run
    exactly along the border of the wedge (Frikel and Quinto, Inverse Problems 29, 2013).

    Raises ShapeError for an image of another shape than the grid's.
    """
    trailing_shape(image, grid.shape, "row, col", "label_edges", "Pass the grid the image was reconstructed on.")
    images = image.reshape(-1, *grid.shape)
    codes = np.stack([_labels(find_edges(plane, sigma), geometry, grid) for plane in images])
    return torch.from_numpy(codes).reshape(image.shape).to(image.device)

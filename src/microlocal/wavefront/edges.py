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

from microlocal.core.arrays import to_numpy
from microlocal.core.brief import Brief
from microlocal.core.checks import finite, positive, trailing_shape
from microlocal.core.geometry import Array, Geometry
from microlocal.core.grid import Grid
from microlocal.core.provenance import Provenance
from microlocal.wavefront.fields import TINY, Field, thinned
from microlocal.wavefront.segments import is_measured
from microlocal.wavefront.thresholds import gradient_noise

# Discs of radius 10 to 40 pixels, rasterised with hard edges: the normal is off by 1° rms (three standard errors are
# 3°), and by half of noise / |gradient| more when noise is added.
RASTER_ERROR_RAD = np.radians(3.0)
MOSTLY = 0.5  # of an edge's strength


@dataclass(frozen=True, eq=False, repr=False)
class EdgeMap(Brief):
    """Edges of one image, all fields (row, col).

    ``mask``, where an edge runs; ``normal_rad``, direction of its normal in [0, π), x right and y up; ``strength``,
    |gradient| per pixel; ``error_rad``, what the normal may be off by (at least two standard errors).
    """

    mask: NDArray[np.bool_]
    normal_rad: Array
    strength: Array
    error_rad: Array


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


def canny_field(image: Float[Tensor, "row col"], sigma: float = 1.5) -> Field:
    """Return the gradient at scale ``sigma`` as a field: strength |gradient| a pixel, normals to the bright side."""
    positive(sigma, "sigma", "find_edges")
    pixels = to_numpy(finite(image, "find_edges", "Fill them first, as inpaint does.").double())
    down = ndimage.gaussian_filter(pixels, sigma, order=(1, 0), mode="nearest")
    right = ndimage.gaussian_filter(pixels, sigma, order=(0, 1), mode="nearest")
    magnitude = np.hypot(down, right)
    # Rounding of the filter on a constant image is no edge.
    noise = max(gradient_noise(magnitude), 1e-9 * float(np.abs(pixels).max()))
    gradient = np.arctan2(-down, right)
    thin, offset = thinned(magnitude, gradient)
    normal = _normals(down, right, 2 * sigma)
    normal = (normal + np.where(np.cos(normal - gradient) < 0, np.pi, 0.0)) % (2 * np.pi)
    return Field(magnitude, normal, thin, offset, np.full(magnitude.shape, np.nan), noise, sigma**2)


def find_edges(image: Float[Tensor, "row col"], sigma: float = 1.5) -> EdgeMap:
    """Return the edges of an image at scale ``sigma`` (pixels), with thresholds chosen from the image.

    High threshold: Otsu's between the faint and the strong ridges of the gradient, on a logarithmic scale so that a
    weak crack beside a strong outline counts, and at least 4.5 times the noise of a gradient component; low: 0.4 of
    it, at least 3 times the noise; pieces shorter than 2 sigma are specks. Normals are those of the structure tensor
    over 2 sigma.

    Raises InputError for an image that is not finite or sigma <= 0.
    """
    field = canny_field(image, sigma)
    error = RASTER_ERROR_RAD + field.noise / np.maximum(field.strength, max(field.noise, TINY))
    # A tiny negative angle is π modulo π in floating point: reduce twice.
    return EdgeMap(field.mask(math.ceil(2 * sigma)), field.normal_rad % np.pi % np.pi, field.strength, error)


def _labels(edges: EdgeMap, geometry: Geometry, grid: Grid, before: EdgeMap | None) -> NDArray[np.uint8]:
    rows, cols = np.nonzero(edges.mask)
    x, y = grid.coordinates()
    normal, error = edges.normal_rad[rows, cols], edges.error_rad[rows, cols]
    around = normal + np.array([-1.0, 0.0, 1.0])[:, None] * error
    sure = is_measured(geometry, x[cols], y[rows], around).all(axis=0)
    codes = np.full(edges.mask.shape, int(Provenance.NONE), dtype=np.uint8)
    codes[rows, cols] = np.where(sure, int(Provenance.MEASURED), int(Provenance.UNDETERMINED))
    if before is not None:
        weak = before.strength[rows, cols] < MOSTLY * edges.strength[rows, cols]
        learned = ~sure & weak
        codes[rows[learned], cols[learned]] = int(Provenance.LEARNED)
    return codes


def label_edges(
    image: Float[Tensor, "*batch row col"],
    geometry: Geometry,
    grid: Grid,
    *,
    sigma: float = 1.5,
    before: Float[Tensor, "*batch row col"] | None = None,
) -> UInt8[Tensor, "*batch row col"]:
    """Return for every pixel NONE, or MEASURED, LEARNED or UNDETERMINED for the edge that runs there (codes of
    ``core.provenance``).

    An edge counts as MEASURED only if its direction φ and φ ± δ all are, δ = 3° + noise / |gradient| (3° to 22°)
    being the error of the direction: in doubt, undetermined. This is deliberate, since limited-angle artefacts run
    exactly along the border of the wedge (Frikel and Quinto, Inverse Problems 29, 2013). Where a network has made the
    image from another one, ``before``, an edge that is not measured is LEARNED if at least half of its strength was
    not there before.

    Raises ShapeError for an image of another shape than the grid's.
    """
    trailing_shape(image, grid.shape, "row, col", "label_edges", "Pass the grid the image was reconstructed on.")
    images = image.reshape(-1, *grid.shape)
    starts = [None] * len(images) if before is None else [find_edges(b, sigma) for b in before.reshape(images.shape)]
    codes = np.stack([_labels(find_edges(p, sigma), geometry, grid, b) for p, b in zip(images, starts, strict=True)])
    return torch.from_numpy(codes).reshape(image.shape).to(image.device)

"""Edge models by name: what finds the singularities of an image, and ``edges``, which runs one.

A model is a function of an image (row, col) in float32 or float64 and of whether ridges are wanted too; it returns
the field of edges, and that of ridges or None: see ``fields.Field``.
"""

from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from microlocal.core.checks import finite, floating, positive, trailing_shape
from microlocal.core.errors import InputError, ShapeError
from microlocal.core.geometry import Array, Geometry
from microlocal.core.grid import Grid
from microlocal.core.provenance import Provenance
from microlocal.core.registry import lookup, register
from microlocal.wavefront.edges import MOSTLY, RASTER_ERROR_RAD, canny_field
from microlocal.wavefront.fields import TINY, Field, less_surround
from microlocal.wavefront.network import load_directions, network_field
from microlocal.wavefront.phase_congruency import Congruency, respond
from microlocal.wavefront.segments import is_measured
from microlocal.wavefront.singularities import RIDGE, Singularities, collected

Fields = tuple[Field, Field | None]
Model = Callable[[Tensor, bool], Fields]
WHO = "edges"


def _sample(name: str) -> Callable[[], list[tuple[str, Model]]]:
    return lambda: [(name, lookup("edge-model", name, WHO).member)]


@register("edge-model", "canny", samples=_sample("canny"), reference="canny1986")
def canny(image: Float[Tensor, "row col"], ridges: bool = False) -> Fields:
    """The gradient at 1.5 pixels, normals by the structure tensor: quick; edges only, ridges have two flanks."""
    if ridges:
        raise _no_ridges("canny")
    return canny_field(image), None


@register("edge-model", "shearlet", samples=_sample("shearlet"), reference="reisenhofer2016")
def shearlet(image: Float[Tensor, "row col"], ridges: bool = False) -> Fields:
    """Phase congruency of complex shearlets at three scales: precise directions; edges and ridges with widths."""
    found = respond(image.contiguous(), Congruency(), ridges)
    return found[0], found[1] if ridges else None


@register("edge-model", "network", reference="andrade2019")
def network(image: Float[Tensor, "row col"], ridges: bool = False, weights: str | Path | None = None) -> Fields:
    """A network on shearlet coefficients, after DeNSE: strengths are probabilities; needs weights; edges only."""
    if ridges:
        raise _no_ridges("network")
    return network_field(image, load_directions(weights)), None


def _no_ridges(model: str) -> InputError:
    do = "Take the model shearlet, or leave ridges out."
    return InputError(WHO, expected="a model that tells ridges from edges", got=model, do=do)


def edges(
    image: Float[Tensor, "row col"],
    model: str = "shearlet",
    *,
    weights: str | Path | None = None,
    ridges: bool = False,
    geometry: Geometry | None = None,
    grid: Grid | None = None,
    before: Float[Tensor, "row col"] | None = None,
    surround: float | None = None,
) -> Singularities:
    """Return the singularities of an image: sub-pixel positions with directions, strengths, curvatures.

    Parameters: ``image``, one plane, finite, a tensor or an array; ``model``, a registered edge model; ``weights``, a
    file, or the name of shipped ones, for models that learn (those shipped for edges if None); ``ridges``,
    whether lines are wanted beside edges; ``geometry`` and ``grid`` of the scan that the image was reconstructed from:
    then each point is labelled MEASURED or UNDETERMINED by the visibility of its own direction; ``before``, the image
    that a network began from (``Reconstruction.visible``): then also LEARNED, see :func:`labelled`; ``surround``, in
    pixels, within which the mean strength is taken off everywhere: fewer lines in textures, 16 suits photographs.

    Measured on ellipses of 12 to 40 pixels rasterised with anti-aliasing (``docs/edges.md``), model "shearlet": median
    error of the direction below 1° and of the position below 0.15 pixels, up to noise of a tenth of the contrast.

    Raises ShapeError unless the image is a plane (and ``before`` one of its shape), InputError where it is not finite,
    the model finds no ridges, there are no weights that fit it, ``before`` comes without a geometry, or
    surround <= 0, UnknownNameError for an unknown model. Reference: reisenhofer2016.

    >>> rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    >>> disc = (torch.hypot(cols - 32, rows - 32) < 16).float()
    >>> found = edges(disc)
    >>> radius = np.hypot(found.col - 32, found.row - 32)
    >>> bool(abs(np.median(radius) - 16) < 0.3), bool(abs(np.median(found.curvature) - 1 / 16) < 0.01)
    (True, True)
    """
    entry = lookup("edge-model", model, WHO)
    if weights is not None and "weights" not in signature(entry.member).parameters:
        do = "Take the model network, or leave weights out."
        raise InputError(WHO, expected="a model that learns", got=model, do=do)
    if before is not None and geometry is None:
        do = "Pass the geometry of the scan, or leave before out."
        raise InputError(WHO, expected="a geometry to label by", got="before without one", do=do)
    chosen = {} if weights is None else {"weights": weights}

    def points(of: Float[Tensor, "row col"]) -> Singularities:
        found = entry.member(_checked(of), ridges, **chosen)
        return collected(*(found if surround is None else _less_surround(found, surround)))

    found = points(image)
    if geometry is None:
        return found
    return labelled(found, geometry, grid, None if before is None else points(before))


def _less_surround(found: Fields, width: float) -> Fields:
    positive(width, "surround", WHO)
    edge, ridge = found
    taken = replace(edge, strength=less_surround(edge.strength, width))
    return taken, ridge and replace(ridge, strength=less_surround(ridge.strength, width))


def _checked(image: Float[Tensor, "row col"]) -> Float[Tensor, "row col"]:
    """Return a tensor or an array as a finite plane on the CPU."""
    plane = image if isinstance(image, Tensor) else torch.as_tensor(np.ascontiguousarray(image))
    plane = plane.detach().cpu()
    if plane.ndim != 2 or min(plane.shape) < 2:
        expected, do = "an image (row, col) of 2 x 2 pixels or more", "Take a slice of a stack, or the mean of colours."
        raise ShapeError(WHO, expected=expected, got=str(tuple(plane.shape)), do=do)
    return finite(floating(plane, WHO), WHO, "Fill them first, as inpaint does.")


def labelled(
    found: Singularities, geometry: Geometry, grid: Grid | None = None, before: Singularities | None = None
) -> Singularities:
    """Return the points with their provenance: MEASURED where the scan measures the direction and all within its error.

    The error is 3° + noise / strength, as in ``label_edges``. ``grid``, where the image lies; the geometry's own grid
    of that shape if None. Where a network has made the image from another one, ``before`` is what the same model finds
    in that: a point that is not measured is LEARNED if at least half of its strength was not there, else UNDETERMINED.

    Raises ShapeError where the grid, or ``before``, has another shape than the image.
    """
    place = geometry.default_grid() if grid is None else grid
    do = "Pass the grid the image was reconstructed on."
    trailing_shape(torch.empty(found.shape), place.shape, "row, col", WHO, do)
    x, y = _positions(found, place)
    noise = np.where(found.kind == RIDGE, found.ridge.noise if found.ridge else 0.0, found.edge.noise)
    error = RASTER_ERROR_RAD + noise / np.maximum(found.strength, np.maximum(noise, TINY))
    around = found.direction_rad + np.array([-1.0, 0.0, 1.0])[:, None] * error
    sure = is_measured(geometry, x, y, around).all(axis=0)
    codes = np.where(sure, int(Provenance.MEASURED), int(Provenance.UNDETERMINED)).astype(np.uint8)
    if before is not None:
        codes[~sure & _is_new(found, before)] = int(Provenance.LEARNED)
    return replace(found, provenance=codes)


def _is_new(found: Singularities, before: Singularities) -> NDArray[np.bool_]:
    """Return of which points at least half of the strength at their pixel was not there before."""
    do = "Pass the image that the network began from, on the same grid."
    trailing_shape(torch.empty(before.shape), found.shape, "row, col", WHO, do)
    rows, cols = np.rint(found.row).astype(int), np.rint(found.col).astype(int)
    place = rows.clip(0, found.shape[0] - 1), cols.clip(0, found.shape[1] - 1)
    now, then = (
        np.where(found.kind == RIDGE, 0.0 if one.ridge is None else one.ridge.strength[place], one.edge.strength[place])
        for one in (found, before)
    )
    fresh: NDArray[np.bool_] = then < MOSTLY * now
    return fresh


def _positions(found: Singularities, grid: Grid) -> tuple[Array, Array]:
    """Return (x, y) of the points, in the grid's unit."""
    rows, cols = grid.shape
    x = grid.center[0] + (found.col - (cols - 1) / 2) * grid.pixel
    y = grid.center[1] - (found.row - (rows - 1) / 2) * grid.pixel
    return x, y

"""What a direction network is to say of every pixel: from points with normals, or from what people drew.

An edge target falls off with the distance d from the curve as exp(-d²/2s²): its top along the normal is the edge, with
fractions of a pixel. All maps are (row, col): ``edge`` in [0, 1]; ``normal`` of the nearest edge and ``other``, that
of another one at a corner or crossing, in [0, π), with ``two`` where there is another; ``jump``, the height of the
step, by which an edge fainter than the noise is left out of the loss.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from microlocal.training.scenes import Scene
from microlocal.training.task import Example

Array = NDArray[np.float64]
SPREAD = 0.8  # pixels: s of exact curves
BY_HAND = 1.5  # of drawn ones
REACH = 3.0  # pixels from a curve to where its normal is still said
APART_RAD = np.radians(25.0)  # two normals that count as two
CROSSING, NEAREST = 1.5, 24  # pixels to another curve, and how many points are looked at for one


def from_scene(found: Scene) -> Example:
    """Return the maps of a scene."""
    shape = found.image.shape
    if not len(found.row):
        return _example(*(np.zeros(shape) for _ in range(5)))
    pixels = np.indices(shape).reshape(2, -1).T.astype(float)
    tree = cKDTree(np.stack([found.row, found.col], axis=1))
    distance, nearest = (np.asarray(v) for v in tree.query(pixels, distance_upper_bound=REACH))
    near = np.isfinite(distance)
    normal, jump, other = (np.zeros(len(pixels)) for _ in range(3))
    two = np.zeros(len(pixels), dtype=bool)
    normal[near], jump[near] = found.normal_rad[nearest[near]], found.jump[nearest[near]]
    close = np.flatnonzero(distance < CROSSING)
    count = min(NEAREST, len(found.row))
    both = tree.query(pixels[close], k=count, distance_upper_bound=CROSSING)
    gaps, around = (np.asarray(v).reshape(len(close), count) for v in both)
    normals = np.append(found.normal_rad, 0.0)[around]
    jumps = np.append(found.jump, 0.0)[around]
    turn = np.abs(np.sin(normals - normal[close, None]))
    apart = np.isfinite(gaps) & (turn > np.sin(APART_RAD)) & (jumps > 0.3 * jump[close, None])
    first = apart.argmax(axis=1)
    two[close] = apart.any(axis=1)
    other[close] = np.where(two[close], normals[np.arange(len(close)), first], 0.0)
    edge = np.where(near, np.exp(-(np.where(near, distance, 0.0) ** 2) / (2 * SPREAD**2)), 0.0)
    return _example(*(values.reshape(shape) for values in (edge, normal, other, two, jump)))


def from_drawings(drawings: list[Bool[np.ndarray, "row col"]]) -> Example:
    """Return the maps of boundaries that several people drew: the mean of their edges, the tangent of them together."""
    edges = [_falling(drawn) for drawn in drawings]
    edge: Array = np.mean(edges, axis=0)
    smooth = ndimage.gaussian_filter(np.mean(drawings, axis=0), 2.0)
    down, right = np.gradient(smooth)
    across, along, mixed = (ndimage.gaussian_filter(p, 2.0) for p in (right**2, down**2, -right * down))
    normal = np.arctan2(2 * mixed, across - along) / 2 % np.pi
    none = np.zeros(edge.shape)
    return _example(edge, normal, none, none, np.ones(edge.shape))


def _falling(drawn: Bool[np.ndarray, "row col"]) -> Array:
    """Return the target around drawn pixels; zero where nothing was drawn."""
    if not drawn.any():
        return np.zeros(drawn.shape)
    distance: Array = ndimage.distance_transform_edt(~drawn)
    return np.exp(-(distance**2) / (2 * BY_HAND**2))


def _example(
    edge: Float[np.ndarray, "row col"],
    normal: Float[np.ndarray, "row col"],
    other: Float[np.ndarray, "row col"],
    two: Float[np.ndarray, "row col"],
    jump: Float[np.ndarray, "row col"],
) -> Example:
    """Return the maps in 16 bits: angles to 0.06°."""
    maps = {"edge": edge, "normal": normal, "other": other, "two": two, "jump": jump}
    return {name: torch.from_numpy(np.ascontiguousarray(values)).half() for name, values in maps.items()}

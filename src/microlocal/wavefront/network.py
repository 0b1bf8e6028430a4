"""The learned edge model: a network says where edges run and which way they face; the lines in it are found as ever.

Its strengths are probabilities. The normals are those of the network, up to a sign; the gradient at 1.5 pixels says
which side is bright.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage
from torch import Tensor

from microlocal.core.arrays import to_numpy
from microlocal.core.errors import InputError
from microlocal.core.geometry import Array
from microlocal.networks.directions import DirectionNetwork, decoded
from microlocal.networks.weights import building, fill, load_weights, name_of, shipped_weights, weights_file
from microlocal.wavefront.fields import TINY, Field, thinned

TASK, SHIPPED = "directions", "edges"
# Probabilities of an edge: sure at one pixel of a line, and possible at all of it.
SURE, POSSIBLE = 0.5, 0.25
# What probabilities waver by on images of noise alone; constant images differ by rounding only.
WAVER, ROUNDING = 0.05, 1e-6
SMOOTH = 1.5


def load_directions(weights: str | Path | None = None) -> DirectionNetwork:
    """Return the network of a weights file, of shipped weights by name, or of the shipped ones for edges.

    Raises InputError where there are none, or where they were trained for something else.
    """
    shipped = shipped_weights()
    path = shipped.get(SHIPPED) if weights is None else shipped.get(str(weights), Path(weights))
    if path is None:
        do = "Train some: microlocal train recipes/edges.toml --out run, then --weights run/weights.safetensors."
        raise InputError("edge model network", expected="weights", got="none with this version", do=do)
    target = weights_file(path)
    return _loaded(target, target.stat().st_mtime_ns if target.is_file() else 0)


@lru_cache(maxsize=4)
def _loaded(path: Path, changed: int) -> DirectionNetwork:
    """Return the network of a file; ``changed`` is when it was, so that a new file is read."""
    del changed
    state, card = load_weights(path)
    who = f"weights {name_of(path)}"
    if card.get("task") != TASK:
        do = "Take weights of a recipe with that task: recipes/edges.toml."
        raise InputError(who, expected=f"weights of the task {TASK}", got=str(card.get("task")), do=do)
    with building(who):
        network = DirectionNetwork(**card["architecture"])
    fill(network, state, who)
    return network.eval()


def said(
    image: Float[Tensor, "row col"], network: DirectionNetwork
) -> tuple[Float[Tensor, "row col"], Float[Tensor, "direction row col"]]:
    """Return the probabilities of an edge and of every class of normals: class k of K lies around (k + 1/2) π/K.

    At corners and crossings several classes are likely at once. An image that is constant has no edge anywhere.
    """
    wide = image.double()
    bright = wide - wide.mean()
    largest = float(bright.abs().max())
    if largest <= ROUNDING * float(wide.abs().max()):
        return torch.zeros(image.shape), torch.zeros(network.classes, *image.shape)
    with torch.no_grad():
        edge, directions = network((bright / largest).float()[None])
    return torch.sigmoid(edge[0]), torch.sigmoid(directions[0])


def network_field(image: Float[Tensor, "row col"], network: DirectionNetwork) -> Field:
    """Return what the network says as a field: strengths in [0, 1], normals to the bright side."""
    edge, directions = said(image, network)
    strength, normal = _array(edge), _array(decoded(directions))
    pixels = _array(image)
    down, right = (ndimage.gaussian_filter(pixels, SMOOTH, order, mode="nearest") for order in ((1, 0), (0, 1)))
    bright = right * np.cos(normal) - down * np.sin(normal)
    normal = (normal + np.where(bright < 0, np.pi, 0.0)) % (2 * np.pi)
    thin, offset = thinned(strength, normal)
    # A probability falls off as a Gaussian beside the edge: the parabola is that of its logarithm.
    offset = np.where(thin, thinned(np.log(np.maximum(strength, TINY)) + 800.0, normal)[1], offset)
    width = np.full(strength.shape, np.nan)
    return Field(strength, normal, thin, offset, width, WAVER, thresholds=(SURE, POSSIBLE))


def _array(plane: Float[Tensor, "..."]) -> Array:
    return to_numpy(plane.double())

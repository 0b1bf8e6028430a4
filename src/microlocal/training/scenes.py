"""Images whose wavefront set is known exactly: sums of shapes, and leaves that hide each other.

An object of ``data.objects`` is a sum: every outline is singular, wherever the density jumps across it. A scene of
leaves is painted back to front, as photographs are: of an outline only what no later leaf covers is there. Leaves
have ramps and textures, whose smooth changes are no edges.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from microlocal.core.grid import Grid
from microlocal.data.objects import Object, random_object
from microlocal.data.objects.base import Shape
from microlocal.data.outlines import OUTLINES, placed
from microlocal.data.phantoms import Ellipse
from microlocal.data.polygon import Polygon

Array = NDArray[np.float64]
PICTURES = {"leaves": 0.7, "ellipses": 0.1, "general": 0.2}  # how often each kind comes where pictures are to be had
SPACING = 0.25  # pixels between the points of an outline
FIELDS = 3  # textures of a scene
SURE = 1.5  # pixels from an outline to where the density beside it is read


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and its wavefront set: points (row, col) in pixels, the angles of their normals in [0, π) and the
    heights |jump| of the steps there, all (point,)."""

    image: Float[np.ndarray, "row col"]
    row: Float[np.ndarray, " point"]
    col: Float[np.ndarray, " point"]
    normal_rad: Float[np.ndarray, " point"]
    jump: Float[np.ndarray, " point"]


def scene(kind: str, draw: np.random.Generator, pixels: int) -> Scene:
    """Return a random scene of ``pixels``²: "leaves", "nothing", or a family of ``data.objects``.

    Raises UnknownNameError for another kind.

    >>> found = scene("leaves", np.random.default_rng(0), 32)
    >>> found.image.shape, bool((found.normal_rad < np.pi).all()), found.row.shape == found.jump.shape
    ((32, 32), True, True)
    """
    if kind == "leaves":
        return _leaves(draw, pixels)
    if kind == "nothing":
        return _nothing(draw, pixels)
    return _summed(kind, draw, pixels)


def unit_picture(kinds: Mapping[str, float], draw: np.random.Generator, pixels: int) -> Float[np.ndarray, "row col"]:
    """Return the image of a random scene, from 0 to 1; ``kinds``, and how often each comes.

    >>> found = unit_picture({"leaves": 0.5, "ellipses": 0.5}, np.random.default_rng(0), 32)
    >>> found.shape, float(found.min()), float(found.max())
    ((32, 32), 0.0, 1.0)
    """
    names, shares = list(kinds), np.array(list(kinds.values()))
    plane = scene(str(draw.choice(names, p=shares / shares.sum())), draw, pixels).image
    low, high = float(plane.min()), float(plane.max())
    found: Array = (plane - low) / max(high - low, 1e-12)
    return found


def _summed(family: str, draw: np.random.Generator, pixels: int) -> Scene:
    """Return an object of a family, magnified by up to 1.6 so that its size relative to pixels differs."""
    zoom = draw.uniform(1.0, 1.6)
    grid = Grid((pixels, pixels), 1.0)
    found = random_object(family, draw, Grid((pixels, pixels), zoom))
    parts = [_outline(shape) for shape in found.shapes]
    jumps = [_jump(shape, x, y) for shape, (x, y, _) in zip(found.shapes, parts, strict=True)]
    x, y, normal = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _scene(found.image(grid), x, y, normal, np.abs(np.concatenate(jumps)))


def _nothing(draw: np.random.Generator, pixels: int) -> Scene:
    """Return a smooth texture or a constant: an image without edges."""
    plane = _textures(draw, pixels)[0] * float(draw.random() < 0.7)
    none = np.zeros(0)
    return Scene(plane, none, none, none, none)


def _leaves(draw: np.random.Generator, pixels: int) -> Scene:
    """Paint leaves until few places are bare; the points that nothing covers afterwards are the wavefront set."""
    grid, radius = Grid((pixels, pixels), 1.0), pixels / 2
    textures = _textures(draw, pixels)
    rough = math.exp(draw.uniform(math.log(0.003), math.log(0.15)))
    plane = np.full(grid.shape, draw.random())
    flat = plane.copy()
    points: list[tuple[Array, ...]] = []
    covers: list[Array] = []
    for _ in range(int(draw.integers(4, 45))):
        leaf = _leaf(draw, radius)
        cover = np.clip(Object((leaf,)).image(grid, 3), 0.0, 1.0)
        value, x, y, normal = draw.random(), *_outline(leaf)
        beside = _at(flat, x + SURE * np.cos(normal), y + SURE * np.sin(normal))
        points.append((x, y, normal, np.abs(value - beside)))
        covers.append(cover)
        texture = np.roll(textures[int(draw.integers(FIELDS))], tuple(draw.integers(0, pixels, 2)), axis=(0, 1))
        painted = value + _ramp(draw, grid) + rough * draw.uniform(0, 2) * texture
        plane, flat = (under + cover * (new - under) for under, new in ((plane, painted), (flat, value)))
    through = np.ones(grid.shape)
    visible = []
    for cover, (x, y, *_) in zip(covers[::-1], points[::-1], strict=True):
        visible.append(_at(through, x, y) > 0.5)
        through = through * (1 - cover)
    x, y, normal, jump = (np.concatenate(column) for column in zip(*points, strict=True))
    seen = np.concatenate(visible[::-1])
    return _scene(plane, x[seen], y[seen], normal[seen], jump[seen])


def _leaf(draw: np.random.Generator, radius: float) -> Shape:
    """Draw an outline of density one: an ellipse, a parallelogram, another polygon or a spline."""
    size = radius * math.exp(draw.uniform(math.log(0.06), math.log(1.2)))
    at = (float(draw.uniform(-radius, radius)), float(draw.uniform(-radius, radius)))
    turn = float(draw.uniform(0, 2 * math.pi))
    if draw.random() < 0.3:
        return Ellipse(1.0, (size, size * float(draw.uniform(0.25, 1.0))), at, turn)
    points, normals = placed(OUTLINES[int(draw.integers(len(OUTLINES) - 1))](draw), size, turn, at)
    return Polygon(1.0, points, normals=normals)


def _ramp(draw: np.random.Generator, grid: Grid) -> Array:
    """Return a ramp of at most half the greatest contrast over the image, often none."""
    x, y = grid.coordinates()
    slope = draw.uniform(-0.25, 0.25, 2) * float(draw.random() < 0.4) * 2 / len(x)
    ramp: Array = slope[0] * x[None, :] + slope[1] * y[:, None]
    return ramp


def _textures(draw: np.random.Generator, pixels: int) -> Sequence[Array]:
    """Return random fields of standard deviation one with spectra |Mξ|^-β, stretched, from rough to smooth."""
    down, right = np.meshgrid(np.fft.fftfreq(pixels), np.fft.fftfreq(pixels), indexing="ij")
    found = []
    for _ in range(FIELDS):
        angle, stretch, power = draw.uniform(0, np.pi), math.exp(draw.uniform(0, 1.2)), draw.uniform(0.5, 2.5)
        along, across = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
        size = np.hypot(along * stretch, across) + 1 / pixels
        spectrum = np.fft.fft2(draw.normal(size=(pixels, pixels))) * size**-power
        spectrum[0, 0] = 0.0
        plane = np.fft.ifft2(spectrum).real
        found.append(plane / plane.std())
    return found


def _outline(shape: Shape) -> tuple[Array, Array, Array]:
    """Return (x, y, outer normal) of points of an outline, a quarter of a pixel of side one apart."""
    if isinstance(shape, Ellipse):
        count = math.ceil(2 * math.pi * max(shape.semi_axes) / SPACING)
        found = Object((shape,)).singularities(count)
        return found.x, found.y, found.normal_rad
    vertices, normals = shape.vertices, shape.normals
    after = np.roll(vertices, -1, axis=0)
    lengths = np.hypot(*(after - vertices).T)
    number = np.maximum(np.ceil(lengths / SPACING).astype(int), 1)
    side = np.repeat(np.arange(len(vertices)), number)
    within = np.concatenate([(np.arange(n) + 0.5) / n for n in number])[:, None]
    points = vertices[side] + within * (after - vertices)[side]
    if normals is None:
        edge = after - vertices
        angle = np.arctan2(-edge[:, 0], edge[:, 1])[side]
    else:
        mean = (1 - within) * normals[side] + within * np.roll(normals, -1, axis=0)[side]
        angle = np.arctan2(mean[:, 1], mean[:, 0])
    return points[:, 0], points[:, 1], angle


def _jump(shape: Shape, x: Array, y: Array) -> Array:
    """Return the step of the density across the outline; bumps that rise gradually have none."""
    if isinstance(shape, Ellipse):
        return np.full(x.shape, shape.value if shape.power == 0 else 0.0)
    return shape.profile(x, y)


def _at(plane: Array, x: Array, y: Array) -> Array:
    """Return the values at points, bilinear; x right and y up from the middle."""
    rows, cols = plane.shape
    found: Array = map_coordinates(plane, [(rows - 1) / 2 - y, x + (cols - 1) / 2], order=1, mode="nearest")
    return found


def _scene(plane: Array, x: Array, y: Array, normal: Array, jump: Array) -> Scene:
    """Return the scene in pixels, without the points outside of the image."""
    rows, cols = plane.shape
    row, col = (rows - 1) / 2 - y, x + (cols - 1) / 2
    inside = (row > -3) & (row < rows + 2) & (col > -3) & (col < cols + 2)
    # A tiny negative angle is π modulo π in floating point: reduce twice.
    return Scene(plane, row[inside], col[inside], normal[inside] % np.pi % np.pi, jump[inside])

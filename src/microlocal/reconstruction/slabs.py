"""Filtered backprojection of a volume slab by slab, from projections that are read a few at a time.

A slab needs the rows of the panel that its voxels are seen in and no others, and its views one after the other, so
that the memory depends neither on the volume nor on the number of views. Every slab is what it is in the whole volume.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import map_coordinates
from torch import Tensor

from microlocal.core.errors import GeometryError
from microlocal.core.geometry3d import FlatPanel, Geometry3D
from microlocal.core.volume import VolumeGrid
from microlocal.core.volume_scan import cropped
from microlocal.io.projections import VIEWS_AT_ONCE, Projections
from microlocal.reconstruction.fdk import Backprojection, panel_map

SPLINE_REACH = 4  # pixels around a place that a cubic spline asks


def formula_slab(projections: Projections, grid: VolumeGrid, each: Callable[[int], None]) -> Float[Tensor, "s r c"]:
    """Return the volume on ``grid`` by Feldkamp's formula, or that of the parallel beam, in 1/unit.

    A panel that is rolled around a cone beam has its pictures turned upright first. ``each`` is called with the number
    of views that were added. Raises GeometryError for views of any kind, which have no formula.
    """
    level = levelled(projections.geometry)
    rows = rows_of(level, grid)
    band = levelled(cropped(level, rows, range(level.shape[2])))
    source = projections.band(_rows_read(projections.geometry, rows))
    volume = torch.zeros(1, *grid.shape)
    backprojection = Backprojection.of(band, grid)
    for first in range(0, level.shape[0], VIEWS_AT_ONCE):
        views = range(first, min(first + VIEWS_AT_ONCE, level.shape[0]))
        part = source.frames(views)
        if isinstance(source.geometry, Geometry3D) and source.geometry.roll_rad != 0:
            part = upright(part, source.geometry, band)
        volume = backprojection.added(volume, part[None], views)
        each(len(views))
    return volume[0]


def levelled(geometry: object) -> Geometry3D:
    """Return the geometry of the same panel with level rows, itself where they are; raises GeometryError for tables."""
    if not isinstance(geometry, Geometry3D):
        do = "Iterate: --method cgls, tv or shearlet."
        raise GeometryError("fdk", expected="a cone or parallel beam", got=type(geometry).__name__, do=do)
    if geometry.roll_rad == 0:
        return geometry
    cos, sin = math.cos(geometry.roll_rad), math.sin(geometry.roll_rad)
    panel = geometry.detector
    v, u = panel.offset
    moved = FlatPanel(panel.rows, panel.cols, panel.pitch, (v * cos + u * sin, u * cos - v * sin))
    return replace(geometry, detector=moved, roll_rad=0.0)


def upright(frames: Float[Tensor, "view v u"], rolled: Geometry3D, level: Geometry3D) -> Float[Tensor, "view row col"]:
    """Return pictures of a rolled panel as the pixels of a level one see them, by cubic splines."""
    cos, sin = math.cos(rolled.roll_rad), math.sin(rolled.roll_rad)
    v, u = (axis.reshape(shape) for axis, shape in zip(level.detector.positions(), ((-1, 1), (1, -1)), strict=True))
    first = [axis[0] for axis in rolled.detector.positions()]
    rows = (v * cos - u * sin - first[0]) / rolled.detector.pitch[0]
    cols = (u * cos + v * sin - first[1]) / rolled.detector.pitch[1]
    turned = [map_coordinates(frame, [rows, cols], order=3, mode="nearest") for frame in frames.numpy()]
    return torch.from_numpy(np.stack(turned))


def rows_of(geometry: Geometry3D, grid: VolumeGrid) -> range:
    """Return the rows of the panel that voxels of ``grid`` are seen in, at least one.

    Seen from a source, the highest and the lowest point of a box are corners of it.
    """
    s, r, c = (np.array([0, n - 1], dtype=np.float64) for n in grid.shape)
    corners = np.stack([np.ones(8), *(axis.ravel() for axis in np.meshgrid(s, r, c, indexing="ij"))])
    depth, _, v = np.moveaxis(panel_map(geometry, grid) @ corners, 1, 0)
    seen = v / depth
    count = geometry.shape[1]
    first = int(np.clip(math.floor(seen.min()) - 1, 0, count - 1))
    last = int(np.clip(math.ceil(seen.max()) + 2, first + 1, count))
    return range(first, last)


def _rows_read(geometry: object, rows: range) -> range:
    """Return the rows of the panel as it stands that level ``rows`` are made from."""
    if not isinstance(geometry, Geometry3D) or geometry.roll_rad == 0:
        return rows
    panel, level = geometry.detector, levelled(geometry).detector
    v, u = level.positions()
    cos, sin = math.cos(geometry.roll_rad), math.sin(geometry.roll_rad)
    ends = [v[row] * cos - col * sin for row in (rows.start, rows.stop - 1) for col in (u[0], u[-1])]
    places = (np.array(ends) - panel.positions()[0][0]) / panel.pitch[0]
    first = int(np.clip(math.floor(places.min()) - SPLINE_REACH, 0, panel.rows - 1))
    return range(first, int(np.clip(math.ceil(places.max()) + SPLINE_REACH + 1, first + 1, panel.rows)))

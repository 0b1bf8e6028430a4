"""The outline of the object, from the lines that touch it.

In every view the first and the last ray that meet the object are tangents: the object lies on one side of each. The
intersection of these half planes contains the object whatever its shape, but on a limited arc it has long corners
where no tangent was seen. A disc has the support function h(φ) = x cos φ + y sin φ + r, linear in (x, y, r); where a
disc fits the tangents to within the sampling of the rays, it closes the outline in the unseen directions as well.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from microlocal.calibration.air import air_level
from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan

Array = NDArray[np.float64]

ABOVE_AIR = 5.0  # standard deviations of the air at which a ray is taken to meet the object
# The first ray that meets the object lies half a spacing inside of the outline on average, and its pixel sees half a
# spacing further: the tangent is moved out by what is between the two.
HALF_PLANE_MARGIN = 0.25  # of the ray spacing
ROUND = 0.6  # of the ray spacing: root mean square misfit up to which tangents are those of a disc (sampling: 0.29)
KEPT = 0.9  # of the tangents must agree with the disc
BEYOND_OUTLINE = 3.0  # pixels outside of the object's hull within which an edge may still be its own


@dataclass(frozen=True)
class Outline:
    """A convex region that contains the object: half planes x·n <= offset, and a disc where one fits.

    ``normals`` (tangent, 2) and ``offsets`` (tangent,) in length units; ``disc`` is (x, y, radius) or None; ``misfit``
    the root mean square distance of the tangents to the best disc.
    """

    normals: Array
    offsets: Array
    disc: tuple[float, float, float] | None
    misfit: float

    def mask(self, grid: Grid) -> Array:
        """Return the share of every pixel that lies inside, (row, col): the disc where there is one, else the hull."""
        return self.hull_mask(grid) if self.disc is None else self._disc_mask(grid, self.disc)

    def hull_mask(self, grid: Grid) -> Array:
        """Return the share of every pixel inside all half planes, (row, col)."""
        x, y = grid.coordinates()
        inside = np.full(grid.shape, np.inf)
        for (nx, ny), offset in zip(self.normals, self.offsets, strict=True):
            np.minimum(inside, offset - nx * x[None, :] - ny * y[:, None], out=inside)
        return np.clip(inside / grid.pixel + 0.5, 0.0, 1.0)

    def touched(self, grid: Grid) -> NDArray[np.bool_]:
        """Return which pixels the hull touches, those with ``hull_mask`` > 0: between two ends in every row."""
        x, y = grid.coordinates()
        nx, ny = self.normals.T
        room = self.offsets + grid.pixel / 2 - ny * y[:, None]  # n_x x stays below
        end = room / np.where(nx == 0, 1.0, nx)
        high = np.where(nx > 0, end, np.inf).min(axis=1, keepdims=True)
        low = np.where(nx < 0, end, -np.inf).max(axis=1, keepdims=True)
        open_row = (room > 0)[:, nx == 0].all(axis=1, keepdims=True)
        return (x > low) & (x < high) & open_row

    def _disc_mask(self, grid: Grid, disc: tuple[float, float, float]) -> Array:
        x, y = grid.coordinates()
        distance = np.hypot(x[None, :] - disc[0], y[:, None] - disc[1])
        return np.clip((disc[2] - distance) / grid.pixel + 0.5, 0.0, 1.0)


def find_outline(data: NDArray[np.floating], geometry: Geometry, threshold: float) -> Outline | None:
    """Return the outline from data (angle, detector) above ``threshold``; None where too few tangents are in view."""
    normals, offsets = tangents(data, geometry, threshold)
    if len(offsets) < 6:
        return None
    disc, misfit, kept = _fit_disc(normals, offsets)
    is_round = misfit < ROUND * ray_spacing(geometry) and kept > KEPT
    return Outline(normals, offsets, disc if is_round else None, misfit)


def air_around(scan: Scan, grid: Grid) -> Bool[Tensor, "slice row col"]:
    """Return which pixels lie outside of the object of each slice, none where its outline is not in view."""
    pages = to_numpy(scan.data.double()).reshape(-1, *scan.geometry.shape)
    found = torch.zeros(len(pages), *grid.shape, dtype=torch.bool)
    for page, mask in zip(pages, found, strict=True):
        air = air_level(page)
        outline = find_outline(page - air.level, scan.geometry, ABOVE_AIR * air.sigma) if air.found else None
        if outline is not None:
            near = replace(outline, offsets=outline.offsets + BEYOND_OUTLINE * grid.pixel)
            mask.copy_(torch.from_numpy(~near.touched(grid)))
    return found


def ray_spacing(geometry: Geometry) -> float:
    """Return the distance of neighbouring rays at the axis of rotation, in length units."""
    return geometry.detector.pitch / geometry.magnification


def tangents(data: NDArray[np.floating], geometry: Geometry, threshold: float) -> tuple[Array, Array]:
    """Return outward normals (tangent, 2) and offsets (tangent,) of the first and last ray that meet the object.

    A ray counts when a neighbour is above the threshold as well; a side that reaches the end of the detector gives no
    tangent, for the object may go on beyond it.
    """
    phi, s = geometry.lines()
    hit = data > threshold
    hit[:, 1:-1] &= hit[:, :-2] | hit[:, 2:]
    normals, offsets = [], []
    margin, count = HALF_PLANE_MARGIN * ray_spacing(geometry), data.shape[1]
    for view in range(data.shape[0]):
        seen = np.flatnonzero(hit[view])
        if seen.size < 3:
            continue
        middle = s[view, (seen[0] + seen[-1]) // 2]
        for ray in (seen[0], seen[-1]):
            if 2 < ray < count - 3:
                outward = 1.0 if s[view, ray] > middle else -1.0
                normals.append((outward * np.cos(phi[view, ray]), outward * np.sin(phi[view, ray])))
                offsets.append(outward * s[view, ray] + margin)
    return np.array(normals).reshape(-1, 2), np.array(offsets)


def _fit_disc(normals: Array, offsets: Array) -> tuple[tuple[float, float, float], float, float]:
    """Return (x, y, r), the misfit and the share of tangents kept: least squares, trimmed once at three deviations."""
    design = np.column_stack((normals, np.ones(len(offsets))))
    disc = np.linalg.lstsq(design, offsets, rcond=None)[0]
    gaps = np.abs(offsets - design @ disc)
    kept = gaps <= 3 * 1.4826 * np.median(gaps) + 1e-9 * np.abs(offsets).max()
    disc = np.linalg.lstsq(design[kept], offsets[kept], rcond=None)[0]
    misfit = float(np.sqrt(np.mean((offsets - design @ disc)[kept] ** 2)))
    return (float(disc[0]), float(disc[1]), float(disc[2])), misfit, float(kept.mean())

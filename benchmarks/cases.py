"""The cases of the races: what is computed, on which arrays, how a result is judged, and who takes part."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.race import Case
from microlocal.core import ConeBeam, Detector, FanBeam, FlatPanel, Geometry, Grid, ParallelBeam, VolumeGrid
from microlocal.data import phantoms
from microlocal.data.phantoms3d import Ellipsoid, projections, volume
from microlocal.frames import ShearletFrame, ShearletFrame3D
from microlocal.operators import RayTransform

Array = NDArray[Any]


def _shapes(size: int) -> list[phantoms.Ellipse]:
    return [
        phantoms.Ellipse(1.0, (0.30 * size, 0.175 * size), (0.05 * size, 0.075 * size), math.radians(30.0)),
        phantoms.Ellipse(0.5, (0.12 * size, 0.20 * size), (-0.20 * size, -0.10 * size), 0.0),
    ]


def _nearest(truth: Array, turns: Callable[[Array], list[Array]]) -> Callable[[Array], float]:
    """Return the relative error over the orientations in which libraries give the same thing."""
    size = float(np.linalg.norm(truth))
    return lambda got: min(
        float(np.linalg.norm(turned - truth)) / size for turned in turns(got) if turned.shape == truth.shape
    )


def _of_sinogram(got: Array) -> list[Array]:
    got = got.reshape(got.shape[-2:])
    return [got, got[:, ::-1], got[::-1], got[::-1, ::-1]]


def _of_image(mask: Array) -> Callable[[Array], list[Array]]:
    return lambda got: [mask * turned for turned in (got, got[::-1], got[:, ::-1], got[::-1, ::-1], got.T)]


def tomography(size: int, beam: str, rounds: int, dtype: type = np.float32) -> dict[str, Case]:
    """Forward, adjoint and filtered backprojection of two ellipses, size², with 0.7 size views."""
    views = 45 * size // 64
    grid = Grid((size, size), 1.0)
    geometry: Geometry
    if beam == "parallel":
        geometry = ParallelBeam(tuple(np.arange(views) * math.pi / views), Detector(size, 1.0))
    else:
        angles = tuple(np.arange(views) * 2 * math.pi / views)
        geometry = FanBeam(angles, Detector(size, 2.0), source_axis=4.0 * size, source_detector=8.0 * size)
    shapes = _shapes(size)
    fine = 8 if size <= 1024 else 1
    image, sinogram = phantoms.image(shapes, grid, oversampling=fine), phantoms.sinogram(shapes, geometry)
    distances = np.array([4.0 * size, 8.0 * size, 2.0])
    arrays = {"image": image.astype(dtype), "sinogram": sinogram.astype(dtype), "distances": distances}
    arrays["angles"] = geometry.angles
    x, y = grid.coordinates()
    disc = (x[None, :] ** 2 + y[:, None] ** 2 < (size / 2 - 2) ** 2).astype(float)
    back = RayTransform(geometry, grid, method="rays").adjoint(torch.from_numpy(sinogram)).numpy()
    errors = {
        "forward": _nearest(sinogram, _of_sinogram),
        "adjoint": _nearest(disc * back, _of_image(disc)),
        "fbp": _nearest(disc * image, _of_image(disc)),
    }
    who = {
        "parallel": ("ours", "ours_rays", "astra_toolbox", "deepinverse", "scikit_image"),
        "fan": ("ours", "astra_toolbox"),
    }[beam]
    if size > 512:
        who = tuple(w for w in who if w in ("ours", "ours_rays", "astra_toolbox"))
    where = f"{size}², {views} views, {np.dtype(dtype)}"
    return {
        what: Case(f"{beam} {what}", where, arrays, who, error, 0.3 if what == "fbp" else 0.02, rounds)
        for what, error in errors.items()
    }


def stack(size: int, slices: int) -> dict[str, Case]:
    """A stack of equal slices by the ray kernels, to be compared with a single one."""
    single = tomography(size, "fan", 5)
    cases = {}
    for what in ("forward", "adjoint"):
        arrays = dict(single[what].arrays)
        for name in ("image", "sinogram"):
            arrays[name] = np.repeat(arrays[name][None], slices, axis=0)
        cases[what] = Case(f"fan {what}", f"{slices} slices of {single[what].title}", arrays, ("ours",), rounds=5)
    return cases


def cone(size: int, rounds: int) -> dict[str, Case]:
    """Forward and adjoint of cone beam, size³, on a panel of 1.5 size² pixels."""
    views, grid = 45 * size // 32, VolumeGrid((size,) * 3, 1.0)
    panel = FlatPanel(size, 3 * size // 2, (2.0, 2.0))
    angles = tuple(np.arange(views) * 2 * math.pi / views)
    geometry = ConeBeam(angles, panel, source_axis=4.0 * size, source_detector=8.0 * size)
    ball = [Ellipsoid(1.0, (0.3 * size, 0.2 * size, 0.25 * size), (0.05 * size, 0.0, -0.04 * size))]
    arrays = {
        "image": volume(ball, grid).astype(np.float32),
        "sinogram": projections(ball, geometry).astype(np.float32),
        "distances": np.array([4.0 * size, 8.0 * size, 2.0]),
        "angles": geometry.angles,
    }
    truth, where = arrays["sinogram"], f"{size}³, {views} views of {panel.rows}x{panel.cols}, float32"
    error = _nearest(truth, lambda got: [got])
    return {
        "forward": Case("cone forward", where, arrays, ("ours",), error, rounds=rounds),
        "adjoint": Case("cone adjoint", where, arrays, ("ours",), rounds=rounds),
    }


def shearlets(size: int, kind: str) -> dict[str, Case]:
    """Analysis and synthesis of an image, beside the FFTs they cannot do without."""
    image = phantoms.image(_shapes(size), Grid((size, size), 1.0), oversampling=1).astype(kind)
    filters = len(ShearletFrame((size, size)).filters)
    who = ("floor", "ours", "ours_decimated", "alpha_transform", "pycoshrem")
    return _frame_cases("", image, filters, who, 9 if size < 1024 else 5)


def shearlets3d(size: int, rounds: int) -> dict[str, Case]:
    """The same for a volume."""
    ball = [Ellipsoid(1.0, (0.3 * size, 0.2 * size, 0.25 * size), (0.05 * size, 0.0, -0.04 * size))]
    image = volume(ball, VolumeGrid((size,) * 3, 1.0), oversampling=1).astype(np.float32)
    return _frame_cases("3-D ", image, len(ShearletFrame3D(image.shape).filters), ("floor", "ours"), rounds)


def _frame_cases(space: str, image: Array, filters: int, who: tuple[str, ...], rounds: int) -> dict[str, Case]:
    arrays = {"image": image, "filters": np.array(filters)}
    where = f"{'x'.join(map(str, image.shape))}, {filters} filters, {image.dtype}"
    return {
        what: Case(f"{space}shearlet {what}", where, arrays, who, rounds=rounds) for what in ("analysis", "synthesis")
    }

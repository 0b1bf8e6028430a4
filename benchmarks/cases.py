"""The cases of the races: what is computed, on which arrays, how a result is judged, and who takes part."""

import math
from collections.abc import Callable, Mapping
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


def plane(size: int, beam: str) -> tuple[Geometry, Grid]:
    """Return a parallel or fan beam of 0.7 size views, and a grid of size²."""
    views, grid = 45 * size // 64, Grid((size, size), 1.0)
    if beam == "parallel":
        return ParallelBeam(tuple(np.arange(views) * math.pi / views), Detector(size, 1.0)), grid
    angles = tuple(np.arange(views) * 2 * math.pi / views)
    return FanBeam(angles, Detector(size, 2.0), source_axis=4.0 * size, source_detector=8.0 * size), grid


def space(size: int) -> tuple[ConeBeam, VolumeGrid]:
    """Return a cone beam of 1.4 size views on a panel of 1.5 size² pixels, and a grid of size³."""
    views, panel = 45 * size // 32, FlatPanel(size, 3 * size // 2, (2.0, 2.0))
    angles = tuple(np.arange(views) * 2 * math.pi / views)
    return ConeBeam(angles, panel, source_axis=4.0 * size, source_detector=8.0 * size), VolumeGrid((size,) * 3, 1.0)


def scan_arrays(geometry: Geometry | ConeBeam, image: Array, data: Array) -> dict[str, Array]:
    """Return what a contestant needs to know of a scan by one of these geometries."""
    size = image.shape[-1]
    distances = np.array([4.0 * size, 8.0 * size, 2.0])
    return {"image": image, "sinogram": data, "distances": distances, "angles": np.asarray(geometry.angles)}


def tomography(size: int, beam: str, rounds: int, dtype: type = np.float32) -> dict[str, Case]:
    """Forward, adjoint and filtered backprojection of two ellipses, size², with 0.7 size views."""
    geometry, grid = plane(size, beam)
    shapes = _shapes(size)
    image, sinogram = phantoms.image(shapes, grid), phantoms.sinogram(shapes, geometry)
    arrays = scan_arrays(geometry, image.astype(dtype), sinogram.astype(dtype))
    x, y = grid.coordinates()
    disc = (x[None, :] ** 2 + y[:, None] ** 2 < (size / 2 - 2) ** 2).astype(float)
    back = RayTransform(geometry, grid, method="rays").adjoint(torch.from_numpy(sinogram)).numpy()
    errors = {
        "forward": _nearest(sinogram, _of_sinogram),
        "adjoint": _nearest(disc * back, _of_image(disc)),
        "fbp": _nearest(disc * image, _of_image(disc)),
    }
    allowed = {"forward": 0.02, "adjoint": 0.02, "fbp": 0.3}
    who: tuple[str, ...] = ("ours", "astra_toolbox")
    if beam == "parallel":
        who = ("ours", "ours_rays", "finufft_slice", "astra_toolbox")
        if size <= 512:
            who = (*who, "odl_on_astra", "deepinverse", "scikit_image", "adrt_quadrants")
    where = f"{size}², {geometry.shape[0]} views, {np.dtype(dtype)}"
    against = {"forward": "line integrals", "adjoint": "our adjoint by rays", "fbp": "the object"}
    return {
        what: Case(f"{beam} {what}", f"{where}, error to {against[what]}", arrays, who, error, allowed[what], rounds)
        for what, error in errors.items()
    }


def stack(single: Mapping[str, Case], slices: int) -> dict[str, Case]:
    """A stack of equal slices by the ray kernels, to be compared with the ``single`` one."""
    cases = {}
    for what in ("forward", "adjoint"):
        arrays = dict(single[what].arrays)
        for name in ("image", "sinogram"):
            arrays[name] = np.repeat(arrays[name][None], slices, axis=0)
        title = f"{slices} slices of {single[what].title.split(', error')[0]}"
        cases[what] = Case(f"fan {what}", title, arrays, ("ours",), rounds=5)
    return cases


def cone(size: int, rounds: int) -> dict[str, Case]:
    """Forward, adjoint and FDK of cone beam, size³, on a panel of 1.5 size² pixels."""
    geometry, grid = space(size)
    ball = [Ellipsoid(1.0, (0.3 * size, 0.2 * size, 0.25 * size), (0.05 * size, 0.0, -0.04 * size))]
    truth = projections(ball, geometry).astype(np.float32)
    solid = volume(ball, grid).astype(np.float32)
    arrays = scan_arrays(geometry, solid, truth)
    where = "{}³, {} views of {}x{}, float32".format(size, *geometry.shape)
    error = _nearest(truth, lambda got: [got])
    return {
        "forward": Case("cone forward", where, arrays, ("ours",), error, rounds=rounds),
        "adjoint": Case("cone adjoint", where, arrays, ("ours",), rounds=rounds),
        "fdk": Case("cone fdk", where, arrays, ("ours",), _nearest(solid, lambda got: [got]), rounds=rounds),
    }


def shearlets(size: int, kind: str) -> dict[str, Case]:
    """Analysis and synthesis of an image, beside the FFTs they cannot do without."""
    image = phantoms.image(_shapes(size), Grid((size, size), 1.0), oversampling=1).astype(kind)
    filters = len(ShearletFrame((size, size)).filters)
    who = ("floor", "ours", "ours_decimated", "alpha_transform", "pycoshrem")
    return _frame_cases("", image, filters, who, 9 if size < 1024 else 5)


def wavelets(size: int) -> dict[str, Case]:
    """An orthogonal wavelet transform and back; the layouts differ, so analysis is judged by the norm that it keeps."""
    image = phantoms.image(_shapes(size), Grid((size, size), 1.0), oversampling=1).astype(np.float32)
    length = float(np.linalg.norm(image))
    errors: dict[str, Callable[[Array], float]] = {
        "analysis": lambda got: abs(float(np.linalg.norm(got)) / length - 1),
        "synthesis": lambda got: float(np.linalg.norm(got - image)) / length,
    }
    who = ("ours", "pywavelets", "ptwt_matrices")
    return {
        what: Case(f"wavelet {what}", f"{size}², db4, float32", {"image": image}, who, error, 1e-5)
        for what, error in errors.items()
    }


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

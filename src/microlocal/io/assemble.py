"""The last step of every reader: views in order, values checked, a scan made.

Views are sorted by angle, views of the same direction (modulo 360 degrees) are averaged, and everything that was
done to the data becomes a sentence in ``Scan.warnings``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from microlocal.core.errors import GeometryError, ScanFileError
from microlocal.core.geometry import Detector, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan, Source

SAME_ANGLE_DEG = 1e-6
# Sums of squares of a million such values, times the squares of lengths, stay within single precision.
SMALLEST, LARGEST = 1e-12, 1e12


@dataclass(frozen=True, eq=False)
class Views:
    """Projections with their angles in degrees, before they are put in order: ``data`` (*batch, angle, detector)."""

    data: Float[np.ndarray, "*batch angle detector"]
    angles_deg: Float[np.ndarray, " angle"]
    warnings: tuple[str, ...] = ()

    def said(self, sentence: str) -> "Views":
        """Return the views with one more warning."""
        return replace(self, warnings=(*self.warnings, sentence))


def parallel_scan(views: Views, pitch: float, unit: str, source: Source) -> Scan:
    """Return a parallel-beam scan with detector pixels of ``pitch`` ``unit``, its axis in the middle."""
    who = source.path
    if not (math.isfinite(pitch) and pitch > 0):
        raise ScanFileError(who, expected="a pixel size > 0", got=str(pitch), do="Mend the pixel size in the file.")
    detector = Detector(views.data.shape[-1], pitch)
    return finished(views, ParallelBeam((0.0,), detector, unit=unit), None, source)


def finished(views: Views, geometry: Geometry, grid: Grid | None, source: Source) -> Scan:
    """Return the scan of ``views``, ordered; ``geometry`` gives all but the angles.

    Raises GeometryError for angles that do not fit, ScanFileError for data that cannot be measurements.
    """
    who = source.path
    _check_shape(views, geometry, who)
    check_values(views.data, who)
    views = in_order(_said_if_radians(views))
    if views.angles_deg.size < 2:
        got = f"{views.angles_deg.size} different angle"
        raise GeometryError(who, expected="at least 2 view angles", got=got, do="Give a scan of several views.")
    geometry = replace(geometry, angles_rad=tuple(np.radians(views.angles_deg).tolist()))
    return Scan(
        torch.from_numpy(np.array(views.data, dtype=np.float32, order="C")),
        geometry,
        geometry.default_grid() if grid is None else grid,
        source,
        views.warnings,
    )


def in_order(views: Views) -> Views:
    """Return the views sorted by angle, those of the same direction averaged."""
    return _ordered(_unrepeated(views))


def _check_shape(views: Views, geometry: Geometry, who: str) -> None:
    data, angles = views.data, views.angles_deg
    if data.ndim < 2 or 0 in data.shape:
        got = f"an array of shape {data.shape}"
        raise ScanFileError(who, expected="data (*batch, angle, detector)", got=got, do="This is no sinogram.")
    if angles.shape != (data.shape[-2],):
        got = f"{angles.size} angles for {data.shape[-2]} projections"
        raise GeometryError(who, expected="one angle per projection", got=got, do="Mend the list of angles.")
    if data.shape[-1] < 2 or data.shape[-1] != geometry.detector.count:
        expected = f"{max(geometry.detector.count, 2)} detector pixels (at least 2)"
        got = f"data of {data.shape[-1]} pixels"
        raise GeometryError(who, expected=expected, got=got, do="Mend the detector's count, or the order of the axes.")
    if not np.isfinite(angles).all():
        got = f"{np.count_nonzero(~np.isfinite(angles))} that are NaN or infinite"
        raise GeometryError(who, expected="finite view angles", got=got, do="Mend the list of angles.")


def check_values(data: NDArray[Any], who: str) -> None:
    """Raise ScanFileError for values that are not finite, do not vary, or whose squares leave single precision."""
    bad = int(data.size - np.count_nonzero(np.isfinite(data)))
    if bad:
        got = f"{bad} NaN or infinite of {data.size}"
        raise ScanFileError(who, expected="finite data", got=got, do="Repair the bad pixels, or give counts and flats.")
    low, high = float(data.min()), float(data.max())
    if low == high:
        got = f"the one value {low:g} everywhere"
        raise ScanFileError(who, expected="data that vary", got=got, do="Nothing was measured: look at the file.")
    size = max(-low, high)
    if not SMALLEST <= size <= LARGEST:
        expected = f"data whose largest value is between {SMALLEST:g} and {LARGEST:g}"
        do = "Rescale the data: in single precision their squares are lost."
        raise ScanFileError(who, expected=expected, got=f"values up to {size:g}", do=do)


def _said_if_radians(views: Views) -> Views:
    """A warning if angles given as degrees look like radians: all within one turn of 2π, and views close together."""
    angles = views.angles_deg
    span = float(np.ptp(angles))
    if 1.5 < span <= 2 * math.pi + 0.1 and angles.size > 10 and float(np.abs(angles).max()) < 7:
        last = float(angles.max())
        return views.said(
            f"The angles end at {last:.4g}: read as degrees, but they look like radians. If so, convert them."
        )
    return views


def _unrepeated(views: Views) -> Views:
    """Average views of the same direction modulo 360 degrees."""
    turn = np.mod(views.angles_deg, 360.0)
    turn[turn > 360.0 - SAME_ANGLE_DEG / 2] = 0.0
    order = np.argsort(turn, kind="stable")
    starts = np.r_[True, np.diff(turn[order]) > SAME_ANGLE_DEG]
    if starts.all():
        return views
    label = np.empty(turn.size, np.int64)
    label[order] = np.cumsum(starts) - 1
    firsts = np.unique(label, return_index=True)[1]
    means = [views.data[..., label == label[i], :].mean(axis=-2) for i in sorted(firsts)]
    count = turn.size - firsts.size
    merged = replace(views, data=np.stack(means, axis=-2), angles_deg=views.angles_deg[np.sort(firsts)])
    return merged.said(f"{_views(count)} repeated the direction of another: such views were averaged.")


def _ordered(views: Views) -> Views:
    """Sort by angle; an arc that runs through 360 degrees is unwrapped instead of being cut in two."""
    angles = views.angles_deg
    if (np.diff(angles) > 0).all():
        return views
    unwrapped = np.unwrap(angles, period=360.0)
    if (np.diff(unwrapped) > 0).all():
        return replace(views, angles_deg=unwrapped)
    if (np.diff(unwrapped) < 0).all():
        return _chosen(replace(views, angles_deg=unwrapped), range(angles.size)[::-1])
    sentence = "The views were not in the order of their angles: they were sorted."
    return _chosen(views, np.argsort(angles, kind="stable").tolist()).said(sentence)


def _chosen(views: Views, index: Sequence[int]) -> Views:
    chosen = list(index)
    return replace(views, data=views.data[..., chosen, :], angles_deg=views.angles_deg[chosen])


def _views(count: int) -> str:
    return "1 view" if count == 1 else f"{count} views"


def floats(array: Shaped[np.ndarray, "..."], who: str) -> Float[np.ndarray, "..."]:
    """Return real numbers as floats (float32 stays, everything else becomes float64); raises ScanFileError."""
    if array.dtype.kind not in "biuf":
        got = f"values of type {array.dtype}"
        raise ScanFileError(who, expected="real numbers", got=got, do="Save the data as real numbers.")
    return array if array.dtype == np.float32 else array.astype(np.float64)

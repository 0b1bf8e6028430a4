"""Plain arrays (TIFF, NPZ) become scans with the help of the JSON geometry beside them."""

import numpy as np
from jaxtyping import Float, Shaped

from microlocal.core.errors import ScanFileError
from microlocal.core.scan import Scan, Source
from microlocal.io.assemble import Views, finished, floats
from microlocal.io.counts import Flux, from_transmission, line_integrals
from microlocal.io.sidecar import Sidecar

DEFAULT_AXES = {2: ("angle", "detector"), 3: ("angle", "slice", "detector")}


def array_scan(
    array: Shaped[np.ndarray, "..."],
    sidecar: Sidecar,
    flux: tuple[Shaped[np.ndarray, "..."] | None, Shaped[np.ndarray, "..."] | None],
    source: Source,
) -> Scan:
    """Return the scan of an array whose geometry, axes and quantity the sidecar describes.

    Parameters: ``array`` (angle, detector) or (angle, slice, detector) unless ``sidecar.axes`` says otherwise;
    ``flux``, the flats and darks as read (None where there are none). Raises ScanFileError or GeometryError.
    """
    who = source.path
    geometry = sidecar.needed(who)
    frames = _frames(floats(array, who), sidecar, who)
    if frames.size == 0:
        got = f"an array of shape {array.shape}"
        raise ScanFileError(who, expected="data", got=got, do="The array is empty: look at the file.")
    values, said = _integrals(frames, sidecar.quantity, flux, who)
    data = values[:, 0] if array.ndim == 2 else values.transpose(1, 0, 2)
    if sidecar.quantity == "line integrals" and float(np.median(values)) > 50:
        said = (*said, f"The median is {np.median(values):.4g}: if these are counts, say so in the JSON (quantity).")
    views = Views(data, np.degrees(geometry.angles), said)
    return finished(views, geometry, sidecar.grid, source)


def _frames(array: Float[np.ndarray, "..."], sidecar: Sidecar, who: str) -> Float[np.ndarray, "angle slice detector"]:
    """Bring the axes into the order (angle, slice, detector), with one slice for a single sinogram."""
    axes = sidecar.axes or DEFAULT_AXES.get(array.ndim, ())
    if len(axes) == array.ndim + 1:  # the pages of a TIFF are read without axes of length one
        axes = tuple(name for name in axes if name != "slice")
    if not axes or len(axes) != array.ndim:
        got = f"an array of shape {array.shape}" + (f" for the axes {', '.join(axes)}" if axes else "")
        do = 'Name the axes in the JSON, for instance "axes": "slice, angle, detector".'
        raise ScanFileError(who, expected="2 axes (angle, detector) or 3 with slice", got=got, do=do)
    order = [axes.index(name) for name in ("angle", "slice", "detector") if name in axes]
    sorted_array = array.transpose(order)
    return sorted_array[:, None, :] if array.ndim == 2 else sorted_array


def _integrals(
    frames: Float[np.ndarray, "angle slice detector"],
    quantity: str,
    flux: tuple[Shaped[np.ndarray, "..."] | None, Shaped[np.ndarray, "..."] | None],
    who: str,
) -> tuple[Float[np.ndarray, "angle slice detector"], tuple[str, ...]]:
    if quantity == "line integrals":
        return frames, ()
    if quantity == "transmission":
        return from_transmission(frames, None, who)
    flats, darks = flux
    if flats is None:
        do = 'Name their file in the JSON, for instance "flats": "flats.tif".'
        raise ScanFileError(who, expected="flats to turn counts into line integrals", got="none", do=do)
    shape = frames.shape[1:]
    said = () if darks is not None else ("No dark frames: the dark level is taken as zero.",)
    dark = np.zeros(shape) if darks is None else _mean_frame(darks, shape, who)
    data, repaired = line_integrals(frames, Flux(_mean_frame(flats, shape, who), dark), who)
    return data, (*said, *repaired)


def _mean_frame(
    frames: Shaped[np.ndarray, "..."], shape: tuple[int, ...], who: str
) -> Float[np.ndarray, "slice detector"]:
    """Return the mean over all frames of ``shape`` (slice, detector) in an array of one or several."""
    values = floats(frames, who).astype(np.float64)
    pixels = shape[0] * shape[1]
    if values.size == 0 or values.size % pixels or values.shape[-1] != shape[1]:
        got = f"an array of shape {values.shape}"
        raise ScanFileError(
            who, expected=f"flats and darks of shape (frame, {shape[0]}, {shape[1]})", got=got, do="Mend their shape."
        )
    return values.reshape(-1, *shape).mean(axis=0)

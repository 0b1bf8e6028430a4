"""Images to files: 32-bit TIFF with pixel size, as ImageJ reads it, and 8-bit PNG for the eye."""

from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Float
from matplotlib.image import imsave

from microlocal.core.errors import ShapeError
from microlocal.io.atomic import replacing


def write_tiff(image: Float[np.ndarray, "*slice row col"], path: str | Path, pixel: float, unit: str) -> Path:
    """Write an image (row, col) or a stack (slice, row, col) as float32 TIFF with its pixel size.

    Parameters: ``pixel``, the side of a pixel in ``unit``. Raises ShapeError for other axes, OutputError where the
    place cannot be written.
    """
    target, values = Path(path), np.ascontiguousarray(image, dtype=np.float32)
    if values.ndim not in (2, 3):
        got = str(values.shape)
        raise ShapeError("write_tiff", expected="(row, col) or (slice, row, col)", got=got, do="Flatten the batch.")
    axes = "YX" if values.ndim == 2 else "ZYX"
    metadata = {"axes": axes, "unit": unit} | ({"spacing": pixel} if values.ndim == 3 else {})
    with replacing(target) as temporary, temporary.open("wb") as stream:
        tifffile.imwrite(stream, values, imagej=True, resolution=(1 / pixel, 1 / pixel), metadata=metadata)
    return target


def write_png(image: Float[np.ndarray, "row col"], path: str | Path, window: tuple[float, float]) -> Path:
    """Write an image as 8-bit grey PNG, black at ``window[0]`` and white at ``window[1]``."""
    target, (low, high) = Path(path), window
    if image.ndim != 2:
        raise ShapeError("write_png", expected="(row, col)", got=str(image.shape), do="Choose one slice.")
    with replacing(target) as temporary, temporary.open("wb") as stream:
        imsave(stream, np.asarray(image), vmin=low, vmax=high if high > low else low + 1, cmap="gray", format="png")
    return target

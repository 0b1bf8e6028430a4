"""Images to files: 32-bit TIFF with pixel size, as ImageJ reads it, codes as coloured TIFF, and 8-bit PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, UInt8, UInt16
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


def write_codes(
    codes: UInt8[np.ndarray, "*slice row col"],
    path: str | Path,
    pixel: float,
    unit: str,
    named: Mapping[int, tuple[str, str]],
) -> Path:
    """Write a map of codes, (row, col) or (slice, row, col), as 8-bit TIFF whose colour map has names.

    Parameters: ``pixel``, the side of a pixel in ``unit``; ``named``, the name and the colour "#rrggbb" of each code;
    others are black. Viewers show the colours; the pixels are the codes; the description of the first page, JSON, has
    the names. Raises ShapeError for other axes, OutputError where the place cannot be written.
    """
    target, values = Path(path), np.ascontiguousarray(codes, dtype=np.uint8)
    if values.ndim not in (2, 3):
        got = str(values.shape)
        raise ShapeError("write_codes", expected="(row, col) or (slice, row, col)", got=got, do="Flatten the batch.")
    metadata = {"axes": "YX" if values.ndim == 2 else "ZYX", "unit": unit, "pixel": pixel} | said_of_codes(named)
    resolution = (1 / pixel, 1 / pixel)
    with replacing(target) as temporary, temporary.open("wb") as stream:
        tifffile.imwrite(
            stream,
            values,
            photometric="palette",
            colormap=palette_of(named),
            compression="zlib",
            resolution=resolution,
            resolutionunit="NONE",
            metadata=metadata,
        )
    return target


def palette_of(named: Mapping[int, tuple[str, str]]) -> UInt16[np.ndarray, "3 256"]:
    """Return the colour map of a TIFF for codes, black where a code has no colour."""
    palette = np.zeros((3, 256), dtype=np.uint16)
    for code, (_, colour) in named.items():
        palette[:, code] = [257 * int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return palette


def said_of_codes(named: Mapping[int, tuple[str, str]]) -> dict[str, Any]:
    """Return what a file says of its codes: their names, and the colours of these."""
    return {"codes": {str(code): name for code, (name, _) in named.items()}, "colours": dict(named.values())}

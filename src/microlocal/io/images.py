"""Images to files: 32-bit TIFF with pixel size, as ImageJ reads it, codes as coloured TIFF, and 8-bit PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, UInt8, UInt16
from matplotlib.image import imsave

from microlocal.core.checks import positive
from microlocal.core.errors import InputError, ShapeError
from microlocal.io.atomic import replacing


def write_tiff(image: Float[np.ndarray, "*slice row col"], path: str | Path, pixel: float, unit: str) -> Path:
    """Write an image (row, col) or a stack (slice, row, col) as float32 TIFF with its pixel size.

    Parameters: ``pixel``, the side of a pixel in ``unit``. Raises ShapeError for other axes, InputError for complex
    numbers and a side that is none, OutputError where the place cannot be written.
    """
    if np.iscomplexobj(image):
        do = "Write its real part, or its absolute values."
        raise InputError("write_tiff", expected="real numbers", got="complex ones", do=do)
    target, values = Path(path), np.ascontiguousarray(image, dtype=np.float32)
    if values.ndim not in (2, 3) or values.size == 0:
        got = str(values.shape)
        raise ShapeError("write_tiff", expected="(row, col) or (slice, row, col)", got=got, do="Flatten the batch.")
    axes, (side, name) = "YX" if values.ndim == 2 else "ZYX", told_size(pixel, unit)
    metadata = {"axes": axes, "unit": name} | ({"spacing": side} if values.ndim == 3 else {})
    with replacing(target) as temporary, temporary.open("wb") as stream:
        tifffile.imwrite(stream, values, imagej=True, resolution=(1 / side, 1 / side), metadata=metadata)
    return target


def told_size(pixel: float, unit: str) -> tuple[float, str]:
    """Return the side of a pixel and its unit as a TIFF can hold them, in fractions of 32 bits and in ASCII.

    Where no fraction reaches, the pixel itself is the unit. Raises InputError for a side that is none.

    >>> told_size(0.5, "µm"), told_size(2e-10, "m")
    ((0.5, '\\\\u00B5m'), (1.0, '2e-10 m'))
    """
    positive(pixel, "pixel", "told_size")
    side, name = (pixel, unit) if 2.0**-31 < pixel < 2.0**31 else (1.0, f"{pixel:.9g} {unit}")
    # As ImageJ writes and reads other letters.
    return side, "".join(letter if letter.isascii() else f"\\u{ord(letter):04X}" for letter in name)


def write_png(image: Float[np.ndarray, "row col"], path: str | Path, window: tuple[float, float]) -> Path:
    """Write an image as 8-bit grey PNG, black at ``window[0]`` and white at ``window[1]``."""
    target, (low, high) = Path(path), window
    if image.ndim != 2 or 0 in image.shape:
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
    resolution = (1 / told_size(pixel, unit)[0],) * 2
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

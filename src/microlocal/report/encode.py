"""Arrays as text inside a page: 16-bit samples, 2-bit codes, palette PNGs, JSON that cannot leave its tag."""

import base64
import json
import math
import struct
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray


def base64_text(raw: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(raw).decode("ascii")


def samples16(values: Float[np.ndarray, "..."], low: float, high: float) -> str:
    """Return ``values`` in [low, high] as little-endian uint16 samples in base64: v = low + q (high - low)/65535.

    >>> samples16(np.array([0.0, 1.0]), 0.0, 1.0)
    'AAD//w=='
    """
    span = high - low if high > low else 1.0
    fractions = np.clip((np.nan_to_num(values, nan=low) - low) / span, 0.0, 1.0)
    return base64_text(np.round(fractions * 65535).astype("<u2").tobytes())


def codes2(codes: UInt8[np.ndarray, "..."]) -> str:
    """Return codes 0..3 packed four to a byte (first code in the lowest bits) in base64.

    >>> codes2(np.array([1, 2, 3, 0, 1], dtype=np.uint8))
    'OQE='
    """
    flat = codes.reshape(-1) & 3
    quads = np.pad(flat, (0, -flat.size % 4)).reshape(-1, 4)
    return base64_text((quads << np.array([0, 2, 4, 6], dtype=np.uint8)).sum(axis=1, dtype=np.uint8).tobytes())


def palette_png(index: UInt8[np.ndarray, "row col"], palette: UInt8[np.ndarray, "256 4"]) -> bytes:
    """Return a PNG of palette indices; the palette holds red, green, blue and opacity.

    Rows are stored as differences from the row above (PNG filter 2), which smooth images compress better with.
    """
    rows, cols = index.shape
    above = np.vstack([np.zeros((1, cols), dtype=np.uint8), index[:-1]])
    lines = np.hstack([np.full((rows, 1), 2, dtype=np.uint8), index - above])
    header = struct.pack(">IIBBBBB", cols, rows, 8, 3, 0, 0, 0)
    colours, opacity = np.ascontiguousarray(palette[:, :3]), np.ascontiguousarray(palette[:, 3])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", colours.tobytes()),
            _chunk(b"tRNS", opacity.tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def png_uri(index: UInt8[np.ndarray, "row col"], palette: UInt8[np.ndarray, "256 4"]) -> str:
    """Return ``palette_png`` as a data URI."""
    return "data:image/png;base64," + base64_text(palette_png(index, palette))


def script_json(value: Any) -> str:
    """Return JSON that is safe inside a script element: no <, >, & or line separators, no NaN or infinity.

    >>> script_json({"a": "</script>", "b": float("nan")})
    '{"a":"\\\\u003c/script\\\\u003e","b":null}'
    """
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def shrink(image: NDArray[Any], side: int, *, largest: bool = False) -> NDArray[Any]:
    """Return ``image`` (row, col) in whole blocks so that no side exceeds ``side``: block means, or block maxima."""
    block = math.ceil(max(image.shape) / side)
    if block == 1:
        return image
    rows, cols = (n // block for n in image.shape)
    blocks = image[: rows * block, : cols * block].reshape(rows, block, cols, block)
    return blocks.max(axis=(1, 3)) if largest else blocks.mean(axis=(1, 3))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value

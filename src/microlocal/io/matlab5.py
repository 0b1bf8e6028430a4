"""Read numbers, text and structs from MATLAB v5 files.

The file is a sequence of elements, each a tag (type, bytes) and its data; a matrix holds elements again (flags,
dimensions, name, content), a compressed element holds one after inflation. Every size is checked against what is
there before it is used. (SciPy's reader trusts the tags: fuzzing showed that damaged ones make it read outside its
buffers and bring the process down.)

Reference: MAT-File Level 5 File Format, The MathWorks.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HEADER, MATRIX, COMPRESSED = 128, 14, 15
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
STRUCT, CHAR, NUMBERS, COMPLEX = 2, 4, range(6, 16), 0x800
DEEPEST = 30


def is_matlab5(path: Path) -> bool:
    """Whether a file begins as MATLAB v5 files do."""
    with path.open("rb") as stream:
        start = stream.read(HEADER)
    return start.startswith(b"MATLAB 5") and start[126:] in (b"IM", b"MI")


def read_matlab5(path: Path) -> dict[str, Any]:
    """Return the variables by name: arrays, text, structs as dictionaries; None for all other classes.

    Raises ValueError, struct.error or zlib.error for a damaged file.
    """
    content = path.read_bytes()
    order = "<" if content[126:128] == b"IM" else ">"
    variables = {}
    for kind, data in _elements(memoryview(content)[HEADER:], order):
        inner = data
        if kind == COMPRESSED:
            kind, inner = next(_elements(memoryview(zlib.decompress(data)), order))  # noqa: PLW2901
        if kind == MATRIX:
            name, value = _matrix(inner, order, 0)
            variables[name] = value
    return variables


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and data of each element; those of up to four bytes lie in their tag, others are padded to eight."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, at)
        start = at + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        if start + size > len(data) or (start == at + 4 and size > 4):
            raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
        yield kind, data[start : start + size]
        at = start + size if kind == COMPRESSED else -(-(start + size) // 8) * 8


def _matrix(data: memoryview, order: str, depth: int) -> tuple[str, Any]:
    """Return name and value of a matrix."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} structs within each other")
    if len(data) == 0:
        return "", np.zeros((0, 0))
    parts = list(_elements(data, order))
    flags = int(_numbers(*parts[0], order)[0])
    kind = flags & 0xFF
    if kind not in (STRUCT, CHAR, *NUMBERS):
        return "", None
    shape = tuple(int(n) for n in _numbers(*parts[1], order))
    name = bytes(parts[2][1]).decode("utf-8", "replace")
    if kind == STRUCT:
        return name, _struct(parts[3:], math.prod(shape), order, depth)
    if kind == CHAR:
        return name, _text(*parts[3], order) if len(parts) > 3 else ""
    values = _numbers(*parts[3], order) if len(parts) > 3 else np.zeros(0)
    if flags & COMPLEX and len(parts) > 4:
        values = values + 1j * _numbers(*parts[4], order)
    return name, values.reshape(shape, order="F")


def _struct(parts: list[tuple[int, memoryview]], count: int, order: str, depth: int) -> dict[str, Any] | None:
    """Return the fields of a single struct, None for an array of structs."""
    length = int(_numbers(*parts[0], order)[0])
    if count != 1 or length < 1:
        return None
    text = bytes(parts[1][1])
    names = [text[i : i + length].split(b"\0")[0].decode("utf-8", "replace") for i in range(0, len(text), length)]
    if len(parts) != 2 + len(names) or any(kind != MATRIX for kind, _ in parts[2:]):
        raise ValueError(f"a struct of {len(names)} names and {len(parts) - 2} fields")
    return {name: _matrix(part, order, depth + 1)[1] for name, (_, part) in zip(names, parts[2:], strict=True)}


def _numbers(kind: int, data: memoryview, order: str) -> np.ndarray[tuple[int], np.dtype[Any]]:
    if kind not in STORED:
        raise ValueError(f"numbers stored as the unknown type {kind}")
    return np.frombuffer(data, np.dtype(order + STORED[kind]))


def _text(kind: int, data: memoryview, order: str) -> str:
    if kind not in TEXT:
        raise ValueError(f"text stored as the unknown type {kind}")
    coding = TEXT[kind]
    end = "" if coding == "utf-8" else ("-le" if order == "<" else "-be")
    return bytes(data).decode(coding + end, "replace")

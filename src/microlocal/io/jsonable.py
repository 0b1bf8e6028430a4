"""Turn metadata of any file into plain JSON values."""

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from microlocal.core.arrays import to_numpy

MOST_VALUES = 100_000


def jsonable(value: Any) -> Any:
    """Return ``value`` as JSON values: numpy scalars unwrapped, arrays as lists.

    Infinity and NaN, which JSON lacks, become text that ``float`` reads.
    Arrays of more than 100 000 values become a sentence that says their shape.

    >>> jsonable({"a": np.float32(0.5), "b": (1, float("nan")), "c": b"text"})
    {'a': 0.5, 'b': [1, 'nan'], 'c': 'text'}
    """
    if isinstance(value, Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return jsonable(value.item()) if value.dtype.kind in "biufSU" else str(value)
    return _jsonable_container(value)


def _jsonable_container(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = to_numpy(value)
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist()) if value.size <= MOST_VALUES else f"array of shape {value.shape}, {value.dtype}"
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value) if isinstance(value, PurePath) else repr(value)

"""Arrays to NPZ and values to JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from microlocal.core.errors import OutputError
from microlocal.io.atomic import replacing
from microlocal.io.jsonable import jsonable


def write_npz(arrays: Mapping[str, Shaped[np.ndarray, "..."]], path: str | Path) -> Path:
    """Write arrays by name into a compressed NPZ file; raises OutputError where the place cannot be written."""
    target = Path(path)
    objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
    if objects:
        got = ", ".join(objects) + " of objects"
        raise OutputError(str(target), expected="arrays of numbers or text", got=got, do="Convert them.")
    with replacing(target) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **dict(arrays))
    return target


def write_json(value: Any, path: str | Path) -> Path:
    """Write a value as readable JSON (see ``jsonable``); raises OutputError where the place cannot be written."""
    target = Path(path)
    text = json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return target

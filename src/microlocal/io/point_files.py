"""Tables of points to CSV."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from microlocal.io.atomic import replacing


def write_csv(columns: Mapping[str, Shaped[np.ndarray, " point"]], path: str | Path) -> Path:
    """Write columns of equal length under their names, numbers with six significant digits, NaN as an empty cell.

    Raises OutputError where the place cannot be written.
    """
    target = Path(path)
    with replacing(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*(map(_cell, column.tolist()) for column in columns.values()), strict=True))
    return target


def _cell(value: float | int | str) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"  # noqa: PLR0124 - NaN alone differs from itself
    return str(value)

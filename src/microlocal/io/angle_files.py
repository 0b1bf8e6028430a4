"""Lists of view angles: one number a line, or lines with a running number before it, headers left aside."""

import math
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float

from microlocal.core.errors import ScanFileError

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def angles_in(path: Path) -> Float[np.ndarray, " angle"]:
    """Return the angles, in degrees, that a text file lists; none where it lists nothing.

    Lines of one number are angles. Where the first number of a line is the next of a count from 0 or 1, the second is
    the angle, as in Nikon's _ctdata.txt (number, angle, time) and .ang (number: angle).
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        got = error.strerror or str(error)
        raise ScanFileError(str(path), expected="a list of angles", got=got, do="Check the file.") from error
    told = [line for line in lines if _NUMBER.search(line) and not re.search("[A-Za-z]{2}", line)]
    rows = [[float(text) for text in _NUMBER.findall(line)] for line in told]
    alone = [row[0] for row in rows if len(row) == 1]
    counted: list[float] = []
    start = 0.0
    for number, *rest in rows:
        if rest and not counted and number in (0.0, 1.0):
            start = number
        if rest and number == start + len(counted):
            counted.append(rest[0])
    found = counted if len(counted) > len(alone) else alone
    return np.asarray([value for value in found if math.isfinite(value)], dtype=np.float64)

"""The air level of a scan: what rays read that meet nothing.

It should be zero; in practice flat-field drift and scatter leave an offset. It is the place where the low readings
crowd: the shortest interval that holds half of those below 5 % of the range (Venter's mode, robust to the object).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOW = 0.05  # of the range of readings: what may be air
LEAST_SHARE = 0.01  # of all rays: with fewer in the air, the offset is left alone
UNKNOWN_NOISE = 0.002  # of the range: stands in for σ where no air is in view


@dataclass(frozen=True)
class AirLevel:
    """The offset ``level`` and its deviation ``sigma``, in units of the data; ``found`` says whether air was seen."""

    level: float
    sigma: float
    found: bool


def air_level(data: NDArray[np.floating]) -> AirLevel:
    """Return the air level of line integrals (angle, detector)."""
    low, high = np.percentile(data, [0.1, 99.5])
    readings = np.sort(data[data < low + LOW * (high - low)].ravel()).astype(np.float64)
    if readings.size < max(50, LEAST_SHARE * data.size):
        return AirLevel(0.0, UNKNOWN_NOISE * float(high - low), False)
    half = readings.size // 2
    first = int(np.argmin(readings[half:] - readings[:-half]))
    inside = readings[first : first + half]
    # Half of a normal distribution lies within 0.6745 σ of its middle.
    return AirLevel(float(np.median(inside)), float(inside[-1] - inside[0]) / 2 / 0.6745, True)

"""How much of given intervals of directions is measured, at many points at once."""

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

_BLOCK = 1024  # points whose sums stay in the second-level cache


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "contract"})
def overlaps(
    breaks: Float[np.ndarray, "segment+1 point"],
    measured: Bool[np.ndarray, "segment point"],
    angles: Float[np.ndarray, " angle"],
    ends: Int[np.ndarray, "interval 3"],
    widths: Float[np.ndarray, " interval"],
    out: Float[np.ndarray, "interval point"],
) -> None:
    """Write the fraction of every interval of directions that is measured, in [0, 1], into ``out``.

    ``breaks`` rise from 0 to π at every point, ``measured`` says of each segment [a, b] between two of them whether it
    is. Up to an angle t in [0, π], M(t) = Σ_segments (clip(t, a, b) - a) is measured; an interval with the numbers
    (i, j, n) in ``ends`` holds M(angles[j]) - M(angles[i]) + n M(π) of its width.
    """
    segments, points = measured.shape
    up_to = np.empty((angles.size + 1, _BLOCK))
    for first in range(0, points, _BLOCK):
        count = min(_BLOCK, points - first)
        up_to[:] = 0.0
        for s in range(segments):
            low, high = breaks[s, first : first + count], breaks[s + 1, first : first + count]
            seen = measured[s, first : first + count]
            for k in range(angles.size + 1):
                angle, total = angles[k] if k < angles.size else 4.0, up_to[k]
                for p in range(count):
                    until = high[p] if angle > high[p] else angle
                    total[p] += (until - low[p]) if (until > low[p]) & seen[p] else 0.0
        for i in range(widths.size):
            below, above, everything = up_to[ends[i, 0]], up_to[ends[i, 1]], up_to[angles.size]
            for p in range(count):
                part = (above[p] - below[p] + ends[i, 2] * everything[p]) / widths[i]
                out[i, first + p] = min(max(part, 0.0), 1.0)

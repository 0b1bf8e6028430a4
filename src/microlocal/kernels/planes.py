"""Which planes through points are met by the path of a source, between two views that both see the point."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from microlocal.kernels.threads import threads_for

Floats = NDArray[np.floating]


@numba.njit(parallel=True, cache=True, nogil=True)
def _met(
    points: Floats,
    normals: Floats,
    starts: Floats,
    origins: Floats,
    maps: Floats,
    follows: NDArray[np.bool_],
    half: Floats,
    diverging: bool,
    found: NDArray[np.bool_],
) -> None:
    views = starts.shape[0]
    for i in numba.prange(points.shape[0]):
        p = points[i]
        seen = np.empty(views, np.bool_)
        for k in range(views):
            x, y, z = p[0] - origins[k, 0], p[1] - origins[k, 1], p[2] - origins[k, 2]
            m = maps[k]
            u = m[0, 0] * x + m[0, 1] * y + m[0, 2] * z
            v = m[1, 0] * x + m[1, 1] * y + m[1, 2] * z
            w = m[2, 0] * x + m[2, 1] * y + m[2, 2] * z if diverging else 1.0
            seen[k] = w > 0 and abs(u) <= half[0] * w and abs(v) <= half[1] * w
        own = np.int64(i) if normals.shape[0] > 1 else 0
        for j in range(normals.shape[1]):
            n, before = normals[own, j], 0.0
            level = n[0] * p[0] + n[1] * p[1] + n[2] * p[2] if diverging else 0.0
            for k in range(views):
                now = level - (n[0] * starts[k, 0] + n[1] * starts[k, 1] + n[2] * starts[k, 2])
                if follows[k] and seen[k - 1] and seen[k] and now * before <= 0:
                    found[i, j] = True
                    break
                before = now


class SourcePath(NamedTuple):
    """The views of a scan of volumes in the order in which the source passes them.

    ``starts`` (view, 3), sources or directions; ``maps`` (view, 3, 3), from what lies beyond ``origins`` to (u, v,
    depth), in pixels from the panel's middle; ``follows``, whether a view is a neighbour of the one before it;
    ``half``, the panel's (columns, rows)/2; ``diverging``, whether the starts are sources.
    """

    starts: Floats
    origins: Floats
    maps: Floats
    follows: NDArray[np.bool_]
    half: Floats
    diverging: bool


def planes_met(points: Floats, normals: Floats, path: SourcePath) -> NDArray[np.bool_]:
    """Return (point, normal), whether the plane through each point with each normal is met.

    ``normals`` (point or 1, normal, 3). Sources meet n·(x - s) = 0, parallel rays n·d = 0.
    """
    found = np.zeros((points.shape[0], normals.shape[1]), np.bool_)
    with threads_for(found.size * path.starts.shape[0]):
        _met(points, normals, *path, found)
    return found

"""How long the edges of a map are: a count of pixels would take a slanted edge for shorter than an upright one."""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from microlocal.core.provenance import KINDS, Provenance

UPRIGHT, SLANTED = ((0, 1), (1, 0)), ((1, 1), (1, -1))


def edge_lengths(edges: UInt8[np.ndarray, "*batch row col"]) -> dict[Provenance, float]:
    """Return the length in pixels of the edges of each provenance, 0 where there are none.

    The edge pixels (codes other than NONE) are joined to their neighbours by links of length 1, and √2 across a corner
    where they touch at a corner; each pixel has half of its links, a pixel on its own counts 1. Upright and diagonal
    lines come out exact, others up to 8 % too long.

    >>> thin = np.eye(5, dtype=np.uint8)
    >>> round(edge_lengths(thin)[Provenance.MEASURED], 3)  # four links across corners
    5.657
    """
    maps = np.asarray(edges).reshape(-1, *edges.shape[-2:])
    totals: dict[Provenance, float] = dict.fromkeys(KINDS, 0.0)
    for codes in maps:
        share = _shares(codes != Provenance.NONE)
        for kind in KINDS:
            totals[kind] += float(share[codes == kind].sum())
    return totals


def edge_shares(edges: UInt8[np.ndarray, "*batch row col"]) -> dict[Provenance, float]:
    """Return which share of the length of all edges has which provenance; empty where there is no edge.

    >>> row = np.array([[1, 1, 1, 3, 3, 3]], dtype=np.uint8)
    >>> edge_shares(row)[Provenance.UNDETERMINED]
    0.5
    """
    lengths = edge_lengths(edges)
    whole = sum(lengths.values())
    return {kind: length / whole for kind, length in lengths.items()} if whole else {}


def _shares(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return for every pixel half of the length of its links."""
    thin = _without_corners(np.pad(mask, 1))
    length = np.zeros(thin.shape)
    for down, right in (*UPRIGHT, *SLANTED):
        both = thin & _moved(thin, down, right)
        if down and right:  # where the corner's third pixel is an edge too, the way leads over that
            both &= ~(_moved(thin, down, 0) | _moved(thin, 0, right))
        half = 0.5 * np.hypot(down, right)
        length += half * (both + _moved(both, -down, -right).astype(float))
    length[thin & (length == 0)] = 1.0
    inner: NDArray[np.float64] = length[1:-1, 1:-1]
    return inner


def _without_corners(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask without pixels that only fill the corner between two neighbours, which touch anyway."""
    thin = mask.copy()
    odd = np.indices(mask.shape).sum(axis=0) % 2 == 1
    for parity in (odd, ~odd):  # neighbours of one pixel differ in parity: no two of them go at once
        filled = np.zeros_like(thin)
        for down, right in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            bend = _moved(thin, down, 0) & _moved(thin, 0, right)
            others = _moved(thin, -down, 0) | _moved(thin, 0, -right) | _moved(thin, -down, -right)
            filled |= bend & ~others
        thin &= ~(filled & parity)
    return thin


def _moved(mask: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """Return at each pixel what is ``down`` rows below and ``right`` columns right of it."""
    return np.roll(mask, (-down, -right), (0, 1))

"""The Berkeley benchmark of boundaries: precision, recall and F of soft edge maps against several annotators.

    recall     pixels of all annotators that are matched one-to-one to detected pixels / pixels of all annotators
    precision  detected pixels that are matched to a pixel of any annotator / detected pixels
    F          2 P R / (P + R);   ODS: the best F at one threshold for all images, OIS: at the best one for each image,
               AP: the area under the curve of precision over recall

Pixels may be matched within 0.0075 of the image's diagonal, one to one. The original solves an assignment problem
whose outliers cost 100 times more than the farthest match, so that as many pixels as possible are matched, and only
their number counts; here the largest matching is grown by augmenting paths, strongest pixels first: after each pixel
it is the largest for all pixels so far (they form a transversal matroid), hence exact at every threshold at once.
Unlike the original, maps are thinned once and not again at each threshold.

Reference: Arbelaez, Maire, Fowlkes, Malik, IEEE PAMI 33, 2011.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.spatial import cKDTree

Array = NDArray[np.float64]
RADIUS = 0.0075
COUNTED = ("detected", "right", "recalled")


def annotations(folder: Path, name: str) -> list[NDArray[np.bool_]]:
    """Return the boundary maps of all annotators of an image."""
    cells = loadmat(folder / "groundTruth" / f"{name}.mat")["groundTruth"].ravel()
    return [cell["Boundaries"][0, 0].astype(bool) for cell in cells]


@njit
def _augment(start: int, first: Any, neighbours: Any, partner: Any, of: Any, seen: Any, stack: Any) -> bool:
    """Grow the matching by one path from the left pixel ``start``; what a vain search has seen is seen for good."""
    parent = stack[1]
    todo = stack[0]
    count, done = 1, 0
    todo[0] = start
    while done < count:
        left = todo[done]
        done += 1
        for k in range(first[left], first[left + 1]):
            right = neighbours[k]
            if seen[right]:
                continue
            seen[right] = True
            parent[right] = left
            if of[right] < 0:
                while True:
                    left = parent[right]
                    before = partner[left]
                    partner[left] = right
                    of[right] = left
                    if left == start:
                        for n in range(done):  # a successful search leaves no trace
                            for j in range(first[todo[n]], first[todo[n] + 1]):
                                seen[neighbours[j]] = False
                        return True
                    right = before
            todo[count] = of[right]
            count += 1
    return False


@njit
def _grow(first: Any, neighbours: Any, rights: int) -> Any:
    """Return whether each left pixel, in order, is matched by the largest matching of those up to it, and stays so."""
    lefts = len(first) - 1
    partner, of = np.full(lefts, -1), np.full(rights, -1)
    dead, seen = np.zeros(rights, np.bool_), np.zeros(rights, np.bool_)
    stack = np.empty((2, max(lefts, rights) + 1), np.int64)
    for left in range(lefts):
        seen[:] = dead
        if not _augment(left, first, neighbours, partner, of, seen, stack):
            dead[:] = seen
    return partner >= 0


def matched(points: Array, others: Array, radius: float) -> NDArray[np.bool_]:
    """Return which ``points``, (point, 2) in falling order of strength, are matched one-to-one to ``others``."""
    if not len(points) or not len(others):
        return np.zeros(len(points), dtype=bool)
    near = cKDTree(points).sparse_distance_matrix(cKDTree(others), radius, output_type="ndarray")
    order = np.lexsort((near["v"], near["i"]))  # nearest first
    first = np.concatenate([[0], np.cumsum(np.bincount(near["i"], minlength=len(points)))])
    return _grow(first, near["j"][order], len(others))


@dataclass(frozen=True)
class Counts:
    """Counts at the thresholds, each (threshold,): detected pixels, those matched to any annotator, matches of all
    annotators' pixels, and the number of these pixels."""

    detected: Array
    right: Array
    recalled: Array
    asked: float


def counts(soft: Array, truth: list[NDArray[np.bool_]], levels: Array) -> Counts:
    """Return the counts of one thinned map at the thresholds ``levels``."""
    rows, cols = np.nonzero(soft >= levels.min())
    order = np.argsort(-soft[rows, cols], kind="stable")
    points, strength = np.stack([rows, cols], axis=1)[order].astype(float), soft[rows, cols][order]
    radius = RADIUS * float(np.hypot(*soft.shape))
    hits = np.array([matched(points, np.argwhere(marked).astype(float), radius) for marked in truth])
    upto = np.searchsorted(-strength, -levels, side="right")

    def at_levels(flags: Array) -> Array:
        return np.concatenate([[0.0], np.cumsum(flags)])[upto]

    asked = float(sum(marked.sum() for marked in truth))
    return Counts(upto.astype(float), at_levels(hits.any(axis=0)), at_levels(hits.sum(axis=0)), asked)


def f_of(detected: Array, right: Array, recalled: Array, asked: Array | float) -> tuple[Array, Array, Array]:
    """Return precision, recall and F."""
    precision, recall = right / np.maximum(detected, 1), recalled / np.maximum(asked, 1)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-12)


@dataclass(frozen=True)
class Score:
    """ODS, OIS and AP, and the threshold of ODS."""

    ods: float
    ois: float
    ap: float
    threshold: float


def score(images: list[Counts], levels: Array) -> Score:
    """Return the scores of a detector from the counts of all images."""
    totals = [np.sum([getattr(c, name) for c in images], axis=0) for name in COUNTED]
    precision, recall, f = f_of(*totals, float(sum(c.asked for c in images)))
    best = [int(f_of(c.detected, c.right, c.recalled, c.asked)[2].argmax()) for c in images]
    own = [np.array(sum(getattr(c, name)[k] for c, k in zip(images, best, strict=True))) for name in COUNTED]
    ois = float(f_of(*own, float(sum(c.asked for c in images)))[2])
    order = np.argsort(recall)
    # The original: the mean of the interpolated precision over recalls of 0, 0.01 ... 1, zero beyond the last.
    grid = np.linspace(0, 1, 101)
    curve = np.interp(grid, recall[order], precision[order], left=float(precision[order][0]), right=0.0)
    return Score(float(f.max()), ois, float(curve.mean()), float(levels[f.argmax()]))

"""What a scanner adds to the line integrals of an object whose segmentation is known.

With p the projected mask, averaged over each detector pixel, the data are fitted by least squares in three turns:

    a p - b p² + c       hardening h = b max p / a, as simulated measurements have it (``data.measurement``)
    gain(θ, u) p         a drift, waves of at most three periods a turn and a detector and a half
    ring(u)              what a detector pixel adds to all views, the mean of what is left

and what is left then is noise. The ranges that recipes/helsinki.toml draws from hold what is found here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.table import Row
from microlocal.core import Scan
from microlocal.data.measurement import WAVES
from microlocal.operators import RayTransform

Array = NDArray[np.float64]
SUBRAYS = (-1 / 3, 0.0, 1 / 3)  # of a detector pixel
THIN = 0.05  # of the largest p: shorter rays tell nothing of the gain


@dataclass(frozen=True)
class Additions:
    """Hardening h; standard deviations of the gain, and of rings and noise relative to the largest reading."""

    hardening: float
    drift: float
    rings: float
    noise: float

    def __str__(self) -> str:
        drift, rings, noise = (f"{100 * value:.2f} %" for value in (self.drift, self.rings, self.noise))
        return f"hardening {100 * self.hardening:.0f} %, drift {drift}, rings {rings}, noise {noise}"


def projected(mask: NDArray[np.bool_], scan: Scan) -> Array:
    """Return the mask's line integrals, averaged over three places of every detector pixel."""
    image, detector = torch.from_numpy(mask.astype(np.float64)), scan.geometry.detector
    shifted = [scan.geometry.with_offset(detector.offset + shift * detector.pitch) for shift in SUBRAYS]
    return np.mean([RayTransform(geometry, scan.grid)(image).numpy() for geometry in shifted], axis=0)


def additions(p: Array, data: Array, angles: Array) -> Additions:
    """Return what was added to line integrals ``p`` (angle, detector)."""
    (a, b, _), rest = _fitted([p, -(p**2), np.ones_like(p)], data)
    seen, largest = p > THIN * p.max(), float(data.max())
    waves = _waves(angles, p.shape[1])
    shares, rest = _fitted([wave * p for wave in waves], rest)
    # What readings gain relative to themselves: a p is what they would be without hardening.
    gain = sum(share * wave for share, wave in zip(shares, waves, strict=True)) * p / np.maximum(data, THIN * largest)
    rings = np.array([column[here].mean() if here.any() else 0.0 for column, here in zip(rest.T, seen.T, strict=True)])
    noise = (rest - rings)[seen]
    hardening = float(b / a * p.max())
    return Additions(hardening, float(gain[seen].std()), float(rings.std()) / largest, float(noise.std()) / largest)


def rows(mask: NDArray[np.bool_], scan: Scan, where: str) -> list[Row]:
    """Return what was found, as a row."""
    found = additions(projected(mask, scan), scan.data.double().numpy(), scan.geometry.angles)
    return [Row("what the scanner adds to the projected mask", where, "", str(found), None)]


def _fitted(columns: Sequence[Array], data: Array) -> tuple[Array, Array]:
    design = np.column_stack([column.ravel() for column in columns])
    shares = np.linalg.lstsq(design, data.ravel(), rcond=None)[0]
    return shares, data - (design @ shares).reshape(data.shape)


def _waves(angles: Array, pixels: int) -> list[Array]:
    places = np.linspace(0, math.pi, pixels)
    return [
        np.outer(turn, np.cos(halves * places))
        for periods in range(WAVES)
        for halves in range(WAVES)
        if periods or halves
        for turn in ((np.cos(periods * angles), np.sin(periods * angles)) if periods else (np.ones_like(angles),))
    ]

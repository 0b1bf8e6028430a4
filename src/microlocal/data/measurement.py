"""Simulated measurements of an object: exact line integrals, and what a scanner does to them.

With p the line integrals averaged over each detector pixel, in this order: hardening p - h p²/max p, a gain that drifts
slowly over views and detector, the relative offset of the air, what each detector pixel adds to all views (rings in the
image), and noise. The record says the geometry that the data were taken with and the one that is claimed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry

Range = tuple[float, float]
LATER = ("drift", "rings")  # drawn after the others, and only where asked for: older recipes keep their scans
WAVES = 4  # of the drift along each axis, the constant one included


class Measurable(Protocol):
    """What can be scanned: an ``Object``, or anything with line integrals."""

    def sinogram(self, geometry: Geometry, subrays: int = 1) -> Float[np.ndarray, "angle detector"]:
        """Return line integrals, each the mean over ``subrays`` places of its detector pixel."""


@dataclass(frozen=True)
class Measurement:
    """From what ranges (lowest, highest) a measurement is drawn.

    ``noise``, of ‖noise‖ / ‖data‖ in expectation; ``poisson``, the share of measurements whose noise comes from photon
    counts instead of a Gaussian; ``air``, the mean reading of air relative to the largest; ``hardening`` h, what the
    largest reading loses, relative; ``center``, the error of the centre of rotation in detector pixels; ``start_deg``,
    by which all angles are turned; ``drift``, the standard deviation of the gain; ``rings``, that of what the detector
    pixels add, relative to the largest reading. Raises InputError for a range that is empty or makes no sense.
    """

    noise: Range = (0.0, 0.0)
    poisson: float = 0.0
    air: Range = (0.0, 0.0)
    hardening: Range = (0.0, 0.0)
    center: Range = (0.0, 0.0)
    start_deg: Range = (0.0, 0.0)
    drift: Range = (0.0, 0.0)
    rings: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        limits = {
            "noise": (0, 1),
            "air": (-1, 1),
            "hardening": (0, 0.5),
            "center": (-1e3, 1e3),
            "start_deg": (-720, 720),
            "drift": (0, 0.2),
            "rings": (0, 0.2),
        }
        for name, (least, most) in limits.items():
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                expected = f"{name} = (low, high) with {least} <= low <= high <= {most}"
                raise InputError("Measurement", expected=expected, got=f"({low}, {high})", do="Mend the range.")
        if not 0 <= self.poisson <= 1:
            do = "Give a share between 0 and 1."
            raise InputError("Measurement", expected="0 <= poisson <= 1", got=f"{self.poisson}", do=do)


@dataclass(frozen=True)
class Simulated:
    """Data (angle, detector), the geometry that a reconstruction is told, and what was drawn.

    ``geometry`` holds the turned angles, which are known, but not the error of the centre, which is not.
    """

    data: Float[np.ndarray, "angle detector"]
    geometry: Geometry
    record: dict[str, Any]


def simulate(
    thing: Measurable,
    geometry: Geometry,
    draw: np.random.Generator,
    ranges: Measurement | None = None,
    subrays: int = 3,
) -> Simulated:
    """Return a measurement of ``thing``; the line integrals of an ``Object`` are exact, without any projector: no
    inverse crime.

    ``subrays``: how many lines are averaged over each detector pixel. Raises InputError.

    >>> from microlocal.core.geometry import Detector, ParallelBeam
    >>> from microlocal.data.objects import Object
    >>> from microlocal.data.phantoms import Ellipse
    >>> disc, scanner = Object((Ellipse(1.0, (3.0, 3.0)),)), ParallelBeam((0.0, 0.1), Detector(9, 1.0))
    >>> made = simulate(disc, scanner, np.random.default_rng(0), Measurement(noise=(0.02, 0.02)))
    >>> made.data.shape, made.record["noise"]
    ((2, 9), 0.02)
    """
    at_least(subrays, 1, "subrays", "simulate")
    ranges = ranges or Measurement()
    names = ("noise", "air", "hardening", "center", "start_deg")
    record: dict[str, Any] = {name: float(draw.uniform(*getattr(ranges, name))) for name in names}
    record["poisson"] = bool(draw.random() < ranges.poisson)
    for name in LATER:
        low, high = getattr(ranges, name)
        record[name] = float(draw.uniform(low, high)) if high else 0.0
    turned = replace(geometry, angles_rad=tuple(a + math.radians(record["start_deg"]) for a in geometry.angles_rad))
    detector = turned.detector
    data = thing.sinogram(turned.with_offset(detector.offset + record["center"] * detector.pitch), subrays)
    largest = float(np.abs(data).max()) or 1.0
    data = data - record["hardening"] * data * np.abs(data) / largest
    if record["drift"]:
        data = data * (1 + record["drift"] * _slow_field(draw, turned.angles_rad, data.shape[1]))
    data = data + record["air"] * largest
    if record["rings"]:
        data = data + record["rings"] * largest * draw.standard_normal(data.shape[1])
    noise = _counted if record["poisson"] else _gaussian
    return Simulated(data + noise(draw, data, record["noise"] * np.linalg.norm(data)), turned, record)


def _slow_field(draw: np.random.Generator, angles: Sequence[float], pixels: int) -> np.ndarray:
    """Draw a field (angle, detector) of expected variance one: at most three periods a turn and a detector and a half.

    Its waves are the weaker, the shorter they are: what is left of real scans by the best model of the object is so.
    """
    turns, places = np.asarray(angles), np.linspace(0, math.pi, pixels)
    field, variance = np.zeros((len(turns), pixels)), 0.0
    for periods in range(WAVES):
        for halves in range(WAVES):
            if periods or halves:
                phase, size = draw.uniform(0, 2 * math.pi), 1 / math.hypot(periods, halves)
                wave = np.outer(np.cos(periods * turns + phase), np.cos(halves * places))
                field += size * draw.standard_normal() * wave
                variance += size**2 / 2 / (2 if halves else 1)
    return field / math.sqrt(variance)


def _gaussian(draw: np.random.Generator, data: np.ndarray, norm: float) -> np.ndarray:
    """Draw white noise of expected norm ``norm``."""
    return norm / math.sqrt(data.size) * draw.standard_normal(data.shape)


def _counted(draw: np.random.Generator, data: np.ndarray, norm: float) -> np.ndarray:
    """Draw the error of -log(N/N₀), N Poisson of mean N₀ exp(-q), the largest q being 3; N₀ so that its norm fits.

    To first order N has variance N₀ exp(-q), so that the error of q has variance exp(q)/N₀.
    """
    if norm == 0:
        return np.zeros(data.shape)
    unit = 3.0 / (float(np.abs(data).max()) or 1.0)
    mean = np.exp(-data * unit)
    photons = max(float((1 / mean).sum()) * (1 / (norm * unit)) ** 2, 50.0)
    counts = np.maximum(draw.poisson(photons * mean), 1)
    return -np.log(counts / photons) / unit - data

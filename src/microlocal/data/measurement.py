"""Simulated measurements of an object: exact line integrals, and what a scanner does to them.

With p the line integrals averaged over each detector pixel, in this order: hardening p - h p²/max p, the relative
offset of the air, and noise. The record says the geometry that the data were taken with and the one that is claimed.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry

Range = tuple[float, float]


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
    by which all angles are turned. Raises InputError for a range that is empty or outside of what makes sense.
    """

    noise: Range = (0.0, 0.0)
    poisson: float = 0.0
    air: Range = (0.0, 0.0)
    hardening: Range = (0.0, 0.0)
    center: Range = (0.0, 0.0)
    start_deg: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        limits = {
            "noise": (0, 1),
            "air": (-1, 1),
            "hardening": (0, 0.5),
            "center": (-1e3, 1e3),
            "start_deg": (-720, 720),
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
    turned = replace(geometry, angles_rad=tuple(a + math.radians(record["start_deg"]) for a in geometry.angles_rad))
    detector = turned.detector
    data = thing.sinogram(turned.with_offset(detector.offset + record["center"] * detector.pitch), subrays)
    largest = float(np.abs(data).max()) or 1.0
    data = data - record["hardening"] * data * np.abs(data) / largest + record["air"] * largest
    noise = _counted if record["poisson"] else _gaussian
    return Simulated(data + noise(draw, data, record["noise"] * np.linalg.norm(data)), turned, record)


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

"""What describes a scan and the visible part of its image to a network: the facts that its card has ranges for."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.noise import noise_level
from microlocal.core.geometry import FanBeam, Geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.invisible import image_size
from microlocal.networks.suitability import Fact
from microlocal.wavefront.visibility import missing_wedge

FINEST = 3  # scales whose contrast is a fact: coarser ones depend on the size of the image
UNSEEN = 0.2  # slack of what depends on the object: a few hundred examples do not reach the ends of their range
LESS_IS_BETTER = ("noise", "step between views")  # facts with no least value that was trained on
WIDER = 0.1  # of the half fan angle: by which a scan's may exceed the one that was trained on
FILLED = 0.1  # of the image's size: from here on a pixel counts as filled


def beam_of(geometry: Geometry) -> str:
    """Return "fan" or "parallel"."""
    return "fan" if isinstance(geometry, FanBeam) else "parallel"


def facts_of(
    scan: Scan,
    grid: Grid,
    image: Float[Tensor, "*batch row col"],
    share: Float[Tensor, "filter #row #col"],
    frame: DyadicShearletFrame,
    area: float | None = None,
) -> tuple[Fact, ...]:
    """Return the facts of a scan and of f* = ``image`` on ``grid``: wedge, noise, spacings, fill and contrasts.

    The contrast of a scale is the root mean square of its visible coefficients, a pixel's, in images of size one.
    ``area`` is the number of pixels that count, where ``image`` has empty ones beside them.
    """
    return (*scan_facts(scan, grid), *image_facts(image, share, frame, area))


def scan_facts(scan: Scan, grid: Grid) -> tuple[Fact, ...]:
    """Return what describes a scan alone: wedge, noise, spacing of views, detector pixels beside those of ``grid``.

    A detector finer than the pixels is as good as one that is as fine.
    """
    spread = float(scan.data.double().square().mean().sqrt()) or 1.0
    angles = sorted(scan.geometry.angles_rad)
    step = math.degrees(angles[-1] - angles[0]) / max(len(angles) - 1, 1)
    across = min(grid.pixel * scan.geometry.magnification / scan.geometry.detector.pitch, 1.0)
    return (
        Fact("missing wedge", missing_wedge(scan.geometry), "°"),
        Fact("noise", 100 * noise_level(scan.data) / spread, " %"),
        Fact("step between views", step, "°"),
        Fact("detector pixels for a pixel of the image", across),
    )


def wider_fan(card: Mapping[str, Any], geometry: Geometry) -> list[str]:
    """Return, as phrases, whether the fan opens wider than the one of the table [data] on a card; [] if it does not.

    A narrower one is nearer to the parallel beam, and the shares of the coefficients are its own in any case.
    """
    data = card.get("data", {})
    if not isinstance(geometry, FanBeam) or not (data.get("source_detector") and data.get("detector")):
        return []
    opening = math.degrees(max(abs(float(geometry.fan_angle(np.array(u)))) for u in geometry.detector.edges))
    known = math.degrees(math.atan(data["detector"] * data.get("pitch", 1.0) / 2 / data["source_detector"]))
    return [f"half fan angle {opening:.3g}° (trained: {known:.3g})"] if opening > (1 + WIDER) * known else []


def image_facts(
    image: Float[Tensor, "*batch row col"],
    share: Float[Tensor, "filter #row #col"],
    frame: DyadicShearletFrame,
    area: float | None = None,
) -> tuple[Fact, ...]:
    """Return the share of filled pixels and the contrasts of the finest scales, of the whole batch."""
    scaled = image / image_size(image)
    beside = image.shape[-2] * image.shape[-1] / area if area else 1.0
    facts = [Fact("filled pixels", 100 * beside * float((scaled > FILLED).float().mean()), " %", UNSEEN)]
    levels = zip(frame.levels(frame(scaled)), frame.sampled(share), strict=True)
    for level, (c, s) in enumerate(list(levels)[:FINEST]):
        seen = s.expand(c.shape[-3:])
        rms = float(beside * (c.square() * seen).mean() / seen.mean().clamp_min(1e-12)) ** 0.5 / 2**level
        facts.append(Fact(f"contrast at scale {level + 1}", 100 * rms, " %", UNSEEN))
    return tuple(facts)


def ranges_of(examples: list[tuple[Fact, ...]]) -> dict[str, list[float]]:
    """Return the least and the greatest value of every fact, for a card."""
    found: dict[str, list[float]] = {}
    for fact in itertools.chain(*examples):
        usual = 0.0 if fact.name in LESS_IS_BETTER else fact.value
        low, high = found.get(fact.name, [usual, fact.value])
        found[fact.name] = [min(low, fact.value), max(high, fact.value)]
    return found

"""What is said of each slice of a stack besides its image: what ``reconstruct`` says of a scan of this slice alone.

What depends on geometry and grid, the map of measured directions above all, is made once in each process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor

from microlocal.certificates.base import Certificate
from microlocal.certificates.consistency import CLAIM, certify_consistency
from microlocal.certificates.least_change import CLAIM as NEAREST
from microlocal.certificates.least_change import certify_least_change
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.provenance import KINDS
from microlocal.frames.shearlet import ShearletFrame
from microlocal.io.jsonable import jsonable
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.claims import certify_explained, told_sources
from microlocal.reconstruction.method import Estimate
from microlocal.reconstruction.verdict import NETWORK, of_slice
from microlocal.wavefront import visible_share


@dataclass(frozen=True, eq=False)
class Examined:
    """Where the pixels of a slice come from, and what is certified of it."""

    provenance: UInt8[Tensor, "row col"]
    certificates: tuple[Certificate, ...]

    def shares(self) -> dict[str, float]:
        """Return which share of the pixels has which provenance."""
        return {kind.name.lower(): float((self.provenance == int(kind)).float().mean()) for kind in KINDS}

    def fields(self) -> tuple[dict[str, Any], ...]:
        """Return the certificates as JSON values."""
        return tuple(jsonable(certificate.to_dict()) for certificate in self.certificates)


def examined(
    found: Estimate,
    last: Estimate,
    data: Float[Tensor, "slice angle detector"],
    geometry: Geometry,
    grid: Grid,
    k: int,
) -> Examined:
    """Return what is said of slice ``k``, ``data`` as the method corrected them.

    ``last`` is what the method ``found``, or the least change of that. What a network did to other slices does not
    matter: one that it left alone has no learned part.
    """
    ray, (frame, share) = ray_of(geometry, grid), seen_of(geometry, grid)
    before, image, config = found.image[k], last.image[k], of_slice(last.config, k)
    learned = None if found.learned is None or was_left(config) else found.learned[k]
    claims = {c.claim for c in last.certificates}
    own = tuple(c for c in last.certificates if c.claim not in (CLAIM, NEAREST))  # of the worst slice of a block
    if learned is not None and CLAIM in claims:
        own += (certify_consistency(ray, data[k], before - learned, before, float(config["epsilon"])),)
    if NEAREST in claims:
        own += (certify_least_change(ray, before, image, data[k], float(config["target residual"])),)
    explained = certify_explained(ray, image, data[k], config)
    return Examined(told_sources(image, learned, frame, share)[1], (explained, *own))


def was_left(config: Mapping[str, Any]) -> bool:
    """Return whether the slice of this configuration was left without the network."""
    return bool(config.get(NETWORK) == "none")


@lru_cache(maxsize=1)
def ray_of(geometry: Geometry, grid: Grid) -> RayTransform:
    """Return the projector of all slices."""
    return RayTransform(geometry, grid)


@lru_cache(maxsize=1)
def seen_of(geometry: Geometry, grid: Grid) -> tuple[ShearletFrame, Float[Tensor, "filter #row #col"]]:
    """Return the frame and the measured share of its coefficients, of all slices."""
    frame = ShearletFrame(grid.shape)
    return frame, visible_share(frame.filters, geometry, grid)

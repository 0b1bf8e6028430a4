"""What the data say of the object before it is reconstructed: air, outline, attenuation, hardening, and a bound.

The readings g become path lengths ℓ through material, in length units, so that x = f/μ is one in the material and
zero in air. Whether the bound x <= 1 is credible is for the data to say: see ``directional_tv``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.calibration.air import AirLevel, air_level
from microlocal.calibration.hardening import Hardening, upper_envelope
from microlocal.calibration.outline import ABOVE_AIR, Outline, find_outline
from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.functionals.box import Box
from microlocal.operators.ray_transform import RayTransform


@dataclass(frozen=True)
class ObjectModel:
    """Air level, hardening curve and outline of an object; ``bounded`` says whether x <= 1 is imposed."""

    air: AirLevel
    hardening: Hardening
    outline: Outline | None
    bounded: bool

    @property
    def is_round(self) -> bool:
        """Whether the outline is a disc."""
        return self.outline is not None and self.outline.disc is not None

    def path_length(self, data: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the path through material of every reading, in length units."""
        return self.hardening.path_length(data - self.air.level)

    def linearised(self, data: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the line integrals that a beam without hardening and offset would give."""
        return self.hardening.linearised(data - self.air.level)

    def bounds(self, grid: Grid) -> Box:
        """Return 0 <= x <= 1 inside of the outline and x = 0 outside; without a bound, 0 <= x inside."""
        inside = np.ones(grid.shape) if self.outline is None else self._mask(self.outline, grid)
        upper = inside if self.bounded else np.where(inside > 0, np.inf, 0.0)
        return Box(0.0, torch.from_numpy(upper))

    def _mask(self, outline: Outline, grid: Grid) -> Float[np.ndarray, "row col"]:
        # A disc is more than the tangents say; where its consequence, the bound, is not credible, neither is it.
        return outline.mask(grid) if self.bounded else outline.hull_mask(grid)

    def sentences(self, unit: str) -> list[str]:
        """Return what was found, in words."""
        air = f"Air level {self.air.level:.3g} subtracted."
        found = [air if self.air.found else "No air in view: no offset taken."]
        if self.outline is None:
            found.append("The object's outline is not in view: no support constraint.")
        elif self.outline.disc is not None and self.bounded:
            x, y, r = self.outline.disc
            found.append(f"The visible tangents are those of a disc of radius {r:.4g} {unit} at ({x:.3g}, {y:.3g}).")
        else:
            found.append("The support is the convex hull of the visible tangents.")
        if self.bounded:
            hardening = f", beam hardening {self.hardening.kappa:.3g} per {unit}" if self.hardening.kappa else ""
            found.append(f"Attenuation of the material {self.hardening.mu:.4g} per {unit}{hardening}; used as a bound.")
        else:
            found.append("One material within an outline does not explain the data: no upper bound is used.")
        return found


def first_model(data: Float[Tensor, "angle detector"], geometry: Geometry, grid: Grid) -> ObjectModel:
    """Return what the readings alone say; ``bounded`` where an outline and an attenuation were found."""
    readings = to_numpy(data.double())
    air = air_level(readings)
    free = readings - air.level
    outline = find_outline(free, geometry, ABOVE_AIR * air.sigma)
    lengths = RayTransform(geometry, grid)(torch.from_numpy(outline.mask(grid) if outline else np.ones(grid.shape)))
    found = upper_envelope(lengths.numpy(), free)
    # Without an envelope the scale only serves to make x of order one.
    hardening = found or Hardening(float(np.abs(free).max() / max(float(lengths.max()), grid.pixel)), 0.0)
    return ObjectModel(air, hardening, outline, outline is not None and found is not None)

"""A scan: measured data, the geometry that measured them, and where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from microlocal.core.brief import Brief
from microlocal.core.checks import finite, floating, numbers_of
from microlocal.core.errors import GeometryError, InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid

ROUNDING = 1e-6  # degrees
SLICE = "slice of the stack"  # of the metadata: which slices were taken, where not all were


@dataclass(frozen=True)
class Source:
    """Where a scan came from: file path, format name, SHA-256 of the file's bytes, and the file's own metadata."""

    path: str = ""
    format: str = "memory"
    sha256: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, repr=False)
class Scan(Brief):
    """Line integrals with their geometry.

    Parameters: ``data`` (*batch, angle, detector), dimensionless line integrals of attenuation in 1/unit (or, for
    electron microscopy, of intensity); ``geometry``; ``grid``, the image grid the file or its community expects
    (the geometry's default otherwise); ``source``; ``warnings``, sentences a reader wants said aloud.

    Raises GeometryError when data and geometry disagree, InputError for data that are not finite floats.
    """

    data: Float[Tensor, "*batch angle detector"]
    geometry: Geometry
    grid: Grid
    source: Source = field(default_factory=Source)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if tuple(self.data.shape[-2:]) != self.geometry.shape:
            raise GeometryError(
                "Scan",
                expected=f"data (*batch, {self.geometry.shape[0]} angles, {self.geometry.shape[1]} pixels)",
                got=str(tuple(self.data.shape)),
                do="Give one angle per projection and the detector's pixel count.",
            )
        floating(self.data, "Scan.data")
        finite(self.data, "Scan.data", "Mask or repair the bad pixels before building the scan.")

    def views(self, chosen: Sequence[int]) -> "Scan":
        """Return the scan with the chosen views only. Raises InputError for numbers of views that are none."""
        index = numbers_of(chosen, len(self.geometry.angles_rad), "views", "Scan.views")
        if index.size == 0:
            raise InputError("Scan.views", expected="at least one view", got="none", do="Widen the selection.")
        return replace(self, data=self.data[..., index, :].contiguous(), geometry=self.geometry.select(index))

    def arc(self, first_deg: float, last_deg: float) -> "Scan":
        """Return the views whose angles lie in [first, last] degrees, as ``--angles A:B`` does.

        An arc that reaches beyond the scan's angles is one of directions, which whole turns do not change: of a scan
        from 0 to 359 degrees -30:30 takes 330 to 359, as -30 to -1, and 0 to 30.
        """
        degrees = np.degrees(self.geometry.angles)
        beyond = first_deg < degrees.min() or last_deg > degrees.max()
        turns = np.floor((degrees - first_deg + ROUNDING) / 360) if beyond else np.zeros_like(degrees)
        within = degrees - 360 * turns
        chosen = np.flatnonzero((within >= first_deg - ROUNDING) & (within <= last_deg + ROUNDING))
        if chosen.size == 0:
            raise InputError(
                "Scan.arc",
                expected=f"angles within {degrees.min():.2f}..{degrees.max():.2f} degrees",
                got=f"{first_deg}:{last_deg}",
                do="Choose an arc that the scan has.",
            )
        if turns[chosen].any():
            chosen = chosen[np.argsort(within[chosen], kind="stable")]
        found = self.views(chosen.tolist())
        angles = tuple((found.geometry.angles - 2 * np.pi * turns[chosen]).tolist())
        return replace(found, geometry=replace(found.geometry, angles_rad=angles))

    def slices(self, first: int, last: int | None = None) -> "Scan":
        """Return slice ``first`` of a stack (no batch axis), or slices first..last-1 (one batch axis)."""
        if self.data.ndim == 2:
            raise InputError(
                "Scan.slices", expected="a stack (slice, angle, detector)", got="one sinogram", do="Drop --slice."
            )
        count = self.data.shape[0]
        end = first + 1 if last is None else last
        if not 0 <= first < end <= count:
            raise InputError(
                "Scan.slices", expected=f"slices within 0..{count - 1}", got=f"{first}:{end}", do="Choose others."
            )
        return replace(self, data=self.data[first] if last is None else self.data[first:end])

    def hold_out(self, count: int) -> tuple["Scan", "Scan"]:
        """Split off ``count`` views, evenly spread and never the outermost ones; return (kept, held out).

        Raises InputError unless at least two views stay inside the arc for each one that is taken.
        """
        total = len(self.geometry.angles_rad)
        if not 1 <= count <= (total - 2) // 3:
            raise InputError(
                "Scan.hold_out", expected=f"1..{max((total - 2) // 3, 0)} views", got=str(count), do="Hold out fewer."
            )
        out = np.round(np.linspace(0, total - 1, count + 2)[1:-1]).astype(int)
        kept = np.setdiff1d(np.arange(total), out)
        return self.views(kept.tolist()), self.views(out.tolist())

"""A reconstruction: the image, what in it was measured, the certificates, and how it was made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor

from microlocal.certificates.base import Certificate
from microlocal.core.brief import Brief
from microlocal.core.registry import lookup, registered
from microlocal.core.scan import Scan


@dataclass(frozen=True, eq=False, repr=False)
class Reconstruction(Brief):
    """An image with its provenance.

    Parameters: ``image`` (*batch, row, col) in 1/unit; ``scan`` it was made from (data as used); ``method``, its
    registered name; ``provenance`` (*batch, row, col), codes of ``core.provenance`` for every pixel; ``edges``
    (*batch, row, col), the same codes on edge pixels and NONE elsewhere; ``measured_directions`` (row, col), the
    fraction of edge directions that the scan measures at each point; ``residual`` (*batch, angle, detector), R f - g;
    ``learned`` (*batch, row, col), what a network added to the image, None where none was used; ``edges_visible``
    (*batch, row, col), the edges of the image without that, None where that is the image itself;
    ``certificates``; ``history`` of the solver; ``metrics``, numbers by name; ``config``, everything that was chosen;
    ``notes``, sentences that say what was chosen and why; ``references``, keys of the bibliography.
    """

    image: Float[Tensor, "*batch row col"]
    scan: Scan
    method: str
    provenance: UInt8[Tensor, "*batch row col"]
    edges: UInt8[Tensor, "*batch row col"]
    measured_directions: Float[Tensor, "row col"]
    residual: Float[Tensor, "*batch angle detector"]
    learned: Float[Tensor, "*batch row col"] | None = None
    edges_visible: UInt8[Tensor, "*batch row col"] | None = None
    certificates: tuple[Certificate, ...] = ()
    history: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    @property
    def visible(self) -> Float[Tensor, "*batch row col"]:
        """The image without what a network added: what the scan and the prior alone say."""
        return self.image if self.learned is None else self.image - self.learned

    def save(self, folder: str | Path) -> Path:
        """Write image, maps, arrays, facts and report.html into ``folder``; return the folder.

        Every writer that is registered takes part. Raises OutputError when the folder cannot be written.
        """
        target = Path(folder)
        for entry in registered("result-writer").values():
            entry.member(self, target)
        return target

    def plot(self) -> Any:
        """Return a matplotlib figure: image, edges by provenance, visibility rose and residual."""
        return lookup("result-view", "figure", "Reconstruction.plot").member(self)

    def _repr_png_(self) -> bytes:
        """Return the figure of :meth:`plot` as PNG: what a notebook shows for a result."""
        return bytes(lookup("result-view", "png", "Reconstruction").member(self))

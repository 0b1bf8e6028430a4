"""What ``reconstruct`` and ``demo`` do with a scan: the same settings for one method after the other."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microlocal.cli import lazy
from microlocal.cli.bars import Bars

if TYPE_CHECKING:
    from microlocal.core import Grid, Scan
    from microlocal.reconstruction import Reconstruction


@dataclass(frozen=True)
class Recipe:
    """A scan and everything that was chosen but the method."""

    scan: "Scan"
    grid: "Grid"
    weight: str | float
    iterations: int | None
    hold_out: int
    seed: int
    bars: Bars
    network: str = "auto"
    force: bool = False
    residual: float | None = None

    def run(self, method: str, checkpoint: Path | None = None) -> "Reconstruction":
        """Reconstruct by ``method``, with bars that carry its name."""
        self.bars.prefix = f"{method}: "
        return lazy.reconstruction.reconstruct(
            self.scan,
            method,
            grid=self.grid,
            weight=self.weight,
            iterations=self.iterations,
            hold_out=self.hold_out,
            seed=self.seed,
            progress=self.bars,
            checkpoint=checkpoint,
            network=self.network,
            force=self.force,
            residual=self.residual,
        )

    def checkpoint(self, folder: Path, method: str, resume: bool) -> Path:
        """Return the checkpoint file of a method; an old one is removed unless the run resumes."""
        path = folder / f"checkpoint-{method}.safetensors"
        if not resume:
            path.unlink(missing_ok=True)
        return path

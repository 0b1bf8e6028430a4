"""Train the null-space network: the U-Net through the projection that follows it, on a regularised solution."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.null_space_network import (
    TASK,
    NullSpaceNetwork,
    Regularisation,
    damping_for,
    tikhonov,
    unseen,
)
from microlocal.training.neighbours import ImageTask, UNetTable, rays_of, scan_of
from microlocal.training.task import Batch, Example
from microlocal.training.tiny import SCANS


class NullSpaceTable(UNetTable):
    """The table [network]: the U-Net, and which regularised solution it completes."""

    regularisation: Regularisation = "tikhonov"


def _samples() -> list["NullSpaceTask"]:
    return [NullSpaceTask(SCANS, {"widths": [2, 3]}), NullSpaceTask(SCANS, {"widths": [2], "regularisation": "fbp"})]


@register("task", TASK, samples=_samples, reference="schwab2019")
class NullSpaceTask(ImageTask):
    """Complete a regularised solution in the null space of the operator.

    Trained is x + P U(x) with P = I - B_α R by a few steps of conjugate gradients; the method projects more sharply.
    """

    table_of_network = NullSpaceTable
    build = NullSpaceNetwork

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        super().__init__(data, network)
        self._begun: dict[float, Begun] = {}

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the example, and B g with it, which is computed once an example."""
        begun = self._of(example)
        found = super().augment({**example, "fbp": begun.image}, draw)
        return {**found, "damping": torch.tensor(begun.damping, dtype=torch.float64)}

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        if "damping" in batch:
            base, dampings = batch["fbp"], batch["damping"]
        else:
            parts = [self._of({name: values[k] for name, values in batch.items()}) for k in range(len(batch["fbp"]))]
            base = torch.stack([part.image for part in parts]).to(batch["fbp"])
            dampings = torch.tensor([part.damping for part in parts])
        found = network(base).float()
        rays = (ray.to(base.device) for ray, _ in rays_of(self.table, batch))
        added = [unseen(r, h[None], float(d)) for r, h, d in zip(rays, found, dampings, strict=True)]
        return base + torch.cat(added)

    def _of(self, example: Example) -> "Begun":
        """Return B g of an example that was not turned; the angle of its first view tells it from all others."""
        name = float(example["first"])
        if name not in self._begun:
            scan = scan_of(self.table, {n: x.cpu() for n, x in example.items()})
            ray = RayTransform(scan.geometry, self.table.grid)
            damping = damping_for(ray, scan.data)
            by_fbp = isinstance(self.shape, NullSpaceTable) and self.shape.regularisation == "fbp"
            image = example["fbp"] if by_fbp else tikhonov(ray, scan.data, damping)
            self._begun[name] = Begun(image, damping)
        return self._begun[name]


@dataclass(frozen=True, eq=False)
class Begun:
    """The regularised solution B g of an example, and α."""

    image: Float[Tensor, "row col"]
    damping: float

"""Train the learned primal-dual iteration, each example with the operator of its own scan."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.primal_dual import LearnedPrimalDual
from microlocal.reconstruction.learned_primal_dual import TASK
from microlocal.training.neighbours import ImageTask, rays_of
from microlocal.training.recipe import Table
from microlocal.training.task import Batch
from microlocal.training.tiny import SCANS


class PrimalDualTable(Table):
    """The table [network]: how many iterations, channels of memory, features of a layer."""

    iterations: int = Field(10, ge=1)
    memory: int = Field(5, ge=2)
    width: int = Field(32, ge=1)


def _samples() -> list["PrimalDual"]:
    return [PrimalDual(SCANS, {"iterations": 2, "memory": 2, "width": 3})]


@register("task", TASK, samples=_samples, reference="adler2018")
class PrimalDual(ImageTask):
    """Reconstruct from data by an unrolled iteration."""

    table_of_network = PrimalDualTable
    build = LearnedPrimalDual

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        pairs = zip(rays_of(self.table, batch), batch["fbp"], strict=True)
        return torch.cat([network(ray.to(fbp.device), data, fbp[None]) for (ray, data), fbp in pairs])

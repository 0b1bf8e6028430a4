"""Several processes that train one network: each takes its share of a batch, gradients are averaged, rank 0 writes.

    torchrun --nproc-per-node 2 -m microlocal train recipe.toml

Two processes of batch b compute what one of batch 2b computes, up to rounding.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.errors import InputError

PATIENCE = timedelta(hours=24)  # one process may compute the pool of examples while the others wait


@dataclass(frozen=True)
class Team:
    """The processes of a training: this one's ``rank`` among ``size``, and its ``device``."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this process is the one that logs and writes."""
        return self.rank == 0

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace all gradients by their means over the processes, in one message; a missing one counts as zero."""
        if self.size == 1:
            return
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(flat)
        means = torch.split(flat / self.size, [p.numel() for p in parameters])
        for parameter, mean in zip(parameters, means, strict=True):
            parameter.grad = mean.view_as(parameter).clone()

    def total(self, *values: float) -> list[float]:
        """Return the sums of a few numbers over the processes."""
        if self.size == 1:
            return list(values)
        sums: Float[Tensor, " value"] = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return sums.tolist()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str = "auto") -> Iterator[Team]:
    """Join the processes that torchrun started, or be alone where it did not; leave them at the end.

    ``device``: "auto" (a GPU where there is one), "cpu", "cuda" or "cuda:1". Raises InputError for other devices.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _device(device, int(os.environ.get("LOCAL_RANK", "0")), alone=size == 1)
    if size == 1:
        yield Team(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(rank, size, chosen)
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int, alone: bool) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        known = device.type in ("cpu", "cuda") and (device.type == "cpu" or torch.cuda.is_available())
    except RuntimeError:
        known = False
    if not known:
        do = "Take --device cpu, or --device auto for a GPU where there is one."
        raise InputError("--device", expected="auto, cpu, or cuda where there is a GPU", got=repr(name), do=do)
    if device.type == "cuda":
        device = torch.device("cuda", local_rank if not alone else device.index or 0)
        torch.cuda.set_device(device)
    return device

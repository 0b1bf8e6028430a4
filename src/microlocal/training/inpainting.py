"""Train a stopped flow to fill gaps: its filters, its thresholds, and the time at which it is left.

    loss = 1000 mean |N(f) - u|²,      f = M (u + σ n)

Gaps are drawn anew each time: single pixels at random, or rectangles that lie over each other.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.flow_behind import FlowBehind
from microlocal.networks.inpainting_flow import TASK, InpaintingFlow, inpainting_network
from microlocal.operators import Filling
from microlocal.training.restoring import FLOW, FlowTable, ImagesTable, Restoring
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied

LEAST_SIDE = 2  # pixels of a rectangle


class DataTable(ImagesTable):
    """The table [data]: images and their gaps.

    ``missing``, the share of single pixels that are unknown, or that rectangles cover, about, between 0 and 0.95;
    ``rectangles``, how often the gaps are rectangles; ``widest``, their longest side in pixels.
    """

    missing: PositiveSpan = Span(low=0.1, high=0.7)
    rectangles: float = Field(0.5, ge=0, le=1)
    widest: int = Field(10, ge=LEAST_SIDE)


class NetworkTable(FlowTable):
    """The table [network]: ``kind`` and the arguments of that network."""

    kind: Literal["stopped-flow"] = "stopped-flow"


def _samples() -> list["Inpainting"]:
    network = {"filters": 4, "side": 3, "steps": 3, "coupled": 2}
    return [
        Inpainting({"pixels": 16, "rectangles": 0.0}, network),
        Inpainting({"pixels": 16, "rectangles": 1.0}, {**network, "border": "symmetric"}),
    ]


@register("task", TASK, samples=_samples, reference="effland2020")
class Inpainting(Restoring):
    """Fill gaps of images that have white noise of any level within a range where they are known.

    >>> task = Inpainting({"pixels": 16}, {"filters": 2, "side": 3, "steps": 2})
    >>> found = task.augment(task.example(0), torch.Generator().manual_seed(0))
    >>> bool((found["noisy"][~found["known"]] == 0).all()), 0 < found["known"].float().mean().item() < 1
    (True, True)
    """

    data_table, network_table = DataTable, NetworkTable
    arguments: ClassVar = {"stopped-flow": FLOW}

    def network(self) -> nn.Module:
        """Return a flow that has learned nothing; its usual noise is the middle of the range."""
        return inpainting_network(self.architecture())

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the image, add noise and draw gaps."""
        image = turned(example["image"].float(), draw)
        level, known = self._level(draw), self._known((image.shape[0], image.shape[1]), draw)
        noisy = (image + level * torch.randn(image.shape, generator=draw)) * known
        return {**example, "image": image, "noisy": noisy, "level": torch.tensor(level), "known": known}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "noisy")
        return 1000 * (self.images(network, batch) - batch["image"]).square().mean()

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the images with their gaps filled."""
        flow = self._told(network, batch) if isinstance(network, FlowBehind) else network
        return super().images(flow, batch)

    def _told(self, network: FlowBehind, batch: Batch) -> FlowBehind:
        """Return the flow that knows the gaps of the batch."""
        return network.knowing(batch["known"][:, None]) if isinstance(network, InpaintingFlow) else network

    def _before(self, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the images with the means of what is known around in their gaps."""
        return Filling(batch["known"])(batch["noisy"])

    def _known(self, shape: tuple[int, int], draw: torch.Generator) -> Bool[Tensor, "row col"]:
        """Return which pixels are known; one is, at least."""
        chance, share = torch.rand(2, generator=draw).tolist()
        missing = min(self.table.missing.low + share * (self.table.missing.high - self.table.missing.low), 0.95)
        if chance >= self.table.rectangles:
            known = torch.rand(shape, generator=draw) >= missing
        else:
            known = self._rectangles(shape, missing, draw)
        known[0, 0] |= not bool(known.any())
        return known

    def _rectangles(self, shape: tuple[int, int], missing: float, draw: torch.Generator) -> Bool[Tensor, "row col"]:
        known = torch.ones(shape, dtype=torch.bool)
        while float(known.float().mean()) > 1 - missing:
            sides = [
                LEAST_SIDE + int(torch.randint(self.table.widest - LEAST_SIDE + 1, (), generator=draw)) for _ in shape
            ]
            places = [
                int(torch.randint(1 - side, size, (), generator=draw)) for side, size in zip(sides, shape, strict=True)
            ]
            (top, left), (rows, cols) = places, sides
            known[max(top, 0) : top + rows, max(left, 0) : left + cols] = False
        return known

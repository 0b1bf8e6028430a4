"""Train a stopped flow to undo a blur: its filters, its thresholds, and the time at which it is left.

    loss = 1000 mean |N(f) - u|²,      f = k * u + σ n

Images u are wider than f by the kernel: what lies beyond the edge of f takes part in it, as in a photograph, and is no
part of the loss.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.deblurring_flow import TASK, DeblurringFlow, deblurring_network
from microlocal.operators import Convolution
from microlocal.reconstruction.images.blur import blur_of
from microlocal.training.restoring import FLOW, FlowTable, ImagesTable, Restoring
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied


class DataTable(ImagesTable):
    """The table [data]: images, and the ``blur``, in words or the file of a kernel, as ``microlocal deblur`` has it."""

    blur: str = "gaussian:1.5"


class NetworkTable(FlowTable):
    """The table [network]: ``kind`` and the arguments of that network."""

    kind: Literal["stopped-flow"] = "stopped-flow"


def _samples() -> list["Deblurring"]:
    network = {"filters": 4, "side": 3, "steps": 3, "coupled": 2}
    return [
        Deblurring({"pixels": 16, "blur": "gaussian:1"}, network),
        Deblurring({"pixels": 16, "blur": "motion:4,30"}, {**network, "border": "symmetric"}),
    ]


@register("task", TASK, samples=_samples, reference="effland2020")
class Deblurring(Restoring):
    """Undo one blur, with white noise of any level within a range, on images.

    Raises InputError for a blur that is none.

    >>> task = Deblurring({"pixels": 16, "blur": "disc:2"}, {"filters": 2, "side": 3, "steps": 2})
    >>> found = task.augment(task.example(0), torch.Generator().manual_seed(0))
    >>> tuple(found["image"].shape), tuple(found["noisy"].shape)
    ((20, 20), (16, 16))
    """

    data_table, network_table = DataTable, NetworkTable
    arguments: ClassVar = {"stopped-flow": FLOW}

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        super().__init__(data, network)
        self.blur = blur_of(self.table.blur, "[data] blur")

    def network(self) -> nn.Module:
        """Return a flow that has learned nothing; its usual noise is the middle of the range."""
        network = deblurring_network(self.architecture())
        return network.undoing(self.blur.kernel) if isinstance(network, DeblurringFlow) else network

    def _wanted(self) -> tuple[int, int]:
        """Return rows and columns of an image, wider than what is seen of it by the kernel."""
        rows, cols = (self.table.pixels + size - 1 for size in self.blur.kernel.shape)
        return rows, cols

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Mirror and turn the image as far as its shape allows, blur it and add noise."""
        image = example["image"].float()
        image = turned(image, draw) if image.shape[0] == image.shape[1] else image
        level = self._level(draw)
        seen = Convolution(self.blur.kernel, (image.shape[0], image.shape[1]), "valid")(image)
        noisy = seen + level * torch.randn(seen.shape, generator=draw)
        return {**example, "image": image, "noisy": noisy, "level": torch.tensor(level)}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "noisy")
        return 1000 * (self.images(network, batch) - self._truth(batch)).square().mean()

    def _truth(self, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the part of the sharp images of which a blurred one is there."""
        (rows, cols), (top, left) = batch["noisy"].shape[-2:], (n - 1 - n // 2 for n in self.blur.kernel.shape)
        return batch["image"][..., top : top + rows, left : left + cols]

    def _said(self) -> dict[str, Any]:
        return {"blur": self.blur.words}

    def architecture(self) -> dict[str, Any]:
        """Return the entries of [network], the usual noise, and the rows and columns of the kernel."""
        return super().architecture() | {"kernel": list(self.blur.kernel.shape)}

"""Train a stopped flow to undo a blur: its filters, its thresholds, and the time at which it is left.

    loss = 1000 mean |N(f) - u|²,      f = k * u + σ n

Images u have values in [0, 1] and come from a folder of one's own, or are made. They are wider than f by the kernel:
what lies beyond the edge of f takes part in it, as in a photograph, and is no part of the loss.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.deblurring_flow import TASK, DeblurringFlow, deblurring_network
from microlocal.networks.noise_level import at_level
from microlocal.operators import Convolution
from microlocal.reconstruction.images.blur import blur_of
from microlocal.reconstruction.quality import psnr
from microlocal.training.folder import ImageFolder
from microlocal.training.recipe import Shares, Table, checked, checked_kind, dividing
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.scenes import PICTURES, unit_picture
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied

ARGUMENTS = {"stopped-flow": ("filters", "side", "steps", "parts", "row", "coupled")}


class DataTable(Table):
    """The table [data].

    ``blur``, in words or the file of a kernel, as ``microlocal deblur`` takes it; ``folder`` of images, or none for
    ``scenes``, kinds and how often each comes; ``pixels`` of a side of what is seen; ``noise``, its standard deviation
    for images in [0, 1], drawn on a logarithmic scale; ``licence``, said on the card.
    """

    blur: str = "gaussian:1.5"
    folder: str = ""
    scenes: Shares = Field(default=PICTURES)
    pixels: int = Field(48, ge=16)
    noise: PositiveSpan = Span(low=0.005, high=0.03)
    licence: str = ""


class NetworkTable(Table):
    """The table [network]: ``kind`` and the arguments of that network."""

    kind: Literal["stopped-flow"] = "stopped-flow"
    filters: int = Field(16, ge=1)
    side: int = Field(5, ge=2)
    steps: int = Field(16, ge=1)
    parts: int = Field(2, ge=1)
    row: str = "soft"
    coupled: int = Field(1, ge=1)

    @field_validator("coupled")
    @classmethod
    def _divides(cls, coupled: int, before: ValidationInfo) -> int:
        return dividing(coupled, before.data.get("filters", coupled), "filters")


def _samples() -> list["Deblurring"]:
    network = {"filters": 4, "side": 3, "steps": 3, "coupled": 2}
    return [Deblurring({"pixels": 16, "blur": blur}, network) for blur in ("gaussian:1", "motion:4,30")]


@register("task", TASK, samples=_samples, reference="effland2020")
class Deblurring:
    """Undo one blur, with white noise of any level within a range, on images.

    Raises InputError for a blur that is none.

    >>> task = Deblurring({"pixels": 16, "blur": "disc:2"}, {"filters": 2, "side": 3, "steps": 2})
    >>> found = task.augment(task.example(0), torch.Generator().manual_seed(0))
    >>> tuple(found["image"].shape), tuple(found["noisy"].shape)
    ((20, 20), (16, 16))
    """

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(DataTable, data, "[data]")
        self.shape = checked_kind(NetworkTable, network, ARGUMENTS, "[network]")
        self.blur = blur_of(self.table.blur, "[data] blur")

    def network(self) -> nn.Module:
        """Return a flow that has learned nothing; its usual noise is the middle of the range."""
        network = deblurring_network(self._architecture())
        return network.undoing(self.blur.kernel) if isinstance(network, DeblurringFlow) else network

    def example(self, seed: int) -> Example:
        """Return a sharp image, wider than what is seen of it by the kernel, in 16 bits."""
        rows, cols = (self.table.pixels + size - 1 for size in self.blur.kernel.shape)
        if self.table.folder:
            image = self._folder.draw((rows, cols), generator(seed), turn=False)
        else:
            plane = unit_picture(self.table.scenes, np.random.default_rng(seed), max(rows, cols))
            image = torch.from_numpy(plane)[:rows, :cols]
        return {"image": image.half(), "seed": torch.tensor(seed)}

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Mirror and turn the image as far as its shape allows, blur it and add noise."""
        image = example["image"].float()
        image = turned(image, draw) if image.shape[0] == image.shape[1] else image
        low, high = (math.log(end) for end in (self.table.noise.low, self.table.noise.high))
        level = math.exp(low + (high - low) * float(torch.rand((), generator=draw)))
        seen = Convolution(self.blur.kernel, (image.shape[0], image.shape[1]), "valid")(image)
        noisy = seen + level * torch.randn(seen.shape, generator=draw)
        return {**example, "image": image, "noisy": noisy, "level": torch.tensor(level)}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "noisy")
        return 1000 * (self._images(network, batch) - self._truth(batch)).square().mean()

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of the blurred and of the sharp images, and T J'/J and T² J''/J of the stopping time."""
        batch = varied(self, batch, "noisy")
        truth = self._truth(batch)
        found = {"psnr of the data": batch["noisy"], "psnr": self._images(network, batch)}
        told = {name: float(psnr(images, truth, 1.0).mean()) for name, images in found.items()}
        if isinstance(network, DeblurringFlow):
            at = network.optimality(batch["noisy"][:, None], truth[:, None], batch["level"])
            told |= {"T J'/J": at.time * at.slope / at.error, "T² J''/J": at.time**2 * at.curvature / at.error}
        return told

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture, the blur, the range of the noise, and the licence where that limits the use."""
        data = self.table.model_dump() | {"folder": self.table.folder.rsplit("/", 1)[-1], "blur": self.blur.words}
        ranges = {"noise of images in [0, 1]": [self.table.noise.low, self.table.noise.high]}
        trained_on = {"data": data, "examples": len(examples), "ranges": ranges}
        found: dict[str, Any] = {"architecture": self._architecture(), "trained on": trained_on}
        return found | ({"licence": self.table.licence} if self.table.licence else {})

    @cached_property
    def _folder(self) -> ImageFolder:
        return ImageFolder.at(self.table.folder)

    def _architecture(self) -> dict[str, Any]:
        """Return the entries of [network], the usual noise, and the rows and columns of the kernel."""
        usual = math.sqrt(self.table.noise.low * self.table.noise.high)
        own = {name: getattr(self.shape, name) for name in ARGUMENTS[self.shape.kind]}
        return {"kind": self.shape.kind, "kernel": list(self.blur.kernel.shape), "usual": usual} | own

    def _images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        return at_level(network, batch["noisy"][:, None], batch["level"])[:, 0].float()

    def _truth(self, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the part of the sharp images of which a blurred one is there."""
        (rows, cols), (top, left) = batch["noisy"].shape[-2:], (n - 1 - n // 2 for n in self.blur.kernel.shape)
        return batch["image"][..., top : top + rows, left : left + cols]

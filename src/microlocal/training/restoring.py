"""What tasks that restore images have in common: where images come from, how noisy they get, and what the card tells.

Images have values in [0, 1] and come from a folder of one's own, or are made: dead leaves, ellipses, and other scenes
with sharp edges. What is measured of them has white noise of a level within a range.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from microlocal.core.seeding import generator
from microlocal.networks.flow_behind import FlowBehind
from microlocal.networks.mirror import Border
from microlocal.networks.noise_level import at_level
from microlocal.reconstruction.quality import psnr
from microlocal.training.folder import ImageFolder
from microlocal.training.recipe import Shares, Table, checked, checked_kind, dividing
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.scenes import PICTURES, unit_picture
from microlocal.training.task import Batch, Example
from microlocal.training.variation import varied


class ImagesTable(Table):
    """What the tables [data] have in common.

    ``folder`` of images, or none for ``scenes``, kinds (see ``scenes.scene``) and how often each comes; ``pixels`` of a
    side of what is seen; ``noise``, its standard deviation for images in [0, 1], drawn on a logarithmic scale;
    ``licence``, said on the card, where that of the images limits the use.
    """

    folder: str = ""
    scenes: Shares = Field(default=PICTURES)
    pixels: int = Field(48, ge=16)
    noise: PositiveSpan = Span(low=0.005, high=0.03)
    licence: str = ""


class FlowTable(Table):
    """The table [network] of a stopped flow."""

    filters: int = Field(16, ge=1)
    side: int = Field(5, ge=2)
    steps: int = Field(16, ge=1)
    parts: int = Field(2, ge=1)
    row: str = "soft"
    coupled: int = Field(1, ge=1)
    border: Border = "valid"

    @field_validator("coupled")
    @classmethod
    def _divides(cls, coupled: int, before: ValidationInfo) -> int:
        return dividing(coupled, before.data.get("filters", coupled), "filters")


FLOW = ("filters", "side", "steps", "parts", "row", "coupled", "border")


class Restoring(ABC):
    """Base of these tasks: a final class names its tables, and writes ``network``, ``augment`` and ``loss``.

    Examples hold an ``image`` and its ``seed``; variations also what is measured, ``noisy``, and its noise ``level``.
    """

    data_table: ClassVar[type[ImagesTable]]
    network_table: ClassVar[type[Table]]
    arguments: ClassVar[Mapping[str, Sequence[str]]]
    table: Any
    shape: Any

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(self.data_table, data, "[data]")
        self.shape = checked_kind(self.network_table, network, self.arguments, "[network]")

    def example(self, seed: int) -> Example:
        """Return an image as it should become, in 16 bits."""
        rows, cols = self._wanted()
        if self.table.folder:
            image = self._folder.draw((rows, cols), generator(seed), turn=False)
        else:
            plane = unit_picture(self.table.scenes, np.random.default_rng(seed), max(rows, cols))
            image = torch.from_numpy(plane)[:rows, :cols]
        return {"image": image.half(), "seed": torch.tensor(seed)}

    def _wanted(self) -> tuple[int, int]:
        """Return rows and columns of an image."""
        return self.table.pixels, self.table.pixels

    def _level(self, draw: torch.Generator) -> float:
        """Return a noise level of the range, on a logarithmic scale."""
        low, high = (math.log(end) for end in (self.table.noise.low, self.table.noise.high))
        return math.exp(low + (high - low) * float(torch.rand((), generator=draw)))

    @abstractmethod
    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Return a variation with what is measured of it."""

    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return what the network makes of the measured images."""
        return at_level(network, batch["noisy"][:, None], batch["level"])[:, 0].float()

    def _truth(self, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the images where something is measured of them."""
        return batch["image"]

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of the measured and of the restored images; of flows T J'/J and T² J''/J too."""
        batch = varied(self, batch, "noisy")  # type: ignore[arg-type]
        truth = self._truth(batch)
        found = {"psnr of the data": self._before(batch), "psnr": self.images(network, batch)}
        told = {name: float(psnr(images, truth, 1.0).mean()) for name, images in found.items()}
        if isinstance(network, FlowBehind):
            at = self._told(network, batch).optimality(batch["noisy"][:, None], truth[:, None], batch["level"])
            told |= {"T J'/J": at.time * at.slope / at.error, "T² J''/J": at.time**2 * at.curvature / at.error}
        return told

    def _told(self, network: FlowBehind, batch: Batch) -> FlowBehind:
        """Return the flow with what it has to know of a batch."""
        del batch
        return network

    def _before(self, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the images that one has without the network."""
        return batch["noisy"]

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture, the range of the noise, and the licence where that limits the use."""
        data = self.table.model_dump() | {"folder": self.table.folder.rsplit("/", 1)[-1]} | self._said()
        ranges = {"noise of images in [0, 1]": [self.table.noise.low, self.table.noise.high]}
        trained_on = {"data": data, "examples": len(examples), "ranges": ranges}
        found: dict[str, Any] = {"architecture": self.architecture(), "trained on": trained_on}
        return found | ({"licence": self.table.licence} if self.table.licence else {})

    def _said(self) -> dict[str, Any]:
        """Return what the card says of [data] in other words."""
        return {}

    def architecture(self) -> dict[str, Any]:
        """Return the entries of [network] that belong to its kind, and the usual noise, the middle of the range."""
        usual = math.sqrt(self.table.noise.low * self.table.noise.high)
        own = {name: getattr(self.shape, name) for name in self.arguments[self.shape.kind]}
        return {"kind": self.shape.kind, "usual": usual} | own

    @cached_property
    def _folder(self) -> ImageFolder:
        return ImageFolder.at(self.table.folder)

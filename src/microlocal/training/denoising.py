"""Train a denoiser on images to which white noise is added on the fly.

    loss = mean |N(f) - u|² / σ^p,      f = u + σ n

The exponent p < 2 lets all noise levels of the range count. Images come from a folder of one's own, or are made: dead
leaves, ellipses, and other scenes with sharp edges. Images have values in [0, 1].
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
from microlocal.networks.denoisers import TASK, denoiser
from microlocal.networks.noise_level import at_level
from microlocal.reconstruction.quality import psnr
from microlocal.training.folder import ImageFolder
from microlocal.training.recipe import Shares, Table, Widths, checked, checked_kind, dividing
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.scenes import PICTURES, unit_picture
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied

POWER = 1.5  # p
USUAL = 25 / 255
ARGUMENTS = {
    "adaptive-shrinkage": ("widths", "pairs"),
    "nonexpansive": ("dilations", "filters", "side", "parts", "row", "repeats", "coupled"),
    "reaction-diffusion": ("dilations", "filters", "side", "parts", "row"),
    "signal-diffusion": ("steps", "repeats", "parts", "row", "keeps"),
    "stopped-flow": ("filters", "side", "steps", "parts", "row", "coupled"),
    "learned-diffusivity": ("steps", "width", "dilations"),
    "dncnn": ("depth", "width"),
}
UNTOLD = ("learned-diffusivity",)  # that take no noise level


Kind = Literal[
    "adaptive-shrinkage",
    "nonexpansive",
    "reaction-diffusion",
    "signal-diffusion",
    "stopped-flow",
    "learned-diffusivity",
    "dncnn",
]


class DataTable(Table):
    """The table [data].

    ``folder`` of images, or none for ``scenes``, kinds (see ``scenes.scene``) and how often each comes; ``pixels`` of a
    side; ``noise``, its standard deviation for images in [0, 1], drawn on a logarithmic scale; ``licence``, said on
    the card, where that of the images limits the use.
    """

    folder: str = ""
    scenes: Shares = Field(default=PICTURES)
    pixels: int = Field(96, ge=16)
    noise: PositiveSpan = Span(low=5 / 255, high=50 / 255)
    licence: str = ""


class NetworkTable(Table):
    """The table [network]: ``kind`` and the arguments of that network."""

    kind: Kind = "adaptive-shrinkage"
    widths: Widths = Field(default=[48, 48])
    pairs: int = Field(2, ge=0)
    dilations: Widths = Field(default=[1, 2, 1, 2, 1, 1])
    filters: int = Field(32, ge=1)
    side: int = Field(7, ge=2)
    parts: int = Field(2, ge=1)
    row: str = "soft"
    repeats: int = Field(1, ge=1)
    keeps: Literal["signs", "range"] = "signs"
    coupled: int = Field(1, ge=1)
    steps: int = Field(10, ge=1)
    depth: int = Field(17, ge=3)
    width: int = Field(64, ge=1)

    @field_validator("coupled")
    @classmethod
    def _divides(cls, coupled: int, before: ValidationInfo) -> int:
        kind, filters = before.data.get("kind"), before.data.get("filters", coupled)
        return dividing(coupled, filters, "filters") if "coupled" in ARGUMENTS.get(str(kind), ()) else coupled


def _samples() -> list["Denoising"]:
    small = {"pixels": 20}
    plain = {"kind": "nonexpansive", "dilations": [1, 2], "filters": 4, "side": 3}
    deep = {"kind": "dncnn", "depth": 3, "width": 2}
    flow = {"kind": "stopped-flow", "filters": 4, "side": 3, "steps": 3, "coupled": 2}
    free = {"kind": "reaction-diffusion", "row": "bands", "dilations": [1, 1], "filters": 4, "side": 3, "parts": 3}
    rows = {"kind": "signal-diffusion", "steps": 2, "row": "soft"}
    blind = {"kind": "learned-diffusivity", "steps": 2, "width": 3, "dilations": [1, 2]}
    return [Denoising(small, network) for network in ({"widths": [3, 4]}, plain, free, rows, flow, blind, deep)]


@register("task", TASK, samples=_samples, reference="zhang2017")
class Denoising:
    """Take white noise of any level within a range off images."""

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(DataTable, data, "[data]")
        self.shape = checked_kind(NetworkTable, network, ARGUMENTS, "[network]")

    def network(self) -> nn.Module:
        """Return a denoiser that has learned nothing; its usual noise is the middle of the range."""
        return denoiser(self._architecture())

    def example(self, seed: int) -> Example:
        """Return a clean image, in 16 bits."""
        shape = (self.table.pixels, self.table.pixels)
        if self.table.folder:
            image = self._folder.draw(shape, generator(seed), turn=False)
        else:
            plane = unit_picture(self.table.scenes, np.random.default_rng(seed), self.table.pixels)
            image = torch.from_numpy(plane)
        return {"image": image.half(), "seed": torch.tensor(seed)}

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the image and add noise."""
        image = turned(example["image"].float(), draw)
        low, high = (math.log(end) for end in (self.table.noise.low, self.table.noise.high))
        level = math.exp(low + (high - low) * float(torch.rand((), generator=draw)))
        noisy = image + level * torch.randn(image.shape, generator=draw)
        return {**example, "image": image, "noisy": noisy, "level": torch.tensor(level)}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "noisy")
        gap = self._images(network, batch) - batch["image"]
        weight = USUAL**POWER / batch["level"] ** POWER
        return 100 * (weight * gap.square().mean(dim=(-2, -1))).mean() / USUAL

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of the noisy and of the denoised images."""
        batch = varied(self, batch, "noisy")
        found = {"psnr of the data": batch["noisy"], "psnr": self._images(network, batch)}
        return {name: float(psnr(images, batch["image"], 1.0).mean()) for name, images in found.items()}

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture, the range of the noise, and the licence where that limits the use."""
        data = self.table.model_dump() | {"folder": self.table.folder.rsplit("/", 1)[-1]}
        ranges = {"noise of images in [0, 1]": [self.table.noise.low, self.table.noise.high]}
        trained_on = {"data": data, "examples": len(examples), "ranges": ranges}
        found: dict[str, Any] = {"architecture": self._architecture(), "trained on": trained_on}
        return found | ({"licence": self.table.licence} if self.table.licence else {})

    @cached_property
    def _folder(self) -> ImageFolder:
        return ImageFolder.at(self.table.folder)

    def _architecture(self) -> dict[str, Any]:
        """Return the entries of [network] that belong to its kind, and the usual noise where it takes a level."""
        usual = math.sqrt(self.table.noise.low * self.table.noise.high)
        told = {} if self.shape.kind in UNTOLD else {"usual": usual}
        own = {name: getattr(self.shape, name) for name in ARGUMENTS[self.shape.kind]}
        return {"kind": self.shape.kind} | told | own

    def _images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        found = at_level(network, batch["noisy"][:, None], batch["level"])
        return found[:, 0].float()

"""Train a denoiser on images to which white noise is added on the fly.

    loss = mean |N(f) - u|² / σ^p,      f = u + σ n;      or, asked for "psnr",  mean 10 log10 |N(f) - u|²

The exponent p < 2 lets all noise levels of the range count. The second is minus the mean PSNR of the images: a smooth
one, of which the squares are small, counts for as much as one full of texture. It wants large ``pixels``, since it
takes a piece for an image.
"""

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.networks.denoisers import TASK, denoiser
from microlocal.networks.mirror import Border
from microlocal.reconstruction.quality import psnr
from microlocal.training.recipe import Table, Widths, dividing
from microlocal.training.restoring import FLOW, ImagesTable, Restoring
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied

POWER = 1.5  # p
USUAL = 25 / 255
ARGUMENTS = {
    "adaptive-shrinkage": ("widths", "pairs"),
    "nonexpansive": ("dilations", "filters", "side", "parts", "row", "repeats", "coupled", "border"),
    "reaction-diffusion": ("dilations", "filters", "side", "parts", "row", "border"),
    "signal-diffusion": ("steps", "repeats", "parts", "row", "keeps"),
    "stopped-flow": FLOW,
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


class DataTable(ImagesTable):
    """The table [data]: images, larger ones and with more noise unless it says otherwise; which ``loss``."""

    pixels: int = Field(96, ge=16)
    loss: Literal["squares", "psnr"] = "squares"
    noise: PositiveSpan = Span(low=5 / 255, high=50 / 255)


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
    border: Border = "valid"
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
    mirrored = {**plain, "border": "symmetric"}
    free = {"kind": "reaction-diffusion", "row": "bands", "dilations": [1, 1], "filters": 4, "side": 3, "parts": 3}
    rows = {"kind": "signal-diffusion", "steps": 2, "row": "soft"}
    blind = {"kind": "learned-diffusivity", "steps": 2, "width": 3, "dilations": [1, 2]}
    kinds = {"widths": [3, 4]}, plain, mirrored, free, rows, flow, blind, deep
    return [*(Denoising(small, network) for network in kinds), Denoising({**small, "loss": "psnr"}, plain)]


@register("task", TASK, samples=_samples, reference="zhang2017")
class Denoising(Restoring):
    """Take white noise of any level within a range off images."""

    data_table, network_table = DataTable, NetworkTable
    arguments: ClassVar = ARGUMENTS

    def network(self) -> nn.Module:
        """Return a denoiser that has learned nothing; its usual noise is the middle of the range."""
        return denoiser(self.architecture())

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the image and add noise."""
        image = turned(example["image"].float(), draw)
        level = self._level(draw)
        noisy = image + level * torch.randn(image.shape, generator=draw)
        return {**example, "image": image, "noisy": noisy, "level": torch.tensor(level)}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "noisy")
        images = self.images(network, batch)
        if self.table.loss == "psnr":
            return -psnr(images, batch["image"], 1.0).mean()
        weight = USUAL**POWER / batch["level"] ** POWER
        return 100 * (weight * (images - batch["image"]).square().mean(dim=(-2, -1))).mean() / USUAL

    def architecture(self) -> dict[str, Any]:
        """Return the entries of [network] that belong to its kind, and the usual noise where it takes a level."""
        found = super().architecture()
        return {name: value for name, value in found.items() if name != "usual" or self.shape.kind not in UNTOLD}

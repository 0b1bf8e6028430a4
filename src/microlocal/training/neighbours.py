"""What the networks that Learn the Invisible is compared with are trained on, and how: the same examples and loss.

    loss = mean |f - truth|² / a²,   a the size of f*: the squared error in images of size one

A subclass says how its network makes f of an example. Examples are turned and mirrored as images, and their angles with
them, so that a network that uses the data sees scans of turned objects.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.core.scan import Scan
from microlocal.networks.invisible import image_size
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.facts import ranges_of
from microlocal.reconstruction.quality import psnr
from microlocal.reconstruction.trained import known_facts
from microlocal.training.recipe import Table, Widths, checked
from microlocal.training.scans import ScanTable, card_of, geometry_of, licence_of, scan_example, turned
from microlocal.training.task import Batch, Example

LOSS = 100.0  # a loss near one is easier to read
SIDES = (0.75, 1.25)  # of the side that was trained on: images of other sides show their objects at another scale


class UNetTable(Table):
    """The table [network] of a U-Net: the features of every level and the pairs of convolutions of a block."""

    widths: Widths = Field(default=[24, 48, 64])
    pairs: int = Field(1, ge=0)


class ImageTask(ABC):
    """A network that makes an image of an example's filtered backprojection or data.

    A task sets ``table_of_network``, the model of its table [network], and ``build``, which makes the network from it.
    """

    examples: ClassVar[str] = "scans"
    table_of_network: ClassVar[type[Table]] = UNetTable
    build: ClassVar[Callable[..., nn.Module]]

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(ScanTable, data, "[data]")
        if self.table.halved:
            do = "Leave it out: only learn-the-invisible works on two sizes of pixels."
            raise InputError("[data] halved", expected="0", got=f"{self.table.halved:g}", do=do)
        self.shape = checked(self.table_of_network, network, "[network]")

    @abstractmethod
    def images(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return the images that a network makes of a batch."""

    def network(self) -> nn.Module:
        """Return a network that has learned nothing."""
        return type(self).build(**self.shape.model_dump())

    def example(self, seed: int) -> Example:
        return scan_example(self.table, seed)

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the object, and its scan with it."""
        quarters, mirrored = (int(torch.randint(n, (), generator=draw)) for n in (4, 2))
        return turned_scan(self.table, example, quarters, bool(mirrored))

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        gap = self.images(network, batch).float() - batch["truth"]
        return LOSS * (gap / image_size(batch["visible"])).square().mean()

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of the filtered backprojection, of f*, and of what the network makes."""
        found = {"psnr of fbp": batch["fbp"], "psnr of f*": batch["visible"], "psnr": self.images(network, batch)}
        return {name: float(psnr(images.float(), batch["truth"]).mean()) for name, images in found.items()}

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture and the ranges of the facts of scans like those trained on."""
        ranges = ranges_of([known_facts(scan_of(self.table, example), self.table.grid) for example in examples])
        ranges["pixels a side"] = [share * self.table.pixels for share in SIDES]
        trained_on = card_of(self.table, []) | {"ranges": ranges}
        architecture = {"network": self.shape.model_dump()}
        found = {"architecture": architecture, "trained on": trained_on, "working pixels": self.table.pixels}
        return found | licence_of(self.table)


def scan_of(table: ScanTable, example: Example) -> Scan:
    """Return the scan of an example."""
    geometry = geometry_of(table, example)
    return Scan(example["data"][: len(geometry.angles_rad)], geometry, table.grid)


def rays_of(table: ScanTable, batch: Batch) -> list[tuple[RayTransform, Float[Tensor, "1 angle detector"]]]:
    """Return the operator and the data of every example of a batch: each was measured by a geometry of its own."""
    parts = [{name: values[k] for name, values in batch.items()} for k in range(len(batch["views"]))]
    scans = [scan_of(table, part) for part in parts]
    return [(RayTransform(scan.geometry, table.grid), scan.data[None]) for scan in scans]


def turned_scan(table: ScanTable, example: Example, quarters: int, mirrored: bool) -> Example:
    """Return the example of the object turned by quarters, then mirrored: images, angles, and in fan beam the detector.

    The ray of normal (cos t, sin t) through an object becomes that of t + π/2 through the turned one, and that of π - t
    through the mirrored one, seen in fan beam from the source at -t with the detector reversed.
    """
    found = turned(example, quarters, mirrored, table.frame)
    first, step = example["first"] + quarters * math.pi / 2, example["step"]
    if not mirrored:
        return {**found, "first": first}
    fan = table.source_axis > 0
    data = example["data"].flip(-1) if fan else example["data"]
    return {**found, "first": -first if fan else math.pi - first, "step": -step, "data": data}

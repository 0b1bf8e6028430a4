"""Train the network of Learn the Invisible: coefficients of f* in, coefficients of the truth out, where s < 1.

    E(F) = Σ_ℓ mean |(1 - s) (F - SH(truth))|² / a²,      loss = E(c + a G/2 Φ(arsinh(c / (a G)), s)) / (E(c) + δ)

over windows of the coefficients. By Parseval's identity E is the squared error of the invisible part of the image
before the last step, in images of size one; the loss is how much of that of f* is left, so that scans with narrow
wedges count as much as those with wide ones. Windows of the coefficients, not of the images: all filters see the whole
image, and the network is a convolution.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.networks.invisible import InvisibleNetwork, Level, image_size
from microlocal.networks.suitability import Fact
from microlocal.networks.symmetry import symmetries
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.learn_the_invisible import EPSILON
from microlocal.reconstruction.learned import TASK
from microlocal.reconstruction.null_space import complete_consistently, quick_normal
from microlocal.reconstruction.quality import psnr
from microlocal.training.recipe import Table, checked
from microlocal.training.scans import ScanTable, card_of, fact_names, geometry_of, scan_example, turned
from microlocal.training.task import Batch, Example

OBJECTS = 32  # whose coefficients tell the usual sizes of the scales
NEGLIGIBLE = 1e-4  # δ: what a hundredth of the brightness at every pixel would be


class NetworkTable(Table):
    """The table [network]: the U-Net's features of every level and its pairs of convolutions, the training window."""

    widths: list[int] = Field(default=[24, 48, 64, 96], min_length=1)
    pairs: int = Field(1, ge=0)
    window: int = Field(128, ge=16)


@register("task", TASK, reference="bubba2019")
class LearnTheInvisible:
    """Estimate invisible shearlet coefficients: recipes have a table ``ScanTable`` and a table ``NetworkTable``."""

    examples = "scans"

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(ScanTable, data, "[data]")
        self.shape = checked(NetworkTable, network, "[network]")
        self.frame = self.table.frame

    def network(self) -> nn.Module:
        """Return a network that does nothing yet, with the sizes of the scales in random objects."""
        channels = self.frame.channels
        network = InvisibleNetwork(channels, self.shape.widths, self.shape.pairs, self._gains())
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def example(self, seed: int) -> Example:
        return scan_example(self.table, seed)

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the example, and choose its window."""
        kept = symmetries(self.table.aligned, fan=self.table.source_axis > 0)
        quarters, mirrored = kept[int(torch.randint(len(kept), (), generator=draw))]
        step = 2 ** (len(self.frame.grids) - 1)
        places = (self.frame.padded[0] - self.window) // step + 1
        corner = step * torch.randint(places, (2,), generator=draw)
        moved = turned(example, quarters, mirrored, self.frame)
        return {name: moved[name] for name in ("truth", "visible", "share")} | {"corner": corner}

    @property
    def window(self) -> int:
        """The side of the window: the image's where that is smaller."""
        return min(self.shape.window, self.frame.padded[0])

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        size, corners = image_size(batch["visible"]), self._corners(batch)
        share = self._cut(self.frame.sampled(batch["share"].float()), corners)
        given, wanted = (
            self._cut(self.frame.levels(self.frame(batch[name] / size)), corners)
            for name in ("visible", "truth")
        )
        found = network(given, share)
        levels = list(zip(share, given, wanted, strict=True))
        left = [(1 - s) * (c + f.float() - w) for (s, c, w), f in zip(levels, found, strict=True)]
        before = [(1 - s) * (c - w) for s, c, w in levels]
        return (self._energy(left) / (self._energy(before) + NEGLIGIBLE)).mean()

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of f*, of what the network makes of it, and of that made consistent with the data."""
        scores: dict[str, list[float]] = {"psnr of f*": [], "psnr proposed": [], "psnr": []}
        for k, truth in enumerate(batch["truth"]):
            one = {name: values[k] for name, values in batch.items()}
            visible = one["visible"]
            share = one["share"][None].float()
            proposal = cast(InvisibleNetwork, network).complete(visible[None], share, self.frame)[0].float()
            geometry = geometry_of(self.table, one)
            ray = RayTransform(geometry, self.table.grid)
            data = one["data"][: len(geometry.angles_rad)]
            final = complete_consistently(ray, data, visible, proposal, EPSILON, quick_normal(ray)).image
            for name, image in zip(scores, (visible, proposal, final), strict=True):
                scores[name].append(float(psnr(image, truth)))
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture and the ranges of the facts of examples of those trained on."""
        names = fact_names(self.table)
        facts = [tuple(Fact(n, float(v)) for n, v in zip(names, e["facts"], strict=True)) for e in examples]
        shape = {"channels": list(self.frame.channels), "widths": self.shape.widths, "pairs": self.shape.pairs}
        return {
            "architecture": {"scales": self.table.scales, "network": shape},
            "trained on": card_of(self.table, facts),
            "working pixels": self.table.pixels,
            "base": self.table.base,
            "aligned": self.table.aligned,
        }

    def _energy(self, levels: Sequence[Level]) -> Float[Tensor, " batch"]:
        """Return the mean square of an image with these coefficients on the window."""
        return torch.stack([level.square().sum(dim=(1, 2, 3)) for level in levels]).sum(dim=0) / self.window**2

    def _gains(self) -> list[float]:
        """Return the root mean square of the details of every level, and of the low-pass, in objects of size one."""
        draws = [torch.randint(2**31, (), generator=generator(k)) for k in range(OBJECTS)]
        images = torch.stack([self._object(int(seed)) for seed in draws])
        levels = self.frame.levels(self.frame(images / image_size(images)))
        coarsest = levels[-1]
        parts = [*levels[:-1], coarsest[:, 1:], coarsest[:, :1]]
        return [float(part.square().mean().sqrt()) for part in parts]

    def _object(self, seed: int) -> Tensor:
        return torch.from_numpy(self.table.object(np.random.default_rng(seed)).image(self.table.grid, 2)).float()

    def _corners(self, batch: Batch) -> Tensor:
        """Return the corners of the windows: in the middle for examples that were not augmented."""
        step = 2 ** (len(self.frame.grids) - 1)
        middle = (self.frame.padded[0] - self.window) // 2 // step * step
        return batch.get("corner", torch.full((len(batch["truth"]), 2), middle))

    def _cut(self, levels: tuple[Level, ...], corners: Tensor) -> list[Tensor]:
        """Return the same window of every level, each example's own; maps of one pixel stay as they are."""
        found = []
        for k, level in enumerate(levels):
            if level.shape[-2:] == (1, 1):
                found.append(level)
                continue
            side = self.window >> k
            pieces = [
                level[i, :, int(r) >> k : (int(r) >> k) + side, int(c) >> k : (int(c) >> k) + side]
                for i, (r, c) in enumerate(corners)
            ]
            found.append(torch.stack(pieces))
        return found

"""Train the network of Learn the Invisible: coefficients of f* in, coefficients of the truth out, where s < 1.

    E(F) = Σ_ℓ mean |(1 - s) (F - SH(truth))|² / a²,      loss = E(c + a G/2 Φ(arsinh(c / (a G)), s)) / (E(c) + δ)

over windows of the coefficients. By Parseval's identity E is the squared error of the invisible part of the image
before the last step, in images of size one; the loss is how much of that of f* is left, so that scans with narrow
wedges count as much as those with wide ones. Windows of the coefficients, not of the images: all filters see the whole
image, and the network is a convolution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.frames.dyadic import DyadicShearletFrame
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
from microlocal.training.tiny import SCANS

OBJECTS = 32  # whose coefficients tell the usual sizes of the scales
NEGLIGIBLE = 1e-4  # δ: what a hundredth of the brightness at every pixel would be


class NetworkTable(Table):
    """The table [network]: the U-Net's features of every level and its pairs of convolutions, the training window."""

    widths: list[int] = Field(default=[24, 48, 64, 96], min_length=1)
    pairs: int = Field(1, ge=0)
    window: int = Field(128, ge=16)
    cascade: bool = False


def _samples() -> list["LearnTheInvisible"]:
    network = {"widths": [2, 2], "window": 16}
    return [LearnTheInvisible(data, network) for data in (SCANS, SCANS | {"pixels": 32, "halved": 0.5})]


@register("task", TASK, samples=_samples, reference="bubba2019")
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
        """Turn and mirror the example, and choose the size of its pixels and the place of its window."""
        kept = symmetries(self.table.aligned, fan=self.table.source_axis > 0)
        quarters, mirrored = kept[int(torch.randint(len(kept), (), generator=draw))]
        moved = turned(example, quarters, mirrored, self.frame)
        halved = torch.rand((), generator=draw) < self.table.halved
        corner = torch.rand(2, generator=draw)
        return {name: moved[name] for name in ("truth", "visible", "share")} | {"corner": corner, "halved": halved}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        if "halved" not in batch:  # examples that were not augmented: those of the validation
            return self._left(network, batch, self.frame).mean()
        parts = []
        for halved in (False, True):
            chosen = batch["halved"] == halved
            part = {name: values[chosen] for name, values in batch.items()}
            if not len(part["truth"]):
                continue
            if halved:
                part |= {name: self.table.coarse(part[name]) for name in ("truth", "visible")}
            parts.append(self._left(network, part, self.table.coarse_frame if halved else self.frame))
        return torch.cat(parts).mean()

    def _left(self, network: nn.Module, batch: Batch, frame: DyadicShearletFrame) -> Float[Tensor, " batch"]:
        """Return how much of the invisible error of every example is left, on pixels of one size."""
        size, window = image_size(batch["visible"]), Window.of(self.shape.window, frame, batch)
        share = window.of_levels(frame.sampled(batch["share"].float()))
        first = batch["visible"] + (self._wide(network, batch) if self.shape.cascade and frame is self.frame else 0.0)
        begun, given, wanted = (
            window.of_levels(frame.levels(frame(x / size))) for x in (batch["visible"], first, batch["truth"])
        )
        found = network(given, share)
        left = [(1 - s) * (c + f.float() - w) for s, c, f, w in zip(share, given, found, wanted, strict=True)]
        before = [(1 - s) * (c - w) for s, c, w in zip(share, begun, wanted, strict=True)]
        return window.energy(left) / (window.energy(before) + NEGLIGIBLE)

    def _wide(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return what the network adds on pixels twice as large."""
        with torch.no_grad():
            coarse = self.table.coarse(batch["visible"])
            found = cast(InvisibleNetwork, network).complete(coarse, batch["share"].float(), self.table.coarse_frame)
            change = (found.float() - coarse)[:, None]
            return functional.interpolate(change, scale_factor=2, mode="bicubic", align_corners=False)[:, 0]

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of f*, of what the network makes of it, and of that made consistent with the data."""
        scores: dict[str, list[float]] = {"psnr of f*": [], "psnr proposed": [], "psnr": []}
        for k, truth in enumerate(batch["truth"]):
            one = {name: values[k] for name, values in batch.items()}
            visible = one["visible"]
            proposal = self._proposal(cast(InvisibleNetwork, network), visible, one["share"][None].float())
            geometry = geometry_of(self.table, one)
            ray = RayTransform(geometry, self.table.grid)
            data = one["data"][: len(geometry.angles_rad)]
            final = complete_consistently(ray, data, visible, proposal, EPSILON, quick_normal(ray)).image
            for name, image in zip(scores, (visible, proposal, final), strict=True):
                scores[name].append(float(psnr(image, truth)))
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def _proposal(self, network: InvisibleNetwork, visible: Tensor, share: Tensor) -> Float[Tensor, "row col"]:
        """Return what the network makes of f*, the mean over the sizes of pixels it works on."""
        begun = visible[None]
        if not self.table.halved:
            return network.complete(begun, share, self.frame)[0].float()
        wide = begun + self._wide(network, {"visible": begun, "share": share})
        found = network.complete(wide if self.shape.cascade else begun, share, self.frame).float()
        return (found if self.shape.cascade else (found + wide) / 2)[0]

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture and the ranges of the facts of examples of those trained on."""
        names = fact_names(self.table)
        facts = [tuple(Fact(n, float(v)) for n, v in zip(names, e["facts"], strict=True)) for e in examples]
        shape = {"channels": list(self.frame.channels), "widths": self.shape.widths, "pairs": self.shape.pairs}
        return {
            "architecture": {"scales": self.table.scales, "network": shape},
            "trained on": card_of(self.table, facts),
            "working pixels": self.table.coarse_grid.shape[0],
            "base": self.table.base,
            "aligned": self.table.aligned,
        }

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


@dataclass(frozen=True)
class Window:
    """The same window of every level of coefficients, each example's own; ``side`` and ``corners`` on the finest."""

    side: int
    corners: list[tuple[int, int]]

    @classmethod
    def of(cls, side: int, frame: DyadicShearletFrame, batch: Batch) -> "Window":
        """Return a window of ``side``, or of the image's where that is smaller, at the batch's relative places.

        It is in the middle for examples that were not augmented.
        """
        side, step = min(side, frame.padded[0]), 2 ** (len(frame.grids) - 1)
        places = (frame.padded[0] - side) // step
        relative = batch.get("corner", torch.full((len(batch["truth"]), 2), 0.5))
        corners = (relative * (places + 1)).long().clamp_max(places) * step
        return cls(side, [(int(r), int(c)) for r, c in corners])

    def of_levels(self, levels: tuple[Level, ...]) -> list[Level]:
        """Return the window of every level; maps of one pixel stay as they are."""
        found = []
        for k, level in enumerate(levels):
            if level.shape[-2:] == (1, 1):
                found.append(level)
                continue
            side = self.side >> k
            places = enumerate(self.corners)
            pieces = [level[i, :, r >> k : (r >> k) + side, c >> k : (c >> k) + side] for i, (r, c) in places]
            found.append(torch.stack(pieces))
        return found

    def energy(self, levels: Sequence[Level]) -> Float[Tensor, " batch"]:
        """Return the mean square of an image with these coefficients on the window."""
        return torch.stack([level.square().sum(dim=(1, 2, 3)) for level in levels]).sum(dim=0) / self.side**2

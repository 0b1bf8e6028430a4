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

from microlocal.core.errors import InputError
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
from microlocal.training.recipe import Table, Widths, checked
from microlocal.training.scans import ScanTable, card_of, fact_names, geometry_of, licence_of, scan_example, turned
from microlocal.training.task import Batch, Example
from microlocal.training.tiny import SCANS

OBJECTS = 32  # whose coefficients tell the usual sizes of the scales
NEGLIGIBLE = 1e-4  # δ: what a hundredth of the brightness at every pixel would be


class NetworkTable(Table):
    """The table [network]: the U-Net's features of every level and its pairs of convolutions, the training window.

    ``cascade``: whether on the smaller pixels it is given what it made of the image on those twice as large.
    """

    widths: Widths = Field(default=[24, 48, 64, 96])
    pairs: int = Field(1, ge=0)
    window: int = Field(128, ge=16)
    cascade: bool = False


def _samples() -> list["LearnTheInvisible"]:
    network = {"widths": [2, 2], "window": 16}
    both = SCANS | {"pixels": 32, "halved": 0.5}
    return [
        LearnTheInvisible(SCANS, network),
        LearnTheInvisible(both, network),
        LearnTheInvisible(both, network | {"cascade": True}),
    ]


@register("task", TASK, samples=_samples, reference="bubba2019")
class LearnTheInvisible:
    """Estimate invisible shearlet coefficients: recipes have a table ``ScanTable`` and a table ``NetworkTable``."""

    examples = "scans"

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(ScanTable, data, "[data]")
        self.shape = checked(NetworkTable, network, "[network]")
        if self.shape.cascade and not self.table.halved:
            do = "Set halved = 0.5 in [data], so that it learns both, or leave cascade out."
            raise InputError("[network] cascade", expected="a network of two sizes of pixels", got="halved = 0", do=do)
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
        halved = batch.get("halved", torch.zeros(len(batch["truth"]), dtype=torch.bool))  # not there in the validation
        parts = []
        for coarse in (False, True):
            chosen = halved == coarse
            if bool(chosen.any()):
                parts.append(self._left(network, {name: values[chosen] for name, values in batch.items()}, coarse))
        return torch.cat(parts).mean()

    def _left(self, network: nn.Module, batch: Batch, coarse: bool) -> Float[Tensor, " batch"]:
        """Return how much of the invisible error of every example is left, on pixels of one size."""
        frame, visible, truth = self.frame, batch["visible"], batch["truth"]
        if coarse:
            frame, visible, truth = self.table.coarse_frame, self.table.coarse(visible), self.table.coarse(truth)
        given = visible if coarse or not self.shape.cascade else visible + self._wide_change(network, batch)
        size, window = image_size(visible), Window.of(self.shape.window, frame, batch)
        share = window.of_levels(frame.sampled(batch["share"].float()))
        begun, wanted = (window.of_levels(frame.levels(frame(x / size))) for x in (visible, truth))
        shown = begun if given is visible else window.of_levels(frame.levels(frame(given / size)))
        found = network(shown, share)
        left = [(1 - s) * (c + f.float() - w) for s, c, f, w in zip(share, shown, found, wanted, strict=True)]
        before = [(1 - s) * (c - w) for s, c, w in zip(share, begun, wanted, strict=True)]
        return window.energy(left) / (window.energy(before) + NEGLIGIBLE)

    def _wide_change(self, network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
        """Return what the network adds on pixels twice as large, as something given: no gradient goes through it."""
        with torch.no_grad():
            visible, share = self.table.coarse(batch["visible"]), batch["share"].float()
            found = cast(InvisibleNetwork, network).complete(visible, share, self.table.coarse_frame)
            change = (found.float() - visible)[:, None]
            return functional.interpolate(change, scale_factor=2, mode="bicubic", align_corners=False)[:, 0]

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the PSNR of f*, of what the network makes of it, and of that made consistent with the data."""
        scores: dict[str, list[float]] = {"psnr of f*": [], "psnr proposed": [], "psnr": []}
        for k, truth in enumerate(batch["truth"]):
            one = {name: values[k] for name, values in batch.items()}
            visible, given = one["visible"], {name: one[name][None] for name in ("visible", "share")}
            proposal = self._proposal(cast(InvisibleNetwork, network), given)
            geometry = geometry_of(self.table, one)
            ray = RayTransform(geometry, self.table.grid)
            data = one["data"][: len(geometry.angles_rad)]
            final = complete_consistently(ray, data, visible, proposal, EPSILON, quick_normal(ray)).image
            for name, image in zip(scores, (visible, proposal, final), strict=True):
                scores[name].append(float(psnr(image, truth)))
        return {name: sum(values) / len(values) for name, values in scores.items()}

    def _proposal(self, network: InvisibleNetwork, batch: Batch) -> Float[Tensor, "row col"]:
        """Return what the network makes of the f* of one example: on both sizes, in turn or their mean."""
        visible, share = batch["visible"], batch["share"].float()
        if not self.table.halved:
            return network.complete(visible, share, self.frame)[0].float()
        wide = visible + self._wide_change(network, batch)
        if self.shape.cascade:
            return network.complete(wide, share, self.frame)[0].float()
        return (network.complete(visible, share, self.frame)[0].float() + wide[0]) / 2

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
            "cascade": self.shape.cascade,
            **licence_of(self.table),
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

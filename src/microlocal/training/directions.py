"""Train the network of edges and directions, on images made on the fly whose wavefront set is known exactly.

    loss = mean of w BCE(e, t) + v Σ_k BCE(p_k, q_k)

t is the edge target and q the histogram of the normals that are present (``edge_targets``); v = t near an edge, else
0; w = 0 at steps lower than the noise, which nobody could see. Every use of an example turns it, blurs it, and adds
noise, white, with grain, or as reconstructions have it. Photographs with drawn boundaries may be mixed in: [data]
folder.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from microlocal.core.registry import register
from microlocal.networks.directions import DirectionNetwork, decoded, shared
from microlocal.training.edge_targets import from_drawings, from_scene
from microlocal.training.photographs import LICENCE, photograph, split
from microlocal.training.recipe import Shares, Table, Widths, checked
from microlocal.training.scans import PositiveSpan, Span
from microlocal.training.scenes import scene
from microlocal.training.task import Batch, Example
from microlocal.training.variation import noise_of_reconstructions, varied

TASK = "directions"
SCENES = {"leaves": 0.5, "ellipses": 0.15, "general": 0.25, "needle": 0.07, "nothing": 0.03}
MAPS = ("edge", "normal", "other", "two", "jump")
FAINT, HIDDEN = 0.02, 0.3  # steps are left out below this part of the contrast, and of the noise
DIRECTIONS = 0.3  # weight of the directions beside the edge
FAR, ON = 0.05, 0.6  # targets that are no edge, and that are one


class DataTable(Table):
    """The table [data].

    ``scenes``, kinds (see ``scenes.scene``) and how often each comes; ``pixels`` of a side; ``noise``, its standard
    deviation in parts of the image's range, drawn on a logarithmic scale; ``correlated``, how often it is that of
    reconstructions, smooth or streaked; ``blur``, of a Gaussian, pixels; ``folder`` of photographs with drawn
    boundaries and ``photographs``, their share among the examples.
    """

    scenes: Shares = SCENES
    pixels: int = Field(128, ge=16)
    noise: PositiveSpan = Span(low=0.002, high=0.3)
    correlated: float = Field(0.0, ge=0, le=1)
    blur: Span = Span(low=0.0, high=1.5)
    folder: str = ""
    photographs: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _blurs_within(self) -> Self:
        if self.blur.low < 0 or _reach(self.blur.high) >= self.pixels:
            raise ValueError(f"blur: 0 <= low, and a third of the {self.pixels} pixels above high")
        return self


class NetworkTable(Table):
    """The table [network]: as the arguments of ``DirectionNetwork``."""

    scales: int = Field(4, ge=1, le=6)
    widths: Widths = Field(default=[16, 32, 48, 64])
    pairs: int = Field(1, ge=0)
    classes: int = Field(36, ge=8)


def _samples() -> list["Directions"]:
    return [Directions({"pixels": 24}, {"scales": 2, "widths": [3, 4], "classes": 8})]


@register("task", TASK, samples=_samples, reference="andrade2019")
class Directions:
    """Say at every pixel whether an edge runs there and which way it faces."""

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(DataTable, data, "[data]")
        self.shape = checked(NetworkTable, network, "[network]")

    def network(self) -> nn.Module:
        """Return a network that finds no edges yet, with the usual sizes of the scales in a few scenes."""
        shape = self.shape
        plain = DirectionNetwork(shape.scales, shape.widths, shape.pairs, shape.classes)
        images = torch.stack([self.example(seed)["image"].float() for seed in range(8)])
        levels, size = plain.coefficients(images)
        gains = [float((level / size).square().mean().sqrt()) for level in levels]
        network = DirectionNetwork(shape.scales, shape.widths, shape.pairs, shape.classes, gains)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def example(self, seed: int) -> Example:
        """Return an image of range one and its maps: of a scene, or of a window of a photograph."""
        draw = np.random.default_rng(seed)
        if self.names and draw.random() < self.table.photographs:
            plane, maps = self._photograph(draw)
        else:
            kinds, shares = list(self.table.scenes), np.array(list(self.table.scenes.values()))
            found = scene(str(draw.choice(kinds, p=shares / shares.sum())), draw, self.table.pixels)
            plane, maps = found.image, from_scene(found)
        low, high = float(plane.min()), float(plane.max())
        image = torch.from_numpy((plane - low) / max(high - low, 1e-12)).half()
        # Steps are compared with noise in parts of the range.
        jump = (maps["jump"].float() / max(high - low, 1e-12)).clamp(max=10.0).half()
        return {"image": image, **maps, "jump": jump, "seed": torch.tensor(seed)}

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn, mirror, blur the image and add noise; say how much it weighs where, and how large it seems."""
        quarters, mirrored = (int(torch.randint(n, (), generator=draw)) for n in (4, 2))
        found = _turned(example, quarters, bool(mirrored))
        blur = self._drawn(self.table.blur, draw) * float(torch.rand((), generator=draw) < 0.7)
        low, high = self.table.noise.low, self.table.noise.high
        noise = math.exp(self._drawn(Span(low=math.log(low), high=math.log(high)), draw))
        plane = _blurred(found["image"].float(), blur)
        random = self._noise((plane.shape[0], plane.shape[1]), draw)
        sign = 1.0 if torch.rand((), generator=draw) < 0.5 else -1.0
        seen = (found["jump"].float() >= max(FAINT, HIDDEN * noise)) | (found["edge"].float() < FAR)
        jitter = torch.exp(self._drawn(Span(low=-1.2, high=0.7), draw) * torch.ones(()))
        image = sign * plane + noise * random / random.std()
        return {**found, "image": image, "weight": seen.float(), "jitter": jitter}

    def _noise(self, shape: tuple[int, int], draw: torch.Generator) -> Float[Tensor, "row col"]:
        """Draw noise that is white, has grain, or is that of a reconstruction."""
        share = self.table.correlated
        if share and float(torch.rand((), generator=draw)) < share:
            return noise_of_reconstructions(shape, draw)
        grain = self._drawn(Span(low=0.4, high=1.2), draw) * float(torch.rand((), generator=draw) < 0.3)
        return _blurred(torch.randn(shape, generator=draw), grain)

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "jitter")
        edge, directions = network(batch["image"], batch["jitter"])
        target = batch["edge"].float()
        edges = functional.binary_cross_entropy_with_logits(edge, target, reduction="none")
        facing = functional.binary_cross_entropy_with_logits(directions, self._present(batch), reduction="none")
        near = target * (target > 0.2)
        return (batch["weight"] * (edges + DIRECTIONS * near * facing.sum(dim=1))).mean() * 10

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the balanced accuracy of "an edge runs here" and the median error of the normal on edges, degrees."""
        batch = varied(self, batch, "jitter")
        edge, directions = network(batch["image"], batch["jitter"])
        target, seen = batch["edge"].float(), batch["weight"] > 0
        on, off = seen & (target > ON), target < FAR
        hit, miss = ((edge > 0)[on].float().mean(), (edge > 0)[off].float().mean()) if on.any() else (1.0, 0.0)
        turn = torch.sin(decoded(torch.sigmoid(directions)) - batch["normal"].float())[on & (batch["two"] == 0)].abs()
        error = float(torch.rad2deg(torch.asin(turn.clamp(max=1.0))).median()) if turn.numel() else 0.0
        return {"edge accuracy": (float(hit) + 1 - float(miss)) / 2, "direction error": error}

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture, what was trained on, and the licence where that limits the use."""
        found: dict[str, Any] = {
            "architecture": self.shape.model_dump(),
            "trained on": {"data": self.table.model_dump(), "examples": len(examples)},
        }
        return found | ({"licence": LICENCE} if self.names else {})

    @cached_property
    def names(self) -> list[str]:
        """The photographs that may be trained on; none where the recipe has none."""
        return split(self.table.folder)[0] if self.table.folder and self.table.photographs else []

    def _photograph(self, draw: np.random.Generator) -> tuple[np.ndarray, Example]:
        """Return a window of a photograph, and the maps of what people drew in it."""
        plane, drawings = photograph(Path(self.table.folder), self.names[int(draw.integers(len(self.names)))])
        side = min(self.table.pixels, *plane.shape)
        top, left = (int(draw.integers(n - side + 1)) for n in plane.shape)
        window = np.s_[top : top + side, left : left + side]
        return plane[window], {k: v[window].clone() for k, v in from_drawings(drawings).items()}

    def _present(self, batch: Batch) -> Float[Tensor, "batch direction row col"]:
        """Return the histogram of the normals at every pixel: of the nearest edge, and of another one at a corner."""
        one, other = (shared(batch[name].float(), self.shape.classes) for name in ("normal", "other"))
        return torch.maximum(one, other * batch["two"].float()[:, None])

    @staticmethod
    def _drawn(span: Span, draw: torch.Generator) -> float:
        return span.low + (span.high - span.low) * float(torch.rand((), generator=draw))


def _turned(example: Example, quarters: int, mirrored: bool) -> Example:
    """Return the maps turned by quarters and mirrored, normals with them."""
    found = dict(example)
    for name in ("image", *MAPS):
        plane = example[name].rot90(quarters, (-2, -1))
        if name in ("normal", "other"):
            angle = plane.float() + quarters * math.pi / 2
            plane = ((math.pi - angle if mirrored else angle) % math.pi).half()
        found[name] = (plane.flip(-1) if mirrored else plane).contiguous()
    return found


def _reach(width: float) -> int:
    """Return how many pixels a Gaussian of standard deviation ``width`` reaches to either side."""
    return math.ceil(3 * width)


def _blurred(plane: Float[Tensor, "row col"], width: float) -> Float[Tensor, "row col"]:
    """Return the plane convolved with a Gaussian of standard deviation ``width`` pixels, reflected at its border."""
    if width < 0.2:
        return plane
    reach = _reach(width)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1) / width) ** 2) / 2)
    kernel = kernel / kernel.sum()
    wide = functional.pad(plane[None, None], (reach,) * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None, :])[0, 0]

"""Train a network to do what nonlinear diffusion does to an image, or to undo it.

    u_T: ∂_t u = div(g(|∇u|) ∇u), u(0) = u_0,      g(s) = 1/(1 + s²/λ²)      (Perona and Malik)
    forward    N(u_0 + n) should be u_T
    inverse    N(u_T + n) should be u_0

    loss = mean |N(f) - r| / |r| in percent

over made images u_0 with values in [0, 1] and white noise n. The usual λ, T and steps are those of the authors' code;
diffusion is that of ``dictionary.diffuse``, whose values stay in the range of the image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.dictionary import diffuse, nonlinearity
from microlocal.networks.diffusion_maps import TASK, diffusion_map
from microlocal.reconstruction.quality import psnr, relative_error
from microlocal.training.recipe import Shares, Table, Widths, checked, checked_kind
from microlocal.training.scenes import PICTURES, unit_picture
from microlocal.training.task import Batch, Example
from microlocal.training.variation import turned, varied

ROW = "perona-malik-rational"
ARGUMENTS = {"diffnet": ("layers", "width", "depth", "neighbours"), "unet": ("widths", "pairs")}


class DataTable(Table):
    """The table [data].

    ``direction``; ``scenes``, kinds (see ``scenes.scene``) and how often each comes; ``pixels`` of a side; ``contrast``
    λ, ``time`` T, and explicit ``steps`` of the diffusion; ``noise``, the standard deviation of n.
    """

    direction: Literal["forward", "inverse"] = "forward"
    scenes: Shares = PICTURES
    pixels: int = Field(64, ge=16)
    contrast: float = Field(0.2, gt=0)
    time: float = Field(0.4, gt=0)
    steps: int = Field(4, ge=1)
    noise: float = Field(0.0, ge=0)


class NetworkTable(Table):
    """The table [network]: ``kind`` and the arguments of that network, ``DiffNet`` or ``ResidualUNet``."""

    kind: Literal["diffnet", "unet"] = "diffnet"
    layers: int = Field(5, ge=1)
    width: int = Field(32, ge=1)
    depth: int = Field(3, ge=1)
    neighbours: Literal[4, 8] = 4
    widths: Widths = Field(default=[16, 28, 36])
    pairs: int = Field(1, ge=0)


def _samples() -> list["DiffusionProblem"]:
    small, unet = {"layers": 2, "width": 3}, {"kind": "unet", "widths": [2, 3]}
    forward, inverse = {"pixels": 16}, {"pixels": 16, "direction": "inverse", "noise": 0.01}
    return [DiffusionProblem(data, network) for data in (forward, inverse) for network in (small, unet)]


@register("task", TASK, samples=_samples, reference="arridge2020")
class DiffusionProblem:
    """Learn nonlinear diffusion, or its inverse. Raises InputError for steps too few to be stable.

    >>> task = DiffusionProblem({"pixels": 16, "direction": "inverse"}, {"layers": 2, "width": 3})
    >>> found = task.augment(task.example(0), torch.Generator().manual_seed(0))
    >>> sorted(found), bool(found["given"].std() < found["wanted"].std())
    (['given', 'image', 'seed', 'wanted'], True)
    """

    def __init__(self, data: Mapping[str, Any], network: Mapping[str, Any]) -> None:
        self.table = checked(DataTable, data, "[data]")
        self.shape = checked_kind(NetworkTable, network, ARGUMENTS, "[network]")
        self.diffused(torch.zeros(2, 2))

    def network(self) -> nn.Module:
        """Return a network that has learned nothing."""
        return diffusion_map(self._architecture())

    def diffused(self, image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch row col"]:
        """Return u_T of an image u_0."""
        table = self.table
        return diffuse(image, nonlinearity(ROW, table.contrast), table.time, table.steps, coupled=True)

    def example(self, seed: int) -> Example:
        """Return an image u_0, in 16 bits."""
        plane = unit_picture(self.table.scenes, np.random.default_rng(seed), self.table.pixels)
        return {"image": torch.from_numpy(plane).half(), "seed": torch.tensor(seed)}

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Turn and mirror the image, let it diffuse, and add noise to what is given."""
        image = turned(example["image"].float(), draw)
        ends = image, self.diffused(image)
        given, wanted = ends if self.table.direction == "forward" else ends[::-1]
        given = given + self.table.noise * torch.randn(image.shape, generator=draw)
        return {**example, "image": image, "given": given, "wanted": wanted}

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        batch = varied(self, batch, "given")
        gap = torch.linalg.vector_norm(_images(network, batch) - batch["wanted"], dim=(-2, -1))
        return 100 * (gap / torch.linalg.vector_norm(batch["wanted"], dim=(-2, -1)).clamp_min(1e-6)).mean()

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return relative error and PSNR of what is given and of what the network makes of it."""
        batch = varied(self, batch, "given")
        wanted, found = batch["wanted"], {" of the data": batch["given"], "": _images(network, batch)}
        errors = {f"relative error{name}": relative_error(images, wanted) for name, images in found.items()}
        ratios = {f"psnr{name}": psnr(images, wanted, 1.0) for name, images in found.items()}
        return {name: float(values.mean()) for name, values in (errors | ratios).items()}

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the architecture, the diffusion and the noise."""
        noise = self.table.noise
        ranges = {"noise of images in [0, 1]": [noise, noise]}
        trained_on = {"data": self.table.model_dump(), "examples": len(examples), "ranges": ranges}
        return {"architecture": self._architecture(), "trained on": trained_on}

    def _architecture(self) -> dict[str, Any]:
        """Return the entries of [network] that belong to its kind; DiffNet is told the direction."""
        kind = self.shape.kind
        found = {"kind": kind} | {name: getattr(self.shape, name) for name in ARGUMENTS[kind]}
        return found | ({"direction": self.table.direction} if kind == "diffnet" else {})


def _images(network: nn.Module, batch: Batch) -> Float[Tensor, "batch row col"]:
    found: Tensor = network(batch["given"][:, None])
    return found[:, 0].float()

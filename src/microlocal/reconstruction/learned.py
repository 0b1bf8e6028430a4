"""A trained network at work: on pixels of the size it was trained on, with the measured share of its coefficients."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.invisible import InvisibleNetwork
from microlocal.networks.weights import fill, load_weights
from microlocal.wavefront.coefficients import coarse_share

TASK = "learn-the-invisible"


@dataclass(frozen=True, eq=False)
class Working:
    """Where a network works: an image with ``factor`` times larger pixels, close to the size that it was trained on."""

    frame: DyadicShearletFrame
    grid: Grid
    factor: int
    share: Float[Tensor, "filter #row #col"]

    def reduced(self, image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "batch row2 col2"]:
        """Return the means over blocks of pixels; beyond the last row and column the image goes on as it ends."""
        planes = image.reshape(-1, 1, *image.shape[-2:])
        add = [self.factor * n - m for n, m in zip(self.grid.shape, image.shape[-2:], strict=True)]
        wide = functional.pad(planes, (0, add[1], 0, add[0]), mode="replicate") if any(add) else planes
        return functional.avg_pool2d(wide, self.factor)[:, 0]

    def enlarged(self, change: Float[Tensor, "batch row2 col2"], like: Tensor) -> Float[Tensor, "*batch row col"]:
        """Return a change interpolated to the pixels of ``like``."""
        if self.factor > 1:
            wide = functional.interpolate(change[:, None], scale_factor=self.factor, mode="bicubic")[:, 0]
            change = wide[:, : like.shape[-2], : like.shape[-1]]
        return change.reshape(like.shape)


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network with the card that says what it was trained on."""

    network: InvisibleNetwork
    card: dict[str, Any]
    name: str

    def working(self, geometry: Geometry, grid: Grid) -> Working:
        """Return where the network works on images of ``grid``: pixels a whole number of times as large."""
        factor = max(round(max(grid.shape) / int(self.card.get("working pixels", max(grid.shape)))), 1)
        shape = -(-grid.shape[0] // factor), -(-grid.shape[1] // factor)
        whole = grid.extended((factor * shape[0], factor * shape[1]))
        coarse = replace(whole, shape=shape, pixel=factor * grid.pixel)
        frame = DyadicShearletFrame(shape, int(self.card["architecture"]["scales"]))
        return Working(frame, coarse, factor, share_of(frame, geometry, coarse))

    @torch.no_grad()
    def propose(self, image: Float[Tensor, "*batch row col"], where: Working) -> Float[Tensor, "*batch row col"]:
        """Return SH^T(s SH(f*) + (1 - s) F) of every image, one after the other."""
        small = where.reduced(image)
        share = where.share[None].to(image)
        whole = torch.cat([self.network.complete(plane[None], share, where.frame) for plane in small])
        return image + where.enlarged(whole - small, image)


def share_of(frame: DyadicShearletFrame, geometry: Geometry, grid: Grid) -> Float[Tensor, "filter #row #col"]:
    """Return the measured share of every filter on a coarse grid that covers the frame's padded image."""
    return coarse_share(frame.filters, geometry, grid.extended((frame.padded[0], frame.padded[1])))


def load_learned(path: str | Path) -> Learned:
    """Return the network in a file of weights; raises InputError where it is damaged or of another task."""
    state, card = load_weights(path)
    name = Path(path).stem
    if card.get("task") != TASK:
        do = f"Give weights that were trained with task = '{TASK}'."
        raise InputError(f"weights {name}", expected=f"task {TASK}", got=str(card.get("task")), do=do)
    network = InvisibleNetwork(**card["architecture"]["network"])
    fill(network, state, f"weights {name}")
    return Learned(network.eval(), card, name)

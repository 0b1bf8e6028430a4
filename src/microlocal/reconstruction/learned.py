"""A trained network at work: on pixels of the size it was trained on, with the measured share of its coefficients."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from microlocal.calibration.noise import noise_level
from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.invisible import InvisibleNetwork
from microlocal.networks.suitability import Fact
from microlocal.networks.weights import fill, load_weights
from microlocal.reconstruction.facts import facts_of
from microlocal.reconstruction.pyramid import level
from microlocal.reconstruction.visible import USUAL, visible_image
from microlocal.wavefront.coefficients import coarse_share

TASK = "learn-the-invisible"
ITERATIONS = 80  # of f*, where a card does not say


@dataclass(frozen=True, eq=False)
class Working:
    """Where a network works: an image with ``factor`` times larger pixels, close to the size that it was trained on."""

    frame: DyadicShearletFrame
    grid: Grid
    factor: int
    share: Float[Tensor, "filter #row #col"]

    def enlarged(self, change: Float[Tensor, "*batch row2 col2"], grid: Grid) -> Float[Tensor, "*batch row col"]:
        """Return a change interpolated to the pixels of ``grid``."""
        if self.factor == 1:
            return change
        planes = change.reshape(-1, 1, *change.shape[-2:])
        wide = functional.interpolate(planes, scale_factor=self.factor, mode="bicubic")
        return wide[..., : grid.shape[0], : grid.shape[1]].reshape(*change.shape[:-2], *grid.shape)


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network with the card that says what it was trained on."""

    network: InvisibleNetwork
    card: dict[str, Any]
    name: str

    @property
    def base(self) -> str:
        """The method whose images it completes."""
        return str(self.card.get("base", USUAL))

    def working(self, geometry: Geometry, grid: Grid) -> Working:
        """Return where the network works on images of ``grid``: pixels a whole number of times as large."""
        factor = max(round(max(grid.shape) / int(self.card.get("working pixels", max(grid.shape)))), 1)
        shape = -(-grid.shape[0] // factor), -(-grid.shape[1] // factor)
        whole = grid.extended((factor * shape[0], factor * shape[1]))
        coarse = replace(whole, shape=shape, pixel=factor * grid.pixel)
        frame = DyadicShearletFrame(shape, int(self.card["architecture"]["scales"]))
        return Working(frame, coarse, factor, share_of(frame, geometry, coarse))

    def visible(self, scan: Scan, where: Working) -> Float[Tensor, "*batch row col"]:
        """Return f* as the network knows it: on its pixels, from readings binned alike, at the usual weight.

        Slices are reconstructed one by one, so that none depends on the others of its stack.
        """
        small = level(scan.geometry, scan.grid, where.factor)
        pages = torch.unflatten(scan.data, -1, (-1, small.binning)).mean(dim=-1).reshape(-1, *small.geometry.shape)
        images = []
        for page in pages:
            here = Scan(page, small.geometry, where.grid)
            noise = noise_level(page) / max(float(page.double().square().mean().sqrt()), 1e-300)
            steps = int(self.card.get("iterations", ITERATIONS))
            images.append(visible_image(self.base, here, where.grid, noise, steps))
        return torch.stack(images).reshape(*scan.data.shape[:-2], *where.grid.shape)

    @torch.no_grad()
    def change(self, visible: Float[Tensor, "*batch row col"], where: Working) -> Float[Tensor, "*batch row col"]:
        """Return SH^T(s SH(f*) + (1 - s) F) - f* of every image, one after the other, all on the network's pixels."""
        share = where.share[None].to(visible)
        planes = visible.reshape(-1, 1, *where.grid.shape)
        whole = torch.cat([self.network.complete(plane, share, where.frame) for plane in planes])
        return whole.reshape(visible.shape) - visible


@dataclass(frozen=True, eq=False)
class Chosen:
    """A network, where it works on the images of a scan, and the f* that it completes there."""

    learned: Learned
    where: Working
    visible: Float[Tensor, "*batch row col"]

    @classmethod
    def of(cls, learned: Learned, scan: Scan, grid: Grid) -> "Chosen":
        """Return how a network works on a scan that is reconstructed on ``grid``."""
        where = learned.working(scan.geometry, grid)
        return cls(learned, where, learned.visible(scan, where))

    def facts(self, scan: Scan) -> tuple[Fact, ...]:
        """Return what describes the scan and f*."""
        return facts_of(scan, self.where.grid, self.visible, self.where.share, self.where.frame)


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

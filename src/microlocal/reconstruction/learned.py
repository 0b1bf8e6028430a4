"""A trained network at work: on pixels of the size it was trained on, with the measured share of its coefficients.

Where these are two or more of the image's own, the network works on pixels of about half that size, too, and the mean
of what it adds on both is taken: on the finer ones it sees edges better, on the larger ones whole objects, and the
errors of the two differ. A network that was trained in a cascade works on the larger ones first, and then is given what
it made of the image on those: it mends edges in an image that is whole.

Networks of aligned scans have seen one orientation of the missing wedge only: for them the scan is turned until the
middle of its views is at angle 0, on a grid that holds the turned image, and what they add is turned back.
"""

import cmath
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from microlocal.core.errors import InputError
from microlocal.core.geometry import FanBeam, Geometry, turned_geometry
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.invisible import InvisibleEnsemble, InvisibleEstimator, InvisibleNetwork
from microlocal.networks.suitability import Fact
from microlocal.networks.symmetry import NONE, moved, moved_back, symmetries
from microlocal.networks.weights import building, fill, load_weights, name_of
from microlocal.reconstruction.facts import facts_of
from microlocal.reconstruction.visible import USUAL
from microlocal.wavefront.coefficients import coarse_share

TASK = "learn-the-invisible"
ALL_ROUND = 0.02  # mean of the views as unit vectors: below, they have no middle
ALIGNED = 1e-6  # radians


@dataclass(frozen=True, eq=False)
class Working:
    """Where a network works: pixels ``factor`` times as large, so that the image has about the trained size.

    ``grid`` holds the image turned by -``turn`` radians about the axis of rotation, which fills ``area`` of its pixels.
    """

    frame: DyadicShearletFrame
    grid: Grid
    factor: int
    turn: float
    area: float
    share: Float[Tensor, "filter #row #col"]

    def seen(self, image: Float[Tensor, "*batch row col"], grid: Grid) -> Float[Tensor, "*batch row2 col2"]:
        """Return an image on ``grid`` as the network sees it: means over its larger pixels, turned."""
        size = -(-grid.shape[0] // self.factor), -(-grid.shape[1] // self.factor)
        whole = grid.extended((self.factor * size[0], self.factor * size[1]))
        planes = image.reshape(-1, 1, *grid.shape)
        wide = functional.pad(planes, (0, whole.shape[1] - grid.shape[1], 0, whole.shape[0] - grid.shape[0]))
        means = functional.avg_pool2d(wide, self.factor)[:, 0]
        coarse = replace(whole, shape=size, pixel=self.factor * grid.pixel)
        found = _resampled(means, coarse, self.grid, -self.turn)
        return found.reshape(*image.shape[:-2], *self.grid.shape)

    def onto(self, change: Float[Tensor, "*batch row2 col2"], grid: Grid) -> Float[Tensor, "*batch row col"]:
        """Return a change turned back and interpolated to the pixels of ``grid``, zero where it is not known."""
        planes = change.reshape(-1, *change.shape[-2:])
        return _resampled(planes, self.grid, grid, self.turn).reshape(*change.shape[:-2], *grid.shape)


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network with the card that says what it was trained on."""

    network: InvisibleEstimator
    card: dict[str, Any]
    name: str

    @property
    def base(self) -> str:
        """The method whose images it completes."""
        return str(self.card.get("base", USUAL))

    @property
    def fan(self) -> bool:
        """Whether it was trained on fan beams."""
        return self.card.get("trained on", {}).get("beam") == "fan"

    @property
    def cascade(self) -> bool:
        """Whether on smaller pixels it was given what it made of the image on larger ones."""
        return bool(self.card.get("cascade", False))

    def scales(self, geometry: Geometry, grid: Grid) -> tuple[Working, ...]:
        """Return where the network works on images of ``grid``: pixels of the trained size, then about half of it."""
        factor = max(round(max(grid.shape) / int(self.card.get("working pixels", max(grid.shape)))), 1)
        return tuple(self._working(geometry, grid, f) for f in dict.fromkeys((factor, -(-factor // 2))))

    def _working(self, geometry: Geometry, grid: Grid, factor: int) -> Working:
        turn = middle_of(geometry) if self.card.get("aligned", False) else 0.0
        coarse = _turned(grid, factor, turn, self.network.divisor)
        frame = DyadicShearletFrame(coarse.shape, int(self.card["architecture"]["scales"]))
        area = grid.shape[0] * grid.shape[1] / factor**2
        return Working(frame, coarse, factor, turn, area, share_of(frame, turned_geometry(geometry, -turn), coarse))

    def change(self, visible: Float[Tensor, "*batch row col"], where: Working) -> Float[Tensor, "*batch row col"]:
        """Return SH^T(s SH(f*) + (1 - s) F) - f* of every image, one after the other, all on the network's pixels."""
        planes = visible.reshape(-1, 1, *where.grid.shape)
        whole = torch.cat([self.completed(plane, where) for plane in planes])
        return whole.reshape(visible.shape) - visible

    def completed(self, visible: Float[Tensor, "batch row col"], where: Working) -> Float[Tensor, "batch row col"]:
        """Return SH^T(s SH(f*) + (1 - s) F) of images, for aligned networks the mean over all symmetries of the scan.

        A network has learned them only roughly; the mean has them exactly, and its error is less.
        """
        kept = symmetries(True, self.fan) if self.card.get("aligned", False) else [NONE]
        found = []
        for by in kept:
            share = moved(where.share[list(where.frame.turned(*by))], by)[None].to(visible)
            found.append(moved_back(self.network.complete(moved(visible, by), share, where.frame), by))
        return torch.stack(found).mean(dim=0)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A network and where it works on images of ``grid``; the first of its scales is that of its training."""

    learned: Learned
    scales: tuple[Working, ...]
    grid: Grid

    def proposal(self, image: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch row col"]:
        """Return f* = ``image`` with what the network adds: on one scale after the other, or the mean over them."""
        if self.learned.cascade:
            for at in self.scales:
                image = image + self._added(image, at)
            return image
        return image + torch.stack([self._added(image, at) for at in self.scales]).mean(dim=0)

    def _added(self, image: Float[Tensor, "*batch row col"], at: Working) -> Float[Tensor, "*batch row col"]:
        return at.onto(self.learned.change(at.seen(image, self.grid), at), self.grid)

    def facts(self, scan: Scan, image: Float[Tensor, "*batch row col"]) -> tuple[Fact, ...]:
        """Return what describes a scan and its f*."""
        at = self.scales[0]
        return facts_of(scan, at.grid, at.seen(image, self.grid), at.share, at.frame, at.area)


def middle_of(geometry: Geometry) -> float:
    """Return the middle of the views in radians, 0 where they go all the way round.

    In parallel beam φ and φ + π are one view: the half of the mean angle of the doubled ones.
    """
    period = 1 if isinstance(geometry, FanBeam) else 2
    mean = complex(torch.exp(1j * period * torch.tensor(geometry.angles_rad, dtype=torch.float64)).mean())
    middle = cmath.phase(mean) / period if abs(mean) > ALL_ROUND else 0.0
    return 0.0 if abs(middle) < ALIGNED else middle


def _resampled(
    images: Float[Tensor, "batch row col"], source: Grid, target: Grid, turn: float
) -> Float[Tensor, "batch row2 col2"]:
    """Return images of ``source`` on ``target``, turned by ``turn``: bicubic, zero where nothing is known."""
    if source == target and turn == 0:
        return images
    x, y = (torch.from_numpy(axis) for axis in target.coordinates())
    cos, sin = math.cos(turn), math.sin(turn)
    across, up = cos * x + sin * y[:, None], cos * y[:, None] - sin * x
    left, right, bottom, top = source.extent
    places = torch.stack([2 * (across - left) / (right - left) - 1, 2 * (top - up) / (top - bottom) - 1], dim=-1)
    wanted = places.to(images).expand(len(images), -1, -1, -1)
    return functional.grid_sample(images[:, None], wanted, "bicubic", "zeros", align_corners=False)[:, 0]


def _turned(grid: Grid, factor: int, turn: float, divisor: int = 1) -> Grid:
    """Return the grid of larger pixels that holds the image turned by -``turn`` about the axis of rotation.

    Its sides are multiples of ``divisor``.
    """
    cos, sin = math.cos(turn), math.sin(turn)
    rows, cols = (n / factor for n in grid.shape)
    sides = abs(cos) * rows + abs(sin) * cols, abs(cos) * cols + abs(sin) * rows
    height, width = (divisor * math.ceil(round(side / divisor, 6)) for side in sides)
    x, y = grid.center
    return Grid((height, width), factor * grid.pixel, (cos * x + sin * y, cos * y - sin * x), grid.unit)


def share_of(frame: DyadicShearletFrame, geometry: Geometry, grid: Grid) -> Float[Tensor, "filter #row #col"]:
    """Return the measured share of every filter on a coarse grid that covers the frame's padded image."""
    return coarse_share(frame.filters, geometry, grid.extended((frame.padded[0], frame.padded[1])))


def load_learned(path: str | Path) -> Learned:
    """Return the network in a file of weights, or the mean of the several in one that ``join_weights`` made.

    Raises InputError where the file is damaged or of another task.
    """
    state, card = load_weights(path)
    name = name_of(path)
    if card.get("task") != TASK:
        do = f"Give weights that were trained with task = '{TASK}'."
        raise InputError(f"weights {name}", expected=f"task {TASK}", got=str(card.get("task")), do=do)
    with building(f"weights {name}"):
        network = _built(card["architecture"])
    fill(network, state, f"weights {name}")
    return Learned(network.eval(), card, name)


def _built(shape: dict[str, Any]) -> InvisibleEstimator:
    """Return the network of an architecture, which has learned nothing; raises ValueError for scales it has not."""
    members = [InvisibleNetwork(**shape["network"]) for _ in range(int(shape.get("members", 1)))]
    if shape["scales"] != len(shape["network"]["channels"]):
        raise ValueError(f"{shape['scales']} scales of {len(shape['network']['channels'])}")
    return InvisibleEnsemble(members) if "members" in shape else members[0]

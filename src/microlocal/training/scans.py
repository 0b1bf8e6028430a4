"""Examples of limited-angle scans for every learned method: object, measurement, and the model-based images of both.

An example holds ``truth``, the visible reconstruction ``visible`` = f* and the filtered backprojection ``fbp``, all
(row, col); ``share`` (filter, row, col), the measured share of the shearlet coefficients, coarse; ``data`` (view,
detector), with rows of zeros below the last view; ``views``, how many there are, and ``first`` and ``step``, their
angles in radians; ``facts``, what describes the scan. All is a function of the recipe's [data] and the seed.
"""

import math
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor
from torch.nn import functional

from microlocal.core.geometry import Detector, FanBeam, Geometry, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.data.measurement import LATER, Measurement, simulate
from microlocal.data.objects import Object, random_object
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.suitability import Fact
from microlocal.networks.symmetry import moved
from microlocal.reconstruction.facts import beam_of, facts_of, ranges_of
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.learned import share_of
from microlocal.reconstruction.visible import visible_image
from microlocal.training.folder import ImageFolder
from microlocal.training.recipe import Shares, Table
from microlocal.training.scanned_picture import ScannedPicture
from microlocal.training.task import Example

FOLDER = "folder"  # among the families of objects


class Span(Table):
    """A range from which a number is drawn."""

    low: float
    high: float

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError("finite low <= high")
        return self

    def draw(self, draw: np.random.Generator) -> float:
        """Return a number of the range, all alike."""
        return float(draw.uniform(self.low, self.high))


def _above_zero(span: Span) -> Span:
    if span.low <= 0:
        raise ValueError("0 < low <= high: it is drawn on a logarithmic scale")
    return span


PositiveSpan = Annotated[Span, AfterValidator(_above_zero)]


class ScanTable(Table):
    """The table [data] of recipes that train on limited-angle scans.

    ``objects``, families and how often each comes; ``folder`` of images, which are scanned like them: alone, or as
    often as the family "folder" among ``objects`` says; ``licence``, said on the card, where that of the images limits
    the use; the image has ``pixels``² pixels of side ``pixel``; the detector
    ``detector`` pixels of ``pitch``; rays are parallel unless ``source_axis`` and ``source_detector`` are given;
    ``arc`` in degrees, ``step`` between views; the rest as in ``data.measurement.Measurement``; ``base`` and
    ``iterations`` of f*: "shearlet", "tv" for flat regions, or "directional-tv" for objects of one material;
    ``aligned``, whether the middle of the views is always at angle 0, as networks of aligned scans see them;
    ``halved``, how often a network sees an example on pixels twice as large: it works on both sizes then.
    """

    objects: Shares = Field(default={FOLDER: 1.0})
    folder: str = ""
    licence: str = ""
    pixels: int = Field(ge=16)
    pixel: float = Field(1.0, gt=0)
    detector: int = Field(ge=4)
    pitch: float = Field(1.0, gt=0)
    source_axis: float = Field(0.0, ge=0)
    source_detector: float = Field(0.0, ge=0)
    arc: Span
    step: Span
    noise: Span
    poisson: float = Field(0.0, ge=0, le=1)
    air: Span = Span(low=0.0, high=0.0)
    hardening: Span = Span(low=0.0, high=0.0)
    drift: Span = Span(low=0.0, high=0.0)
    rings: Span = Span(low=0.0, high=0.0)
    center: Span = Span(low=0.0, high=0.0)
    scales: int = Field(4, ge=1, le=6)
    base: Literal["shearlet", "tv", "directional-tv"] = "shearlet"
    iterations: int = Field(80, ge=10)
    aligned: bool = False
    halved: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _has_halves(self) -> Self:
        if self.halved and self.pixels % 2:
            raise ValueError(f"pixels: expected an even number where halved > 0, got {self.pixels}")
        return self

    @model_validator(mode="after")
    def _has_objects(self) -> Self:
        if bool(self.folder) != (FOLDER in self.objects):
            do = "objects, or a folder of images, or both with the share of 'folder' among the objects"
            raise ValueError(do)
        return self

    @model_validator(mode="after")
    def _is_a_scan(self) -> Self:
        if self.step.low <= 0 or self.arc.low < 2 * self.step.high:
            raise ValueError("step: low > 0, and arc: low >= 2 step's high, so that two views fit")
        self.measurement()
        return self

    @cached_property
    def grid(self) -> Grid:
        """The grid of the images."""
        return Grid((self.pixels, self.pixels), self.pixel)

    @cached_property
    def frame(self) -> DyadicShearletFrame:
        """The frame of the coefficients."""
        return DyadicShearletFrame(self.grid.shape, self.scales)

    @cached_property
    def coarse_grid(self) -> Grid:
        """The grid of the largest pixels that a network works on: what is on its card is said of these."""
        return Grid((self.pixels // 2, self.pixels // 2), 2 * self.pixel) if self.halved else self.grid

    @cached_property
    def coarse_frame(self) -> DyadicShearletFrame:
        """The frame of the coefficients on these pixels."""
        return DyadicShearletFrame(self.coarse_grid.shape, self.scales)

    def coarse(self, images: Float[Tensor, "*batch row col"]) -> Float[Tensor, "*batch row2 col2"]:
        """Return the means of images over these pixels."""
        side = self.pixels // self.coarse_grid.shape[0]
        planes = images.reshape(-1, 1, *images.shape[-2:])
        return functional.avg_pool2d(planes, side).reshape(*images.shape[:-2], *self.coarse_grid.shape)

    @property
    def most_views(self) -> int:
        """How many views a scan has at most."""
        return math.floor(self.arc.high / self.step.low) + 1

    def geometry(self, first: float, step: float, views: int) -> Geometry:
        """Return the geometry of ``views`` from ``first``, radians."""
        angles = tuple(first + step * k for k in range(views))
        detector = Detector(self.detector, self.pitch)
        if self.source_axis:
            return FanBeam(angles, detector, source_axis=self.source_axis, source_detector=self.source_detector)
        return ParallelBeam(angles, detector)

    @cached_property
    def images(self) -> ImageFolder:
        """The images of the folder; raises InputError where there are none."""
        return ImageFolder.at(self.folder)

    def object(self, draw: np.random.Generator) -> Object | ScannedPicture:
        """Return a random object of one of the families, or an image of the folder."""
        names, shares = list(self.objects), np.array(list(self.objects.values()))
        name = str(draw.choice(names, p=shares / shares.sum()))
        if name == FOLDER:
            return ScannedPicture.drawn(self.images, self.grid, generator(int(draw.integers(2**31))))
        return random_object(name, draw, self.grid)

    def measurement(self) -> Measurement:
        """Return the ranges of noise and of errors."""
        spans = {name: getattr(self, name) for name in ("noise", "air", "hardening", "center", *LATER)}
        return Measurement(poisson=self.poisson, **{name: (s.low, s.high) for name, s in spans.items()})


def scan_example(table: ScanTable, seed: int) -> Example:
    """Return the example of a seed: one object, one arc, one measurement, f* and the filtered backprojection."""
    draw = np.random.default_rng(seed)
    thing = table.object(draw)
    step, arc = math.radians(table.step.draw(draw)), math.radians(table.arc.draw(draw))
    first, views = float(draw.uniform(0, 2 * math.pi)), max(int(arc / step), 2)
    if table.aligned:
        first = -step * (views - 1) / 2
    geometry = table.geometry(first, step, views)
    made = simulate(thing, geometry, draw, table.measurement())
    data = torch.from_numpy(made.data).float()
    scan = Scan(data, geometry, table.grid)
    visible = visible_image(table.base, scan, table.grid, made.record["noise"], table.iterations)
    share = share_of(table.frame, geometry, table.grid)
    facts = facts_of(scan, table.coarse_grid, table.coarse(visible), share, table.coarse_frame)
    padded = data.new_zeros(table.most_views, table.detector)
    padded[:views] = data
    return {
        "truth": torch.from_numpy(thing.image(table.grid)).float(),
        "visible": visible,
        "fbp": filtered_backprojection(data, geometry, table.grid),
        "share": share.half(),
        "data": padded,
        "views": torch.tensor(views),
        "first": torch.tensor(first, dtype=torch.float64),
        "step": torch.tensor(step, dtype=torch.float64),
        "facts": torch.tensor([fact.value for fact in facts]),
    }


def fact_names(table: ScanTable) -> list[str]:
    """Return the names of the facts of an example, in order."""
    geometry = table.geometry(0.0, 0.1, 2)
    scan = Scan(torch.ones(geometry.shape), geometry, table.grid)
    image, share = torch.ones(table.grid.shape), torch.ones(len(table.frame.filters), 1, 1)
    return [fact.name for fact in facts_of(scan, table.grid, image, share, table.frame)]


def turned(example: Example, quarters: int, mirrored: bool, frame: DyadicShearletFrame) -> Example:
    """Return the images and shares of an example turned by quarters and mirrored; the data stay as they are."""

    by = quarters, mirrored
    share = moved(example["share"][list(frame.turned(*by))], by).contiguous()
    images = {name: moved(example[name], by).contiguous() for name in ("truth", "visible", "fbp")}
    return {**example, **images, "share": share}


def geometry_of(table: ScanTable, example: Example) -> Geometry:
    """Return the geometry of an example that has not been turned."""
    return table.geometry(float(example["first"]), float(example["step"]), int(example["views"]))


def card_of(table: ScanTable, facts: list[tuple[Fact, ...]]) -> dict[str, object]:
    """Return what a card says about what was trained on."""
    beam, data = beam_of(table.geometry(0.0, 0.1, 2)), table.model_dump() | {"folder": Path(table.folder).name}
    return {"beam": beam, "ranges": ranges_of(facts), "data": data}


def licence_of(table: ScanTable) -> dict[str, str]:
    """Return the licence for the card, where that of the images limits the use."""
    return {"licence": table.licence} if table.licence else {}

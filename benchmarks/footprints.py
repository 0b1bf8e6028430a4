"""Which footprint a ray should have: Joseph's beside distance-driven and line lengths, against ellipses.

Forward: images of pixel means are projected and compared with the closed form of the ellipses, at the middles of the
detector's bins or averaged over their width. Back: the image after some conjugate gradients from exact bin averages.
All footprints are matrices (``footprint_matrices``), so that nothing but the footprint differs; "n rays" is Joseph on
a detector cut n times finer, averaged over the bin. A pitch is counted in pixels of the image, at the axis.
"""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch

from benchmarks.footprint_matrices import Array, finer, matrices
from benchmarks.operators import ELLIPSES, SHEPP_LOGAN_RADIUS
from benchmarks.table import Row, at_most
from microlocal.core import Detector, FanBeam, Geometry, Grid, ParallelBeam
from microlocal.core.seeding import generator
from microlocal.data import phantoms
from microlocal.operators import MatrixOperator, RayTransform
from microlocal.solvers import Driver, cgls

Shapes = Sequence[phantoms.Ellipse]
PHANTOMS: tuple[Shapes, ...] = (ELLIPSES, phantoms.shepp_logan(SHEPP_LOGAN_RADIUS))
BUMP: tuple[Shapes, ...] = (phantoms.smooth_bump(SHEPP_LOGAN_RADIUS),)
SIZE, SMALL, VIEWS, WIDTH = 256, 128, 180, 2.0
POINTS_A_BIN = 32  # of which a bin average is made: within 2 % of the smallest error below
ITERATIONS = (10, 30)


@dataclass(frozen=True)
class Contestant:
    """A footprint, how many rays of it are averaged over a bin, and how much finer than asked its image is."""

    title: str
    footprint: str
    rays: int = 1
    finer_grid: int = 1

    def blocks(self, geometry: Geometry, grid: Grid) -> Iterator[scipy.sparse.csr_array]:
        """Yield a matrix (ray, pixel) a view, before rays are averaged."""
        yield from matrices(self.footprint, finer(geometry, self.rays), grid)

    def operator(self, geometry: Geometry, size: int) -> MatrixOperator:
        """Return the matrix of all views as an operator on images of size² pixels, or finer ones."""
        side = self.finer_grid * size
        means = averaging(geometry.shape[1], self.rays)
        views = [means @ every_ray for every_ray in self.blocks(geometry, Grid((side, side), WIDTH / side))]
        matrix = scipy.sparse.vstack(views).tocsr()
        matrix.sum_duplicates()  # sorts, as torch wants it
        return MatrixOperator(matrix, (side, side), geometry.shape)

    def project(self, images: Array, geometry: Geometry, grid: Grid) -> Array:
        """Return the projections (angle, bin, image) of images (pixel, image), view by view to spare memory."""
        views = [
            (every_ray @ images).reshape(geometry.shape[1], self.rays, -1).mean(axis=1)
            for every_ray in self.blocks(geometry, grid)
        ]
        return np.array(views)


JOSEPH = Contestant("joseph", "joseph")
DISTANCE_DRIVEN = Contestant("distance-driven", "distance-driven")
LINE_LENGTHS = Contestant("line lengths", "line lengths")
SEVERAL = (Contestant("2 rays", "joseph", 2), Contestant("4 rays", "joseph", 4))
ON_FINER_GRID = Contestant("joseph on a grid twice as fine, averaged", "joseph", finer_grid=2)
ALL = (JOSEPH, *SEVERAL, DISTANCE_DRIVEN, LINE_LENGTHS)


def averaging(bins: int, rays: int) -> scipy.sparse.csr_array:
    """Return the matrix (bin, ray) that averages each bin's rays."""
    return scipy.sparse.csr_array(scipy.sparse.kron(scipy.sparse.eye_array(bins), np.full((1, rays), 1 / rays)))


def beam_of(name: str, size: int, pitch: float) -> Geometry:
    """Return 180 views of a square of width 2 by bins of ``pitch`` pixels at the axis."""
    count, width = round(size / pitch), pitch * WIDTH / size
    if name == "parallel":
        return ParallelBeam(tuple(np.arange(VIEWS) * math.pi / VIEWS), Detector(count, width))
    angles = tuple(np.arange(VIEWS) * 2 * math.pi / VIEWS)
    return FanBeam(angles, Detector(count, 1.6 * width), source_axis=5.0, source_detector=8.0)


def images(grid: Grid, of: Sequence[Shapes] = PHANTOMS) -> Array:
    """Return the phantoms as columns of pixel means."""
    return np.stack([phantoms.image(shapes, grid).ravel() for shapes in of], axis=-1)


def exact(geometry: Geometry, parts: int, of: Sequence[Shapes] = PHANTOMS) -> Array:
    """Return the phantoms' exact projections, averaged over ``parts`` points of each bin: (angle, bin, phantom)."""
    fine = [phantoms.sinogram(shapes, finer(geometry, parts)) for shapes in of]
    return np.stack([values.reshape(*geometry.shape, parts).mean(axis=-1) for values in fine], axis=-1)


def errors(made: Array, truth: Array) -> Array:
    """Return the relative L2 error of each phantom (last axis)."""
    axes = tuple(range(made.ndim - 1))
    return np.sqrt(((made - truth) ** 2).sum(axis=axes) / (truth**2).sum(axis=axes))


def _percent(values: Array, digits: int) -> str:
    return " / ".join(f"{100 * value:.{digits}f}" for value in values)


def same_as_ours() -> Row:
    """The matrix of Joseph's footprint is our projector."""
    worst, grid = 0.0, Grid((64, 64), WIDTH / 64)
    x = torch.randn(64, 64, dtype=torch.float64, generator=generator(0))
    for name in ("parallel", "fan"):
        geometry = beam_of(name, 64, 1.0)
        ours = RayTransform(geometry, grid, method="rays")(x).numpy()
        made = JOSEPH.project(x.numpy().reshape(-1, 1), geometry, grid)[..., 0]
        worst = max(worst, float(np.abs(made - ours).max() / np.abs(ours).max()))
    return at_most("joseph's matrix beside RayTransform, largest difference", "noise, 64², seed 0", worst, 1e-10)


def forward(name: str, pitch: float) -> list[Row]:
    """Errors of the projections in percent, of both phantoms."""
    geometry, grid = beam_of(name, SIZE, pitch), Grid((SIZE, SIZE), WIDTH / SIZE)
    truths = {"middles of bins": exact(geometry, 1), "bin averages": exact(geometry, POINTS_A_BIN)}
    made = {one.title: one.project(images(grid), geometry, grid) for one in ALL}
    rows = []
    for target, truth in truths.items():
        shown = "; ".join(f"{title} {_percent(errors(values, truth), 2)}" for title, values in made.items())
        where = f"{SIZE}², {VIEWS} views, {target}, three ellipses / Shepp-Logan"
        rows.append(Row(f"projection error in %, {name}, pitch {pitch:g}", where, "", shown, None))
    return rows


def smooth(name: str, pitch: float) -> Row:
    """How the error in percent falls with the size where the object has no edges."""
    shown: dict[str, list[str]] = {one.title: [] for one in ALL}
    for size in (64, 128, 256):
        geometry, grid = beam_of(name, size, pitch), Grid((size, size), WIDTH / size)
        image, truth = images(grid, BUMP), exact(geometry, POINTS_A_BIN, BUMP)
        for one in ALL:
            shown[one.title].append(_percent(errors(one.project(image, geometry, grid), truth), 3))
    where = f"64², 128², 256², {VIEWS} views, bin averages, smooth bump"
    reached = "; ".join(f"{title} {', '.join(values)}" for title, values in shown.items())
    return Row(f"projection error in %, {name}, pitch {pitch:g}", where, "", reached, None)


def solved(operator: MatrixOperator, data: Array, iterations: int) -> Array:
    """Return images (pixel, phantom) of size 128² after conjugate gradients from data (angle, bin, phantom)."""
    batch = torch.from_numpy(np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    found = cgls(operator, batch, Driver(iterations=iterations, every=iterations)).value.numpy()
    parts = operator.domain_shape[0] // SMALL
    return found.reshape(-1, SMALL, parts, SMALL, parts).mean(axis=(2, 4)).reshape(len(PHANTOMS), -1).T


def back(name: str, pitch: float) -> list[Row]:
    """Errors of the image in percent after conjugate gradients from exact bin averages.

    Rounding, which conjugate gradients make grow, moves them by up to 2 % of themselves after 30 iterations.
    """
    geometry = beam_of(name, SMALL, pitch)
    data, truth = exact(geometry, POINTS_A_BIN), images(Grid((SMALL, SMALL), WIDTH / SMALL))
    shown: dict[int, list[str]] = {iterations: [] for iterations in ITERATIONS}
    for one in (*ALL, ON_FINER_GRID) if pitch < 1 else ALL:
        operator = one.operator(geometry, SMALL)
        for iterations, texts in shown.items():
            texts.append(f"{one.title} {_percent(errors(solved(operator, data, iterations), truth), 1)}")
    what = f"image error in %, {name}, pitch {pitch:g}"
    where = f"{SMALL}², {VIEWS} views, {{}} iterations, three ellipses / Shepp-Logan"
    return [Row(what, where.format(number), "", "; ".join(texts), None) for number, texts in shown.items()]


def work(pitch: float, repeats: int = 20) -> Row:
    """Entries of the matrix a view, every ray counted, and the time that a sparse product takes with them."""
    geometry, grid = beam_of("parallel", SIZE, pitch).select(range(7, VIEWS, 20)), Grid((SIZE, SIZE), WIDTH / SIZE)
    image = images(grid)[:, 0]
    found = []
    for one in ALL:
        blocks = list(one.blocks(geometry, grid))
        seconds = statistics.median(_seconds(m, image, repeats) for m in blocks)
        found.append(f"{one.title} {statistics.mean(m.nnz for m in blocks) / 1e3:.0f} ({1e3 * seconds:.2f} ms)")
    where = f"parallel, {SIZE}², mean of 9 views; one thread of scipy"
    return Row(f"thousands of entries a view, pitch {pitch:g}", where, "", "; ".join(found), None)


def _seconds(matrix: scipy.sparse.csr_array, image: Array, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        matrix @ image
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def suite() -> list[Row]:
    """All rows of footprints."""
    rows, beams = [same_as_ours()], ("parallel", "fan")
    for name in beams:
        for pitch in (0.5, 1, 2, 4):
            rows += forward(name, pitch)
    rows += [smooth(name, pitch) for name in beams for pitch in (1, 2)]
    for name in beams:
        for pitch in (0.5, 1, 2):
            rows += back(name, pitch)
    return rows + [work(pitch) for pitch in (0.5, 1, 2)]

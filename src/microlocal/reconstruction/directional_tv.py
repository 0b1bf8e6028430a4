"""Directional total variation within what the data say of the object: for limited arcs and few materials.

    argmin_{0 <= x <= 1 inside the outline}  1/2 |R x - ℓ|² + Σ α |D x| + β |D x · v|,        f = μ x

Four things close most of the gap that plain total variation leaves on a short arc, all read off the data: the outline
of the object (its visible tangents determine it), its attenuation μ and beam hardening (which turn readings into path
lengths ℓ), the bound x <= 1 that follows for one material, and a price on direction: v is the normal that the scan
sees best, and edges with that normal pay more, so that edges that the scan cannot see are cheap. Where outline and
bound do not explain the data as well as free total variation does, they are dropped, and the notes say so.

The weights are α = 0.3 n δ² p/δ' and β likewise with 0.7, for n views, ray spacing δ (δ' on a coarser level) and
pixels p: the discrete form of Σ_views [1/2 ∫ |R x - ℓ|² ds + 0.3 δ² TV(x)], the same balance on any arc, in any unit.

Reference: after Jørgensen et al. (2023), whose entry to the Helsinki challenge joined bounds, a fitted outline and a
directional term; here all of them are found from the data.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from microlocal.calibration.hardening import Hardening
from microlocal.calibration.outline import ray_spacing
from microlocal.core.arrays import to_numpy
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.functionals.directional import DirectionalL1
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.gradient import Gradient
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.cgls import least_squares_image
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.object_model import ObjectModel, first_model
from microlocal.reconstruction.pyramid import Level, level, resample
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.solvers.checkpoint import owner_of
from microlocal.solvers.driver import Driver, Solution, Status
from microlocal.solvers.pdhg import pdhg
from microlocal.solvers.problem import Problem, Term
from microlocal.wavefront.thresholds import otsu

ISOTROPIC, DIRECTIONAL = 0.3, 0.7  # chosen on one phantom, checked on others: docs/directional-tv.md
LEVELS = ((4, 250), (2, 200), (1, 120))  # (coarsening, iterations); the first that is used gets FIRST_ITERATIONS
FIRST_ITERATIONS, LEAST_ROWS = 250, 96  # coarser grids than that no longer tell one material from two
BALANCE = 2.0  # of dual over primal steps in pixel units; any value converges
# Bounded fits may leave so much more residual than free ones, or 1 % of the data. Tangents of a disc speak for one
# material already: of 18 simulated discs with holes the worst left 1.75 times as much, of ellipses 1.2 to 5.
CREDIBLE, CREDIBLE_DISC, CREDIBLE_SHARE = 1.3, 1.8, 0.01
BRIGHT = 75.0  # percentile of the free image's material that stands for μ where the outline is only a hull


def _trials() -> list[MethodTrial]:
    # The toy object has three materials on a long arc: not what this method is for, so little is promised.
    return [trial("directional-tv, against cgls", directional_tv, least_squares_image, 0.9, iterations=80)]


@register("method", "directional-tv", samples=_trials, reference="jorgensen2023")
def directional_tv(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """For short arcs and one material: outline, attenuation and hardening from the data, direction-weighted variation.

    A given weight multiplies both α and β; the number of iterations is that of the finest level. A stack is
    reconstructed slice by slice, each with its own outline.
    """
    pages = scan.data.reshape(-1, *scan.geometry.shape)
    slices = [_reconstruct(page, scan.geometry, grid, settings) for page in pages]
    if scan.data.ndim == 2:
        return slices[0]
    batch = scan.data.shape[:-2]

    def correct(data: Tensor) -> Tensor:
        corrected = [s.correct(page) for s, page in zip(slices, data.reshape(-1, *data.shape[-2:]), strict=True)]
        return torch.stack(corrected).reshape(data.shape)

    image = torch.stack([s.image for s in slices]).reshape(*batch, *grid.shape)
    notes = tuple(f"Slice {k}: {note}" for k, s in enumerate(slices) for note in s.notes)
    config = {f"slice {k}": s.config for k, s in enumerate(slices)}
    return Estimate(image, notes, config, slices[0].history, correct)


def best_seen_normal(geometry: Geometry) -> tuple[float, float]:
    """Return the angle of the normal that the scan sees best, and by how much: 1 for one view, 0 for a half turn.

    The central rays' normals are the view angles t; their mean direction modulo π is half the angle of Σ exp(2 i t).
    """
    mean = np.exp(2j * geometry.angles).mean()
    return float(np.angle(mean)) / 2 % math.pi, float(np.abs(mean))


@dataclass(frozen=True)
class _Slice:
    """One sinogram and where it is to be reconstructed; ``strength`` multiplies the weights."""

    data: Tensor
    geometry: Geometry
    grid: Grid
    strength: float

    def solve(self, model: ObjectModel, here: Level, driver: Driver, warm: "_Warm | None" = None) -> Solution:
        """Minimise on one level, from the solution of a coarser one."""
        ray = RayTransform(here.geometry, here.grid)
        target = here.binned(model.path_length(self.data))
        gradient = Gradient(here.grid.shape)
        alpha = self.isotropic(here)
        angle, sharpness = best_seen_normal(self.geometry)
        beta = alpha * DIRECTIONAL / ISOTROPIC * max(min(1.0, 2 * sharpness), 1e-6)
        p = here.grid.pixel
        crossings = len(self.geometry.angles_rad) * p / ray_spacing(here.geometry)  # rays a view that meet a pixel
        terms = (
            Term(ray, SquaredDistance(target), BALANCE * p),
            Term(gradient, DirectionalL1(alpha, beta, angle), BALANCE / math.sqrt(2) * p**2 * crossings),
        )
        bounds = model.bounds(here.grid)
        if warm is None:
            zero = torch.zeros(here.grid.shape, dtype=self.data.dtype)
            return pdhg(Problem(terms, bounds), zero, driver)
        start = bounds.prox(resample(warm.image, warm.level.grid, here.grid), 1.0)
        dual = resample(warm.dual, warm.level.grid, here.grid) * (alpha / self.isotropic(warm.level))
        # At a solution the dual of the data term is the residual.
        return pdhg(Problem(terms, bounds), start, driver, (ray(start) - target, dual))

    def isotropic(self, here: Level) -> float:
        """Return α on a level, per difference of neighbouring pixels."""
        views, spacing = len(self.geometry.angles_rad), ray_spacing(self.geometry)
        return self.strength * ISOTROPIC * views * spacing**2 / ray_spacing(here.geometry) * here.grid.pixel

    def misfit(self, model: ObjectModel, here: Level, x: Tensor) -> float:
        """Return the root mean square of R x - ℓ on a level, in length units."""
        gap = RayTransform(here.geometry, here.grid)(x) - here.binned(model.path_length(self.data))
        return float(gap.square().mean().sqrt())


@dataclass(frozen=True)
class _Warm:
    """Image and dual gradient field on the level where they were found."""

    image: Tensor
    dual: Tensor
    level: Level


def _reconstruct(data: Tensor, geometry: Geometry, grid: Grid, settings: Settings) -> Estimate:
    slice_ = _Slice(data, geometry, grid, settings.weight or 1.0)
    model, begun = _credible_model(slice_, settings)
    solution, warm = _coarse_to_fine(slice_, model, settings, begun)
    image = model.hardening.mu * resample(warm.image, warm.level.grid, grid)
    angle, sharpness = best_seen_normal(geometry)
    config = {
        "strength": slice_.strength,
        "best seen normal (degrees)": math.degrees(angle),
        "sharpness of direction": sharpness,
        "attenuation": model.hardening.mu,
        "hardening": model.hardening.kappa,
        "air level": model.air.level,
        "bounded": model.bounded,
        "solver": "pdhg, coarse to fine",
        "status": solution.status.name.lower(),
    }
    notes = (*model.sentences(grid.unit), solution.status.value)
    return Estimate(image, notes, config, solution.history, model.linearised)


def _coarse_to_fine(
    slice_: _Slice, model: ObjectModel, settings: Settings, begun: "_Trial | None"
) -> tuple[Solution, _Warm]:
    """Solve level by level; an interruption ends it at the level that was reached.

    A trial of the model is the coarsest level's solution; where that is the only level, it is carried on.
    """
    found = [begun.as_result()] if begun else []
    if begun and begun.interrupted:
        return found[0]
    levels = usable_levels(slice_.grid)
    for factor, iterations in (levels[1:] or LEVELS[-1:]) if begun else levels:
        here = level(slice_.geometry, slice_.grid, factor)
        finest = factor == 1
        driver = Driver(
            iterations=(settings.iterations or iterations) if finest else iterations,
            every=20,
            tolerance=1e-4,
            checkpoint=settings.checkpoint if finest else None,
            owner=owner_of(slice_.data),
            progress=settings.progress,
            task="reconstructing" if finest else f"reconstructing, {factor} times coarser",
        )
        solution = slice_.solve(model, here, driver, found[-1][1] if found else None)
        found.append((solution, _Warm(solution.value, solution.state["dual1"], here)))
        if solution.status is Status.INTERRUPTED:
            break
    return found[-1]


@dataclass(frozen=True)
class _Trial:
    """A fit on the coarsest level: its solution and its root mean square misfit in length units."""

    solution: Solution
    level: Level
    misfit: float

    @property
    def interrupted(self) -> bool:
        return self.solution.status is Status.INTERRUPTED

    def as_result(self) -> tuple[Solution, _Warm]:
        return self.solution, _Warm(self.solution.value, self.solution.state["dual1"], self.level)


def usable_levels(grid: Grid) -> list[tuple[int, int]]:
    """Return (coarsening, iterations) of the levels for a grid, coarse to fine; none but the grid itself below 96 rows.

    >>> usable_levels(Grid((256, 256), 1.0))
    [(2, 250), (1, 120)]
    """
    fine_enough = [(k, n) for k, n in LEVELS if min(grid.shape) // k >= LEAST_ROWS or k == 1]
    return [(fine_enough[0][0], FIRST_ITERATIONS), *fine_enough[1:]]


def _try(slice_: _Slice, model: ObjectModel, settings: Settings, task: str) -> _Trial:
    factor, iterations = usable_levels(slice_.grid)[0]
    here = level(slice_.geometry, slice_.grid, factor)
    driver = Driver(iterations=iterations, every=iterations, progress=settings.progress, task=task)
    solution = slice_.solve(model, here, driver)
    return _Trial(solution, here, slice_.misfit(model, here, solution.value))


def _credible_model(slice_: _Slice, settings: Settings) -> tuple[ObjectModel, _Trial | None]:
    """Return the model, with its bound and outline only if they explain the data as well as free variation does.

    Both are tried on the coarsest level; the trial of the model is returned with it. Where the outline is a hull its
    chords are too long in the unseen directions, so μ is read off the free image instead and hardening is left alone.
    """
    model = first_model(slice_.data, slice_.geometry, slice_.grid)
    free = replace(model, bounded=False, hardening=Hardening(model.hardening.mu, 0.0))
    if not model.bounded:
        return free, None
    unbounded = _try(slice_, free, settings, "measuring the object")
    if unbounded.interrupted:
        return free, unbounded
    scale = 1.0
    if not model.is_round:
        scale = _material_level(unbounded.solution.value)
        if scale <= 0:
            return free, unbounded
        model = replace(model, hardening=Hardening(scale * model.hardening.mu, 0.0))
    bounded = _try(slice_, model, settings, "checking the bound")
    if bounded.interrupted:
        return model, bounded
    size = float(model.path_length(slice_.data).square().mean().sqrt())
    # Lengths shrink as μ grows, and misfits with them.
    factor = CREDIBLE_DISC if model.is_round else CREDIBLE
    credible = bounded.misfit < max(factor * unbounded.misfit / scale, CREDIBLE_SHARE * size)
    return (model, bounded) if credible else (free, unbounded)


def _material_level(x: Tensor) -> float:
    """Return the value of the material in a free image: a high percentile of what Otsu's threshold calls material."""
    material = x[x > otsu(to_numpy(x))]
    return float(np.percentile(to_numpy(material), BRIGHT)) if material.numel() else 0.0

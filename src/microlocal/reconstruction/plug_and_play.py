"""Plug-and-play reconstruction: a denoiser with a proved bound in the place of a regulariser.

    u <- P(D(G(u)))     or, for red,     u <- P(u - γ (u - G(u)) - γ λ (u - D(u))),     f = b u

G fits the data, D is a network, P keeps pixels within 0 and ten times the brightness b, the 99.5 % quantile of a quick
least-squares image: the network knows images between 0 and 1. It is told a noise level s, which is the weight here: it
is chosen so that the residual meets the measured noise, as for ``tv``, and stays fixed while the iteration converges.

Images are measured in the Euclidean norm, that in which the network was bounded, for every beam. The data term is that
of ``DataStep``, which weighs what is weakly seen somewhat more than the plain |R f - g|² of ``tv``.

Reference: Ryu et al. (2019); Hertrich et al. (2021); Reehorst and Schniter (2019) for red.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from microlocal.core.checks import at_least
from microlocal.core.errors import InputError
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.networks.denoisers import load_denoiser
from microlocal.networks.weights import name_of
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.cgls import least_squares_image, least_squares_of_observation
from microlocal.reconstruction.data_step import DataStep
from microlocal.reconstruction.discrepancy import ABOVE_BEST_FIT, CLOSE_ENOUGH, STILL_GAINING
from microlocal.reconstruction.fixed_point import (
    MEMORY,
    Iteration,
    certificate_of,
    in_precision,
    iterate,
    refuse_unproved,
    tiny_denoiser,
)
from microlocal.reconstruction.images.scale import trained_range
from microlocal.reconstruction.method import Estimate, Settings, network_record
from microlocal.reconstruction.observation import Observation, observed
from microlocal.reconstruction.scaled import Scaled, scaled_observation, scaled_scan
from microlocal.reconstruction.toy import MethodTrial, ObservationTrial, observation_trial, trial
from microlocal.solvers.checkpoint import owner_of
from microlocal.solvers.driver import Driver, Solution, Status
from microlocal.solvers.krasnoselskii_mann import krasnoselskii_mann

USUAL = "nonexpansive"  # the weights that are taken unless a file is named
ITERATIONS, TOLERANCE, ROUNDS = 2000, 1e-6, 3
FIT_ITERATIONS, FITS = 80, 6
TRIED, WORSE = 12, 1.2  # steps of the faster data step from the best fit, and what they may leave of it
STAGE, STAGES = 15, 10  # of the search for the noise level
NOT_BEGUN = "Interrupted before the denoiser was used: this is a fit of the data alone."
FIRST_LEVEL, LEAST_LEVEL, LARGEST_LEVEL = 0.02, 1e-4, 1.0
IMAGE_ITERATIONS = 300  # for observations that are no scans
LEAST_TOLD = 1e-3  # noise level, where it is read off the noise
GAPS = 0.03  # noise level where pixels are missing from exact data


@dataclass(frozen=True, eq=False)
class Known:
    """A denoiser D(u, noise) of images (image, 1, row, col) of size one, its name and card, and the noise it knows."""

    network: nn.Module
    name: str = "untrained"
    card: Mapping[str, Any] = field(default_factory=dict)
    trained: tuple[float, float] | None = None


def _trials() -> list[MethodTrial]:
    def run(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
        return by_denoiser(scan, grid, settings, Known(tiny_denoiser()))

    return [trial("plug-and-play, against cgls", run, least_squares_image, 0.7, iterations=30)]


def _red_trials() -> list[MethodTrial]:
    def run(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
        given = replace(settings, weight=0.02)
        return by_denoiser(scan, grid, given, Known(tiny_denoiser()), "red")

    return [trial("red, against cgls", run, least_squares_image, 0.8, iterations=60)]


@register("method", "plug-and-play", samples=_trials, reference="ryu2019")
def plug_and_play(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Plug-and-play with a denoiser of Lipschitz constant one: a fixed point that is proved to be reached.

    ``weight`` is the noise level that the denoiser is told, for images of size one. Raises InputError without weights,
    and for a denoiser that is not proved to be averaged unless forced.
    """
    return by_denoiser(scan, grid, settings, _loaded(settings), "plug-and-play")


@register("method", "red", reference="reehorst2019")
def red(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Regularisation by denoising: gradient steps of the data and u - D(u), with the same proof as plug-and-play.

    It asks less of the denoiser, a Lipschitz constant of one, and smooths more. Raises InputError likewise.
    """
    return by_denoiser(scan, grid, settings, _loaded(settings), "red")


def _observation_trials() -> list[ObservationTrial]:
    def run(observation: Observation, settings: Settings) -> Estimate:
        return observation_by_denoiser(observation, replace(settings, weight=0.02), Known(tiny_denoiser()))

    return [observation_trial("plug-and-play, against cgls", run, least_squares_of_observation, 0.8, iterations=60)]


@register("observation-method", "plug-and-play", samples=_observation_trials, reference="ryu2019")
def plug_and_play_of_observation(observation: Observation, settings: Settings) -> Estimate:
    """Plug-and-play with a denoiser of Lipschitz constant one: a fixed point that is proved to be reached.

    ``weight`` is the noise level that the denoiser is told, for images of size one. Raises InputError without weights,
    for a denoiser that is not proved to be averaged unless forced, for complex images and for volumes.
    """
    return observation_by_denoiser(observation, settings, _loaded(settings), "plug-and-play")


def _red_observation_trials() -> list[ObservationTrial]:
    def run(observation: Observation, settings: Settings) -> Estimate:
        return observation_by_denoiser(observation, replace(settings, weight=0.02), Known(tiny_denoiser()), "red")

    return [observation_trial("red, against cgls", run, least_squares_of_observation, 0.9, iterations=60)]


@register("observation-method", "red", samples=_red_observation_trials, reference="reehorst2019")
def red_of_observation(observation: Observation, settings: Settings) -> Estimate:
    """Regularisation by denoising: gradient steps of the data and u - D(u), with the same proof as plug-and-play.

    It asks less of the denoiser, a Lipschitz constant of one, and smooths more. Raises InputError likewise.
    """
    return observation_by_denoiser(observation, settings, _loaded(settings), "red")


def _loaded(settings: Settings) -> Known:
    if settings.network == "none":
        do = "Leave network out, or give a file of weights; without a network: --method tv."
        raise InputError("plug-and-play", expected="weights of a denoiser", got="none", do=do)
    return loaded(USUAL if settings.network == "auto" else settings.network)


def loaded(name: str) -> Known:
    """Return the denoiser of shipped weights, or of a file; raises InputError where it cannot be used."""
    network, card = load_denoiser(name)
    return Known(network, name_of(name), card, trained_range(card))


def by_denoiser(scan: Scan, grid: Grid, settings: Settings, denoiser: Known, scheme: str = "plug-and-play") -> Estimate:
    """Return the fixed point for a scan and any denoiser."""
    problem = scaled_scan(RayTransform(scan.geometry, grid), scan.data)
    level = FIRST_LEVEL if settings.weight is None else settings.weight
    iteration = _iteration(problem, denoiser, scheme, problem.data.new_tensor([level]))
    refuse_unproved(iteration, scheme, force=settings.force)
    fit = _data_step(problem, settings)
    iteration.data_step = fit.step
    if fit.last is not None and fit.last.status is Status.INTERRUPTED:
        return _shaped(_only_fitted(problem, fit.last), observed(scan, grid))
    estimate = _estimate(problem, iteration, fit if settings.weight is None else None, settings)
    estimate = replace(estimate, config=network_record(denoiser.name, denoiser.card) | estimate.config)
    return _shaped(estimate, observed(scan, grid))


def observation_by_denoiser(
    observation: Observation,
    settings: Settings,
    denoiser: Known,
    scheme: str = "plug-and-play",
    start: Float[Tensor, "*batch row col"] | None = None,
    told: Float[Tensor, "*batch"] | None = None,
    degree: int | None = None,
) -> Estimate:
    """Return the fixed point for any other observation and denoiser.

    ``start``, a first image, from which brightness and contrast are read, a quick one unless given; ``told``, the noise
    that the denoiser is told of each image, in its unit: then no weight is chosen; ``degree`` of the data's step, the
    usual one unless given.
    """
    observation.needs_images(scheme)
    observation.needs_real_images(scheme)
    at_least(settings.iterations or 1, 1, "iterations", scheme)
    problem = scaled_observation(observation, start)
    if degree is not None:
        problem = replace(problem, degrees=(degree,))
    gaps = observation.single and observation.sigma() == 0.0
    size = problem.size.flatten()
    if told is not None:
        levels = (told.flatten() / size).clamp_min(LEAST_TOLD)
    elif settings.weight is not None or gaps:
        levels = size.new_tensor([settings.weight or GAPS])
    else:
        aim = observation.aim(scheme)
        problem = replace(problem, noise=aim.sigma * math.sqrt(observation.count), words=aim.words)
        guess = aim.sigma / (observation.operator.norm_bound() or 1.0) / float(size.mean())
        levels = size.new_tensor([min(max(guess, LEAST_TOLD), FIRST_LEVEL)])
    iteration = _iteration(problem, denoiser, scheme, levels)
    iteration.progress = settings.progress
    refuse_unproved(iteration, scheme, force=settings.force)
    settings = replace(settings, iterations=settings.iterations or IMAGE_ITERATIONS)
    chosen = told is None and settings.weight is None and not gaps
    fit = _data_step(problem, settings) if chosen else None
    if fit is not None and fit.last is not None and fit.last.status is Status.INTERRUPTED:
        return _shaped(_only_fitted(problem, fit.last), observation)
    estimate = _estimate(problem, iteration, fit, settings)
    if gaps and told is None and settings.weight is None:
        note = f"The denoiser was told the noise level {GAPS:g}, the usual one where pixels are missing."
        estimate = replace(estimate, notes=(note, *estimate.notes[1:]))
    estimate = replace(estimate, config=network_record(denoiser.name, denoiser.card) | estimate.config)
    return _shaped(estimate, observation)


def _estimate(problem: Scaled, iteration: Iteration, fit: "_Fit | None", settings: Settings) -> Estimate:
    """Iterate at the level given, or, with a fit that says what to aim at, at the one that is chosen."""
    levels = iteration.level.flatten().tolist()
    listed = ", ".join(f"{level:.4g}" for level in levels[:4])
    if fit is None:
        note = f"The noise level {listed} of the denoiser was given."
        solution = iterate(iteration, problem.start, _driver(problem, settings))
    else:
        solution, iteration = _search(problem, iteration, fit.target, settings)
        levels = iteration.level.flatten().tolist()
        note = f"The denoiser's noise level {levels[0]:.4g} was chosen by the discrepancy principle: {fit.note}"
    config = {
        "scheme": iteration.scheme,
        "weight": levels[0] if len(levels) == 1 else levels,
        "weight chosen by": "user" if fit is None else "discrepancy principle",
        "degree of the data's step": iteration.data_step.steps,
        "iterations": int(solution.stats["iterations"]),
        "solver": "krasnoselskii-mann",
        "status": solution.status.name.lower(),
        "brightness": problem.size.flatten().tolist(),
        "averaged": iteration.guarantee().averaged,
        "fixed-point residual": solution.history.get("residual", [math.nan])[-1],
        "relative residual": problem.residual(solution.value) / problem.whole,
    }
    if fit is not None:
        config["target residual"] = fit.target / problem.whole
    notes = (note, solution.status.value, *_warnings(solution.value, iteration))
    certificates = certificate_of(iteration, solution)
    return Estimate(problem.image(solution.value), notes, config, solution.history, certificates=certificates)


def _only_fitted(problem: Scaled, fit: Solution) -> Estimate:
    """Return what there is where an interruption came before the denoiser: of its iteration nothing is claimed."""
    config = {
        "network": "none",
        "solver": "krasnoselskii-mann",
        "iterations": int(fit.stats["iterations"]),
        "status": fit.status.name.lower(),
        "relative residual": problem.residual(fit.value) / problem.whole,
    }
    return Estimate(problem.image(fit.value), (NOT_BEGUN, fit.status.value), config)


def _shaped(estimate: Estimate, observation: Observation) -> Estimate:
    """Return the estimate with the images in the shape and the precision of the data."""
    image = estimate.image.reshape(*observation.batch, *observation.shape)
    return replace(estimate, image=image.to(observation.data.real.dtype))


def _iteration(problem: Scaled, denoiser: Known, scheme: str, levels: Float[Tensor, " image"]) -> Iteration:
    step = DataStep(problem.operator, problem.data, problem.degrees[0])
    network = in_precision(denoiser.network, problem.start)
    return Iteration(step, network, levels, scheme, problem.box, trained=denoiser.trained)


@dataclass(frozen=True)
class _Fit:
    """The data's step, the residual to aim at, its reason in words; the last fit, if one was made."""

    step: DataStep
    target: float
    note: str
    last: Solution | None


def _data_step(problem: Scaled, settings: Settings) -> _Fit:
    """Return the data's step and the residual to aim at, from fits of the data alone.

    The eigenvalues of R*R fall like 1/|ω|, from N on a side to 1, and degree n does at once what n² gradient steps do:
    √N / 3 serves every scan. √N / 2 is faster, and allows the larger noise levels that denoisers are trained on, but
    what it fits is less the plain residual: it is taken where going on with it from the best fit leaves about as much.
    """
    usual, *others = (DataStep(problem.operator, problem.data, degree) for degree in problem.degrees)
    noise, u, best, found = problem.noise, problem.start, problem.residual(problem.start), None
    for _ in range(FITS):
        if best <= noise:
            break
        found = _fitted(problem, usual, u, FIT_ITERATIONS, settings)
        u, before = found.value, best
        best = min(best, problem.residual(u))
        if found.status is Status.INTERRUPTED:
            return _Fit(usual, *_target(problem, best), found)
        if best > (1 - STILL_GAINING) * before:
            break
    step = usual
    for faster in others:
        found = _fitted(problem, faster, u, TRIED, settings)
        beyond = problem.residual(found.value)
        step, best = (faster, beyond) if beyond <= WORSE * max(best, noise) else (step, best)
    return _Fit(step, *_target(problem, best), found)


def _fitted(problem: Scaled, step: DataStep, u: Tensor, iterations: int, settings: Settings) -> Solution:
    """Take steps of the data alone, without the denoiser."""
    driver = Driver(iterations=iterations, every=iterations, progress=settings.progress, task="fitting")
    return krasnoselskii_mann(lambda x: step(x).clamp(*problem.box), u, driver, MEMORY)


def _target(problem: Scaled, best: float) -> tuple[float, str]:
    """Return the residual to aim at: the noise, or a little above the best fit; and the reason in words."""
    noise, size = problem.noise, problem.whole
    if ABOVE_BEST_FIT * best > noise:
        return ABOVE_BEST_FIT * best, f"the best fit found leaves {100 * best / size:.2g} % of the data."
    return noise, f"the residual was aimed at the {problem.words}, {100 * noise / size:.2g} % of the data."


def _driver(problem: Scaled, settings: Settings, iterations: int | None = None) -> Driver:
    return Driver(
        iterations=iterations or settings.iterations or ITERATIONS,
        every=1,
        tolerance=TOLERANCE,
        checkpoint=settings.checkpoint if iterations is None else None,
        owner=owner_of(problem.data),
        progress=settings.progress,
        task="reconstructing" if iterations is None else "choosing the noise level",
    )


def _search(problem: Scaled, iteration: Iteration, target: float, settings: Settings) -> tuple[Solution, Iteration]:
    """Move the noise level until the residual meets its target, then iterate at that level alone; repeat if it is off.

    Short stages from the last image find the level, since the residual grows with it.
    """
    u, level, slope = problem.start, float(iteration.level[0]), 0.5
    last: tuple[float, float] | None = None
    for round_number in range(1 if settings.iterations else ROUNDS):
        for _ in range(STAGES):
            iteration = _at_level(iteration, level)
            found = iterate(iteration, u, _driver(problem, settings, STAGE))
            u, gap = found.value, math.log(max(problem.residual(found.value), 1e-30) / target)
            if found.status is Status.INTERRUPTED:
                return found, iteration
            if abs(gap) < CLOSE_ENOUGH:
                break
            level, slope = _next_level(level, gap, slope, last)
            last = (math.log(float(iteration.level[0])), gap)
        iteration = _at_level(iteration, level)
        solution = iterate(iteration, u, _driver(problem, settings))
        u, gap = solution.value, math.log(max(problem.residual(solution.value), 1e-30) / target)
        if solution.status is Status.INTERRUPTED or abs(gap) < 2 * CLOSE_ENOUGH:
            break
        if round_number + 1 < ROUNDS:
            level, slope = _next_level(level, gap, slope, None)
    return solution, iteration


def _next_level(level: float, gap: float, slope: float, last: tuple[float, float] | None) -> tuple[float, float]:
    """Return the next noise level and d log(residual)/d log(level), by the secant of the last two where it is sane."""
    if last is not None and abs(math.log(level) - last[0]) > 1e-6:
        secant = (gap - last[1]) / (math.log(level) - last[0])
        slope = min(max(secant, 0.2), 2.0)
    moved = level * math.exp(-min(max(gap / slope, -1.2), 1.2))
    return min(max(moved, LEAST_LEVEL), LARGEST_LEVEL), slope


def _at_level(old: Iteration, level: float) -> Iteration:
    """Return the same iteration at another noise level."""
    noise = old.level.new_tensor([level])
    box = old.least, old.greatest
    moved = Iteration(old.data_step, old.denoiser, noise, old.scheme, box, old.strength, old.trained)
    moved.progress = old.progress
    return moved


def _warnings(u: Tensor, iteration: Iteration) -> tuple[str, ...]:
    found = []
    if bool((u >= iteration.greatest).any()) and iteration.box[1] > 1:
        found.append(f"Pixels reached the upper bound, {iteration.box[1]:g} times the brightness of a quick image.")
    if not iteration.guarantee().averaged < 1:
        found.append("The denoiser was forced: nothing is proved of the iteration, and it carries no certificate.")
    return tuple(found)

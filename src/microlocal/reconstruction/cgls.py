"""Least squares by conjugate gradients, stopped early: no prior but smoothness."""

from jaxtyping import Float, Inexact
from torch import Tensor

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.observation import Observation, observed
from microlocal.reconstruction.toy import (
    MethodTrial,
    ObservationTrial,
    backprojection,
    coned_toy,
    observation_trial,
    trial,
)
from microlocal.solvers.cgls import cgls as solve_cgls
from microlocal.solvers.checkpoint import owner_of
from microlocal.solvers.driver import Driver, Status


def _trials() -> list[MethodTrial]:
    return [trial("cgls, against fbp", cgls, _by_fbp, 0.8)]


def least_squares_image(scan: Scan) -> Float[Tensor, "*batch row col"]:
    """Return the image of :func:`cgls` with its own settings: the baseline of the sparse methods."""
    return cgls(scan, scan.grid, Settings()).image


def least_squares_of_observation(observation: Observation) -> Inexact[Tensor, "..."]:
    """Return the image of :func:`cgls_of_observation` likewise."""
    return cgls_of_observation(observation, Settings()).image


def _by_fbp(scan: Scan) -> Tensor:
    return filtered_backprojection(scan.data, scan.geometry, scan.grid)


@register("method", "cgls", samples=_trials, reference="hestenes1952")
def cgls(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Conjugate gradients on least squares, 20 iterations: quick, linear, keeps noise; a given weight damps it.

    argmin_f |R f - g|² + λ |f|²; without a weight the early stop is the only regularisation.
    """
    return cgls_of_observation(observed(scan, grid), settings)


def _observation_trials() -> list[ObservationTrial]:
    return [
        observation_trial("cgls, against A* y", cgls_of_observation, backprojection, 0.8, iterations=5),
        observation_trial(
            "cgls of volumes, against A* y", cgls_of_observation, backprojection, 0.8, iterations=5, toy=coned_toy
        ),
    ]


@register("observation-method", "cgls", samples=_observation_trials, reference="hestenes1952")
def cgls_of_observation(observation: Observation, settings: Settings) -> Estimate:
    """Conjugate gradients on least squares, 20 iterations: quick, linear, keeps noise; a given weight damps it.

    argmin_f |A f - g|² + λ |f|², whatever the bounds of the pixels.
    """
    data = observation.data
    driver = Driver(
        iterations=settings.iterations or 20,
        every=5,
        tolerance=1e-6,
        checkpoint=settings.checkpoint,
        owner=owner_of(data),
        progress=settings.progress,
        task="reconstructing",
    )
    solution = solve_cgls(observation.operator, data, driver, damping=settings.weight or 0.0)
    config = {"weight": settings.weight or 0.0, "iterations": int(solution.stats["iterations"]), "solver": "cgls"}
    config |= {"status": solution.status.name.lower()}
    notes = ["Stopped early on purpose: the number of iterations is the regularisation."]
    if solution.status is Status.INTERRUPTED:
        notes.append(solution.status.value)
    return Estimate(solution.value, tuple(notes), config, solution.history)

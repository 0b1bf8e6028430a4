"""Tiny problems with known answers, on which the laws try the solvers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.optimize import nnls
from torch import Tensor

from microlocal.core.geometry import Detector, ParallelBeam
from microlocal.core.grid import Grid
from microlocal.core.seeding import generator
from microlocal.functionals.box import Box
from microlocal.functionals.norms import GroupL1
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity
from microlocal.operators.ray_transform import RayTransform
from microlocal.solvers.driver import Driver, Solution
from microlocal.solvers.problem import Problem, Term


@dataclass(frozen=True)
class Trial:
    """A solver applied to a problem.

    ``run`` solves for ``data`` under a driver; ``answer`` is the known minimiser, to be met within ``tolerance``
    (relative) after ``iterations``; ``recorded`` names a history entry that ``recompute`` derives from the value alone.
    """

    name: str
    run: Callable[[Tensor, Driver], Solution]
    data: Tensor
    answer: Tensor
    recorded: str
    recompute: Callable[[Tensor], float]
    iterations: int = 400
    tolerance: float = 1e-6

    def solve(self, driver: Driver) -> Solution:
        """Run the solver on the trial's data."""
        return self.run(self.data, driver)


def small_scan() -> tuple[RayTransform, Float[Tensor, "ray pixel"], Float[Tensor, "angle detector"]]:
    """Return a ray transform of 4 x 5 pixels with more rays than pixels, its dense matrix (63, 20), and noisy data."""
    angles = tuple(k * math.pi / 9 for k in range(9))
    ray = RayTransform(ParallelBeam(angles, Detector(7, 1.0)), Grid((4, 5), 1.0))
    matrix = ray(torch.eye(20, dtype=torch.float64).reshape(20, 4, 5)).reshape(20, -1).T
    source = generator(0)
    image = torch.rand(4, 5, dtype=torch.float64, generator=source) - 0.3
    noise = torch.randn(ray.codomain_shape, dtype=torch.float64, generator=source)
    return ray, matrix, ray(image) + 0.1 * noise


def least_squares_answer(
    matrix: Float[Tensor, "ray pixel"], data: Float[Tensor, "angle detector"], damping: float
) -> Float[Tensor, "row col"]:
    """Return argmin |A x - b|² + δ|x|² by a dense solve, (4, 5)."""
    normal = matrix.T @ matrix + damping * torch.eye(matrix.shape[1], dtype=matrix.dtype)
    return torch.linalg.solve(normal, matrix.T @ data.flatten()).reshape(4, 5)


def non_negative_answer(
    matrix: Float[Tensor, "ray pixel"], data: Float[Tensor, "angle detector"]
) -> Float[Tensor, "row col"]:
    """Return argmin over x >= 0 of |A x - b|², by Lawson and Hanson's active set method, (4, 5)."""
    return torch.from_numpy(nnls(matrix.numpy(), data.flatten().numpy())[0]).reshape(4, 5)


def step_image() -> Float[Tensor, "row col"]:
    """Return a step edge (4, 6): three columns of 0, three of 1."""
    return torch.cat((torch.zeros(4, 3), torch.ones(4, 3)), dim=1).double()


WEIGHT = 0.6


def step_problem(data: Float[Tensor, "row col"]) -> Problem:
    """Return 1/2 |x - b|² + λ TV(x) over x >= 0."""
    terms = (Term(Identity((4, 6)), SquaredDistance(data)), Term(Gradient((4, 6)), GroupL1(WEIGHT)))
    return Problem(terms, Box())


def step_answer() -> Float[Tensor, "row col"]:
    """Return the minimiser for the step edge in closed form.

    Both sides stay flat; 1/2 · 12 a² + 1/2 · 12 (1 - c)² + 4 λ (c - a) is least at a = λ/3, c = 1 - λ/3.
    """
    return step_image() * (1 - 2 * WEIGHT / 3) + WEIGHT / 3

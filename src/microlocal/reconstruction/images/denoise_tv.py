"""Denoising by total variation, the model of Rudin, Osher and Fatemi: what frames are compared with.

argmin_x 1/2 |x - y|² + λ Σ |D x|
"""

import math

from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least, positive
from microlocal.core.progress import SILENT, Progress
from microlocal.core.registry import register
from microlocal.functionals.box import Box
from microlocal.functionals.norms import GroupL1
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.gradient import Gradient
from microlocal.operators.identity import Identity
from microlocal.reconstruction.images.estimate import ImageEstimate, checked_image, per_image
from microlocal.reconstruction.images.noise import given_or_estimated
from microlocal.reconstruction.images.trial import ImageTrial, noisy_trial
from microlocal.solvers.driver import Driver
from microlocal.solvers.pdhg import pdhg
from microlocal.solvers.problem import Problem, Term

PER_NOISE = 0.75  # λ/σ, near the best for photographs at σ = 25/255


def _trials() -> list[ImageTrial]:
    return [noisy_trial("denoise-tv, against the data", denoise_tv, lambda y: y, 0.5)]


@register("image-method", "denoise-tv", samples=_trials, reference="rudin1992")
def denoise_tv(
    image: Float[Tensor, "*batch row col"],
    *,
    noise: float | None = None,
    weight: float | None = None,
    iterations: int = 100,
    progress: Progress = SILENT,
) -> ImageEstimate:
    """Remove white noise from images (*batch, row, col) by isotropic total variation.

    ``noise``, its standard deviation, estimated for every image unless given; ``weight`` λ in the image's unit, 0.75
    of the noise unless given. Raises InputError for images that cannot be used.
    """
    y = checked_image(image, "denoise_tv")
    at_least(iterations, 1, "iterations", "denoise_tv")
    sigma, note = given_or_estimated(noise, y, "denoise_tv")
    level = (
        PER_NOISE * sigma if weight is None else sigma.new_full(sigma.shape, positive(weight, "weight", "denoise_tv"))
    )
    shape = (int(y.shape[-2]), int(y.shape[-1]))
    terms = (
        Term(Identity(shape), SquaredDistance(y)),
        Term(Gradient(shape), GroupL1(per_image(level, 2)), balance=1.0),
    )
    driver = Driver(iterations=iterations, every=iterations, progress=progress, task="minimising")
    solution = pdhg(Problem(terms, Box(-math.inf)), y, driver)
    config = {"weight": level.tolist(), "iterations": iterations, "solver": "pdhg"}
    return ImageEstimate(
        solution.value, y - solution.value, sigma, config=config, notes=(note,), history=solution.history
    )

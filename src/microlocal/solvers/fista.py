"""FISTA with adaptive restart: accelerated proximal gradients for a smooth term plus a proximable one.

    argmin_x F(A x) + G(x),    step 1/(L |A|²)

References: Beck and Teboulle (2009); the momentum is dropped whenever it points uphill (O'Donoghue and Candès 2015).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.functionals.base import Proximable, Smooth
from microlocal.functionals.box import Box
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.base import LinearOperator
from microlocal.solvers.driver import Driver, Solution, State, norm
from microlocal.solvers.trial import Trial, non_negative_answer, small_scan


def _trials() -> list[Trial]:
    ray, matrix, data = small_scan()
    return [
        Trial(
            "fista, non-negative least squares",
            lambda b, driver: fista(ray, SquaredDistance(b), Box(), torch.zeros(4, 5, dtype=b.dtype), driver),
            data,
            non_negative_answer(matrix, data),
            "objective",
            lambda x: 0.5 * float((ray(x) - data).square().sum()),
        )
    ]


@register("solver", "fista", samples=_trials, reference="beck2009")
def fista(
    operator: LinearOperator,
    smooth: Smooth,
    proximable: Proximable,
    start: Float[Tensor, "..."],
    driver: Driver,
    normal: LinearOperator | None = None,
) -> Solution:
    """Minimise ``smooth``(A x) + ``proximable``(x) from ``start`` (*batch, *domain).

    ``normal`` is AᵀA where it is cheaper than A and Aᵀ in turn; gradients of a squared distance are then taken with it.
    Records "objective" and "change", the relative change of one recomputed proximal gradient step, which vanishes
    only at a minimiser; stops when "change" falls below the driver's tolerance. Raises InputError when no bound of
    |A| is known.
    """
    lipschitz = smooth.lipschitz_bound() * operator.norm_bound() ** 2
    if not 0 < lipschitz < math.inf:
        do = "Give A a norm_bound(), or bound= where it wraps a foreign operator."
        raise InputError("fista", expected="a finite norm bound", got=f"{lipschitz}", do=do)
    size = 1 / lipschitz

    gradient = _gradient(operator, smooth, normal)

    def descend(x: Tensor) -> Tensor:
        return proximable.prox(x - size * gradient(x), size)

    def step(state: State) -> State:
        x, ahead, momentum = state["x"], state["ahead"], state["momentum"]
        new = descend(ahead)
        uphill = float(((ahead - new).conj() * (new - x)).real.sum()) > 0
        grown = torch.ones_like(momentum) if uphill else (1 + (1 + 4 * momentum**2).sqrt()) / 2
        weight = torch.zeros_like(momentum) if uphill else (momentum - 1) / grown
        return {"x": new, "ahead": new + weight.to(new.dtype) * (new - x), "momentum": grown}

    def measure(state: State) -> dict[str, float]:
        x = state["x"]
        change = norm(descend(x) - x) / max(norm(x), torch.finfo(x.dtype).tiny)
        return {"objective": smooth(operator(x)) + proximable(x), "change": change}

    first = {"x": start, "ahead": start, "momentum": torch.ones((), dtype=torch.float64)}
    return driver.run(first, step, lambda state: state["x"], measure)


def _gradient(operator: LinearOperator, smooth: Smooth, normal: LinearOperator | None) -> Callable[[Tensor], Tensor]:
    """Return x -> Aᵀ ∇F(A x); for F = w/2 |y - b|² and a given AᵀA, that is w (AᵀA x - Aᵀb)."""
    if normal is None or not isinstance(smooth, SquaredDistance):
        return lambda x: operator.adjoint(smooth.grad(operator(x)))
    weight, back = smooth.weight, operator.adjoint(smooth.target)
    return lambda x: weight * (normal(x) - back.to(x.dtype))

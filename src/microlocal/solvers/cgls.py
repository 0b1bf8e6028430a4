"""Conjugate gradients on the normal equations: the least-squares solution, or its damped (Tikhonov) form.

    argmin_x |A x - b|² + δ |x|²

Reference: Hestenes and Stiefel (1952), in the form that never builds AᵀA (Björck, 1996, section 7.4).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import not_negative
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.base import LinearOperator
from microlocal.solvers.driver import Driver, Solution, State, norm
from microlocal.solvers.trial import Trial, least_squares_answer, small_scan


def _trials() -> list[Trial]:
    return [_trial(0.0), _trial(0.5), _trial(0.5, by_normal=True)]


def _trial(damping: float, by_normal: bool = False) -> Trial:
    ray, matrix, data = small_scan()
    normal = ray.normal() if by_normal else None
    return Trial(
        f"cgls with damping {damping}" + (", by the normal operator" if by_normal else ""),
        lambda b, driver: cgls(ray, b, driver, damping=damping, normal=normal),
        data,
        least_squares_answer(matrix, data, damping),
        "residual",
        lambda x: float((data - ray(x)).norm() / data.norm()),
    )


@register("solver", "cgls", samples=_trials, reference="hestenes1952")
def cgls(
    operator: LinearOperator,
    data: Float[Tensor, "..."],
    driver: Driver,
    *,
    damping: float = 0.0,
    normal: LinearOperator | None = None,
    criterion: str = "gradient",
) -> Solution:
    """Minimise |A x - b|² + ``damping`` |x|² from zero.

    ``data`` is (*batch, *codomain); batches are independent problems; ``normal`` is AᵀA where that is cheaper than A
    and Aᵀ in turn, and then the same iterates are reached without the data. Records "residual", the recomputed
    |A x - b| over |b|, and "gradient", the recomputed |Aᵀ(b - A x) - δ x| over |Aᵀ b|; stops when the one of
    them that ``criterion`` names falls to the driver's tolerance. Raises InputError for a negative damping, and for
    data whose squares overflow.
    """
    not_negative(damping, "damping", "cgls")
    axes = tuple(range(-len(operator.domain_shape), 0))
    data_axes = tuple(range(-len(operator.codomain_shape), 0))
    gradient = operator.adjoint(data)
    start = {"x": torch.zeros_like(gradient), "gradient": gradient, "direction": gradient}
    if normal is None:
        start["residual"] = data
    rounding = (8 * torch.finfo(gradient.dtype).eps) ** 2 * _energy(gradient, axes)
    if bool(torch.isinf(rounding).any()):
        got, do = f"up to {float(data.abs().max()):.3g} in {data.dtype}", "Choose another unit, or float64."
        raise InputError("cgls", expected="data whose squares are finite", got=got, do=do)
    along = operator.normal() if normal is None else normal
    gradient_norm, data_norm = norm(gradient) or 1.0, norm(data) or 1.0

    def moved(state: State, energy: Tensor) -> State:
        """Go along the direction to the minimum, with the residual b - A x at hand."""
        direction = state["direction"]
        image = operator(direction)
        length = _ratio(energy, _energy(image, data_axes) + damping * _energy(direction, axes))
        x = state["x"] + _spread(length, axes) * direction
        residual = state["residual"] - _spread(length, data_axes) * image
        return {"x": x, "residual": residual, "gradient": operator.adjoint(residual) - damping * x}

    def moved_without_data(state: State, energy: Tensor) -> State:
        direction = state["direction"]
        image = along(direction) + damping * direction
        length = _spread(_ratio(energy, (direction.conj() * image).real.sum(dim=axes)), axes)
        return {"x": state["x"] + length * direction, "gradient": state["gradient"] - length * image}

    def step(state: State) -> State:
        # A gradient that is nothing but rounding would lead away again, faster and faster.
        energy = _energy(state["gradient"], axes)
        energy = torch.where(energy > rounding, energy, 0.0)
        new = (moved if normal is None else moved_without_data)(state, energy)
        conjugate = _spread(_ratio(_energy(new["gradient"], axes), energy), axes)
        return new | {"direction": new["gradient"] + conjugate * state["direction"]}

    def measure(state: State) -> dict[str, float]:
        residual = data - operator(state["x"])
        gradient = operator.adjoint(residual) - damping * state["x"]
        return {"residual": norm(residual) / data_norm, "gradient": norm(gradient) / gradient_norm}

    return driver.run(start, step, lambda state: state["x"], measure, criterion=criterion)


def _energy(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return (x * x.conj()).real.sum(dim=axes)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, 0.0)


def _spread(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    return values.reshape(*values.shape, *(1 for _ in axes))

"""The alternating direction method of multipliers: exact least squares in turn with proximal maps.

    x   <- argmin_x Σ_i ρ_i/2 |K_i x - z_i + u_i|²        (conjugate gradients, warm start)
    z_i <- prox_{F_i/ρ_i}(K_i x + u_i),    u_i <- u_i + K_i x - z_i

The constraint G enters as a term with K = identity, so that the reported image is its z: always feasible.
Reference: Boyd, Parikh, Chu, Peleato and Eckstein (2011), section 3; inexact x-steps as in
Eckstein and Bertsekas (1992).
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.operators.complexified import Complexified
from microlocal.operators.identity import Identity
from microlocal.solvers.driver import LEAST, MOST, Driver, Solution, State, norm
from microlocal.solvers.problem import Problem, Term
from microlocal.solvers.trial import Trial, step_answer, step_image, step_problem


def _trials() -> list[Trial]:
    data = step_image()
    return [
        Trial(
            "admm, total variation of a step edge",
            lambda b, driver: admm(step_problem(b), torch.zeros_like(b), driver, penalties=(1.0, 1.0, 1.0)),
            data,
            step_answer(),
            "objective",
            step_problem(data).objective,
        )
    ]


@register("solver", "admm", samples=_trials, reference="boyd2011")
def admm(
    problem: Problem,
    start: Float[Tensor, "..."],
    driver: Driver,
    *,
    penalties: Sequence[float],
    inner_iterations: int = 8,
) -> Solution:
    """Minimise Σ F_i(K_i x) + G(x) from ``start`` (*batch, *domain).

    ``penalties`` ρ > 0: one a term and a last one for the constraint. ``inner_iterations`` of conjugate gradients
    serve each x-step, warm started. Records "objective" (at the feasible image) and "residual", the larger of the
    relative primal |K x - z| and dual |ρ Kᵀ(z - z_before)| residuals of Boyd et al., section 3.3; stops when it falls
    below the driver's tolerance. Raises InputError for other penalties.
    """
    if len(penalties) != len(problem.terms) + 1:
        expected, do = f"{len(problem.terms) + 1} penalties", "Give one a term, and a last one for the constraint."
        raise InputError("admm", expected=expected, got=str(len(penalties)), do=do)
    for rho in penalties:
        positive(rho, "penalties", "admm")
    identity = Identity(problem.terms[0].operator.domain_shape)
    itself = Complexified(identity) if start.is_complex() else identity
    terms = [*problem.terms, Term(itself, problem.constraint)]
    images = [term.operator(start) for term in terms]
    names = [(f"split{i}", f"scaled{i}") for i in range(len(terms))]
    normals = [term.operator.normal() if term.normal is None else term.normal for term in terms]

    def normal(x: Tensor) -> Tensor:
        parts = [rho * normal_of(x) for rho, normal_of in zip(penalties, normals, strict=True)]
        return torch.stack(parts).sum(dim=0)

    def step(state: State) -> State:
        target = [state[z] - state[u] for z, u in names]
        x = _conjugate_gradients(normal, _weighted_adjoint(terms, penalties, target), state["x"], inner_iterations)
        new: State = {"x": x}
        for term, rho, (z, u) in zip(terms, penalties, names, strict=True):
            image = term.operator(x)
            new[z] = term.functional.prox(image + state[u], 1 / rho)
            new[u] = state[u] + image - new[z]
            new["before_" + z] = state[z]
        return new

    def measure(state: State) -> dict[str, float]:
        images = [term.operator(state["x"]) for term in terms]
        gaps = [image - state[z] for image, (z, _) in zip(images, names, strict=True)]
        moves = [state[z] - state["before_" + z] for z, _ in names]
        dual = _weighted_adjoint(terms, penalties, moves)
        pulls = sum(
            rho * norm(term.operator.adjoint(state[u]))
            for term, rho, (_, u) in zip(terms, penalties, names, strict=True)
        )
        scale = max(_size(images), _size([state[z] for z, _ in names]), torch.finfo(start.dtype).tiny)
        dual_scale = max(pulls, torch.finfo(start.dtype).tiny)
        feasible = state[names[-1][0]]
        residual = max(_size(gaps) / scale, norm(dual) / dual_scale)
        return {"objective": problem.objective(feasible), "residual": residual}

    first: State = {"x": start}
    for (z, u), image in zip(names, images, strict=True):
        first |= {z: image, u: torch.zeros_like(image), "before_" + z: image}
    return driver.run(first, step, lambda state: state[names[-1][0]], measure, criterion="residual")


def _weighted_adjoint(terms: Sequence[Term], penalties: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    """Return Σ ρ_i K_iᵀ v_i."""
    parts = [rho * term.operator.adjoint(v) for term, rho, v in zip(terms, penalties, values, strict=True)]
    return torch.stack(parts).sum(dim=0)


def _size(values: Sequence[Tensor]) -> float:
    return math.hypot(*map(norm, values))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return Re <a, b>."""
    return (a.conj() * b).real.sum()


def _conjugate_gradients(normal: Callable[[Tensor], Tensor], right: Tensor, x: Tensor, iterations: int) -> Tensor:
    """Approximately solve the positive definite system normal(x) = right from x; batches share the step length."""
    residual = right - normal(x)
    size = norm(residual)
    unit = 1.0 if LEAST < size < MOST else size or 1.0  # squares of what is smaller or larger leave float32
    residual = residual / unit
    direction, energy = residual, _dot(residual, residual)
    for _ in range(iterations):
        if float(energy) == 0.0:
            break
        image = normal(direction)
        length = energy / _dot(direction, image)
        x, residual = x + unit * length * direction, residual - length * image
        new = _dot(residual, residual)
        direction, energy = residual + (new / energy) * direction, new
    return x

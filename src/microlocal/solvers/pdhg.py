"""The primal-dual hybrid gradient method with diagonal steps whose validity is proved.

    y_i <- prox_{σ_i F_i*}(y_i + σ_i K_i x̄),    x <- prox_{τ G}(x - τ Σ K_iᵀ y_i),    x̄ = 2 x_new - x

It converges when |Σ^½ K T^½| <= 1 (Pock and Chambolle 2011, Theorem 1). Each operator states steps (σ_i, τ_i) that
satisfy this alone; taking 1/τ = Σ_i 1/τ_i, it holds for the stack:

    |Σ^½ K T^½ x|² = Σ_i |Σ_i^½ K_i T^½ x|² <= Σ_i Σ_j (τ_j/τ_ij) x_j² = |x|².

For F_i = w/2 |y - b|² with one step σ_i for all data, the pull v = K_iᵀ y_i obeys a recursion of its own,

    v <- (v + σ_i (K_iᵀ K_i x̄ - K_iᵀ b)) / (1 + σ_i/w),

so a term that knows its normal operator is carried as v: the same iterates without a projection.

References: Chambolle and Pock (2011); Pock and Chambolle (2011).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.functionals.squared_distance import SquaredDistance
from microlocal.operators.base import LinearOperator
from microlocal.solvers.driver import Driver, Solution, State, norm
from microlocal.solvers.problem import Problem, Term
from microlocal.solvers.trial import Trial, step_answer, step_image, step_problem

NO_BOUND = "Give it a norm_bound(), or bound= where it wraps a foreign operator."


def finite_steps(operator: LinearOperator) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return the steps σ and τ of an operator, in float64; raises InputError where it states no finite ones."""
    sigma, tau = (torch.as_tensor(s, dtype=torch.float64) for s in operator.step_sizes())
    if not bool(torch.isfinite(sigma).all() and torch.isfinite(tau).all()) or not bool((sigma > 0).any()):
        raise InputError("pdhg", expected="finite steps", got=f"{type(operator).__name__}: none", do=NO_BOUND)
    return sigma, tau


def combined_steps(
    problem: Problem, like: Float[Tensor, "..."]
) -> tuple[list[Float[Tensor, "..."]], Float[Tensor, "..."]]:
    """Return σ_i of every term and τ for the stack, in the precision of ``like``.

    Raises InputError where a term states no finite steps.
    """
    sigmas, inverse_tau = [], torch.zeros((), dtype=torch.float64)
    for term in problem.terms:
        sigma, tau = finite_steps(term.operator)
        sigmas.append((sigma * term.balance).to(like.real.dtype))
        # A pixel that a term never sees (τ = 0 by convention) puts no limit on the step there.
        inverse_tau = inverse_tau + torch.where(tau > 0, term.balance / tau, 0.0)
    tau = torch.where(inverse_tau > 0, 1 / inverse_tau, 0.0)
    return sigmas, tau.to(like.real.dtype)


def _trials() -> list[Trial]:
    data = step_image()
    return [
        Trial(
            "pdhg, total variation of a step edge",
            lambda b, driver: pdhg(step_problem(b), torch.zeros_like(b), driver),
            data,
            step_answer(),
            "objective",
            step_problem(data).objective,
        )
    ]


@register("solver", "pdhg", samples=_trials, reference="pock2011")
def pdhg(
    problem: Problem, start: Float[Tensor, "..."], driver: Driver, duals: Sequence[Float[Tensor, "..."]] | None = None
) -> Solution:
    """Minimise Σ F_i(K_i x) + G(x) from ``start`` (*batch, *domain), optionally with dual variables of an earlier run.

    Records "objective", "change" (relative change of x over one iteration) and "residual", the recomputed
    |prox step - x| of primal and dual together relative to |x|, which vanishes only at a saddle point; stops when
    "residual" falls below the driver's tolerance.
    """
    sigmas, tau = combined_steps(problem, start)
    # Where no term puts a limit on the step, τ is zero here, and G alone decides: any step leads to its minimum.
    prox_step = torch.where(tau > 0, tau, 1.0)
    parts = [_part(term, sigma) for term, sigma in zip(problem.terms, sigmas, strict=True)]
    names = [f"dual{i}" for i in range(len(parts))]
    zero = [torch.zeros_like(part.image(start)) for part in parts] if duals is None else list(duals)

    def dual_step(y: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        return [part.dual_step(y_i, x) for y_i, part in zip(y, parts, strict=True)]

    def primal_step(x: Tensor, y: Sequence[Tensor]) -> Tensor:
        pull = torch.zeros_like(x)
        for part, y_i in zip(parts, y, strict=True):
            pull += part.pull(y_i)
        return problem.constraint.prox(pull.mul_(-tau).add_(x), prox_step)

    def step(state: State) -> State:
        y = dual_step([state[name] for name in names], state["ahead"])
        x = primal_step(state["x"], y)
        return {"x": x, "ahead": torch.sub(x, state["x"]).add_(x)} | dict(zip(names, y, strict=True))

    def measure(state: State) -> dict[str, float]:
        x, y = state["x"], [state[name] for name in names]
        moved = dual_step(y, x)
        tiny = torch.finfo(x.dtype).tiny
        primal_gap = norm(primal_step(x, y) - x) / max(norm(x), tiny)
        change = math.hypot(*(norm(a - b) for a, b in zip(moved, y, strict=True)))
        dual_gap = change / max(math.hypot(*map(norm, moved)), tiny)
        return {"objective": problem.objective(x), "residual": max(primal_gap, dual_gap)}

    first = {"x": start, "ahead": start} | dict(zip(names, zero, strict=True))
    return driver.run(first, step, lambda state: state["x"], measure, criterion="residual")


class _DataSpace:
    """A term whose dual variable is y, in the codomain of its operator."""

    def __init__(self, term: Term, sigma: Tensor) -> None:
        self.image, self.pull = term.operator, term.operator.adjoint
        self.functional, self.sigma = term.functional, sigma

    def dual_step(self, y: Tensor, x: Tensor) -> Tensor:
        image = self.image(x)
        if image.data_ptr() == x.data_ptr():  # the identity returns x itself, which is still needed
            image = image.clone()
        return self.functional.dual_step(y, image, self.sigma)


class _ImageSpace:
    """A least-squares term whose dual variable is v = Kᵀ y, in the domain of its operator."""

    def __init__(self, term: Term, normal: LinearOperator, functional: SquaredDistance, sigma: Tensor) -> None:
        self.image, self.weight, self.sigma = normal, functional.weight, sigma
        self.back = term.operator.adjoint(functional.target)

    def dual_step(self, y: Tensor, x: Tensor) -> Tensor:
        return (y + self.sigma * (self.image(x) - self.back.to(x.dtype))) / (1 + self.sigma / self.weight)

    @staticmethod
    def pull(y: Tensor) -> Tensor:
        return y


def _part(term: Term, sigma: Tensor) -> _DataSpace | _ImageSpace:
    if term.normal is not None and isinstance(term.functional, SquaredDistance) and sigma.numel() == 1:
        return _ImageSpace(term, term.normal, term.functional, sigma)
    return _DataSpace(term, sigma)

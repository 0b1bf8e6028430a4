"""The iteration of Krasnoselskii and Mann, u <- T(u) for an averaged map T, with a safeguarded acceleration.

    T = (1 - a) Id + a S,   a < 1,   |S(u) - S(v)| <= |u - v|

It converges to a fixed point wherever T has one, and |T(u) - u| never increases. Anderson's acceleration proposes the
combination of the last images whose residuals T(u) - u cancel best; it is taken only where it makes the residual
smaller, so that this never increases either, and tends to zero: where proposals are taken without end by the factor
that each must gain, and otherwise since from some step on the iteration is the plain one. A map with kinks (a denoiser
that clips) misleads it until the kinks are settled: a proposal that is not taken raises the damping of the next, one
that is taken lowers it, as in the method of Levenberg and Marquardt.

Reference: Bauschke and Combettes (2017), proposition 5.16; Walker and Ni (2011); Zhang, O'Donoghue and Boyd (2020) for
safeguards.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.checks import at_least
from microlocal.core.registry import register
from microlocal.solvers.driver import Driver, Solution, State, norm
from microlocal.solvers.trial import Trial, non_negative_answer, small_scan

GAIN = 0.999  # what is left of the residual by a proposal that is taken, at most
DAMPING, LEAST, MOST = 1e-6, 1e-12, 1.0  # of the differences' Gram matrix, in parts of its trace
RAISED, LOWERED = 10.0, 1.5  # factors of the damping
CHUNK = 1 << 20  # numbers that are in float64 at once


def _trials() -> list[Trial]:
    ray, matrix, data = small_scan()
    size = 1.9 / ray.norm_bound() ** 2

    def descend(b: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: (x - size * ray.adjoint(ray(x) - b)).clamp_min(0)

    def made(name: str, memory: int, iterations: int) -> Trial:
        def run(b: Tensor, driver: Driver) -> Solution:
            return krasnoselskii_mann(descend(b), torch.ones(4, 5, dtype=b.dtype), driver, memory)

        def residual(x: Tensor) -> float:
            return float((descend(data)(x) - x).norm() / x.norm())

        answer = non_negative_answer(matrix, data)
        return Trial(f"krasnoselskii-mann, {name}", run, data, answer, "residual", residual, iterations=iterations)

    return [made("projected gradients", 0, 1500), made("accelerated", 4, 150)]


@register("solver", "krasnoselskii-mann", samples=_trials, reference="bauschke2017")
def krasnoselskii_mann(
    apply: Callable[[Float[Tensor, "..."]], Float[Tensor, "..."]],
    start: Float[Tensor, "..."],
    driver: Driver,
    memory: int = 0,
) -> Solution:
    """Iterate T, ``apply``, from ``start``; ``memory``, how many differences the acceleration combines, 0 for none.

    Records "distance", |T(u) - u|, and "residual", that over |u|, at no cost of their own, and stops when the residual
    falls to the driver's tolerance. T(u) is in the state as "ahead". A proposal that is not taken costs one more T. The
    caller vouches that T is averaged: others need not converge.

    >>> halfway = krasnoselskii_mann(lambda u: 0.5 * u + 1, torch.zeros(2), Driver(100, every=1, tolerance=1e-6))
    >>> halfway.value.round(decimals=4).tolist(), halfway.status.name
    ([2.0, 2.0], 'CONVERGED')
    """
    at_least(memory, 0, "memory", "krasnoselskii_mann")

    def step(state: State) -> State:
        x, ahead = state["x"], state["ahead"]
        rest = ahead - x
        new = _proposed(state, memory) if memory else ahead
        after = apply(new)
        taken = not memory or bool((after - new).norm() <= GAIN * rest.norm())
        if not taken:
            new, after = ahead, apply(ahead)
        moved = {"x": new, "ahead": after}
        if memory:
            moved["damping"] = (state["damping"] * (1 / LOWERED if taken else RAISED)).clamp(LEAST, MOST)
            latest = {"rest": (after - new).sub_(rest), "ahead": after - ahead}
            for name, difference in latest.items():
                # One tensor each: what stays is not copied, and large images need no room for two histories.
                moved |= {f"{name}-{k}": state[f"{name}-{k + 1}"] for k in range(memory - 1)}
                moved[f"{name}-{memory - 1}"] = difference
        return moved

    def measure(state: State) -> dict[str, float]:
        x = state["x"]
        gap, size = norm(state["ahead"] - x), norm(x)
        return {"residual": gap / max(size, torch.finfo(x.dtype).tiny), "distance": gap}

    first = {"x": start, "ahead": apply(start)}
    if memory:
        nothing = torch.zeros_like(start)
        first |= {f"{name}-{k}": nothing.clone() for name in ("rest", "ahead") for k in range(memory)}
        first["damping"] = torch.tensor(DAMPING, dtype=torch.float64)
    return driver.run(first, step, lambda state: state["x"], measure, "residual")


def _proposed(state: State, memory: int) -> Tensor:
    """Return T(u) - Σ c_k (T(u_k+1) - T(u_k)), c such that Σ c_k times the residuals' differences is next to T(u) - u.

    Differences that are not there yet are zero, and so are their c.
    """
    rests = [state[f"rest-{k}"].flatten() for k in range(memory)]
    gram = torch.tensor([[_product(one, other) for other in rests] for one in rests], dtype=torch.float64)
    scale = float(gram.trace())
    if not 0 < scale < float("inf"):
        return state["ahead"]
    rest = (state["ahead"] - state["x"]).flatten()
    damped = gram + float(state["damping"]) * scale * torch.eye(memory, dtype=gram.dtype)
    c = torch.linalg.solve(damped, gram.new_tensor([_product(one, rest) for one in rests]))
    move = torch.zeros_like(state["ahead"])
    for k, share in enumerate(c.tolist()):
        move.add_(state[f"ahead-{k}"], alpha=share)
    return state["ahead"] - move


def _product(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> float:
    """Return the inner product in float64, without a copy of the whole.

    Of copies, since a tensor from a checkpoint lies elsewhere in memory, and its sums may be rounded otherwise.
    """
    total = 0.0
    for k in range(0, len(one), CHUNK):
        a, b = (part[k : k + CHUNK].to(torch.float64, copy=True) for part in (one, other))
        total += float(a @ b)
    return total

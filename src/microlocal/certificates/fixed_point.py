"""What can be certified of a fixed-point iteration u <- T(u): that it closes in on a fixed point.

T averaged with a < 1 on a compact convex set that it maps into itself: a fixed point exists (Brouwer), the iteration
converges to one (Krasnoselskii and Mann), and |T(u) - u| never increases on the way, nor does any |T(u) - T(v)| exceed
|u - v|. The last two can be measured, so that an attack can refute them.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.guarantee import Guarantee, gradient_step
from microlocal.certificates.maps import Certified, hypotheses_of
from microlocal.core.errors import InputError
from microlocal.core.registry import register
from microlocal.core.seeding import generator

CLAIM = "The iteration closes in on a fixed point: |T(u) - u| never increases."
ROUNDING = 1e-9
STEPS = 12  # of an attack, from every start
NEAR = (1e-4, 1e-2, 0.3)  # distances of the images that an attack compares, in parts of the image


class _Descent(nn.Module):
    """Projected gradients of 1/2 |u - 0.4|² in the box [0, 1]."""

    def forward(self, u: Tensor) -> Tensor:
        return (u - 0.5 * (u - 0.4)).clamp(0, 1)

    def guarantee(self) -> Guarantee:
        return Guarantee(lipschitz=1.0, averaged=gradient_step(0.5, 1.0).then(gradient_step(1.0, 1.0)).averaged)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        return (Hypothesis("the step is below 2/L", "0.5", True),)


def _samples() -> list[Certificate]:
    return [certify_fixed_point(_Descent(), (1.0, 0.5, 0.25), (1, 1, 3, 4))]


@register("certificate", "plug-and-play", samples=_samples, reference="bauschke2017")
def certify_fixed_point(
    iteration: nn.Module, distances: Sequence[float], shape: Sequence[int], rounding: float = 0.0
) -> Certificate:
    """Certify an iteration whose map states what is proved of it (``guarantee``, ``hypotheses``).

    ``distances`` |T(u) - u| of a run: the value is the largest ratio of two in a row, each allowed to grow by
    ``rounding``. The attack runs the map in float64 from other images of ``shape`` (image, 1, row, col), and follows
    the difference of two images to where it grows most. Raises InputError where T is not averaged.
    """
    if not isinstance(iteration, Certified):
        do = "Give it the methods guarantee() and hypotheses()."
        raise InputError("certify_fixed_point", expected="a map that states what is proved of it",
                         got=type(iteration).__name__, do=do)  # fmt: skip
    averaged = iteration.guarantee().averaged
    whole = Hypothesis("T is averaged: a < 1", f"a = {averaged:.6g}, 1 - a = {1 - averaged:.3g}", averaged < 1)
    return Certificate(
        claim=CLAIM,
        kind=Kind.PROVED,
        value=largest_growth(distances, rounding),
        bound=1 + ROUNDING,
        hypotheses=(*hypotheses_of(iteration), whole),
        reference="bauschke2017",
        attack=lambda seed: _worst_growth(iteration, shape, seed),
    )


def largest_growth(distances: Sequence[float], rounding: float = 0.0) -> float:
    """Return the largest (d_{k+1} - rounding)/d_k; 0 for fewer than two distances, infinite if one is not finite.

    From nothing to something the growth is infinite, too.

    >>> largest_growth([4.0, 2.0, 1.5]), largest_growth([1.0, 0.0, 0.5])
    (0.75, inf)
    """
    if not all(map(math.isfinite, distances)):
        return math.inf
    pairs = [(before, max(after - rounding, 0.0)) for before, after in pairwise(distances)]
    return max((after / before if before else math.inf for before, after in pairs if after), default=0.0)


@torch.no_grad()
def _worst_growth(iteration: nn.Module, shape: Sequence[int], seed: int) -> float:
    """Return the largest |T(u) - T(v)|/|u - v| found, from random, flat and alternating images."""
    state = {name: value.double() if value.is_floating_point() else value
             for name, value in (*iteration.named_parameters(), *iteration.named_buffers())}  # fmt: skip

    def run(u: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(iteration, state, (u,))
        return found

    source, worst = generator(seed), 0.0
    for u in _starts(shape, source):
        for near in NEAR:
            d = near * u.norm() * _unit(torch.randn(u.shape, generator=source, dtype=torch.float64))
            worst = max(worst, _followed(run, u, d))
        ahead = run(u)
        worst = max(worst, _followed(run, u, ahead - u, move=True))
    return worst


def _starts(shape: Sequence[int], source: torch.Generator) -> list[Float[Tensor, "image 1 row col"]]:
    """Return images between 0 and 1: noise, nearly flat, and alternating from pixel to pixel."""
    noise = torch.rand(*shape, generator=source, dtype=torch.float64)
    rows, cols = torch.meshgrid(torch.arange(shape[-2]), torch.arange(shape[-1]), indexing="ij")
    board = ((rows + cols) % 2).double().expand(*shape)
    return [noise, 0.5 + 0.02 * noise, 0.3 + 0.4 * board + 0.1 * noise]


def _followed(run: Callable[[Tensor], Tensor], u: Tensor, d: Tensor, *, move: bool = False) -> float:
    """Return the largest growth of d = v - u under T; d turns towards what grows most, u stays unless it may move.

    With ``move`` and d = T(u) - u these are the steps of the iteration itself.
    """
    worst, length = 0.0, d.norm()
    here = run(u)
    for _ in range(STEPS):
        if length == 0:
            break
        after = run(u + d) - here
        if not after.isfinite().all():
            return math.inf
        worst = max(worst, float(after.norm() / length))
        if move:
            u, here, d = here, here + after, after
            length = d.norm()
        else:
            d = length * _unit(after)
    return worst


def _unit(d: Tensor) -> Tensor:
    return d / d.norm().clamp_min(1e-300)

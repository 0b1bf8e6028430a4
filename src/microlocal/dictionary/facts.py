"""What follows from a nonlinearity: how steep, whether monotone and convex, and which steps are stable.

    L = sup |Φ(s)/s| = sup g,       max-min principle for τ <= h²/(2L),      no new sign changes for τ <= h²/(4L)

Both ask for g >= 0: where g is negative, diffusion runs backward, and no step size is stable. L is not the Lipschitz
constant of Φ: that of hard shrinkage is infinite, and its L is 1. Ψ'' = 2 Φ', so that Ψ is convex where Φ increases;
only then is a step non-expansive. Nothing is declared: all is found on a logarithmic grid of both faces and refined,
hence estimated from below. For named rows the grid has the unit of their contrast.

Reference: Alt, Weickert, Peter (2020), Theorem 2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from microlocal.dictionary.nonlinearity import Nonlinearity, Scalar

REACH, COUNT = 9, 36001  # s from 10^-9 to 10^9, for named rows in parts of the contrast
FINER, ROUNDS = 65, 12  # places of a refinement, and how many
ROUNDING = 1e-9


@dataclass(frozen=True)
class Facts:
    """What follows from a nonlinearity, estimated.

    ``largest_ratio`` is L; ``lipschitz`` the Lipschitz constant of Φ, infinite where it jumps; ``slopes`` the least
    and the greatest Φ'; ``jumps`` and ``turns`` where Φ jumps, and where Φ' changes its sign, s > 0; ``nonnegative``
    and ``bounded`` whether g is, without which no step size is stable; ``domain``, where each face has a finite value.
    """

    largest_ratio: float
    lipschitz: float
    slopes: tuple[float, float]
    jumps: tuple[float, ...]
    turns: tuple[float, ...]
    increasing: bool
    nonnegative: bool
    bounded: bool
    domain: dict[str, str]

    @property
    def convex(self) -> bool:
        """Whether Ψ is: Ψ'' = 2 Φ'."""
        return self.increasing

    def max_min_step(self, spacing: float = 1.0) -> float:
        """Return the largest τ with the maximum-minimum principle, for grid size h; 0 where g is negative somewhere."""
        if not self.nonnegative:
            return 0.0
        return spacing**2 / (2 * self.largest_ratio) if self.largest_ratio else math.inf

    def sign_step(self, spacing: float = 1.0) -> float:
        """Return the largest τ at which a step has no more sign changes than its signal."""
        return self.max_min_step(spacing) / 2


def facts(entry: Nonlinearity) -> Facts:
    """Return what follows from a nonlinearity.

    >>> from microlocal.dictionary import nonlinearity
    >>> found = facts(nonlinearity("perona-malik", 3.0))
    >>> round(found.largest_ratio, 9), round(found.slopes[0], 9), [round(s, 6) for s in found.turns], found.convex
    (1.0, -0.44626032, [3.0], False)
    >>> facts(nonlinearity("hard")).lipschitz, facts(nonlinearity("hard")).max_min_step()
    (inf, 0.5)
    """
    s = torch.logspace(-REACH, REACH, COUNT, dtype=torch.float64) * (entry.contrast or 1.0)
    g, value, slope = entry.diffusivity(s), entry.activation(s), _slope(entry.activation, s)
    ratio = g.abs()
    bounded, lowest = _settles(ratio), -_refined(lambda x: -entry.diffusivity(x), s, -g)
    largest = _refined(lambda x: entry.diffusivity(x).abs(), s, ratio) if bounded else math.inf
    jumps = _jumps(entry.activation, s, value, slope)
    greatest = _refined(lambda x: _slope(entry.activation, x), s, slope)
    least = -_refined(lambda x: -_slope(entry.activation, x), s, -slope)
    drops = bool(value[0] < 0) or any(_height(entry.activation, place) < 0 for place in jumps)
    return Facts(
        largest_ratio=largest,
        lipschitz=math.inf if jumps or not bounded else max(greatest, -least),
        slopes=(least, greatest),
        jumps=jumps,
        turns=_turns(entry.activation, s, slope),
        increasing=least >= -ROUNDING * greatest and not drops,
        nonnegative=lowest >= -ROUNDING * (largest if bounded else float(ratio[COUNT // 2])),
        bounded=bounded,
        domain=_domain(entry, bounded=bounded),
    )


def _domain(entry: Nonlinearity, *, bounded: bool) -> dict[str, str]:
    """Return where every face is finite: for "any s", for "s ≠ 0", or for "no s" other than zero."""
    near = torch.tensor([10.0**-REACH, 0.0], dtype=torch.float64) * (entry.contrast or 1.0)
    found = {"diffusivity": "any s" if bounded else "s ≠ 0"}
    for face in ("regulariser", "shrinkage", "activation"):
        away, zero = getattr(entry, face)(near).isfinite().tolist()
        found[face] = ("any s" if zero else "s ≠ 0") if away else "no s"
    return found


def _slope(phi: Scalar, s: Tensor) -> Tensor:
    with torch.enable_grad():
        x = s.detach().requires_grad_()
        value = phi(x)
        if not value.requires_grad:
            return torch.zeros_like(s)
        (found,) = torch.autograd.grad(value.sum(), x)
    return found.detach()


def _settles(ratio: Tensor) -> bool:
    """Return whether |g| stays bounded towards 0: from one decade to the next it no longer grows."""
    decade = (COUNT - 1) // (2 * REACH)
    return bool(ratio[0] <= ratio[decade] * (1 + 1e-3) + ROUNDING)


def _refined(function: Scalar, s: Tensor, values: Tensor) -> float:
    """Return the supremum of a function, from its values on a grid: the places around the largest, ever finer."""
    for _ in range(ROUNDS):
        k = int(values.argmax())
        s = torch.linspace(float(s[max(k - 1, 0)]), float(s[min(k + 1, len(s) - 1)]), FINER, dtype=s.dtype)
        best, values = float(values.max()), function(s)
        if float(values.max()) <= best * (1 + 1e-15):
            break
    return max(best, float(values.max()))


def _jumps(phi: Scalar, s: Tensor, value: Tensor, slope: Tensor) -> tuple[float, ...]:
    """Return where the function jumps: however near two places are, their values differ by more than the slope says."""
    apart = value.diff() - (slope[1:] + slope[:-1]) / 2 * s.diff()
    suspects = (apart.abs() > 1e-3 * value.abs().max().clamp_max(1e6)).nonzero().flatten().tolist()
    places = (_bisected(phi, float(s[k]), float(s[k + 1])) for k in suspects)
    scale = float(value.abs().max())
    return tuple(sorted({place for place in places if abs(_height(phi, place)) > 1e-6 * min(scale, place)}))


def _bisected(phi: Scalar, low: float, high: float) -> float:
    """Return the place between two where most of the change is."""
    for _ in range(60):
        middle = (low + high) / 2
        ends = phi(torch.tensor([low, middle, high], dtype=torch.float64)).diff().abs()
        low, high = (low, middle) if ends[0] >= ends[1] else (middle, high)
    return float(f"{(low + high) / 2:.12g}")


def _height(phi: Scalar, place: float) -> float:
    """Return by how much the function jumps at a place."""
    ends = phi(torch.tensor([place * (1 - 1e-9), place * (1 + 1e-9)], dtype=torch.float64))
    return float(ends[1] - ends[0])


def _turns(phi: Scalar, s: Tensor, slope: Tensor) -> tuple[float, ...]:
    """Return where the slope changes its sign, by bisection."""
    found = []
    sign = torch.where(slope.abs() <= ROUNDING, 0.0, slope.sign())
    known = sign.nonzero().flatten()  # a slope that vanishes on a place of the grid has turned all the same
    changed = sign[known].diff() != 0
    for k, after in zip(known[:-1][changed].tolist(), known[1:][changed].tolist(), strict=True):
        low, high = float(s[k]), float(s[after])
        for _ in range(60):
            middle = (low + high) / 2
            same = float(_slope(phi, s.new_tensor([middle]))[0]) * float(slope[k]) > 0
            low, high = (middle, high) if same else (low, middle)
        found.append(high)
    return tuple(found)

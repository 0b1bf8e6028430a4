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

from microlocal.core.errors import InputError
from microlocal.dictionary.nonlinearity import Nonlinearity, Scalar

REACH, COUNT = 9, 36001  # s from 10^-9 to 10^9, for named rows in parts of the contrast
DECADE = (COUNT - 1) // (2 * REACH)  # places of one
FINER, ROUNDS, HALVINGS = 65, 12, 60  # places of a refinement, how many of these, and of bisections
ROUNDING, GROWTH = 1e-9, 1e-3
LEAST_JUMP = 1e-6  # in parts of Φ, or of s times the size of g where that is less
BESIDE = (1e-9, 1e-11, 1e-13)  # distances from a jump, in parts of its place, at which it is as high


@dataclass(frozen=True)
class Facts:
    """What follows from a nonlinearity, estimated.

    ``largest_ratio`` is L; ``lipschitz`` the Lipschitz constant of Φ, infinite where it jumps or its slopes grow
    without end; ``slopes`` the least and the greatest Φ' that were met; ``jumps`` and ``turns`` where Φ jumps, and
    where Φ' changes its sign, s > 0; ``nonnegative`` and ``bounded`` whether g is, without which no step size is
    stable; ``domain``, where each face has a finite value.
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
    """Return what follows from a nonlinearity; raises InputError where it is not a number.

    >>> from microlocal.dictionary import nonlinearity
    >>> found = facts(nonlinearity("perona-malik", 3.0))
    >>> round(found.largest_ratio, 9), round(found.slopes[0], 9), [round(s, 6) for s in found.turns], found.convex
    (1.0, -0.44626032, [3.0], False)
    >>> facts(nonlinearity("hard")).lipschitz, facts(nonlinearity("hard")).max_min_step()
    (inf, 0.5)
    """
    s = torch.logspace(-REACH, REACH, COUNT, dtype=torch.float64) * (entry.contrast or 1.0)
    g, value, slope = entry.diffusivity(s), entry.activation(s), _slope(entry.activation, s)
    _numbers(entry.name, s, g, value)
    (size, below, beyond), (steepness, *tame) = _size(g), _size(slope)
    bounded, lowest = below and beyond, -_refined(lambda x: -entry.diffusivity(x), s, -g)
    jumps = _jumps(entry.activation, s, value, slope, size)
    greatest = _refined(lambda x: _slope(entry.activation, x), s, slope)
    least = -_refined(lambda x: -_slope(entry.activation, x), s, -slope)
    drops = bool(value[0] < 0) or any(height < 0 for height in jumps.values())
    return Facts(
        largest_ratio=_refined(lambda x: entry.diffusivity(x).abs(), s, g.abs()) if bounded else math.inf,
        lipschitz=max(greatest, -least) if bounded and all(tame) and not jumps else math.inf,
        slopes=(least, greatest),
        jumps=tuple(sorted(jumps)),
        turns=_turns(entry.activation, s, slope),
        increasing=least >= -ROUNDING * steepness and not drops,
        nonnegative=lowest >= -ROUNDING * size,
        bounded=bounded,
        domain=_domain(entry, below=below),
    )


def _numbers(name: str, s: Tensor, *faces: Tensor) -> None:
    """Refuse what is not a number at some place: all else would not be one either."""
    for values in faces:
        if bool(values.isnan().any()):
            do = "Give a function that has a value wherever s is not zero."
            got = f"nan at s = {float(s[values.isnan()][0]):.3g}"
            raise InputError(f"facts of {name}", expected="a number at every place", got=got, do=do)


def _size(values: Tensor) -> tuple[float, bool, bool]:
    """Return the size of a function, of which its rounding errors are parts, and whether it is bounded at 0 and at ∞.

    It is if its largest value does not grow any more from the last decade but one to the last. The size of one that
    grows without end is that of its middle: what is next to nothing of the largest value need not be rounding.
    """
    size = values.abs()
    settled = [bool(ahead.isfinite() & (ahead <= before * (1 + GROWTH) + ROUNDING * size.min()))
               for ahead, before in (_last(size.flip(0)), _last(size))]  # fmt: skip
    return float(size.max() if all(settled) else size.median()), settled[0], settled[1]


def _last(size: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest value of the last decade, and of the one before it."""
    return size[-DECADE:].max(), size[-2 * DECADE : -DECADE].max()


def _domain(entry: Nonlinearity, *, below: bool) -> dict[str, str]:
    """Return where every face is finite: for "any s", for "s ≠ 0", up to a place, or for "no s" other than zero."""
    unit = entry.contrast or 1.0
    s = torch.logspace(-REACH, REACH, 20 * REACH + 1, dtype=torch.float64) * unit
    found = {}
    for name in ("diffusivity", "regulariser", "shrinkage", "activation"):
        face = getattr(entry, name)
        zero = below if name == "diffusivity" else bool(face(s.new_zeros(1)).isfinite().all())
        ends = (~face(s).isfinite()).nonzero().flatten()
        if not len(ends):
            found[name] = "any s" if zero else "s ≠ 0"
        elif ends[0] == 0:
            found[name] = "no s"
        else:
            last = _last_finite(face, float(s[ends[0] - 1]), float(s[ends[0]]))
            found[name] = f"|s| <= {0.995 * last:.3g}" + ("" if zero else ", s ≠ 0")
    return found


def _last_finite(face: Scalar, low: float, high: float) -> float:
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        finite = bool(face(torch.tensor([middle], dtype=torch.float64)).isfinite().all())
        low, high = (middle, high) if finite else (low, middle)
    return low


def _slope(phi: Scalar, s: Tensor) -> Tensor:
    with torch.enable_grad():
        x = s.detach().requires_grad_()
        value = phi(x)
        if not value.requires_grad:
            return torch.zeros_like(s)
        (found,) = torch.autograd.grad(value.sum(), x)
    return found.detach()


def _refined(function: Scalar, s: Tensor, values: Tensor) -> float:
    """Return the supremum of a function, from its values on a grid: the places around the largest, ever finer."""
    for _ in range(ROUNDS):
        k = int(values.argmax())
        s = torch.linspace(float(s[max(k - 1, 0)]), float(s[min(k + 1, len(s) - 1)]), FINER, dtype=s.dtype)
        best, values = float(values.max()), function(s)
        if float(values.max()) <= best * (1 + 1e-15):
            break
    return max(best, float(values.max()))


def _jumps(phi: Scalar, s: Tensor, value: Tensor, slope: Tensor, size: float) -> dict[float, float]:
    """Return where the function jumps, s > 0, and how high: as near to the place as one looks, it is as high."""
    least = LEAST_JUMP * (size * s).clamp_max(float(value[value.isfinite()].abs().max()))
    apart = value.diff() - (slope[1:] + slope[:-1]) / 2 * s.diff()
    suspects = ((apart.abs() > least[:-1]) & value[1:].isfinite()).nonzero().flatten()
    low, high = s[suspects], s[suspects + 1]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        below, above = (phi(middle) - phi(low)).abs(), (phi(high) - phi(middle)).abs()
        low, high = torch.where(below >= above, low, middle), torch.where(below >= above, middle, high)
    place = (low + high) / 2
    heights = torch.stack([phi(place * (1 + beside)) - phi(place * (1 - beside)) for beside in BESIDE])
    there = (heights - heights[0]).abs().amax(dim=0) <= 0.1 * heights[0].abs()
    kept = there & (heights[0].abs() > least[suspects])
    return {float(f"{x:.12g}"): h for x, h in zip(place[kept].tolist(), heights[0][kept].tolist(), strict=True)}


def _turns(phi: Scalar, s: Tensor, slope: Tensor) -> tuple[float, ...]:
    """Return where the slope changes its sign, by bisection."""
    sign = torch.where(slope.abs() <= ROUNDING, 0.0, slope.sign())
    known = sign.nonzero().flatten()  # a slope that vanishes on a place of the grid has turned all the same
    changed = sign[known].diff() != 0
    first, last = known[:-1][changed], known[1:][changed]
    low, high = s[first], s[last]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        same = _slope(phi, middle) * slope[first] > 0
        low, high = torch.where(same, middle, low), torch.where(same, high, middle)
    return tuple(high.tolist())

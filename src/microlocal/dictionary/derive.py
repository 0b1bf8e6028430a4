"""From any one face of a nonlinearity, the other three: algebra where it is that, differentiation, quadrature.

    g  -> Φ(s) = g(s) s            Ψ -> Φ(s) = Ψ'(s)/2, by automatic differentiation
    S  -> Φ(s) = h/(2√2 τ) (r - S(r)),   r = h s/√2           Φ -> Ψ(s) = 2 ∫_0^s Φ, by adaptive quadrature

Quadrature goes from one of ten places a decade to the next, from 10^-9 on: what Φ does nearer to zero may be missed.
Where the integral diverges at zero Ψ is infinite, and so is its error.

Functions are given for tensors, elementwise, odd (S, Φ) or even (g, Ψ); that they are is checked on a grid.
"""

import math
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import quad_vec
from torch import Tensor

from microlocal.core.checks import positive
from microlocal.core.errors import InputError
from microlocal.dictionary.nonlinearity import STEP, Nonlinearity, Scalar

ASYMMETRY = 1e-6  # of the larger of two values that should agree
PLACES = torch.logspace(-3, 3, 61, dtype=torch.float64)
KNOTS = torch.logspace(-9, 9, 181, dtype=torch.float64)  # between which the quadrature looks
SLOWEST = 0.9  # of s Φ(s) that is left a decade nearer to zero, where the integral converges
TOLERANCE, PARTS = 1e-12, 100  # of the quadrature: of every stretch, and into how many parts it may go at most
JUMP, FIRST, ROUNDING = 1e-4, 0.1, 1e-9  # what a regulariser may rise beside its slope, and down to zero
SMALLEST = 1e-150  # where g(0) is read off: s² does not vanish there in float64


def from_diffusivity(g: Scalar, name: str = "own") -> Nonlinearity:
    """Return the nonlinearity with diffusivity ``g``; raises InputError where it is not even, finite for s > 0.

    >>> own = from_diffusivity(lambda s: 1 / (1 + s**2))
    >>> round(own.regulariser(torch.tensor([1.0], dtype=torch.float64)).item(), 12)  # ln 2
    0.69314718056
    """
    _symmetric(g, 1, f"diffusivity {name}")
    return _completed(name, lambda s: torch.where(s == 0, 0.0, g(s) * s), g)


def from_activation(phi: Scalar, name: str = "own") -> Nonlinearity:
    """Return the nonlinearity with activation ``phi``; raises InputError where it is not odd.

    >>> from_activation(torch.tanh).diffusivity(torch.tensor([0.0, 1.0])).tolist()
    [1.0, 0.7615941762924194]
    """
    _symmetric(phi, -1, f"activation {name}")
    return _completed(name, phi)


def from_shrinkage(shrink: Scalar, step: float = STEP, spacing: float = 1.0, name: str = "own") -> Nonlinearity:
    """Return the nonlinearity of which ``shrink`` is the shrinkage for these step and grid sizes; raises InputError.

    >>> hard = from_shrinkage(lambda r: torch.where(r.abs() < 1, 0 * r, r))
    >>> hard.activation(torch.tensor([1.0, 2.0])).round(decimals=4).tolist()
    [1.0, 0.0]
    """
    _symmetric(shrink, -1, f"shrinkage {name}")
    scale = positive(spacing, "spacing", name) / math.sqrt(2)
    factor = scale / (2 * positive(step, "step", name))
    return _completed(name, lambda s: factor * (scale * s - shrink(scale * s)))


def from_regulariser(psi: Scalar, name: str = "own") -> Nonlinearity:
    """Return the nonlinearity with regulariser ``psi``, of torch operations; raises InputError.

    A constant may be added to Ψ: it is taken off, so that Ψ(0) = 0. It must be the integral of its slope: what jumps,
    as a count of edges does, has a slope of zero there, and no diffusivity.

    >>> from_regulariser(lambda s: s**4).activation(torch.tensor([2.0])).tolist()
    [16.0]
    """
    _symmetric(psi, 1, f"regulariser {name}")

    def phi(s: Tensor) -> Tensor:
        with torch.enable_grad():
            x = s if s.requires_grad else s.detach().requires_grad_()
            (slope,) = torch.autograd.grad(psi(x).sum(), x, create_graph=s.requires_grad)
        return slope / 2

    _values(phi, PLACES, f"slope of the regulariser {name}")
    _continuous(psi, phi, f"regulariser {name}")

    def grounded(s: Tensor) -> Tensor:
        return psi(s) - psi(torch.zeros((), dtype=s.dtype))

    return Nonlinearity(name, phi, partial(_ratio, phi), grounded)


def _continuous(psi: Scalar, phi: Scalar, who: str) -> None:
    """Refuse a regulariser that rises by something else than the integral of its slope."""
    low, width = PLACES[:-1], PLACES.diff()
    integrals, doubt = _stretches(phi, low, width)
    height = psi(torch.cat([PLACES * 0, PLACES])[len(PLACES) - 1 :]).detach()  # at zero, and at all places
    rises, sizes = height[1:].diff(), height.abs()
    gaps = (rises - integrals).abs() - doubt - JUMP * (rises.abs() + integrals.abs()) - ROUNDING * sizes[1:-1]
    first, off = _integrated(phi, PLACES[:1])
    if math.isfinite(off) and bool(height[0].isfinite()):
        gap = float((height[1] - height[0] - first[0]).abs() - FIRST * first[0].abs() - ROUNDING * sizes[1])
        gaps, low, rises = (torch.cat([x.new_tensor([y]), z]) for x, y, z in (
            (gaps, gap, gaps), (low, 0.0, low), (rises, float(height[1] - height[0]), rises)))  # fmt: skip
    broken = (gaps > 0).nonzero().flatten()
    if len(broken):
        k = int(broken[0])
        got = (
            f"one that rises by {float(rises[k]):.4g} just above s = {float(low[k]):.3g}, and its slope does not say so"
        )
        do = "What jumps has no diffusivity: give a continuous function, all of it in torch operations."
        raise InputError(who, expected="the integral of its slope", got=got, do=do)


def _completed(name: str, phi: Scalar, g: Scalar | None = None) -> Nonlinearity:
    """Return the nonlinearity of an activation, with the regulariser by quadrature and the error that it had."""
    _, error = _integrated(phi, PLACES)
    return Nonlinearity(name, phi, g or partial(_ratio, phi), lambda s: _integrated(phi, s)[0].to(s.dtype), error=error)


def _ratio(phi: Scalar, s: Tensor) -> Tensor:
    """Return Φ(s)/s, at s = 0 the slope there, read off at a tiny place."""
    tiny = s.abs() < SMALLEST if s.dtype == torch.float64 else s == 0
    place = torch.where(tiny, torch.full_like(s, max(SMALLEST, torch.finfo(s.dtype).tiny)), s)
    return phi(place) / place


def _integrated(phi: Scalar, s: Tensor) -> tuple[Tensor, float]:
    """Return 2 ∫_0^s Φ in float64, and an estimate of its largest relative error.

    The stretches between neighbouring places are integrated side by side.
    """
    places = s.detach().double().abs().flatten()
    if _diverges(phi):
        return torch.where(s == 0, 0.0, math.inf).double(), math.inf
    knots = KNOTS[places.max() > KNOTS] if len(places) else KNOTS[:0]
    ends, where = np.unique(torch.cat([places, knots]).numpy(), return_inverse=True)
    where = where[: len(places)]
    low, width = torch.from_numpy(np.append(0.0, ends[:-1])), torch.from_numpy(np.diff(ends, prepend=0.0))
    parts, doubts = (x.numpy() for x in _stretches(phi, low, width))
    totals, doubt = np.cumsum(parts), np.cumsum(doubts)
    known = np.isfinite(totals) & (ends > 0)
    error = float((doubt[known] / np.maximum(np.abs(totals[known]), 1e-300)).max(initial=0.0))
    return torch.from_numpy(totals[where]).reshape(s.shape), error


def _stretches(
    phi: Scalar, low: Float[Tensor, " stretch"], width: Float[Tensor, " stretch"]
) -> tuple[Float[Tensor, " stretch"], Float[Tensor, " stretch"]]:
    """Return 2 ∫ Φ over every stretch, side by side and each in units of its own size, and an estimate of its error."""

    def heights(t: float) -> Tensor:
        return torch.where(width > 0, phi(low + t * width).detach(), 0.0)

    size = torch.stack([heights(t) for t in (1e-3, 0.3, 0.6, 1.0)]).abs().amax(dim=0)
    unit = torch.where((size > 0) & size.isfinite(), size, 1.0)

    def share(t: float) -> Float[np.ndarray, " stretch"]:
        return torch.where(size.isfinite(), heights(t) / unit, 0.0).numpy()

    parts, off = quad_vec(share, 0.0, 1.0, epsabs=TOLERANCE, epsrel=0.0, norm="max", limit=PARTS)
    scale = 2 * width * unit
    return torch.where(size.isfinite(), scale * torch.from_numpy(parts), math.inf), scale * off


def _diverges(phi: Scalar) -> bool:
    """Return whether the integral of Φ has no limit at zero: s Φ(s) does not fall there."""
    one, nearer = (KNOTS[:1] * phi(KNOTS[:1] * part).abs() * part for part in (1.0, 0.1))
    return bool((one > 0) & (nearer > SLOWEST * one))


def _symmetric(function: Scalar, sign: int, who: str) -> None:
    """Refuse what is not finite, or not f(-s) = ``sign`` f(s)."""
    ahead, behind = _values(function, PLACES, who), _values(function, -PLACES, who)
    if not bool(torch.isfinite(ahead).all() and torch.isfinite(behind).all()):
        place = float(PLACES[~(torch.isfinite(ahead) & torch.isfinite(behind))][0])
        got = f"{float(function(PLACES.new_tensor([place]))[0])} at s = {place:.3g}"
        do = "Give a function that is finite wherever s is not zero."
        raise InputError(who, expected="finite values", got=got, do=do)
    off = (behind - sign * ahead).abs() > ASYMMETRY * torch.maximum(ahead.abs(), behind.abs()).clamp_min(1e-300)
    if bool(off.any()):
        k = int(off.nonzero()[0])
        kind = "an odd function" if sign < 0 else "an even function"
        got = f"{float(ahead[k]):.4g} at s = {float(PLACES[k]):.3g}, {float(behind[k]):.4g} at its negative"
        raise InputError(who, expected=kind, got=got, do="Filtering must commute with the negative: make it symmetric.")


def _values(function: Scalar, s: Float[Tensor, " place"], who: str) -> Float[Tensor, " place"]:
    """Return the values of a function that is to be one of torch's operations; raises InputError where it is not."""
    expected, do = "a function of torch operations, from a tensor to one of its shape", "Give one such as torch.tanh."
    try:
        found = function(s)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(who, expected=expected, got=f"{type(error).__name__}: {error}"[:160], do=do) from error
    if not isinstance(found, Tensor) or found.shape != s.shape:
        got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise InputError(who, expected=expected, got=got, do=do)
    return found

"""What is proved of a network, stated for the images it was applied to, with the values measured on them."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.attack import (
    Score,
    Search,
    changes_of_sign,
    crossings,
    drift,
    gain,
    noises_of,
    overshoot,
    spread,
)
from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.maps import Certified, attacked, hypotheses_of, proved_at

BRIEF = Search(starts=2, steps=15)
SMALL = (1, 12, 12)  # what is attacked
TINY = 1e-300

Run = Callable[[Float[Tensor, "row col"], int], Float[Tensor, "row col"]]


def certificates_of(
    network: nn.Module,
    planes: Float[Tensor, "image row col"],
    found: Float[Tensor, "image row col"],
    run: Run,
    fixed: Hypothesis,
    told: Sequence[float],
) -> tuple[Certificate, ...]:
    """Return what a network proves of its results ``found`` for ``planes``; nothing where it proves nothing.

    ``run`` maps a plane as plane k was mapped, ``fixed`` says what it takes from plane k: statements on two images hold
    for that map, not where each image has numbers of its own. ``told``, the noise levels that the network was told.
    Values are the worst over the images, computed in float64 from results in the precision of the images, whose
    rounding the bounds allow for.
    """
    if not isinstance(network, Certified):
        return ()
    return tuple(_certificates(network, planes, found, run, fixed, told))


def _certificates(
    network: nn.Module, planes: Tensor, found: Tensor, run: Run, fixed: Hypothesis, told: Sequence[float]
) -> Iterator[Certificate]:
    proved, hypotheses = proved_at(network, told), hypotheses_of(network)  # type: ignore[arg-type]
    ends = (min(told), max(told)) if told and noises_of(network) else None
    kind = Kind.PROVED if all(h.holds for h in hypotheses) else Kind.ESTIMATED
    rounding = 64 * torch.finfo(planes.dtype).eps

    def issued(claim: str, bound: float, values: list[float], score: Score, *more: Hypothesis) -> Certificate:
        rests = (*hypotheses, *more)
        return Certificate(claim, kind, max(values), bound, rests, "combettes2015", _attack(network, score, ends))

    if math.isfinite(proved.gain) and proved.mean:
        claim = f"Nothing grows: |N(u) - m| <= {proved.gain:.6g} |u - m|, m the mean grey value of the image."
        yield issued(
            claim, proved.gain * (1 + rounding), [_growth(*pair) for pair in zip(planes, found, strict=True)], gain
        )
    if math.isfinite(proved.lipschitz):
        bound = f"|N(u) - N(v)| <= {proved.lipschitz:.6g} |u - v|"
        claim = f"At the scale and noise level of this image, images stay together: {bound}; measured for v = N(u)."
        values = [_spread(u, v, run(v, k)) for k, (u, v) in enumerate(zip(planes, found, strict=True))]
        yield issued(claim, proved.lipschitz * (1 + rounding), values, spread, fixed)
    if proved.range:
        claim = "Maximum-minimum principle: no value of a plane leaves its range."
        yield issued(claim, rounding, [_overshoot(u, v) for u, v in zip(planes, found, strict=True)], overshoot)
    if proved.signs and proved.mean:
        claim = "Sign stability: no row crosses the mean grey value of its plane more often than before."
        values = [_crossings(u, v, rounding) for u, v in zip(planes, found, strict=True)]
        yield issued(claim, 0.0, values, crossings)
    if proved.mean:
        values = [_drift(u, v) for u, v in zip(planes, found, strict=True)]
        yield issued("The mean grey value is kept.", rounding, values, drift)


def _attack(network: nn.Module, score: Score, noises: Sequence[float] | None) -> Callable[[int], float]:
    """Return a search for a small image on which the claim is wrong, at these noise levels, usual ones for none."""
    return lambda seed: attacked(network, SMALL, score, BRIEF, seed, noises)


def _growth(u: Tensor, v: Tensor) -> float:
    u, v = u.double(), v.double()
    return float((v - u.mean()).norm()) / max(float((u - u.mean()).norm()), TINY)


def _spread(u: Tensor, v: Tensor, after: Tensor) -> float:
    """Return |N(u) - N(v)|/|u - v| for v = N(u); zero where N leaves u as it is."""
    u, v, after = u.double(), v.double(), after.double()
    return float((v - after).norm()) / max(float((u - v).norm()), TINY)


def _overshoot(u: Tensor, v: Tensor) -> float:
    """Return by how much v leaves the range of u, in parts of that range or of its values where they are larger."""
    u, v = u.double(), v.double()
    beyond = float(torch.maximum(v.max() - u.max(), u.min() - v.min()).clamp_min(0.0))
    return beyond / max(float(u.max() - u.min()), float(u.abs().max()), TINY)


def _crossings(u: Tensor, v: Tensor, rounding: float) -> float:
    """Return how often a row of v crosses the mean of u more than that of u does, the most of all rows."""
    u, v = u.double(), v.double()
    away = torch.where((v - u.mean()).abs() <= rounding * u.abs().max(), 0.0, v - u.mean())
    return max(float((changes_of_sign(away) - changes_of_sign(u - u.mean())).max()), 0.0)


def _drift(u: Tensor, v: Tensor) -> float:
    u, v = u.double(), v.double()
    return float((v.mean() - u.mean()).abs()) / max(float(u.square().mean().sqrt()), TINY)

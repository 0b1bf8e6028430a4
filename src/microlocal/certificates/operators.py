"""What can be certified of a linear operator: that its adjoint is one, and that its norm bound is one."""

import math

import torch

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.geometry import Detector, FanBeam
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.gradient import Gradient
from microlocal.operators.norms import norm_estimate
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.spaces import draw, finest, inner

LARGE = 1 << 26  # pixels that rays pass in all: beyond, a certificate spends less on each
POWERS, ROUNDING, LOOSE_GAP = 8, 1e-6, 1e-5  # of operators that are tried before others rest on them
ADJOINT_GAP = {torch.float64: 1e-10, torch.float32: 1e-5}


def adjoint_gap(operator: LinearOperator, seed: int = 0, pairs: int = 3, dtype: torch.dtype = torch.float64) -> float:
    """Return the largest |<A x, y> - <x, A* y>| / (|A x| |y|) over random pairs; 0 for a true adjoint."""
    source, worst = generator(seed), 0.0
    for _ in range(pairs):
        x, y = draw(operator, source, dtype), draw(operator.H, source, dtype)
        image, back = operator(x), operator.adjoint(y)
        gap = abs(inner(image, y) - inner(x, back))
        worst = max(worst, gap / max(float(image.norm() * y.norm()), 1e-300))
    return worst


def operator_hypotheses(operator: LinearOperator) -> tuple[Hypothesis, Hypothesis]:
    """Return what proofs take for granted of an operator, tried on it: users may declare its adjoint and its bound.

    That A reaches no more than ``norm_bound()``, by a few steps of power iteration, and that A* is its adjoint, on
    random images, up to what operators that compute in float32 leave.
    """
    bound, reached, gap = operator.norm_bound(), norm_estimate(operator, POWERS), adjoint_gap(operator, pairs=1)
    within = reached <= bound * (1 + ROUNDING) < math.inf
    return (
        Hypothesis(
            "|A| is below the bound that A states", f"{reached:.6g} is reached, the bound is {bound:.6g}", within
        ),
        Hypothesis("A* is the adjoint of A", f"<A x, y> and <x, A* y> differ by {gap:.2g}", gap <= LOOSE_GAP),
    )


def _adjoint_samples() -> list[Certificate]:
    return [certify_adjoint(operator) for operator in (Gradient((5, 4)), _small_ray())]


def _norm_samples() -> list[Certificate]:
    return [certify_norm(_small_ray())]


def _small_ray() -> RayTransform:
    beam = FanBeam((0.0, 0.7, 2.0), Detector(9, 1.4), source_axis=20.0, source_detector=30.0)
    return RayTransform(beam, Grid((6, 7), 1.0))


@register("certificate", "adjoint", samples=_adjoint_samples)
def certify_adjoint(operator: LinearOperator) -> Certificate:
    """Certify by sampling that ``adjoint`` is the transpose of ``forward``, in the finest precision it computes in.

    Of a large projector, whose views share one kernel, evenly spaced views are sampled; the claim says how many.
    """
    checked, part = _sample_of(operator)
    precision = finest(operator)
    part += ", to the rounding of single precision" * (precision == torch.float32)
    return Certificate(
        claim=f"The adjoint of {type(operator).__name__} is its exact transpose{part}.",
        kind=Kind.ESTIMATED,
        value=adjoint_gap(checked, pairs=2, dtype=precision),
        bound=ADJOINT_GAP[precision],
        attack=lambda seed: adjoint_gap(checked, seed + 1, dtype=precision),
    )


def _sample_of(operator: LinearOperator) -> tuple[LinearOperator, str]:
    """Return the operator and "", or a few of its views and a word on how many."""
    if type(operator) is not RayTransform or operator.method != "rays":  # a subclass may do anything with its views
        return operator, ""
    views, step = operator.geometry.shape[0], math.ceil(_updates(operator) / LARGE)
    chosen = range(0, views, step)
    if step == 1:
        return operator, ""
    few = RayTransform(operator.geometry.select(chosen), operator.grid, "rays")
    return few, f", on {len(chosen)} of its {views} views"


def _updates(operator: RayTransform) -> int:
    return math.prod(operator.geometry.shape) * max(operator.grid.shape)


@register("certificate", "norm", samples=_norm_samples, reference="horn1985")
def certify_norm(operator: RayTransform) -> Certificate:
    """Certify the norm bound of the X-ray transform: no image gains more than this factor.

    The value is |R x|/|x| for an x near the worst one, so that the norm lies between value and bound: within a percent
    of each other, or a few percent for a large projector, on which half as many iterations are spent. A class of one's
    own that sums along rays in its own way may have negative weights, and nothing is proved of it.
    """
    lower, upper = operator.norm_bounds(iterations=4 if _updates(operator) <= LARGE else 2)
    hypothesis = _norm_hypothesis(operator)
    return Certificate(
        claim="The X-ray transform does not amplify beyond the bound: |R f| <= bound |f| for every image.",
        kind=Kind.PROVED if hypothesis.holds else Kind.ESTIMATED,
        value=lower,
        bound=upper,
        hypotheses=(hypothesis,),
        reference="horn1985",
        attack=lambda seed: norm_estimate(operator, iterations=60, seed=seed + 1),
    )


def _norm_hypothesis(operator: RayTransform) -> Hypothesis:
    kind = type(operator)
    if (kind._forward, kind._adjoint) != (RayTransform._forward, RayTransform._adjoint):
        told = f"{kind.__name__} computes them itself"
        return Hypothesis("sums along rays are those of RayTransform, without negative weights", told, False)
    if operator.slices is not None:
        return Hypothesis(
            "R* R over a whole period of the detector is a convolution, so its absolute values bound it",
            f"period {operator.slices.length} samples for {operator.slices.count} detector pixels",
            operator.slices.length >= operator.slices.count,
        )
    return Hypothesis(
        "no entry of the matrix is negative: entries are interpolation weights in [0, 1] times ray steps",
        f"shortest ray step {float(operator.lengths.min()):.4g}",
        bool((operator.lengths > 0).all()),
    )

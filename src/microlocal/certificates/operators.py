"""What can be certified of a linear operator: that its adjoint is one, and that its norm bound is one."""

import torch

from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.core.seeding import generator
from microlocal.operators.base import LinearOperator
from microlocal.operators.norms import norm_estimate
from microlocal.operators.ray_transform import RayTransform

ADJOINT_GAP = {torch.float64: 1e-10, torch.float32: 1e-5}


def adjoint_gap(operator: LinearOperator, seed: int = 0, pairs: int = 3, dtype: torch.dtype = torch.float64) -> float:
    """Return the largest |<A x, y> - <x, A* y>| / (|A x| |y|) over random pairs; 0 for a true adjoint."""
    source, worst = generator(seed), 0.0
    for _ in range(pairs):
        x = torch.randn(operator.domain_shape, dtype=dtype, generator=source)
        y = torch.randn(operator.codomain_shape, dtype=dtype, generator=source)
        image, back = operator(x).double(), operator.adjoint(y).double()
        gap = abs(float((image * y).sum() - (x * back).sum()))
        worst = max(worst, gap / max(float(image.norm() * y.norm()), 1e-300))
    return worst


def certify_adjoint(operator: LinearOperator) -> Certificate:
    """Certify by sampling that ``adjoint`` is the transpose of ``forward``, in float64."""
    return Certificate(
        claim=f"The adjoint of {type(operator).__name__} is its exact transpose.",
        kind=Kind.ESTIMATED,
        value=adjoint_gap(operator, pairs=2),
        bound=ADJOINT_GAP[torch.float64],
        attack=lambda seed: adjoint_gap(operator, seed + 1),
    )


def certify_norm(operator: RayTransform) -> Certificate:
    """Certify the norm bound of the X-ray transform: no image gains more than this factor."""
    return Certificate(
        claim="The norm of the X-ray transform does not exceed the bound on which the solver's steps rest.",
        kind=Kind.PROVED,
        value=norm_estimate(operator, iterations=12),
        bound=operator.norm_bound(),
        hypotheses=(
            Hypothesis(
                "no entry of the matrix is negative: entries are interpolation weights in [0, 1] times ray steps",
                f"shortest ray step {float(operator.lengths.min()):.4g}",
                bool((operator.lengths > 0).all()),
            ),
        ),
        reference="horn1985",
        attack=lambda seed: norm_estimate(operator, iterations=60, seed=seed + 1),
    )

"""Bring an image nearer to its data: the least change after which no more than a given residual is left.

    f = f_0 + d,      d = argmin |d|²   such that   |A (f_0 + d) - g| <= ρ |g|

d = (A*A + α)^-1 A*(g - A f_0) with the α at which the constraint is met with equality. It lies in the range of A*: it
is measured, and what a network added in the null space stays as it was. Where ρ is below the noise, it is noise that
the change follows. Reference: Morozov (1966); Phillips (1962).
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Inexact
from scipy.optimize import brentq
from torch import Tensor

from microlocal.certificates.data import relative_residual
from microlocal.certificates.least_change import ROUNDING, certify_least_change
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.operators.base import LinearOperator
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.method import Estimate, interrupted
from microlocal.reconstruction.null_space import quick_normal
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver, Status

STEPS, EVERY, TOLERANCE = 150, 10, 1e-4  # of conjugate gradients, for one α
MOST, FIRST, LEAST = 8, 1, -7  # decades of α over |A|²
CLOSE = 0.02  # of the way from the first residual to ρ, in logarithms, that the last may go beyond
USUAL_TRIES = 10
TASK = "fitting the data"
INTERRUPTED = "Interrupted before the image was brought nearer to the data: it is as the method left it."


def checked_residual(residual: float | None, who: str) -> float | None:
    """Return ``residual``, a share of the data or None; raises InputError for anything else.

    >>> checked_residual(0.02, "reconstruct")
    0.02
    """
    if residual is None:
        return None
    if isinstance(residual, bool) or not isinstance(residual, int | float) or not 0 < residual < 1:
        do = "Give what may be left, such as 0.02 for 2 %."
        raise InputError(who, expected="a residual between 0 and 1, as a share of the data", got=repr(residual), do=do)
    return float(residual)


def fitted(
    estimate: Estimate,
    operator: LinearOperator,
    data: Inexact[Tensor, "..."],
    residual: float,
    progress: Progress = SILENT,
) -> Estimate:
    """Return the estimate after the least change of its image that leaves ``residual`` |g| or less, certified.

    ``data`` g (*batch, *codomain), each image being changed by itself. Data that cannot be explained so well (ρ below
    what every image leaves) are explained as well as was found, and the certificate does not hold. Where Ctrl-C ended
    the method the image stays as it is.
    """
    config = estimate.config | {"status": "interrupted"}
    unchanged = replace(estimate, notes=(*estimate.notes, INTERRUPTED), config=config)
    if interrupted(estimate.config):
        return unchanged
    shape, data = estimate.image.shape, estimate.correct(data)
    pages = zip(
        estimate.image.reshape(-1, *operator.domain_shape), data.reshape(-1, *operator.codomain_shape), strict=True
    )
    try:
        image = torch.stack([_nearer(operator, f, g, residual, progress) for f, g in pages]).reshape(shape)
    except KeyboardInterrupt:
        return unchanged
    certificate = certify_least_change(operator, estimate.image, image, data, residual)
    note = _told(estimate.image, image, residual, relative_residual(operator, image, data))
    return replace(
        estimate,
        image=image,
        notes=(*estimate.notes, note),
        config=estimate.config | {"target residual": residual},
        certificates=(*estimate.certificates, certificate),
    )


def _nearer(
    operator: LinearOperator,
    image: Inexact[Tensor, "..."],
    data: Inexact[Tensor, "..."],
    residual: float,
    progress: Progress,
) -> Inexact[Tensor, "..."]:
    """Return f_0 + d: α falls by decades until ρ is passed, and is then searched for within the last one."""
    target, gap = residual * float(data.norm()), data - operator(image)
    if float(gap.norm()) <= target:
        return image
    normal = quick_normal(operator) if isinstance(operator, RayTransform) else None
    unit, beyond = _unit(operator, gap), CLOSE * math.log(float(gap.norm()) / target)

    def change(decade: float) -> Tensor:
        driver = Driver(STEPS, every=EVERY, tolerance=TOLERANCE)
        found = cgls(operator, gap, driver, damping=unit * 10.0**decade, normal=normal)
        if found.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        progress.advance(TASK)
        return found.value

    def excess(decade: float) -> float:
        left = float((gap - operator(change(decade))).norm())
        return math.log(max(left, 1e-30) / target) + beyond

    progress.start(TASK, USUAL_TRIES)
    try:
        passed = next((decade for decade in range(FIRST, LEAST - 1, -1) if excess(decade) <= 0), None)
        if passed is None:
            return image + change(LEAST)
        before = MOST if passed == FIRST else passed + 1
        return image + change(brentq(excess, passed, before, xtol=beyond))
    finally:
        progress.finish(TASK)


def _unit(operator: LinearOperator, gap: Inexact[Tensor, "..."]) -> float:
    """Return the bound of |A|²; of an operator without one what it is at least, |A* e|²/|e|²."""
    bound = operator.norm_bound()
    return (bound if math.isfinite(bound) else float(operator.adjoint(gap).norm() / gap.norm())) ** 2


def _told(before: Tensor, after: Tensor, residual: float, left: float) -> str:
    share = float((after - before).norm() / before.norm().clamp_min(1e-30))
    if share == 0:
        return f"Nothing had to be changed to leave {100 * residual:.3g} % of the data at most."
    reached = f"To leave {100 * residual:.3g} % of the data the image was changed by {100 * share:.3g} %"
    if left > (1 + ROUNDING) * residual:
        asked, found = (f"{100 * part:.3g} %" for part in (residual, left))
        reached = f"{asked} of the data cannot be left: the best fit that was found leaves {found}"
    if after.is_complex() or bool((before < 0).any()) or not bool((after < 0).any()):
        return f"{reached}."
    least = float(after.min() / after.max().clamp_min(1e-30))
    return f"{reached}; values go down to {100 * least:.2g} % of the largest since."

"""Learned primal-dual: an unrolled iteration whose steps are networks, with the scan's own operator between them.

See ``networks.primal_dual``. Reference: Adler and Öktem (2018).
"""

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.networks.primal_dual import LearnedPrimalDual
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.toy import MethodTrial, nothing, trial
from microlocal.reconstruction.trained import Trained, by_slice, learned_estimate, trained_network, untrained

TASK = "learned-primal-dual"


def _trials() -> list[MethodTrial]:
    network = Trained(untrained(lambda: LearnedPrimalDual(2, 2, 4)), "untrained", "It has learned nothing.")
    return [trial(f"{TASK}, against the zero image", lambda s, grid, _: unrolled(s, grid, network), nothing, 0.6)]


@register("method", TASK, samples=_trials, reference="adler2018")
def learned_primal_dual(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """An unrolled iteration of small trained networks that look at the data at every step, without a guarantee.

    Raises InputError without weights, and for a scan unlike those that they were trained on unless forced.
    """
    return unrolled(scan, grid, trained_network(TASK, LearnedPrimalDual, scan, grid, settings))


def unrolled(scan: Scan, grid: Grid, trained: Trained[LearnedPrimalDual]) -> Estimate:
    """Return what the iteration of a network makes of a scan, from the filtered backprojection on."""
    ray = RayTransform(scan.geometry, grid)
    base = filtered_backprojection(scan.data, scan.geometry, grid)
    image = by_slice(lambda x, g: trained.network(ray, g, x), base, scan.data, trained.left)
    remark = "The networks saw the data at every step, but nothing holds the last one to them."
    return learned_estimate(scan, grid, base, image, trained, remark)

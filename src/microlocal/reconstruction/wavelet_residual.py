"""Wavelet residual learning: a U-Net finds the artefacts of the filtered backprojection band by band; they come off.

    f = x - a W^T U(W x / a),   x = FBP g

Reference: Gu and Ye (2017).
"""

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.networks.wavelet_residual import WaveletResidual
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.toy import MethodTrial, nothing, trial
from microlocal.reconstruction.trained import Trained, by_slice, learned_estimate, trained_network, untrained

TASK = "wavelet-residual"


def _trials() -> list[MethodTrial]:
    network = Trained(untrained(lambda: WaveletResidual((4, 4))), "untrained", "It has learned nothing.")
    return [trial(f"{TASK}, against the zero image", lambda s, grid, _: cleaned(s, grid, network), nothing, 0.6)]


@register("method", TASK, samples=_trials, reference="gu2017")
def wavelet_residual(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection less the artefacts that a trained U-Net finds among its wavelet coefficients.

    Raises InputError without weights, and for a scan unlike those that they were trained on unless forced.
    """
    return cleaned(scan, grid, trained_network(TASK, WaveletResidual, scan, grid, settings))


def cleaned(scan: Scan, grid: Grid, trained: Trained[WaveletResidual]) -> Estimate:
    """Return the filtered backprojection of a scan without the artefacts that a network finds."""
    base = filtered_backprojection(scan.data, scan.geometry, grid)
    image = by_slice(lambda x, _: x - trained.network(x), base, scan.data, trained.left)
    remark = "The network saw the filtered backprojection alone: nothing holds it to the data."
    return learned_estimate(scan, grid, base, image, trained, remark)

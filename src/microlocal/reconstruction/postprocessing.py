"""Post-processing: filtered backprojection, then a residual U-Net on the image. The data are not looked at again.

    f = x + a U(x / a),   x = FBP g

Reference: Jin, McCann, Froustey and Unser (2017), FBPConvNet.
"""

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.networks.image_unet import ImageUNet
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.toy import MethodTrial, nothing, trial
from microlocal.reconstruction.trained import Trained, by_slice, learned_estimate, trained_network, untrained

TASK = "postprocessing"


def _trials() -> list[MethodTrial]:
    network = Trained(untrained(lambda: ImageUNet((4, 4))), "untrained", "It has learned nothing.")
    return [trial(f"{TASK}, against the zero image", lambda s, grid, _: postprocessed(s, grid, network), nothing, 0.6)]


@register("method", TASK, samples=_trials, reference="jin2017")
def postprocessing(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Filtered backprojection, then a trained U-Net on the image: quick, and free to contradict the data.

    Raises InputError without weights, and for a scan unlike those that they were trained on unless forced.
    """
    return postprocessed(scan, grid, trained_network(TASK, ImageUNet, scan, grid, settings))


def postprocessed(scan: Scan, grid: Grid, trained: Trained[ImageUNet]) -> Estimate:
    """Return what a network makes of the filtered backprojection of a scan."""
    base = filtered_backprojection(scan.data, scan.geometry, grid)
    image = by_slice(lambda x, _: x + trained.network(x), base, scan.data, trained.left)
    remark = "The network saw the filtered backprojection alone: nothing holds it to the data."
    return learned_estimate(scan, grid, base, image, trained, remark)

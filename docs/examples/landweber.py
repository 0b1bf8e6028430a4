"""A method of one's own: Landweber's iteration, projected on non-negative images.

f <- max(f + Rᵀ (g - R f) / |R|², 0)        (L. Landweber, Amer. J. Math. 73, 1951)
"""

import torch
from torch import Tensor

from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.operators import RayTransform
from microlocal.reconstruction import Estimate, Settings, fbp
from microlocal.reconstruction.toy import MethodTrial, trial


def _by_fbp(scan: Scan) -> Tensor:
    return fbp(scan, scan.grid, Settings()).image


def _trials() -> list[MethodTrial]:
    return [trial("landweber, against fbp", landweber, _by_fbp, 0.5)]


@register("method", "landweber", samples=_trials)
def landweber(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Gradient steps on least squares, non-negative: simple and slow; the number of iterations regularises."""
    ray = RayTransform(scan.geometry, grid)
    step, count = 1 / ray.norm_bound() ** 2, settings.iterations or 50
    image = torch.zeros(*scan.data.shape[:-2], *grid.shape, dtype=scan.data.dtype)
    residuals = []
    settings.progress.start("reconstructing", count)
    for _ in range(count):
        gap = scan.data - ray(image)
        residuals.append(float(gap.norm()))
        image = (image + step * ray.adjoint(gap)).clamp_min(0.0)
        settings.progress.advance("reconstructing")
    settings.progress.finish("reconstructing")
    note = f"{count} iterations: their number is the regularisation."
    history = {"iteration": [float(k) for k in range(count)], "residual": residuals}
    return Estimate(image, (note,), {"iterations": count, "step": step}, history)

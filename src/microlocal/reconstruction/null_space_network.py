"""Null-space network: a regularised solution, and a network that may only add what the operator does not see.

    f = x + P U(x),   x = B_α g,   P = I - B_α R,   B_α = (R* R + α)^-1 R*   (Tikhonov)   or   x = FBP g

With α → 0 as the noise falls, α = O(δ), the error falls like δ^½ for objects with a source condition (the theorem is
checked in ``benchmarks/null_space_rates.py``). Here α is chosen from the measured noise before anything is solved, and
the projection is that of ``null_space``, ended by the length of step at which the residual is 5 % above that of x.

Reference: Schwab, Antholzer and Haltmeier (2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.calibration.noise import noise_level
from microlocal.certificates.consistency import certify_consistency, residual_growth
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.networks.image_unet import ImageUNet
from microlocal.operators.autograd import linear_pair
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.fbp import filtered_backprojection
from microlocal.reconstruction.learn_the_invisible import INTERRUPTED
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.null_space import complete_consistently, quick_normal
from microlocal.reconstruction.toy import MethodTrial, nothing, trial
from microlocal.reconstruction.trained import EPSILON, Trained, trained_network, untrained
from microlocal.reconstruction.verdict import WHY
from microlocal.solvers.cgls import cgls
from microlocal.solvers.driver import Driver

TASK = "null-space-network"
Regularisation = Literal["tikhonov", "fbp"]
SOLVING, PROJECTING = 40, 12  # steps of conjugate gradients
LEAST_NOISE = 0.003  # of the data: model errors remain where there is no noise
SCALE = 0.05  # of the relative noise, times |R|²: near the best for ellipses at 0.5 to 5 %


class NullSpaceNetwork(nn.Module):
    """The U-Net of a null-space network, with the name of the regularisation that it completes.

    Parameters: ``widths`` and ``pairs`` as for :class:`ImageUNet`; ``regularisation``, "tikhonov" or "fbp".
    """

    def __init__(self, widths: Sequence[int], pairs: int = 1, regularisation: Regularisation = "tikhonov") -> None:
        super().__init__()
        self.unet = ImageUNet(widths, pairs)
        self.regularisation = regularisation

    def forward(self, image: Float[Tensor, "batch row col"]) -> Float[Tensor, "batch row col"]:
        """Return U(x), what is to be added before the projection."""
        found: Tensor = self.unet(image)
        return found

    def begin(self, ray: RayTransform, data: Float[Tensor, "*batch angle detector"]) -> Float[Tensor, "*batch row col"]:
        """Return x = B g."""
        if self.regularisation == "fbp":
            return filtered_backprojection(data, ray.geometry, ray.grid)
        return tikhonov(ray, data, damping_for(ray, data))


def damping_for(ray: RayTransform, data: Float[Tensor, "*batch angle detector"]) -> float:
    """Return α = c δ |R|² with the relative noise δ that the data show: O(δ), as the rate of convergence asks."""
    spread = float(data.double().square().mean().sqrt()) or 1.0
    return SCALE * max(noise_level(data) / spread, LEAST_NOISE) * ray.norm_bound() ** 2


def tikhonov(
    ray: RayTransform, data: Float[Tensor, "*batch angle detector"], damping: float, steps: int = SOLVING
) -> Float[Tensor, "*batch row col"]:
    """Return B_α g = argmin |R f - g|² + α |f|² by conjugate gradients."""
    driver = Driver(iterations=steps, every=steps, tolerance=1e-6, task="reconstructing")
    return cgls(ray, data, driver, damping=damping).value


def unseen(
    ray: RayTransform, image: Float[Tensor, "*batch row col"], damping: float
) -> Float[Tensor, "*batch row col"]:
    """Return P h = h - B_α R h, differentiable: P is symmetric, so that its transpose is the same few steps."""

    def project(h: Tensor) -> Tensor:
        return h - tikhonov(ray, ray(h), damping, PROJECTING)

    return linear_pair(image, project, project)


def _trials() -> list[MethodTrial]:
    network = Trained(untrained(lambda: NullSpaceNetwork((4, 4))), "untrained", "It has learned nothing.")
    return [trial(f"{TASK}, against the zero image", lambda s, grid, _: completed(s, grid, network), nothing, 0.5)]


@register("method", TASK, samples=_trials, reference="schwab2019")
def null_space_network(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """A Tikhonov solution, completed by a trained U-Net in the null space of the operator: never against the data.

    Raises InputError without weights, and for a scan unlike those that they were trained on unless forced.
    """
    return completed(scan, grid, trained_network(TASK, NullSpaceNetwork, scan, grid, settings))


def completed(scan: Scan, grid: Grid, trained: Trained[NullSpaceNetwork]) -> Estimate:
    """Return x + t P U(x), with the certificate that the residual grew by at most ``EPSILON``, slice by slice."""
    ray = RayTransform(scan.geometry, grid)
    sinograms = scan.data.reshape(-1, *ray.codomain_shape)
    shape = (*scan.data.shape[:-2], *grid.shape)
    try:
        parts = [_plane(ray, data, trained.network, k in trained.left) for k, data in enumerate(sinograms)]
    except KeyboardInterrupt:
        begun = torch.stack([trained.network.begin(ray, data) for data in sinograms]).reshape(shape)
        return Estimate(begun, (INTERRUPTED,), {"network": "none", WHY: INTERRUPTED, "status": "interrupted"})
    base, image = (torch.stack(planes).reshape(shape) for planes in zip(*(part[:2] for part in parts), strict=True))
    kept = min(part[2] for part in parts)
    attack = _Attack(ray, sinograms[0], trained.network)
    certificate = certify_consistency(ray, scan.data, base, image, EPSILON, attack)
    config = trained.record({"epsilon": EPSILON, "kept": kept, "begun by": trained.network.regularisation})
    notes = (config[WHY], f"Of what the network added outside of what the scan sees, {100 * kept:.0f} % was kept.")
    return Estimate(image, notes, config, learned=image - base, certificates=(certificate,))


@torch.no_grad()
def _plane(
    ray: RayTransform, data: Tensor, network: NullSpaceNetwork, left: bool = False
) -> tuple[Tensor, Tensor, float]:
    """Return x, f and the kept share of one slice; f = x where it is ``left`` alone."""
    base = network.begin(ray, data)
    proposal = base if left else base + network(base[None].float())[0].to(base)
    found = complete_consistently(ray, data, base, proposal, EPSILON, quick_normal(ray))
    return base, found.image, float(found.kept.min())


@dataclass(frozen=True, eq=False)
class _Attack:
    """A search for data that the network would contradict: noise and single readings, ever larger, on measured data."""

    ray: RayTransform
    data: Float[Tensor, "angle detector"]
    network: NullSpaceNetwork

    def __call__(self, seed: int) -> float:
        """Return the largest growth of the residual that was found."""
        draw, worst = generator(seed), -1.0
        for power in (-2, 0, 2):
            noise = torch.randn(self.data.shape, generator=draw)
            noise.view(-1)[int(torch.randint(noise.numel(), (), generator=draw))] += 100.0
            data = self.data + float(self.data.std()) * 10.0**power * noise.to(self.data)
            base, image, _ = _plane(self.ray, data, self.network)
            worst = max(worst, residual_growth(self.ray, data, base, image))
        return worst

"""Learn the Invisible: sparse shearlets for what the scan determines, a network for the rest, consistent with the data.

    f* = argmin_{f >= 0} 1/2 |R f - g|² + |SH(f)|_{1,w}          reconstruct the visible
    F  = Φ(SH(f*), s)                                           learn the invisible
    h  = SH^T(s SH(f*) + (1 - s) F) - f*                        combine
    f  = f* + t (I - R^+ R) h                                   and never contradict the data

s is the measured share of every shearlet coefficient, from the canonical relation of the geometry. The last step is
beyond the paper: the learned part loses what the scan can see of it, and t in [0, 1] is the longest step with which
the residual is at most 5 % above that of f*. A scan unlike those that the network was trained on is reconstructed
without it, and the notes say why.

Reference: Bubba et al. (2019); Kutyniok (2023), section 4.1; Schwab, Antholzer and Haltmeier (2019).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.certificates.consistency import certify_consistency, residual_growth
from microlocal.core.errors import InputError
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.frames.dyadic import DyadicShearletFrame
from microlocal.networks.invisible import InvisibleNetwork
from microlocal.networks.suitability import unsuited
from microlocal.networks.weights import fill, load_weights, read_card, shipped_weights
from microlocal.operators.ray_transform import RayTransform
from microlocal.operators.toeplitz import Toeplitz
from microlocal.reconstruction.cgls import least_squares_image
from microlocal.reconstruction.facts import beam_of, facts_of
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.null_space import Completion, complete_consistently
from microlocal.reconstruction.shearlet import shearlet
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.wavefront.coefficients import coarse_share

TASK = "learn-the-invisible"
EPSILON = 0.05  # by which the residual may grow


@dataclass(frozen=True, eq=False)
class Learned:
    """A trained network with the frame of its coefficients and the card that says what it was trained on."""

    network: InvisibleNetwork
    scales: int
    card: dict[str, Any]
    name: str

    def frame(self, shape: tuple[int, int]) -> DyadicShearletFrame:
        """Return the frame of images of ``shape``."""
        return DyadicShearletFrame(shape, self.scales)

    @torch.no_grad()
    def propose(self, image: Float[Tensor, "*batch row col"], geometry: Geometry, grid: Grid) -> Tensor:
        """Return SH^T(s SH(f*) + (1 - s) F) of every image, one after the other."""
        frame = self.frame(grid.shape)
        share = share_of(frame, geometry, grid).to(image)
        planes = image.reshape(-1, 1, *grid.shape)
        return torch.cat([self.network.complete(plane, share[None], frame) for plane in planes]).reshape(image.shape)


def share_of(frame: DyadicShearletFrame, geometry: Geometry, grid: Grid) -> Float[Tensor, "filter #row #col"]:
    """Return the measured share of every filter on a coarse grid that covers the frame's padded image."""
    return coarse_share(frame.filters, geometry, grid.extended((frame.padded[0], frame.padded[1])))


def load_learned(path: str | Path) -> Learned:
    """Return the network in a file of weights; raises InputError where it is damaged or of another task."""
    state, card = load_weights(path)
    name = Path(path).stem
    if card.get("task") != TASK:
        do = f"Give weights that were trained with task = '{TASK}'."
        raise InputError(f"weights {name}", expected=f"task {TASK}", got=str(card.get("task")), do=do)
    network = InvisibleNetwork(**card["architecture"]["network"])
    fill(network, state, f"weights {name}")
    return Learned(network.eval(), int(card["architecture"]["scales"]), card, name)


def _trials() -> list[MethodTrial]:
    return [trial("learn-the-invisible, against cgls", learn_the_invisible, least_squares_image, 0.8, iterations=80)]


@register("method", TASK, samples=_trials, reference="bubba2019")
def learn_the_invisible(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Sparse shearlets for what the scan sees, a network for what it cannot, and nothing that contradicts the data.

    Without weights that suit the scan it returns what ``shearlet`` does, and says so; the weight and the iterations
    are those of ``shearlet``.
    """
    base = shearlet(scan, grid, settings)
    learned, why = choose(scan, base.image, grid, settings)
    if learned is None:
        return replace(base, notes=(*base.notes, why), config=base.config | {"network": "none"})
    ray = RayTransform(scan.geometry, grid)
    proposal = learned.propose(base.image, scan.geometry, grid)
    completion = complete_consistently(ray, scan.data, base.image, proposal, EPSILON, _quick_normal(ray))
    attack = _Attack(learned, ray, scan, base.image)
    certificate = certify_consistency(ray, scan.data, base.image, completion.image, EPSILON, attack)
    config = {"network": learned.name, "epsilon": EPSILON, "kept": float(completion.kept.min())}
    return replace(
        base,
        image=completion.image,
        learned=completion.learned,
        notes=(*base.notes, why, _kept(completion)),
        config=base.config | config,
        certificates=(certificate,),
    )


def choose(
    scan: Scan, image: Float[Tensor, "*batch row col"], grid: Grid, settings: Settings
) -> tuple[Learned | None, str]:
    """Return the network to use on a scan with f* = ``image``, or None, and the reason as a sentence."""
    if settings.network == "none":
        return None, "No network was used, as was asked: what the scan does not determine is marked undetermined."
    given = {Path(settings.network).stem: Path(settings.network)} if settings.network != "auto" else shipped_weights()
    reasons = []
    for name, path in given.items():
        if settings.network == "auto" and read_card(path).get("task") != TASK:
            continue
        learned = load_learned(path)
        frame = learned.frame(grid.shape)
        facts = facts_of(scan, image, share_of(frame, scan.geometry, grid), frame)
        differences = unsuited(learned.card, beam_of(scan.geometry), facts)
        if not differences:
            return learned, f"The network {name} completed the image: the scan is like those it was trained on."
        if settings.force:
            return learned, f"The network {name} was forced on a scan unlike those it knows: {'; '.join(differences)}."
        reasons.append(f"{name}: {'; '.join(differences)}")
    why = " | ".join(reasons) if reasons else "no weights are at hand"
    return None, f"No network was used, for this scan is unlike those that were trained on ({why})."


def _kept(completion: Completion) -> str:
    share, growth = float(completion.kept.min()), float((completion.misfit / completion.before.clamp_min(1e-30)).max())
    return (
        f"Of the learned part outside of what the scan sees {100 * share:.0f} % was kept; "
        f"the residual is {growth:.3f} times that of the visible part."
    )


def _quick_normal(ray: RayTransform) -> Toeplitz | None:
    normal = ray.normal()
    return normal if isinstance(normal, Toeplitz) else None


@dataclass(frozen=True, eq=False)
class _Attack:
    """A search for data on which the learned part would contradict them: steps uphill in |R (f - f*)|, from noise.

    The data are g + d and the image f* + e; e climbs along the gradient of |R h(f* + e)|², h being what the network
    proposes, and d takes random directions of growing size. Returns the largest growth of the residual.
    """

    learned: Learned
    ray: RayTransform
    scan: Scan
    visible: Float[Tensor, "*batch row col"]
    steps: int = 4

    def __call__(self, seed: int) -> float:
        draw = generator(seed)
        image = self.visible.reshape(-1, *self.ray.domain_shape)[:1]
        data = self.scan.data.reshape(-1, *self.ray.codomain_shape)[:1]
        worst = -1.0
        for step in range(self.steps):
            size = float(image.abs().max()) * 10.0 ** (step - 2)
            image = (image + size * torch.randn(image.shape, generator=draw).to(image)).clamp_min(0)
            image = self._uphill(image, size)
            noisy = data + float(data.std()) * 10.0 ** (step - 3) * torch.randn(data.shape, generator=draw).to(data)
            proposal = self.learned.propose(image, self.scan.geometry, self.ray.grid)
            found = complete_consistently(self.ray, noisy, image, proposal, EPSILON, _quick_normal(self.ray))
            worst = max(worst, residual_growth(self.ray, noisy, image, found.image))
        return worst

    def _uphill(self, image: Tensor, size: float) -> Tensor:
        """Return the image after a step along the gradient of what the scan would see of the proposal."""
        frame = self.learned.frame(self.ray.grid.shape)
        share = share_of(frame, self.scan.geometry, self.ray.grid).to(image)
        with torch.enable_grad():
            moved = image.clone().requires_grad_(True)
            change = self.ray(self.learned.network.complete(moved, share[None], frame) - moved)
            (slope,) = torch.autograd.grad(change.square().sum(), moved)
        return image + size * slope / slope.abs().max().clamp_min(1e-30)

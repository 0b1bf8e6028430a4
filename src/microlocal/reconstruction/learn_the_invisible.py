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

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microlocal.certificates.consistency import certify_consistency
from microlocal.core.geometry import Geometry
from microlocal.core.grid import Grid
from microlocal.core.registry import register
from microlocal.core.scan import Scan
from microlocal.networks.suitability import unsuited
from microlocal.networks.weights import read_card, shipped_weights
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.cgls import least_squares_image
from microlocal.reconstruction.contradiction import Attack
from microlocal.reconstruction.facts import beam_of, scan_facts
from microlocal.reconstruction.learned import TASK, Chosen, load_learned
from microlocal.reconstruction.method import Estimate, Settings
from microlocal.reconstruction.null_space import Completion, complete_consistently, quick_normal
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.reconstruction.visible import USUAL, base_method
from microlocal.wavefront.visibility import missing_wedge

EPSILON = 0.05  # by which the residual may grow
INTERRUPTED = "Interrupted before a network had completed the image: this is what the scan and the model say."
WHY = "network because"  # in the configuration: the sentence that says why a network was used or not


def _trials() -> list[MethodTrial]:
    return [trial("learn-the-invisible, against cgls", learn_the_invisible, least_squares_image, 0.8, iterations=80)]


@register("method", TASK, samples=_trials, reference="bubba2019")
def learn_the_invisible(scan: Scan, grid: Grid, settings: Settings) -> Estimate:
    """Sparse shearlets for what the scan sees, a network for what it cannot, and nothing that contradicts the data.

    Without weights that suit the scan it returns what ``shearlet`` does, and says so. The weight and the iterations are
    those of ``shearlet``, or of the method that the card of the weights names for the visible part.
    """

    @cache
    def visible(name: str) -> Estimate:
        return base_method(name)(scan, grid, settings)

    chosen, why, name = choose(scan, grid, settings, visible)
    base = visible(name)
    nothing_done = {"network": "none", WHY: why}
    if chosen is not None:
        nothing_done = {"network": "none", WHY: INTERRUPTED, "status": "interrupted"}
        if base.config.get("status") != "interrupted":
            with suppress(KeyboardInterrupt):
                return _completed(base, chosen, why, RayTransform(scan.geometry, grid), base.correct(scan.data))
    return replace(base, notes=(*base.notes, nothing_done[WHY]), config=base.config | nothing_done)


def _completed(base: Estimate, chosen: Chosen, why: str, ray: RayTransform, data: Tensor) -> Estimate:
    """Return f, with its certificate, from the estimate of f*."""
    with torch.no_grad():
        proposal = chosen.proposal(base.image)
    completion = complete_consistently(ray, data, base.image, proposal, EPSILON, quick_normal(ray))
    attack = Attack(chosen, ray, data, base.image, EPSILON)
    certificate = certify_consistency(ray, data, base.image, completion.image, EPSILON, attack)
    config = {"network": chosen.learned.name, WHY: why, "epsilon": EPSILON, "kept": float(completion.kept.min())}
    return replace(
        base,
        image=completion.image,
        learned=completion.learned,
        notes=(*base.notes, why, _kept(completion)),
        config=base.config | config,
        certificates=(certificate,),
    )


def choose(
    scan: Scan, grid: Grid, settings: Settings, visible: Callable[[str], Estimate]
) -> tuple[Chosen | None, str, str]:
    """Return the network to use on a scan, or None, the reason as a sentence, and the method of f*.

    ``visible(name)`` reconstructs f* by a method: only for networks that the scan alone does not rule out. Where a
    network is refused for nothing but that the scan sees more than those it knows, its method of f* stays.
    """
    if settings.network == "none":
        why = "No network was used, as was asked: what the scan does not determine is marked undetermined."
        return None, why, USUAL
    reasons, beam, name_of_base = [], beam_of(scan.geometry), USUAL
    for name, path in _candidates(settings.network, beam).items():
        learned = load_learned(path)
        chosen = Chosen(learned, learned.scales(scan.geometry, grid), grid)
        differences = unsuited(learned.card, beam, scan_facts(scan, chosen.scales[0].grid), partly=True)
        more = len(differences) == 1 and sees_more(learned.card, scan.geometry, beam)
        if more or not differences or settings.force:
            differences = unsuited(learned.card, beam, chosen.facts(scan, visible(learned.base).image))
            if not differences or settings.force:
                return chosen, _told(name, differences), learned.base
            if more and len(differences) == 1:
                name_of_base = learned.base
        reasons.append(f"{name}: {'; '.join(differences)}")
    why = " | ".join(reasons) if reasons else "no weights are at hand"
    return None, f"No network was used, for this scan is unlike those that were trained on ({why}).", name_of_base


def sees_more(card: Mapping[str, Any], geometry: Geometry, beam: str) -> bool:
    """Return whether a scan of the card's beam has a smaller missing wedge than all that the network knows."""
    trained = card.get("trained on", {})
    low, _ = trained.get("ranges", {}).get("missing wedge", (0.0, 0.0))
    return trained.get("beam") == beam and missing_wedge(geometry) < float(low)


def _told(name: str, differences: list[str]) -> str:
    if not differences:
        return f"The network {name} completed the image: the scan is like those it was trained on."
    return f"The network {name} was forced on a scan unlike those it knows: {'; '.join(differences)}."


def _candidates(network: str, beam: str) -> dict[str, Path]:
    """Return the weights to try by name: the given file, or the shipped ones of this task, those of the beam first."""
    if network != "auto":
        return {Path(network).stem: Path(network)}
    cards = {name: read_card(path) for name, path in shipped_weights().items()}
    fitting = [name for name, card in cards.items() if card.get("task") == TASK]
    fitting.sort(key=lambda name: cards[name].get("trained on", {}).get("beam") != beam)
    return {name: shipped_weights()[name] for name in fitting}


def _kept(completion: Completion) -> str:
    share, growth = float(completion.kept.min()), float((completion.misfit / completion.before.clamp_min(1e-30)).max())
    return (
        f"Of the learned part outside of what the scan sees {100 * share:.0f} % was kept; "
        f"the residual is {growth:.3f} times that of the visible part."
    )

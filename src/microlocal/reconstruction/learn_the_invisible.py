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
from dataclasses import dataclass, replace
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
from microlocal.networks.weights import name_of, read_card, shipped_weights
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.cgls import least_squares_image
from microlocal.reconstruction.contradiction import Attack
from microlocal.reconstruction.facts import beam_of, scan_facts, wider_fan
from microlocal.reconstruction.learned import TASK, Chosen, load_learned
from microlocal.reconstruction.method import Estimate, Settings, network_record
from microlocal.reconstruction.null_space import Completion, complete_consistently, quick_normal
from microlocal.reconstruction.toy import MethodTrial, trial
from microlocal.reconstruction.verdict import NETWORK, WHY, Verdict, unlike_all
from microlocal.reconstruction.visible import USUAL, base_method
from microlocal.wavefront.visibility import missing_wedge

EPSILON = 0.05  # by which the residual may grow
NO_NETWORK = "No network was used, as was asked: what the scan does not determine is marked undetermined."
NONE_SUITS = "No network was used, as was chosen for all slices."
INTERRUPTED = "Interrupted before a network had completed the image: this is what the scan and the model say."
BASE = "visible part by"  # in the configuration: the method of f*


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

    choice = choose(scan, grid, settings, visible)
    base = visible(choice.base)
    base = replace(base, config=base.config | {BASE: choice.base})
    if choice.chosen is not None and choice.verdict is not None and choice.verdict.completed:
        with suppress(KeyboardInterrupt):
            ray = RayTransform(scan.geometry, grid)
            return _completed(base, choice.verdict, choice.chosen, ray, base.correct(scan.data))
        without = base.config | {NETWORK: "none", WHY: INTERRUPTED, "status": "interrupted"}
    elif choice.verdict is not None:
        without = choice.verdict.record(base.config)
    else:
        without = base.config | {NETWORK: "none", WHY: choice.why}
    return replace(base, notes=(*base.notes, without[WHY]), config=without)


def _completed(base: Estimate, verdict: Verdict, chosen: Chosen, ray: RayTransform, data: Tensor) -> Estimate:
    """Return f, with its certificate, from the estimate of f*; slices that are not to be completed stay as they are."""
    pages, to_complete = base.image.reshape(-1, *ray.domain_shape).clone(), list(verdict.completed)
    with torch.no_grad():
        pages[to_complete] = chosen.proposal(pages[to_complete])
    proposal = pages.reshape(base.image.shape)
    completion = complete_consistently(ray, data, base.image, proposal, EPSILON, quick_normal(ray))
    attack = Attack(chosen, ray, data, base.image, EPSILON)
    certificate = certify_consistency(ray, data, base.image, completion.image, EPSILON, attack)
    config = base.config | network_record(chosen.learned.name, chosen.learned.card)
    config = verdict.record(config) | {"epsilon": EPSILON, "kept": float(completion.kept.min())}
    return replace(
        base,
        image=completion.image,
        learned=completion.learned,
        notes=(*base.notes, config[WHY], _kept(completion)),
        config=config,
        certificates=(certificate,),
    )


@dataclass(frozen=True, eq=False)
class Choice:
    """The network to use and what was found of it for every slice, or None and the reason; the method of f*."""

    chosen: Chosen | None
    why: str = ""
    base: str = USUAL
    verdict: Verdict | None = None


def choose(scan: Scan, grid: Grid, settings: Settings, visible: Callable[[str], Estimate]) -> Choice:
    """Return the network to use on a scan: one that suits it, or of a stack some of its slices.

    ``visible(name)`` reconstructs f* by a method: only for networks that the scan alone does not rule out. Where a
    network is refused for nothing but that the scan sees more than those it knows, its method of f* stays. A settled
    one is never refused: it completes the slices that it suits, if any.
    """
    if settings.network == "none":
        return Choice(None, NONE_SUITS if settings.settled else NO_NETWORK, settings.base or USUAL)
    pages = [replace(scan, data=data) for data in scan.data.reshape(-1, *scan.geometry.shape)]
    reasons, beam, name_of_base = [], beam_of(scan.geometry), USUAL
    for name, path in _candidates(settings.network, beam).items():
        learned = load_learned(path)
        chosen = Chosen(learned, learned.scales(scan.geometry, grid), grid)
        wide = wider_fan(learned.card, scan.geometry)
        at = chosen.scales[0].grid
        found = [wide + unsuited(learned.card, beam, scan_facts(page, at), partly=True) for page in pages]
        more = sees_more(learned.card, scan.geometry, beam)
        open_ = [settings.force or not one or (more and len(one) == 1) for one in found]
        if any(open_) or settings.settled:
            begun = visible(learned.base)
            if begun.config.get("status") == "interrupted":
                return Choice(None, INTERRUPTED, learned.base)
            for k in (k for k, worth in enumerate(open_) if worth):
                facts = chosen.facts(pages[k], begun.image.reshape(-1, *grid.shape)[k])
                found[k] = wide + unsuited(learned.card, beam, facts)
            if settings.force or settings.settled or not all(found):
                verdict = Verdict(name, tuple(map(tuple, found)), settings.force)
                return Choice(chosen, base=learned.base, verdict=verdict)
            if more and min(map(len, found)) == 1:
                name_of_base = learned.base
        least = min(found, key=len)
        reasons.append(f"{name}: {'; '.join(least)}")
    return Choice(None, unlike_all(" | ".join(reasons) if reasons else "no weights are at hand"), name_of_base)


def sees_more(card: Mapping[str, Any], geometry: Geometry, beam: str) -> bool:
    """Return whether a scan of the card's beam has a smaller missing wedge than all that the network knows."""
    trained = card.get("trained on", {})
    low, _ = trained.get("ranges", {}).get("missing wedge", (0.0, 0.0))
    return trained.get("beam") == beam and missing_wedge(geometry) < float(low)


def _candidates(network: str, beam: str) -> dict[str, Path]:
    """Return the weights to try by name: the given file, or the shipped ones of this task, those of the beam first."""
    if network != "auto":
        return {name_of(network): Path(network)}
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

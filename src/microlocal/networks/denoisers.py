"""Denoisers by the card of their weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from microlocal.networks.adaptive_shrinkage import AdaptiveShrinkage
from microlocal.networks.dncnn import DnCNN
from microlocal.networks.learned_diffusivity import LearnedDiffusivity
from microlocal.networks.loading import built, load_network
from microlocal.networks.nonexpansive import Nonexpansive
from microlocal.networks.reaction_diffusion import ReactionDiffusion
from microlocal.networks.signal_diffusion import SignalDiffusion
from microlocal.networks.stopped_flow import StoppedFlow

TASK = "denoising"
KINDS: dict[str, type[nn.Module]] = {
    "adaptive-shrinkage": AdaptiveShrinkage,
    "nonexpansive": Nonexpansive,
    "reaction-diffusion": ReactionDiffusion,
    "signal-diffusion": SignalDiffusion,
    "stopped-flow": StoppedFlow,
    "learned-diffusivity": LearnedDiffusivity,
    "dncnn": DnCNN,
}


def denoiser(architecture: Mapping[str, Any]) -> nn.Module:
    """Return a denoiser that has learned nothing: ``kind`` and the arguments of that network.

    Raises UnknownNameError for another kind.

    >>> denoiser({"kind": "nonexpansive", "dilations": [1], "filters": 2, "side": 3}).guarantee().nonexpansive
    True
    """
    return built(architecture, KINDS, "denoiser")


def load_denoiser(weights: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the denoiser of a file of weights, or of shipped ones by their name, with its card.

    Raises InputError where the weights are of another task, or damaged.
    """
    return load_network(weights, {TASK: denoiser})

"""The denoisers by name: networks, by the name of their weights, and the image methods that denoise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from jaxtyping import Float
from torch import Tensor

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.core.progress import Progress
from microlocal.core.registry import registered
from microlocal.networks.catalogue import at_hand
from microlocal.networks.denoisers import TASK, load_denoiser
from microlocal.networks.weights import name_of
from microlocal.reconstruction.images.denoise_network import denoise_network
from microlocal.reconstruction.images.estimate import ImageEstimate

NETWORKS = {"shrinkage": "adaptive-shrinkage", "nonexpansive": "nonexpansive"}  # and what their weights must be
PREFIX = "denoise-"
OTHER_NAMES = {"denoise": "shearlet"}

Run = Callable[[Float[Tensor, "row col"], float | None, Progress], ImageEstimate]


class Denoiser(NamedTuple):
    """A denoiser: its ``name``; ``run``, which maps a plane, its noise (None: to be estimated) and who is told of the
    steps; what it is from.

    Others that map planes are told of like one: their ``task`` is another, and they may run where there is no noise.
    """

    name: str
    run: Run
    card: dict[str, Any]
    reference: str
    task: str = TASK
    without_noise: bool = False


def denoisers() -> tuple[str, ...]:
    """Return the names: of networks, then of image methods.

    >>> denoisers()[:2], "tv" in denoisers(), "shearlet" in denoisers()
    (('shrinkage', 'nonexpansive'), True, True)
    """
    shipped = [weights.name for weights in at_hand() if weights.task == TASK and weights.name not in NETWORKS]
    return (*NETWORKS, *shipped, *_methods())


def denoiser_of(model: str | None, weights: str | Path | None = None) -> Denoiser:
    """Return the denoiser of a name, by default "shrinkage"; ``weights``, a file for a network of that name.

    Raises UnknownNameError for other names, InputError for weights that cannot be used or are those of another model.
    """
    known = denoisers()
    name = model or "shrinkage"
    if name not in known:
        raise UnknownNameError("--model", name, known)
    if name in (methods := _methods()):
        if weights is not None:
            do = f"Take one of {', '.join(NETWORKS)}, or leave the weights out."
            raise InputError(f"--model {name}", expected="no weights: it is no network", got=str(weights), do=do)
        entry = registered("image-method")[methods[name]]
        member = cast(Callable[..., ImageEstimate], entry.member)
        return Denoiser(
            name, lambda plane, noise, shown: member(plane, noise=noise, progress=shown), {}, entry.reference
        )
    network, card = load_denoiser(name if weights is None else weights)
    kind = str(card["architecture"]["kind"])
    if weights is not None and model is not None and NETWORKS.get(model, kind) != kind:
        do = "Leave --model out, or give weights of that model."
        raise InputError(f"--model {model}", expected=f"weights of {NETWORKS[model]}", got=f"{kind}", do=do)
    named = name if weights is None else name_of(weights)
    card = card | {"name": named}
    reference = registered("network")[kind].reference if kind in registered("network") else ""

    def run(plane: Float[Tensor, "row col"], noise: float | None, progress: Progress) -> ImageEstimate:
        return denoise_network(plane, network, noise=noise, card=card, progress=progress)

    return Denoiser(named, run, card, reference)


def _methods() -> dict[str, str]:
    """Return the image methods that denoise, by the name that they have here."""
    return {
        OTHER_NAMES.get(name, name.removeprefix(PREFIX)): name
        for name in registered("image-method")
        if name != "denoise-network" and (name == "denoise" or name.startswith(PREFIX) or name.endswith("diffusion"))
    }

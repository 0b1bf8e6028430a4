"""A network examined: what is proved of it, what that rests on, how near attacks come, which layer loses most."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.attack import Search, overshoot, spread, worst
from microlocal.certificates.base import Certificate, Hypothesis, Kind
from microlocal.certificates.guarantee import Guarantee
from microlocal.certificates.layers import Part, costliest, guarantee_of, parts_of
from microlocal.certificates.maps import Certified, attacked, certify_map, claims_of, hypotheses_of
from microlocal.core.checks import positive
from microlocal.core.errors import InputError
from microlocal.core.progress import SILENT, Progress
from microlocal.core.seeding import generator
from microlocal.networks import deblurring_flow, denoisers, diffusion_maps, inpainting_flow
from microlocal.networks.loading import Maker, load_network
from microlocal.networks.searches import Searches, never
from microlocal.networks.weights import name_of

SIDE = 32  # pixels of the images of an attack: several filters wide
SHORT, LONG = Search(starts=2, steps=30), Search(starts=8, steps=200)
SEEDS = 4  # of a long attack
MINUTE = 60.0  # seconds of a long attack
MAKERS: dict[str, Maker] = {
    denoisers.TASK: denoisers.denoiser,
    deblurring_flow.TASK: deblurring_flow.deblurring_network,
    inpainting_flow.TASK: inpainting_flow.inpainting_network,
    diffusion_maps.TASK: diffusion_maps.diffusion_map,
}  # of the tasks whose networks take an image to an image
MEASURED = 2  # searches of measure()
LEVELS = (0.02, 0.1, 0.2)  # noise of the images near which amplification is measured, in [0, 1]


@dataclass(frozen=True)
class Examination:
    """What was found out about a network.

    ``proved``, nothing where a hypothesis fails; ``certificates``, one for each claim, with the worst value found, and
    the ``hypotheses`` they rest on; ``measured``, what attacks found near
    images with noise, where nothing need be proved; ``parts`` and the name of the ``costliest``; ``half_gap``, by
    how much bfloat16 changes the result on one image, in parts of its range: an example, and no bound; ``seconds``
    that the attacks took; ``complete``, whether none was cut short by its time; ``interrupted``, or by the user.
    """

    name: str
    kind: str
    parameters: int
    proved: Guarantee
    certificates: tuple[Certificate, ...]
    hypotheses: tuple[Hypothesis, ...]
    measured: dict[str, float]
    parts: list[Part]
    half_gap: float
    seconds: float = 0.0
    complete: bool = True
    interrupted: bool = False

    @property
    def claims(self) -> bool:
        """Whether the network claims anything of itself."""
        return bool(self.certificates or self.hypotheses)

    @property
    def holds(self) -> bool:
        """Whether something is proved, and no attack refuted it."""
        return bool(self.certificates) and all(certificate.holds for certificate in self.certificates)

    @property
    def costliest(self) -> str:
        """The layer whose Lipschitz constant costs most; empty where none costs anything."""
        found = costliest(self.parts)
        return "" if found is None else found.name


def examine(
    weights: str | Path,
    attack: bool = False,
    progress: Progress = SILENT,
    shape: tuple[int, int] = (SIDE, SIDE),
    seconds: float = MINUTE,
    stopped: Callable[[], bool] = never,
) -> Examination:
    """Return what is proved of a map of images and how near attacks come, a long search with ``attack``.

    ``weights``, a file, or the name of shipped ones; ``shape`` of the images of the attacks; ``seconds`` that a long
    search may take, a step or two more; ``stopped`` is asked at every step whether to end it with what was found.
    Raises InputError for weights of another task, or no time.
    """
    positive(seconds, "seconds", "examine")
    network, card = load_network(weights, MAKERS)
    full = (1, *shape)
    hypotheses = hypotheses_of(network, full) if isinstance(network, Certified) else ()
    sound = all(hypothesis.holds for hypothesis in hypotheses)
    searches = Searches(seconds if attack else math.inf, progress, stopped)
    certificates, measured = _searched(network, full, attack, searches)
    return Examination(
        name=name_of(weights),
        kind=str(card["architecture"]["kind"]),
        parameters=sum(p.numel() for p in network.parameters()),
        proved=guarantee_of(network) if sound else Guarantee(),
        certificates=certificates,
        hypotheses=hypotheses,
        measured=measured,
        parts=parts_of(network) if sound else [],
        half_gap=_half_gap(network, full),
        seconds=searches.took,
        complete=searches.complete,
        interrupted=searches.interrupted,
    )


def _searched(
    network: nn.Module, shape: tuple[int, int, int], attack: bool, searches: Searches
) -> tuple[tuple[Certificate, ...], dict[str, float]]:
    """Return the certificates and what was measured, each with the worst of all rounds: a short one, then long ones."""
    certificates: tuple[Certificate, ...] = ()
    measured: dict[str, float] = {}
    jobs = _count(network) + MEASURED
    for search, seed in [(SHORT, 0), *((LONG, seed) for seed in range(SEEDS if attack else 0))]:
        if measured and searches.over:
            break
        limited = searches.round(search, jobs)
        certificates = _attacked(network, shape, limited, seed, certificates)
        found = measure(network, shape, limited, seed)
        measured = {name: max(value, measured.get(name, value)) for name, value in found.items()}
    searches.finish()
    return certificates, measured


def _count(network: nn.Module) -> int:
    """Return how many claims are attacked; none where bounds are no numbers."""
    try:
        return len(list(claims_of(network))) if isinstance(network, Certified) else 0
    except InputError:
        return 0


def measure(network: nn.Module, shape: tuple[int, int, int], search: Search = SHORT, seed: int = 0) -> dict[str, float]:
    """Return the worst that attacks find near an image with noise, for any network of one channel: lower estimates."""
    images = torch.cat([_scene(shape) + level * _noise(shape, 5) for level in LEVELS])
    beyond = worst(network, shape, overshoot, search, seed, images)[0]
    return {
        "|N(u + d) - N(u)|/|d|": worst(network, shape, spread, search, seed, images)[0],
        "values beyond the range of u, over that range": max(beyond, 0.0),
    }


def _attacked(
    network: nn.Module, shape: tuple[int, int, int], search: Search, seed: int, before: tuple[Certificate, ...]
) -> tuple[Certificate, ...]:
    """Return the certificates with the worst value of another search, if it is worse."""
    if not isinstance(network, Certified):
        return ()
    sound = all(hypothesis.holds for hypothesis in hypotheses_of(network, shape))
    found = certify_map(network, shape, search, seed) if sound else tuple(_unproved(network, shape, search, seed))
    return tuple(max(pair, key=lambda c: c.value) for pair in zip(found, before, strict=True)) if before else found


def _unproved(network: nn.Module, shape: tuple[int, int, int], search: Search, seed: int) -> Iterator[Certificate]:
    """Return what a network claims although a hypothesis fails, with what an attack finds; no bounds that are NaN."""
    hypotheses = hypotheses_of(network, shape)  # type: ignore[arg-type]
    try:
        stated = list(claims_of(network))  # type: ignore[arg-type]
    except InputError:
        return
    for claim, bound, score, reference in stated:
        value = attacked(network, shape, score, search, seed)
        yield Certificate(claim, Kind.ESTIMATED, value, bound, hypotheses, reference)


def _scene(shape: tuple[int, int, int]) -> Float[Tensor, "1 channel row col"]:
    """Return a disc on a ramp with stripes beside it: flat, an edge, and a texture."""
    _, rows, cols = shape
    y = torch.linspace(-1, 1, rows, dtype=torch.float64)[:, None]
    x = torch.linspace(-1, 1, cols, dtype=torch.float64)[None]
    disc = 0.4 * ((x + 0.3).square() + y.square() < 0.25)
    return (0.3 + 0.1 * y + disc + 0.15 * torch.sin(4 * math.pi * y) * (x > 0.4))[None, None].expand(1, *shape)


def _noise(shape: tuple[int, int, int], seed: int) -> Float[Tensor, "1 channel row col"]:
    return torch.randn(1, *shape, generator=generator(seed), dtype=torch.float64)


def _half_gap(network: nn.Module, shape: tuple[int, int, int]) -> float:
    """Return by how much the result on an image with noise changes in bfloat16, in parts of the range of the image."""
    image = _scene(shape) + LEVELS[1] * _noise(shape, 6)
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(image)
        half = copy.deepcopy(network).bfloat16()(image.bfloat16())
    return float((half.double() - exact).abs().max() / (image.max() - image.min()))

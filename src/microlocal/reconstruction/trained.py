"""Trained networks for methods that are nothing without one: find the weights, or refuse in words that help."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microlocal.certificates.consistency import certify_consistency
from microlocal.core.errors import InputError
from microlocal.core.grid import Grid
from microlocal.core.scan import Scan
from microlocal.core.seeding import generator
from microlocal.networks.suitability import Fact, unsuited
from microlocal.networks.weights import building, fill, load_weights, name_of, read_card, shipped_weights, weights_file
from microlocal.operators.ray_transform import RayTransform
from microlocal.reconstruction.facts import beam_of, scan_facts, wider_fan
from microlocal.reconstruction.method import Estimate, Settings, network_record
from microlocal.reconstruction.verdict import WHY, Verdict

EPSILON = 0.05  # by which the residual may grow over that of the image that the network was given
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Trained(Generic[Network]):
    """A network, its name, a sentence on why it was taken, its card, and what was found of it for every slice."""

    network: Network
    name: str
    note: str
    card: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None

    @property
    def left(self) -> tuple[int, ...]:
        """The slices that the network does not suit: they stay what it would have been given."""
        return () if self.verdict is None else self.verdict.left

    def record(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``config`` with what it should say of the network: which it was, and why."""
        found = network_record(self.name, self.card) | {WHY: self.note, **config}
        return found if self.verdict is None else self.verdict.record(found)


def trained_network(
    task: str, build: Callable[..., Network], scan: Scan, grid: Grid, settings: Settings
) -> Trained[Network]:
    """Return the network for a scan: that in ``settings.network``, or shipped weights of the task that suit.

    ``build`` makes the network from the architecture on the card. Raises InputError where there are no weights, where
    they are of another task, and, unless forced or settled, where every slice is unlike those they were trained on.
    """
    paths, beam = _candidates(task, settings), beam_of(scan.geometry)
    pages = scan.data.reshape(-1, *scan.geometry.shape)
    facts = [known_facts(replace(scan, data=page), grid) for page in pages]
    reasons = []
    for name, path in paths.items():
        card = read_card(path)
        if card.get("task") != task:
            do = f"Give weights that were trained with task = '{task}'."
            raise InputError(f"weights {name}", expected=f"task {task}", got=str(card.get("task")), do=do)
        wide = wider_fan(card, scan.geometry)
        found = tuple(tuple(unsuited(card, beam, one) + wide) for one in facts)
        if not all(found) or settings.force or settings.settled:
            verdict = Verdict(name, found, settings.force)
            return Trained(_loaded(path, build), name, verdict.of_all(), card, verdict)
        least = min(found, key=len)
        reasons.append(f"{name}: {'; '.join(least)}")
    expected, got = "a scan like those that the network was trained on", " | ".join(reasons)
    do = "Take another method, train for such scans, or force it (force=True, --force-network)."
    raise InputError(task, expected=expected, got=got, do=do)


def known_facts(scan: Scan, grid: Grid) -> tuple[Fact, ...]:
    """Return what the cards of these networks have ranges for."""
    return (*scan_facts(scan, grid), Fact("pixels a side", max(grid.shape)))


def _candidates(task: str, settings: Settings) -> dict[str, Path]:
    """Return the files of weights in question, by name; raises InputError where there are none."""
    if settings.network not in ("auto", "none"):
        path = weights_file(settings.network)
        return {name_of(path): path}
    found = shipped_weights() if settings.network == "auto" else {}
    found = {name: path for name, path in found.items() if read_card(path).get("task") == task}
    if not found:
        got = "none" if settings.network == "none" else "none among those that ship"
        do = (
            f"Train some (microlocal train recipes/comparison-{task}.toml), then give the file: "
            "network='weights.safetensors' or --network weights.safetensors. Without a network: --method shearlet."
        )
        raise InputError(task, expected="weights: the method is a network", got=got, do=do)
    return found


def _loaded(path: Path, build: Callable[..., Network]) -> Network:
    state, card = load_weights(path)
    with building(f"weights {name_of(path)}"):
        network = build(**card["architecture"]["network"])
    fill(network, state, f"weights {name_of(path)}")
    return network.eval()


def untrained(build: Callable[[], Network]) -> Network:
    """Return a network of seed 0 whose zero parameters became small: for trials of methods, which it hardly moves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build()
    draw = generator(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not bool(parameter.any()):
                parameter.copy_(0.002 * torch.randn(parameter.shape, generator=draw))
    return network.eval()


def by_slice(
    apply: Callable[[Float[Tensor, "1 row col"], Float[Tensor, "1 angle detector"]], Float[Tensor, "1 row col"]],
    image: Float[Tensor, "*batch row col"],
    data: Float[Tensor, "*batch angle detector"],
    left: Sequence[int] = (),
) -> Float[Tensor, "*batch row col"]:
    """Return ``apply(image, data)`` of every slice, in float32 as the networks are, one after the other.

    Slices in ``left`` stay as they are. Memory does not grow with the number of slices.
    """
    images, planes = (x.reshape(-1, 1, *x.shape[-2:]) for x in (image, data))
    pairs = enumerate(zip(images, planes, strict=True))
    with torch.no_grad():
        found = [x if k in left else apply(x.float(), g.float()).to(x) for k, (x, g) in pairs]
    return torch.cat(found).reshape(image.shape)


def learned_estimate(
    scan: Scan,
    grid: Grid,
    base: Float[Tensor, "*batch row col"],
    image: Float[Tensor, "*batch row col"],
    trained: Trained[Any],
    remark: str,
) -> Estimate:
    """Return the estimate of a network that turned ``base`` into ``image``, and what it made of the residual."""
    certificate = certify_consistency(RayTransform(scan.geometry, grid), scan.data, base, image, EPSILON)
    config = trained.record({"epsilon": EPSILON})
    return Estimate(image, (config[WHY], remark), config, learned=image - base, certificates=(certificate,))

"""Weights of a network as two files: the tensors (safetensors) and a card (JSON) that says what they are.

The card holds what was trained on what: task, architecture, geometry, noise and image statistics, normalisation, the
recipe and the command, seed, minutes, device, metrics, version, the SHA-256 of the tensors, and, where the training
began from other weights, what their card says of theirs.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from microlocal.core.errors import InputError, MicrolocalError
from microlocal.io.tensors import checksum, read_tensors, write_tensors
from microlocal.io.values import write_json
from microlocal.networks.card import check_card

FORMAT = 1
SHIPPED = Path(__file__).parent / "shipped"
DO = "Take the files as they were written, both of them, or train again."
SUFFIXES = (".safetensors", ".json")
USUAL = "weights"  # what a training calls them
BEGAN = "began from"  # on the card: ``training_of`` that of the weights that the training began from
MADE = ("recipe", "command", "seed", "steps", "of_steps", "minutes", "device", "precision", "metrics")
TRAINING = (*MADE, "sha256", BEGAN)


def weights_file(path: str | Path) -> Path:
    """Return the .safetensors file of weights at ``path``, given with or without the suffix of one of their two files.

    Any other dot belongs to the name.

    >>> [str(weights_file(path)) for path in ("run/net", "run/net.json", "run/net.v1")]
    ['run/net.safetensors', 'run/net.safetensors', 'run/net.v1.safetensors']
    """
    given = Path(path)
    name = given.stem if given.suffix in SUFFIXES else given.name
    return given.parent / f"{name}{SUFFIXES[0]}"


def name_of(path: str | Path) -> str:
    """Return the name of weights in sentences and results: their file's, with its folder where every training has it.

    >>> name_of("nets/mine.safetensors"), name_of("nets/run/weights")
    ('mine', 'run/weights')
    """
    file = weights_file(path).absolute()
    return file.stem if file.stem != USUAL else f"{file.parent.name}/{file.stem}"


def save_weights(
    path: str | Path, network_state: Mapping[str, Shaped[Tensor, "..."]], card: Mapping[str, Any], half: bool = False
) -> Path:
    """Write <path>.safetensors and <path>.json; return the first.

    Parameters: ``network_state``, a ``state_dict``; ``card``, JSON values; ``half``, store floating tensors in 16 bits
    (they come back in 32). Raises InputError for values that 16 bits cannot hold, or for finite ones of 64 bits that 32
    cannot, in which networks are built; OutputError for places that cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "tiny"
    >>> state, card = load_weights(save_weights(path, {"weight": torch.ones(2)}, {"task": "none"}))
    >>> state["weight"], card["task"]
    (tensor([1., 1.]), 'none')
    """
    target = weights_file(path)
    kept = {name: _stored(name, value, half) for name, value in network_state.items()}
    own = {
        "format": FORMAT,
        "version": version("microlocal"),
        "stored": "float16" if half else "as trained",
        "parameters": sum(value.numel() for value in kept.values()),
        "sha256": checksum(kept),
    }
    write_tensors(kept, target)
    write_json({"architecture": {}, **card, **own}, target.with_suffix(".json"))
    return target


def load_weights(path: str | Path) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, Any]]:
    """Return (state, card) of the weights at ``path``, with or without suffix.

    Raises InputError where a file is missing or damaged, or the tensors are not those of the card.
    """
    target = weights_file(path)
    who = f"weights {name_of(target)}"
    card = read_card(target)
    tensors, _ = read_tensors(target, who, DO)
    found = checksum(tensors)
    if card["sha256"] != found:
        expected = f"the tensors of the card, SHA-256 {str(card['sha256'])[:12]}"
        raise InputError(who, expected=expected, got=found[:12], do=DO)
    wide = {name: value.float() if value.dtype == torch.float16 else value for name, value in tensors.items()}
    return wide, card


def read_card(path: str | Path) -> dict[str, Any]:
    """Return the card beside the weights at ``path``; raises InputError where it is missing, damaged or newer.

    Its entries are of the types in ``card.Card``.
    """
    target = weights_file(path).with_suffix(".json")
    who = f"weights {name_of(target)}"
    try:
        text = target.read_text(encoding="utf-8")
        card = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(who, expected=f"a card {target.name}", got=str(error)[:160], do=DO) from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or "sha256" not in card:
        got = f"format {card.get('format')}" if isinstance(card, dict) else f"a JSON {type(card).__name__}"
        raise InputError(who, expected=f"a card of format {FORMAT} with sha256", got=got, do=DO)
    check_card(text, who, DO)
    return card


@contextmanager
def building(who: str, expected: str = "an architecture on its card that can be built") -> Iterator[None]:
    """Raise InputError naming the weights where the architecture on their card cannot be built."""
    try:
        yield
    except MicrolocalError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        got = f"{type(error).__name__}: {error}"[:160]
        raise InputError(who, expected=expected, got=got, do=DO) from error


def fill(network: nn.Module, state: Mapping[str, Shaped[Tensor, "..."]], who: str) -> None:
    """Copy ``state`` into ``network``; raises InputError naming the first tensors that do not fit."""
    own = network.state_dict()
    missing, foreign = [n for n in own if n not in state], [n for n in state if n not in own]
    unlike = [n for n in own if n in state and own[n].shape != state[n].shape]
    if missing or foreign or unlike:
        parts = [
            *(f"without {name}" for name in missing[:2]),
            *(f"with {name}, which the network lacks" for name in foreign[:2]),
            *(f"{n} of shape {tuple(state[n].shape)}, not {tuple(own[n].shape)}" for n in unlike[:2]),
        ]
        do = "Build the network as the card's architecture says."
        raise InputError(who, expected=f"the {len(own)} tensors of the network", got="; ".join(parts), do=do)
    network.load_state_dict(dict(state))


def training_of(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a card says of its training, and of those before it: the SHA-256 of what came out, and how."""
    return {name: card[name] for name in TRAINING if name in card}


def shipped_weights() -> dict[str, Path]:
    """Return the weights that come with the package, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def _stored(name: str, value: Shaped[Tensor, "..."], half: bool) -> Shaped[Tensor, "..."]:
    plain = value.detach().cpu()
    if not half or not plain.is_floating_point():
        if plain.dtype == torch.float64 and bool((plain.isfinite() & ~plain.float().isfinite()).any()):
            got = f"values up to {float(plain.abs().max()):.3g} in {name}"
            do = "Train in 32 bits, or mend these values: a network is built in 32."
            raise InputError("save_weights", expected="values within 32 bits (3.4e38)", got=got, do=do)
        return plain
    narrow = plain.half()
    if not bool(torch.isfinite(narrow).all()):
        got = f"values up to {float(plain.abs().max()):.3g} in {name}"
        raise InputError("save_weights", expected="values within 16 bits (65504)", got=got, do="Store 32 bits.")
    return narrow

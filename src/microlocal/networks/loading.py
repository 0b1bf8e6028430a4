"""Networks from files of weights, built as their cards say."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from microlocal.core.errors import InputError, UnknownNameError
from microlocal.networks.catalogue import find_weights
from microlocal.networks.weights import building, fill, load_weights, name_of

Maker = Callable[[Mapping[str, Any]], nn.Module]


def built(architecture: Mapping[str, Any], kinds: Mapping[str, type[nn.Module]], who: str) -> nn.Module:
    """Return a network that has learned nothing: ``kind``, one of ``kinds``, and the arguments of that network.

    Raises UnknownNameError for another kind, InputError for arguments that it cannot be built with.

    >>> built({"kind": "linear", "in_features": 2, "out_features": 3}, {"linear": nn.Linear}, "network")
    Linear(in_features=2, out_features=3, bias=True)
    """
    kind = str(architecture.get("kind"))
    if kind not in kinds:
        raise UnknownNameError(who, kind, kinds)
    with building(who, f"an architecture of the kind {kind}"):
        return kinds[kind](**{name: value for name, value in architecture.items() if name != "kind"})


def load_network(weights: str | Path, makers: Mapping[str, Maker]) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a file of weights, or of shipped ones by their name, with its card.

    ``makers``, from an architecture to a network, of every task whose weights are taken. Raises InputError where the
    weights are of another task, or damaged.
    """
    path = find_weights(weights)
    state, card = load_weights(path)
    maker = makers.get(str(card.get("task")))
    if maker is None:
        expected, do = f"the task {' or '.join(makers)}", "microlocal weights lists what there is."
        raise InputError(f"weights {name_of(path)}", expected=expected, got=repr(card.get("task")), do=do)
    network = maker(card["architecture"])
    fill(network, state, f"weights {name_of(path)}")
    return network.eval(), card

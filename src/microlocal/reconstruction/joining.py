"""Several trained networks of Learn the Invisible as one file of weights, whose network is their mean."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microlocal.core.errors import InputError
from microlocal.networks.weights import (
    TRAINING,
    load_weights,
    name_of,
    read_card,
    save_weights,
    training_of,
    weights_file,
)
from microlocal.reconstruction.learned import TASK

ALIKE = ("architecture", "data", "working pixels", "base", "aligned", "cascade")  # alike on the cards of members
DO = "Join networks of one recipe that were trained apart: with other seeds, more examples, or more steps."


def join_weights(paths: Sequence[str | Path], out: str | Path, command: str = "") -> Path:
    """Write the weights of the networks at ``paths`` as members of one file, and return its .safetensors.

    Parameters: ``paths``, two or more files of weights of one architecture and one table [data]; ``out``, the new
    file, or one that was joined of the same members; ``command`` for its card. The card keeps what each member's says
    of its training, and the ranges of what all were trained on. Raises InputError for weights of another task, for
    members that do not fit together or are one network twice, and where ``out`` is anything else; OutputError.
    """
    target = weights_file(out)
    loaded = [load_weights(path) for path in paths]
    names, cards = [name_of(weights_file(path)) for path in paths], [card for _, card in loaded]
    if len(cards) < 2:
        raise InputError("join_weights", expected="two files of weights or more", got=f"{len(cards)}", do=DO)
    _check(names, cards)
    _refuse_another(target, cards)
    state = {f"members.{k}.{name}": tensor for k, (given, _) in enumerate(loaded) for name, tensor in given.items()}
    first = {name: value for name, value in cards[0].items() if name not in TRAINING}
    card = first | {
        "architecture": cards[0]["architecture"] | {"members": len(cards)},
        "trained on": cards[0]["trained on"] | {"ranges": _together([c["trained on"]["ranges"] for c in cards])},
        "members": [training_of(one) for one in cards],
        "minutes": round(sum(float(one.get("minutes", 0)) for one in cards), 2),
        "command": command,
    }
    return save_weights(target, state, card, half=all(one.get("stored") == "float16" for one in cards))


def _check(names: Sequence[str], cards: Sequence[Mapping[str, Any]]) -> None:
    for name, card in zip(names, cards, strict=True):
        if card.get("task") != TASK or "members" in card:
            got = "one that has members already" if "members" in card else f"task {card.get('task')}"
            raise InputError(f"weights {name}", expected=f"one network of the task {TASK}", got=got, do=DO)
        if "ranges" not in card.get("trained on", {}):
            raise InputError(f"weights {name}", expected="the ranges it was trained on, on its card", got="none", do=DO)
        for entry in ALIKE:
            if (card.get(entry) or None) != (cards[0].get(entry) or None):  # older cards lack what is not so
                raise InputError(f"weights {name}", expected=f"the {entry} of {names[0]}", got="another", do=DO)
    _refuse_twice(names, cards)


def _refuse_twice(names: Sequence[str], cards: Sequence[Mapping[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for name, card in zip(names, cards, strict=True):
        if card["sha256"] in seen:
            expected = f"another network than {seen[card['sha256']]}"
            raise InputError(f"weights {name}", expected=expected, got="the same tensors", do=DO)
        seen[card["sha256"]] = name


def _refuse_another(target: Path, cards: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to write over anything but what was joined of the same members."""
    if not (target.exists() or target.with_suffix(".json").exists()):
        return
    held = {member.get("sha256") for member in read_card(target).get("members", [])}
    if held != {card["sha256"] for card in cards}:
        expected = "a new file, or one joined of the same members"
        raise InputError("join_weights", expected=expected, got=f"{target}", do="Choose another name.")


def _together(ranges: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Return the ranges that examples of all members showed: all were drawn alike, from one table [data]."""
    return {
        name: [min(r[name][0] for r in ranges), max(r[name][1] for r in ranges)]
        for name in ranges[0]
        if all(name in r for r in ranges)
    }

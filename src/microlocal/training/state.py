"""What a training knows between two steps, and its checkpoint: one file, written whole or not at all.

Nothing random is kept: every draw is a function of seed and step (``seeds``).
"""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from microlocal.core.errors import InputError
from microlocal.io.tensors import read_tensors, write_tensors
from microlocal.networks.weights import BEGAN, fill
from microlocal.training.recipe import Recipe

FIXED_RUN = ("batch", "pool", "ema")  # what of [run] a resumed training may not change
MEMORY = (0.9, 0.99)  # of AdamW: with 0.999 for the second, sparse coefficients threw the training off at times
DO = "Train anew with --fresh, or in another folder with --out."


@dataclass
class State:
    """The network, its running mean, the optimiser's moments, and how far they are.

    Parameters: ``step``, how many are done; ``seconds`` spent on them; ``metrics`` of the last validation; ``best``,
    the lowest validation loss so far; ``began_from``, what the card of the weights that it started from says of their
    training, {} where there were none.
    """

    network: nn.Module
    mean: nn.Module
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    began_from: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def fresh(cls, network: nn.Module, recipe: Recipe, device: torch.device, scaled: bool) -> "State":
        """Return the state before the first step. Weight decay acts on matrices and kernels, not on biases."""
        network = network.to(device)
        trained = [p for p in network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.run.weight_decay},
            {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
        ]
        kept = [g for g in groups if g["params"]]
        optimizer = torch.optim.AdamW(kept, lr=recipe.run.learning_rate, betas=MEMORY)
        scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        return cls(network, copy.deepcopy(network).requires_grad_(False), optimizer, scaler)

    def follow(self, decay: float) -> None:
        """Let the running mean take in the network: m <- d m + (1 - d) w, with a smaller d at the beginning."""
        weight = 1 - min(decay, (1 + self.step) / (10 + self.step)) if decay > 0 else 1.0
        own, mean = self.network.state_dict(), self.mean.state_dict()
        smooth = [name for name, value in own.items() if value.is_floating_point() or value.is_complex()]
        with torch.no_grad():
            torch._foreach_lerp_([mean[n] for n in smooth], [own[n] for n in smooth], weight)
            for name in own.keys() - set(smooth):
                mean[name].copy_(own[name])

    def save(self, path: Path, recipe: Recipe) -> None:
        """Write the checkpoint; raises OutputError."""
        facts = {
            "recipe": owner(recipe),
            "step": self.step,
            "seconds": self.seconds,
            "metrics": self.metrics,
            "best": self.best,
            BEGAN: self.began_from,
            "scaler": self.scaler.state_dict(),
        }
        write_tensors(self._tensors(), path, {"state": json.dumps(facts)})

    def load(self, path: Path, recipe: Recipe) -> None:
        """Take the state of a checkpoint; raises InputError where it is damaged or of another recipe."""
        who = f"checkpoint {path.name}"
        tensors, header = read_tensors(path, who, DO)
        facts = _facts(header, who)
        _same(facts["recipe"], owner(recipe), who)
        fill(self.network, _part(tensors, "network."), who)
        fill(self.mean, _part(tensors, "mean."), who)
        self._load_optimizer(_part(tensors, "optimizer."))
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])
        self.metrics, self.best, self.began_from = facts["metrics"], facts["best"], facts[BEGAN]
        if self.scaler.is_enabled() and facts["scaler"]:
            self.scaler.load_state_dict(facts["scaler"])

    def _tensors(self) -> dict[str, Shaped[Tensor, "..."]]:
        moments = self.optimizer.state_dict()["state"]
        return {
            **{f"network.{name}": value for name, value in self.network.state_dict().items()},
            **{f"mean.{name}": value for name, value in self.mean.state_dict().items()},
            **{f"optimizer.{k}.{name}": value for k, parts in moments.items() for name, value in parts.items()},
        }

    def _load_optimizer(self, tensors: dict[str, Shaped[Tensor, "..."]]) -> None:
        moments: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            number, part = name.split(".", 1)
            moments.setdefault(int(number), {})[part] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})


def owner(recipe: Recipe) -> dict[str, Any]:
    """Return what of a recipe a checkpoint belongs to."""
    run = {name: getattr(recipe.run, name) for name in FIXED_RUN}
    whole = {"task": recipe.task, "seed": recipe.seed, "data": recipe.data, "network": recipe.network, "run": run}
    return json.loads(json.dumps(whole, default=str))


def _same(written: dict[str, Any], wanted: dict[str, Any], who: str) -> None:
    for table, new in wanted.items():
        old = written.get(table)
        if old == new:
            continue
        place, names = table, [""]
        if isinstance(old, dict) and isinstance(new, dict):
            place, names = f"[{table}] ", [n for n in {**old, **new} if old.get(n) != new.get(n)]
            old, new = old.get(names[0]), new.get(names[0])  # noqa: PLW2901
        raise InputError(who, expected=f"{place}{names[0]} = {new!r}, as the recipe says", got=repr(old), do=DO)


def _facts(header: dict[str, str], who: str) -> dict[str, Any]:
    try:
        facts = json.loads(header["state"])
        needed = {name: facts[name] for name in ("recipe", "step", "seconds", "metrics", "best", "scaler")}
        return needed | {BEGAN: facts.get(BEGAN, {})}  # older checkpoints do not know
    except (LookupError, ValueError, TypeError) as error:
        raise InputError(who, expected="a checkpoint of a training", got="another file", do=DO) from error


def _part(tensors: dict[str, Shaped[Tensor, "..."]], prefix: str) -> dict[str, Shaped[Tensor, "..."]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

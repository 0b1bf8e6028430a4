"""A tiny task for the tests of training: a line fitted by a small network. Run as a program, it is the command line."""

from typing import Any

import torch
from torch import Tensor, nn

from microlocal.core.registry import register
from microlocal.core.seeding import generator
from microlocal.training import Table, checked


class Data(Table):
    """The table [data]."""

    slope: float = 2.0
    noise: float = 0.1
    poison: int = -1  # the seed of an example that is NaN


class Network(Table):
    """The table [network]."""

    width: int = 4
    dropout: float = 0.0


@register("task", "line")
class Line:
    """Fit y = slope x."""

    def __init__(self, data: dict[str, Any], network: dict[str, Any]) -> None:
        self.data, self.shape = checked(Data, data, "[data]"), checked(Network, network, "[network]")

    def network(self) -> nn.Module:
        width = self.shape.width
        return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Dropout(self.shape.dropout), nn.Linear(width, 1))

    def example(self, seed: int) -> dict[str, Tensor]:
        draw = generator(seed)
        x = torch.rand(8, 1, generator=draw)
        y = self.data.slope * x + self.data.noise * torch.randn(8, 1, generator=draw)
        return {"x": x, "y": y * float("nan") if seed == self.data.poison else y}

    def augment(self, example: dict[str, Tensor], draw: torch.Generator) -> dict[str, Tensor]:
        sign = 1 if torch.rand((), generator=draw) < 0.5 else -1
        return {name: sign * value for name, value in example.items()}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return (network(batch["x"]) - batch["y"]).square().mean()

    def metrics(self, network: nn.Module, batch: dict[str, Tensor]) -> dict[str, float]:
        return {"worst": float((network(batch["x"]) - batch["y"]).abs().max())}

    def card(self, examples) -> dict[str, Any]:
        return {"noise": [0.0, self.data.noise]}


if __name__ == "__main__":
    from microlocal.cli import main

    main()

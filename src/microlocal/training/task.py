"""What is trained: a task makes the network, the examples, the loss and the metrics; the loop knows nothing else.

A task is registered as ``@register("task", name)``; the class is built from the recipe's tables [data] and [network],
which it checks with models of its own (``recipe.checked``); ``samples`` are tiny tasks for its laws (testing/laws).
Classes whose attribute ``examples`` is the same name make the same examples of the same [data], and may share a pool.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

Example = dict[str, Shaped[Tensor, "..."]]
Batch = dict[str, Shaped[Tensor, "batch ..."]]


@runtime_checkable
class Task(Protocol):
    """A learning problem, built from the tables [data] and [network] of a recipe."""

    def network(self) -> nn.Module:
        """Return a fresh network; torch's own generator is seeded by the recipe when this is called."""

    def example(self, seed: int) -> Example:
        """Return one example, a function of the recipe and ``seed`` alone; it may be slow."""

    def augment(self, example: Example, draw: torch.Generator) -> Example:
        """Return a variation of a stored example; called each time it is used, so it must be cheap."""

    def loss(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        """Return the mean loss over the batch."""

    def metrics(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """Return the means of what tells how good the network is, over a batch of validation examples."""

    def card(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return what is kept beside the weights: geometry ranges, noise, image statistics, normalisation.

        ``examples`` are some of those trained on, none where there is neither a pool nor a validation.
        """

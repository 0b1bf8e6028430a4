"""Learning tasks that break one law each."""

import torch
from torch import nn
from training_task import Line

from microlocal.core.seeding import generator


class Forgetful(Line):
    def example(self, seed):
        return {name: value + torch.rand(()) for name, value in super().example(seed).items()}


class Moody(Line):
    def augment(self, example, draw):
        return {name: value + torch.rand(()) for name, value in example.items()}


class Careless(Line):
    def augment(self, example, draw):
        example["x"].mul_(2)
        return example


class Restless(Line):
    count = 0

    def network(self):
        Restless.count += 1
        with torch.no_grad():
            network = nn.Linear(1, 1)
            network.weight.fill_(float(torch.rand((), generator=generator(Restless.count))))
        return network


class Summed(Line):
    def loss(self, network, batch):
        return (network(batch["x"]) - batch["y"]).square().sum()


class Idle(Line):
    def network(self):
        network = super().network()
        network.register_parameter("idle", nn.Parameter(torch.zeros(2)))
        return network


class Endless(Line):
    def metrics(self, network, batch):
        return {"psnr": float("inf")}


class Opaque(Line):
    def card(self, examples):
        return {"geometry": object()}


def tasks():
    """The mutants by the law that catches them."""
    kinds = {
        "examples_are_functions_of_the_seed": Forgetful,
        "augmenting_repeats": Moody,
        "augmenting_leaves_the_example_alone": Careless,
        "networks_repeat": Restless,
        "the_loss_is_a_mean_over_the_batch": Summed,
        "gradients_reach_every_parameter": Idle,
        "metrics_are_finite_numbers": Endless,
        "the_card_is_json": Opaque,
    }
    return {law: kind({}, {}) for law, kind in kinds.items()}

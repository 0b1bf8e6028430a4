"""The laws of learning tasks."""

import json

import torch
from torch import nn

from microlocal.core.seeding import generator
from microlocal.io.jsonable import jsonable
from microlocal.testing.violation import expect
from microlocal.training.batches import stacked
from microlocal.training.task import Example, Task


def examples_are_functions_of_the_seed(task: Task) -> None:
    """The same seed gives the same example, whatever was drawn before; another seed another one."""
    first = task.example(1)
    other = task.example(2)
    torch.rand(3)
    expect(_same(first, task.example(1)), f"{_name(task)}: example(1) gave two different examples")
    expect(not _same(first, other), f"{_name(task)}: example(1) and example(2) are the same")


def augmenting_repeats(task: Task) -> None:
    """The same generator gives the same variation."""
    one, two = (task.augment(task.example(1), generator(5)) for _ in range(2))
    expect(_same(one, two), f"{_name(task)}: augment with the same generator gave two different examples")


def augmenting_leaves_the_example_alone(task: Task) -> None:
    """A stored example is used many times: a variation does not write into it."""
    example = task.example(1)
    kept = {name: value.clone() for name, value in example.items()}
    for seed in range(4):
        for value in task.augment(dict(example), generator(seed)).values():
            value.sum()
    expect(_same(example, kept), f"{_name(task)}: augment changed the example it was given")


def networks_repeat(task: Task) -> None:
    """The same state of torch's generator gives the same network."""
    one, two = (dict(_network(task).state_dict()) for _ in range(2))
    expect(_same(one, two), f"{_name(task)}: two networks of one seed differ")


def the_loss_is_a_mean_over_the_batch(task: Task) -> None:
    """The loss of two examples is the mean of their losses: what several processes rely on."""
    network, examples = _network(task).eval(), [task.example(1), task.example(2)]
    with torch.no_grad():
        together = float(task.loss(network, stacked(examples)))
        alone = sum(float(task.loss(network, stacked([example]))) for example in examples) / 2
    gap = abs(together - alone) / max(abs(alone), 1e-12)
    expect(gap < 1e-3, f"{_name(task)}: the loss of a batch is {together:.6g}, the mean of its losses {alone:.6g}")


def gradients_reach_every_parameter(task: Task) -> None:
    """The loss depends on all of the network, with finite gradients."""
    network = _network(task).train()
    task.loss(network, stacked([task.example(1), task.example(2)])).backward()  # type: ignore[no-untyped-call]
    trained = [(name, p.grad) for name, p in network.named_parameters() if p.requires_grad]
    missing = [name for name, grad in trained if grad is None or not bool(torch.isfinite(grad).all())]
    expect(not missing, f"{_name(task)}: no finite gradient for {', '.join(missing[:3])}")


def metrics_are_finite_numbers(task: Task) -> None:
    """Measuring gives finite numbers by name and leaves the network alone."""
    network = _network(task).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        metrics = task.metrics(network, stacked([task.example(1)]))
    finite = all(isinstance(v, float) and abs(v) < float("inf") for v in metrics.values())
    expect(bool(metrics) and finite, f"{_name(task)}: metrics are not finite numbers: {metrics}")
    expect(_same(before, dict(network.state_dict())), f"{_name(task)}: metrics changed the network")


def the_card_is_json(task: Task) -> None:
    """What is kept beside the weights is written as it is, not as the name of an object."""
    card = task.card([task.example(1)])
    expect(bool(card), f"{_name(task)}: the card says nothing of what was trained on")
    kept = json.loads(json.dumps(jsonable(card)))
    lost = [name for name, value in card.items() if str(kept[name]).startswith("<")]
    expect(not lost, f"{_name(task)}: the card holds objects: {', '.join(lost)}")


def _network(task: Task) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return task.network()


def _same(one: Example, two: Example) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def _name(task: Task) -> str:
    return type(task).__name__


LAWS = (
    examples_are_functions_of_the_seed,
    augmenting_repeats,
    augmenting_leaves_the_example_alone,
    networks_repeat,
    the_loss_is_a_mean_over_the_batch,
    gradients_reach_every_parameter,
    metrics_are_finite_numbers,
    the_card_is_json,
)

"""How examples vary each time they are used, and how those that were kept for validation do, the same every time."""

import torch
from jaxtyping import Float
from torch import Tensor

from microlocal.core.seeding import generator
from microlocal.training.task import Batch, Task


def turned(image: Float[Tensor, "row col"], draw: torch.Generator) -> Float[Tensor, "row col"]:
    """Return the image turned by quarters and mirrored, at random."""
    quarters, mirrored = (int(torch.randint(n, (), generator=draw)) for n in (4, 2))
    image = image.rot90(quarters, (-2, -1))
    return (image.flip(-1) if mirrored else image).contiguous()


def varied(task: Task, batch: Batch, mark: str) -> Batch:
    """Return the batch; examples without ``mark``, which augmenting adds, each in a variation by its own seed.

    Examples carry their ``seed``, and the ``image`` that says on which device they are.
    """
    if mark in batch:
        return batch
    count, place = len(batch["seed"]), batch["image"].device
    examples = [{name: values[k].cpu() for name, values in batch.items()} for k in range(count)]
    with torch.autocast(place.type, enabled=False):  # the images are not to be rounded to 16 bits
        found = [task.augment(e, generator(int(e["seed"]))) for e in examples]
        return {name: torch.stack([e[name] for e in found]).to(place) for name in found[0]}

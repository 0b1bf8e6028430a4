"""How examples vary each time they are used, and how those that were kept for validation do, the same every time."""

import math

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


def noise_of_reconstructions(shape: tuple[int, int], draw: torch.Generator) -> Float[Tensor, "row col"]:
    """Return noise with the spectrum |ξ|^a exp(-2π²σ²|ξ|²), within a wedge of directions, scaled to deviation one.

    a, from 0 to 1, is what is left of the ramp filter; σ, from 0.4 to 3 pixels, what smooths; the wedge, from 30° to
    all of 180°, are the directions that were measured: noise is streaks where it is narrow.
    """

    def drawn(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=draw))

    down, right = torch.meshgrid(*(torch.fft.fftfreq(n) for n in shape), indexing="ij")
    ramp, smooth, middle, half = drawn(0, 1), drawn(0.4, 3), drawn(0, math.pi), drawn(math.pi / 12, math.pi / 2)
    size = torch.hypot(down, right)
    beside = torch.cos(torch.atan2(down, right) - middle).abs()
    spectrum = size**ramp * torch.exp(-2 * (math.pi * smooth * size) ** 2) * (beside >= math.cos(half))
    spectrum[0, 0] = 0.0
    found = torch.fft.ifft2(spectrum * torch.fft.fft2(torch.randn(shape, generator=draw))).real
    return found / found.std()


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

"""Randomness only from an explicit generator."""

import torch

from microlocal.core.checks import whole


def generator(seed: int) -> torch.Generator:
    """Return a CPU generator started at ``seed``; raises InputError where that is not a whole number.

    >>> bool((torch.rand(3, generator=generator(1)) == torch.rand(3, generator=generator(1))).all())
    True
    """
    return torch.Generator(device="cpu").manual_seed(whole(seed, "seed", "generator"))
